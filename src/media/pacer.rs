//! When packets go out: every 20 ms by deadlines that are counted, not slept, so that nothing drifts.
//!
//! After a standstill (a suspended machine, a starved thread) the last few packets that are due go out
//! back to back and the rest are skipped: the far end's jitter buffer swallows three, and would drop
//! three hundred. Skipped time passes in timestamps but uses no sequence numbers, which is what a
//! pause in sending looks like.

use std::time::{Duration, Instant};

use crate::base::audio::FRAME;

/// Ticks made up for after a standstill.
pub const MAX_BURST: u32 = 3;

pub struct Pacer {
    next: Instant,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Frames of time that pass without being sent, before the first tick.
    pub skipped: u32,
    /// Deadline of the first tick; the others follow every [`FRAME`].
    pub first: Instant,
    /// 0 to [`MAX_BURST`].
    pub ticks: u32,
}

impl Pacer {
    /// The first tick is due at `first`.
    pub fn new(first: Instant) -> Self {
        Pacer { next: first }
    }

    pub fn poll_timeout(&self) -> Instant {
        self.next
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Due {
        let Some(late) = now.checked_duration_since(self.next) else {
            return Due { skipped: 0, first: self.next, ticks: 0 };
        };
        let missed = if late < FRAME { 0 } else { late.as_nanos() / FRAME.as_nanos() };
        let due = u32::try_from(missed).unwrap_or(u32::MAX - 1) + 1;
        let ticks = due.min(MAX_BURST);
        let skipped = due - ticks;
        let first = self.next + frames(skipped);
        self.next = first + frames(ticks);
        Due { skipped, first, ticks }
    }
}

/// The length of `count` frames.
pub fn frames(count: u32) -> Duration {
    FRAME * count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_does_not_add_up() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        for n in 0..1_000u32 {
            let deadline = start + frames(n);
            assert_eq!(pacer.poll_timeout(), deadline);
            let late = Duration::from_micros(u64::from(n * 7_919 % 15_000));
            assert_eq!(pacer.handle_timeout(deadline + late), Due { skipped: 0, first: deadline, ticks: 1 });
        }
    }

    #[test]
    fn nothing_is_due_early() {
        let start = Instant::now() + FRAME;
        let mut pacer = Pacer::new(start);
        assert_eq!(pacer.handle_timeout(start - Duration::from_nanos(1)).ticks, 0);
        assert_eq!(pacer.poll_timeout(), start);
    }

    #[test]
    fn a_standstill_is_made_up_for_in_part() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let due = pacer.handle_timeout(start + Duration::from_millis(45));
        assert_eq!(due, Due { skipped: 0, first: start, ticks: 3 });
        let due = pacer.handle_timeout(start + Duration::from_millis(1_000));
        assert_eq!(due, Due { skipped: 45, first: start + frames(48), ticks: 3 });
        assert_eq!(pacer.poll_timeout(), start + frames(51));
    }
}
