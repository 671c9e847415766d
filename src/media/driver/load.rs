//! What each media thread carries, and which of them takes a new leg.
//!
//! A thread that wakes finds its caches cold, and wakes whoever listens: 1,000 legs on two threads take 5 to 13 %
//! more processor time than on one. So a thread is filled before the next is used.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Thousandths of its time after which a thread takes no more legs while another has room: what is left serves
/// those that it has in the worst of their 20 ms.
const BUSY: u64 = 500;
/// Over which the time is measured: shorter than a ramp, longer than a hiccup.
const WINDOW: Duration = Duration::from_millis(200);

/// Of one thread.
#[derive(Default)]
pub struct Load {
    /// That are live, or reserved.
    legs: AtomicUsize,
    live: AtomicUsize,
    /// Thousandths of its time.
    busy: AtomicU32,
}

impl Load {
    pub fn legs(&self) -> usize {
        self.legs.load(Ordering::Relaxed)
    }

    /// Thousandths of its time once the reserved legs are live, if those are like the others.
    fn expected(&self) -> u64 {
        let (legs, live) = (self.legs() as u64, self.live.load(Ordering::Relaxed).max(1) as u64);
        u64::from(self.busy.load(Ordering::Relaxed)) * legs.max(live) / live
    }

    fn has_room(&self, full: usize) -> bool {
        self.legs() == 0 || self.legs() < full && self.expected() < BUSY
    }
}

/// The first that has room for another leg where `full` are enough; where none has, the least busy.
pub fn choose<'a, T>(
    threads: impl Iterator<Item = &'a T> + Clone,
    load: impl Fn(&T) -> &Load,
    full: usize,
) -> Option<&'a T> {
    let least = |thread: &&T| (load(thread).expected(), load(thread).legs());
    threads.clone().find(|thread| load(thread).has_room(full)).or_else(|| threads.min_by_key(least))
}

/// Counts a leg on its thread.
pub struct Presence {
    load: Arc<Load>,
    live: bool,
}

impl Presence {
    pub fn new(load: Arc<Load>) -> Self {
        load.legs.fetch_add(1, Ordering::Relaxed);
        Presence { load, live: false }
    }

    /// From here on the leg is ticked.
    pub fn begin(&mut self) {
        if !std::mem::replace(&mut self.live, true) {
            self.load.live.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.load.live.fetch_sub(usize::from(self.live), Ordering::Relaxed);
        self.load.legs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Measures how busy its thread is.
pub struct Timesheet {
    load: Arc<Load>,
    since: Instant,
    worked: Duration,
}

impl Timesheet {
    pub fn new(load: Arc<Load>, now: Instant) -> Self {
        Timesheet { load, since: now, worked: Duration::ZERO }
    }

    /// The thread worked from `begun` until `now`.
    pub fn enter(&mut self, begun: Instant, now: Instant) {
        self.worked += now.saturating_duration_since(begun);
        let window = now.saturating_duration_since(self.since);
        if window >= WINDOW {
            let busy = self.worked.as_micros() * 1_000 / window.as_micros();
            self.load.busy.store(busy as u32, Ordering::Relaxed);
            (self.since, self.worked) = (now, Duration::ZERO);
        }
    }

    /// The thread has nothing to do.
    pub fn rest(&mut self) {
        self.load.busy.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(legs: usize, busy: u32) -> Load {
        Load { legs: legs.into(), live: legs.into(), busy: busy.into() }
    }

    fn chosen(loads: [(usize, u32); 3]) -> usize {
        let loads = loads.map(|(legs, busy)| load(legs, busy));
        let chosen = choose(loads.iter(), |load| load, 1_000).unwrap();
        loads.iter().position(|load| std::ptr::eq(load, chosen)).unwrap()
    }

    #[test]
    fn a_thread_is_filled_before_the_next_and_none_beyond_half_its_time() {
        assert_eq!(chosen([(0, 0), (0, 0), (0, 0)]), 0);
        assert_eq!(chosen([(999, 300), (0, 0), (0, 0)]), 0);
        assert_eq!(chosen([(1_000, 300), (0, 0), (0, 0)]), 1);
        assert_eq!(chosen([(100, 500), (20, 100), (0, 0)]), 1, "costly codecs");
        assert_eq!(chosen([(998, 300), (1_000, 310), (0, 0)]), 0, "holes are filled");
        assert_eq!(chosen([(1_000, 300), (0, 999), (0, 0)]), 1, "a thread without legs has time");
    }

    #[test]
    fn where_none_has_room_the_least_busy_takes_it() {
        assert_eq!(chosen([(1_000, 400), (200, 900), (1_000, 390)]), 2);
        assert_eq!(chosen([(1_000, 400), (1_000, 400), (1_001, 400)]), 0);
    }

    #[test]
    fn legs_that_ring_weigh_what_live_ones_do() {
        assert!(!Load { live: 100.into(), ..load(300, 200) }.has_room(1_000), "600 once they are answered");
        assert!(Load { live: 100.into(), ..load(200, 200) }.has_room(1_000));
        assert!(Load { live: 0.into(), ..load(200, 0) }.has_room(1_000), "of which nothing is known");
    }

    #[test]
    fn time_at_work_is_told_once_a_window() {
        let (load, begun) = (Arc::<Load>::default(), Instant::now());
        let mut sheet = Timesheet::new(load.clone(), begun);
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let busy = || load.busy.load(Ordering::Relaxed);
        for ms in (0..196).step_by(4) {
            sheet.enter(at(ms), at(ms + 1));
        }
        assert_eq!(busy(), 0, "the window is not over");
        sheet.enter(at(196), at(200));
        assert_eq!(busy(), 265, "49 times 1 ms, and once 4");
        sheet.enter(at(300), at(400));
        assert_eq!(busy(), 500);
    }

    #[test]
    fn legs_are_counted_while_they_are_there() {
        let load = Arc::<Load>::default();
        let mut presence = [Presence::new(load.clone()), Presence::new(load.clone())];
        presence[0].begin();
        presence[0].begin();
        assert_eq!((load.legs(), load.live.load(Ordering::Relaxed)), (2, 1));
        drop(presence);
        assert_eq!((load.legs(), load.live.load(Ordering::Relaxed)), (0, 0));
    }
}
