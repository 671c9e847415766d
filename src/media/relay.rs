//! What one session hears is what another one sends: frames on their way between the two.
//!
//! Both sessions tick every 20 ms, each at its own moment, so that a frame waits for the rest of one tick at
//! the most. A thread that stood still hands over several at once; what then waits in vain for a second is
//! taken out again, lest a delay stay for the rest of the call.
//!
//! Frames cross at the rate of the line they come from. Where the other line has another one, the filter of
//! [`resample`](super::resample) brings them to it, two milliseconds later; between two wideband lines
//! nothing is lost.

use std::collections::VecDeque;

use super::resample::Resampler;
use crate::base::audio::{NARROWBAND_HZ, frame_samples, rate_of_frame};

/// 20 ms at 8 or 16 kHz, as its length tells.
pub type Frame = Vec<i16>;

/// Frames that may wait; the oldest give way.
pub const DEPTH: usize = 3;
/// Ticks after which frames that were never needed are taken out.
const WINDOW: u32 = 50;

#[derive(Default)]
pub struct Relay {
    frames: VecDeque<Frame>,
    /// Ticks of the window so far, and the fewest frames that were left after any of them.
    ticks: u32,
    spare: usize,
    fitting: Option<Fitting>,
}

impl Relay {
    pub fn push(&mut self, frame: Frame) {
        if self.frames.len() == DEPTH {
            self.frames.pop_front();
        }
        self.frames.push_back(frame);
    }

    /// The frame of this tick at `rate` Hz; silence where nothing has come.
    pub fn frame(&mut self, rate: u32) -> Frame {
        let from = self.fitting.as_ref().map_or(NARROWBAND_HZ, |fitting| fitting.from);
        let frame = self.next().unwrap_or_else(|| vec![0; frame_samples(from)]);
        self.fit(frame, rate)
    }

    fn next(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front();
        self.spare = if self.ticks == 0 { self.frames.len() } else { self.spare.min(self.frames.len()) };
        self.ticks += 1;
        if self.ticks < WINDOW {
            return frame;
        }
        self.ticks = 0;
        let next = self.frames.pop_front_if(|_| self.spare > 0);
        match (frame, next) {
            (Some(frame), Some(next)) => Some(crossfade(&frame, next)),
            (frame, _) => frame,
        }
    }

    fn fit(&mut self, frame: Frame, to: u32) -> Frame {
        let from = rate_of_frame(frame.len());
        if self.fitting.as_ref().is_none_or(|fitting| (fitting.from, fitting.to) != (from, to)) {
            self.fitting = Some(Fitting::new(from, to));
        }
        match &mut self.fitting {
            Some(fitting) => fitting.fit(frame),
            None => frame,
        }
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relay({} frames)", self.frames.len())
    }
}

/// One line's rate on its way to another's.
struct Fitting {
    from: u32,
    to: u32,
    /// `None` between lines of one rate.
    resampler: Option<Resampler>,
    ready: Vec<i16>,
}

impl Fitting {
    fn new(from: u32, to: u32) -> Self {
        // Both are rates of lines, which the resampler takes.
        let resampler = (from != to).then(|| Resampler::new(from, to).ok()).flatten();
        Fitting { from, to, resampler, ready: Vec::new() }
    }

    fn fit(&mut self, frame: Frame) -> Frame {
        let Some(resampler) = &mut self.resampler else { return frame };
        resampler.process(&frame, &mut self.ready);
        let length = frame_samples(self.to);
        // Once, at the beginning: what the filter holds back.
        let missing = length.saturating_sub(self.ready.len());
        self.ready.splice(..0, std::iter::repeat_n(0, missing));
        self.ready.drain(..length).collect()
    }
}

