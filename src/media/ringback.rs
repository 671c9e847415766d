//! The tone that tells a caller that somebody's phone rings (ITU-T E.180 Supplement 2).

use std::f32::consts::TAU;

use super::relay::Frame;
use crate::base::audio::frame_samples;

/// Of each tone; two of them stay below -16 dBm0.
const AMPLITUDE: f32 = 2_600.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ringback {
    /// 440 and 480 Hz, two seconds of six.
    NorthAmerican,
    /// 425 Hz, one second of five.
    European,
}

impl Ringback {
    const fn tones(self) -> &'static [f32] {
        match self {
            Ringback::NorthAmerican => &[440.0, 480.0],
            Ringback::European => &[425.0],
        }
    }

    /// Seconds of tone, and of tone and silence together.
    const fn cadence(self) -> (u64, u64) {
        match self {
            Ringback::NorthAmerican => (2, 6),
            Ringback::European => (1, 5),
        }
    }
}

/// A tone as it goes on.
#[derive(Debug, Clone, Copy)]
pub struct Ringing {
    kind: Ringback,
    /// Frames so far.
    frames: u64,
}

impl Ringing {
    pub const fn new(kind: Ringback) -> Self {
        Ringing { kind, frames: 0 }
    }

    /// The next 20 ms at `rate` Hz.
    pub fn frame(&mut self, rate: u32) -> Frame {
        let length = frame_samples(rate) as u64;
        let begin = self.frames * length;
        self.frames += 1;
        (begin..begin + length).map(|at| self.sample(at, u64::from(rate))).collect()
    }

    fn sample(self, at: u64, rate: u64) -> i16 {
        let (on, period) = self.kind.cadence();
        let at = at % (period * rate);
        if at >= on * rate {
            return 0;
        }
        let wave = |hz: &f32| (TAU * hz * at as f32 / rate as f32).sin() * AMPLITUDE;
        self.kind.tones().iter().map(wave).sum::<f32>() as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::audio::{NARROWBAND_HZ, WIDEBAND_HZ};
    use crate::media::tone::BeepDetector;

    fn loud(kind: Ringback, rate: u32) -> Vec<bool> {
        let mut ringing = Ringing::new(kind);
        (0..700).map(|_| ringing.frame(rate).iter().any(|sample| sample.unsigned_abs() > 1_000)).collect()
    }

    #[test]
    fn the_cadence_is_that_of_the_country() {
        for (kind, on, period) in [(Ringback::NorthAmerican, 100, 300), (Ringback::European, 50, 250)] {
            for rate in [NARROWBAND_HZ, WIDEBAND_HZ] {
                let loud = loud(kind, rate);
                assert!((0..700).all(|n| loud[n] == (n % period < on)), "{kind:?} at {rate} Hz");
            }
        }
    }

    #[test]
    fn no_ringing_is_taken_for_a_beep() {
        for kind in [Ringback::NorthAmerican, Ringback::European] {
            let (mut ringing, mut detector) = (Ringing::new(kind), BeepDetector::default());
            let beeps = (0..700).filter_map(|_| detector.hear(&ringing.frame(NARROWBAND_HZ))).count();
            assert_eq!((beeps, ringing.frames), (0, 700), "{kind:?}");
        }
    }
}
