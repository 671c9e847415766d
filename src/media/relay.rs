//! What one session hears is what another one sends: frames on their way between the two.
//!
//! Both sessions tick every 20 ms, each at its own moment, so that a frame waits for the rest of one tick at
//! the most. A thread that stood still hands over several at once; what then waits in vain for a second is
//! taken out again, lest a delay stay for the rest of the call.

use std::collections::VecDeque;

use super::jitter::FRAME_SAMPLES;

/// 20 ms at 8 kHz.
pub type Frame = [i16; FRAME_SAMPLES];

/// Frames that may wait; the oldest give way.
pub const DEPTH: usize = 3;
/// Ticks after which frames that were never needed are taken out.
const WINDOW: u32 = 50;

#[derive(Debug, Default)]
pub struct Relay {
    frames: VecDeque<Frame>,
    /// Ticks of the window so far, and the fewest frames that were left after any of them.
    ticks: u32,
    spare: usize,
}

impl Relay {
    pub fn push(&mut self, frame: Frame) {
        if self.frames.len() == DEPTH {
            self.frames.pop_front();
        }
        self.frames.push_back(frame);
    }

    /// The frame of this tick; none where nothing has come.
    pub fn frame(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front();
        self.spare = if self.ticks == 0 { self.frames.len() } else { self.spare.min(self.frames.len()) };
        self.ticks += 1;
        if self.ticks < WINDOW {
            return frame;
        }
        self.ticks = 0;
        let next = self.frames.pop_front_if(|_| self.spare > 0);
        frame.map(|frame| next.map_or(frame, |next| crossfade(&frame, &next)))
    }
}

/// Two frames in the time of one, without a click.
fn crossfade(out: &Frame, into: &Frame) -> Frame {
    let length = FRAME_SAMPLES as i32;
    std::array::from_fn(|n| {
        let done = n as i32;
        ((i32::from(out[n]) * (length - done) + i32::from(into[n]) * done) / length) as i16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(value: i16) -> Frame {
        [value; FRAME_SAMPLES]
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut relay = Relay::default();
        assert_eq!(relay.frame(), None);
        for n in 0..500 {
            relay.push(frame(n));
            assert_eq!(relay.frame(), Some(frame(n)));
        }
    }

    #[test]
    fn a_flood_loses_its_oldest_frames() {
        let mut relay = Relay::default();
        (0..10).for_each(|n| relay.push(frame(n)));
        let left: Vec<_> = std::iter::from_fn(|| relay.frame()).map(|frame| frame[0]).collect();
        assert_eq!(left, [7, 8, 9]);
    }

    #[test]
    fn a_delay_that_nobody_needs_is_taken_out_within_two_seconds_a_frame() {
        let mut relay = Relay::default();
        relay.push(frame(-1));
        relay.push(frame(-2));
        let mut late = Vec::new();
        for n in 0..300 {
            relay.push(frame(n));
            late.push(relay.frames.len() - 1);
            assert!(relay.frame().is_some(), "nothing is missing meanwhile");
        }
        assert_eq!((late[0], late[199], late[299]), (2, 0, 0));
    }

    #[test]
    fn frames_that_come_unevenly_keep_the_one_that_waits() {
        let mut relay = Relay::default();
        relay.push(frame(0));
        for n in 0..400 {
            // Two come at every other tick.
            if n % 2 == 0 {
                relay.push(frame(n));
                relay.push(frame(n + 1));
            }
            assert!(relay.frame().is_some(), "tick {n}");
        }
    }

    #[test]
    fn shortening_makes_no_step() {
        let faded = crossfade(&frame(8_000), &frame(-8_000));
        assert_eq!(faded[0], 8_000);
        assert!(faded.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 101));
    }
}