/// Two frames in the time of one, without a click; the latter alone where the line has changed its rate.
fn crossfade(out: &[i16], into: Frame) -> Frame {
    let length = into.len() as i32;
    if out.len() != into.len() {
        return into;
    }
    let mixed = out.iter().zip(&into).zip(0..).map(|((&out, &into), done)| {
        ((i32::from(out) * (length - done) + i32::from(into) * done) / length) as i16
    });
    mixed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::audio::WIDEBAND_HZ;

    fn frame(value: i16) -> Frame {
        vec![value; frame_samples(NARROWBAND_HZ)]
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut relay = Relay::default();
        assert_eq!(relay.frame(NARROWBAND_HZ), frame(0));
        for n in 0..500 {
            relay.push(frame(n));
            assert_eq!(relay.frame(NARROWBAND_HZ), frame(n));
        }
    }

    #[test]
    fn a_flood_loses_its_oldest_frames() {
        let mut relay = Relay::default();
        (0..10).for_each(|n| relay.push(frame(n)));
        let left: Vec<_> = std::iter::from_fn(|| relay.next()).map(|frame| frame[0]).collect();
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
            assert!(relay.next().is_some(), "nothing is missing meanwhile");
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
            assert!(relay.next().is_some(), "tick {n}");
        }
    }

    #[test]
    fn shortening_makes_no_step() {
        let faded = crossfade(&frame(8_000), frame(-8_000));
        assert_eq!(faded[0], 8_000);
        assert!(faded.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 101));
        assert_eq!(crossfade(&frame(8_000), vec![1; 320]), vec![1; 320]);
    }

    /// A tone through a relay between two lines, after the first tenth of a second.
    fn through(hz: f64, from: u32, to: u32) -> Vec<i16> {
        let mut relay = Relay::default();
        let wave =
            |n: usize| ((std::f64::consts::TAU * hz * n as f64 / f64::from(from)).sin() * 8_000.0) as i16;
        let pcm: Vec<i16> = (0..from as usize).map(wave).collect();
        let mut out = Vec::new();
        for frame in pcm.chunks(frame_samples(from)) {
            relay.push(frame.to_vec());
            let frame = relay.frame(to);
            assert_eq!(frame.len(), frame_samples(to));
            out.extend(frame);
        }
        out.split_off(to as usize / 10)
    }

    /// Amplitude of a tone in `pcm`.
    fn amplitude(pcm: &[i16], rate: u32, hz: f64) -> f64 {
        let step = std::f64::consts::TAU * hz / f64::from(rate);
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in pcm.iter().enumerate() {
            re += f64::from(*sample) * (step * n as f64).cos();
            im += f64::from(*sample) * (step * n as f64).sin();
        }
        2.0 * re.hypot(im) / pcm.len() as f64
    }

    #[test]
    fn two_wideband_lines_keep_what_a_narrow_one_could_not_carry() {
        let heard = through(6_000.0, WIDEBAND_HZ, WIDEBAND_HZ);
        assert!(amplitude(&heard, WIDEBAND_HZ, 6_000.0) > 7_900.0);
    }

    #[test]
    fn a_narrow_line_hears_no_alias_of_a_wide_one_and_a_wide_one_no_image_of_a_narrow() {
        let alias = through(6_000.0, WIDEBAND_HZ, NARROWBAND_HZ);
        assert!(amplitude(&alias, NARROWBAND_HZ, 2_000.0) < 8.0, "60 dB down");
        let passed = through(1_000.0, WIDEBAND_HZ, NARROWBAND_HZ);
        assert!((amplitude(&passed, NARROWBAND_HZ, 1_000.0) - 8_000.0).abs() < 100.0);
        let lifted = through(3_000.0, NARROWBAND_HZ, WIDEBAND_HZ);
        assert!((amplitude(&lifted, WIDEBAND_HZ, 3_000.0) - 8_000.0).abs() < 100.0);
        assert!(amplitude(&lifted, WIDEBAND_HZ, 5_000.0) < 8.0, "60 dB down");
    }

    #[test]
    fn a_line_that_changes_its_rate_goes_on() {
        let mut relay = Relay::default();
        for (samples, rate) in [(160, 8_000), (320, 8_000), (320, 16_000), (160, 16_000)] {
            relay.push(vec![100; samples]);
            assert_eq!(relay.frame(rate).len(), frame_samples(rate));
        }
    }
}
