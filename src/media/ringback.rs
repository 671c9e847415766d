//! The tone that tells a caller that somebody's phone rings (ITU-T E.180 Supplement 2).

use std::f32::consts::TAU;

use super::relay::Frame;
use crate::base::audio::NARROWBAND_HZ;

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
    /// Samples so far.
    at: u64,
}

impl Ringing {
    pub const fn new(kind: Ringback) -> Self {
        Ringing { kind, at: 0 }
    }

    pub fn frame(&mut self) -> Frame {
        std::array::from_fn(|_| self.sample())
    }

    fn sample(&mut self) -> i16 {
        let rate = u64::from(NARROWBAND_HZ);
        let (on, period) = self.kind.cadence();
        let at = self.at % (period * rate);
        self.at += 1;
        if at >= on * rate {
            return 0;
        }
        let wave = |hz: &f32| (TAU * hz * at as f32 / NARROWBAND_HZ as f32).sin() * AMPLITUDE;
        self.kind.tones().iter().map(wave).sum::<f32>() as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{FRAME_SAMPLES, tone::BeepDetector};

    fn loud(kind: Ringback) -> Vec<bool> {
        let mut ringing = Ringing::new(kind);
        (0..700).map(|_| ringing.frame().iter().any(|sample| sample.unsigned_abs() > 1_000)).collect()
    }

    #[test]
    fn the_cadence_is_that_of_the_country() {
        for (kind, on, period) in [(Ringback::NorthAmerican, 100, 300), (Ringback::European, 50, 250)] {
            let loud = loud(kind);
            assert!((0..700).all(|n| loud[n] == (n % period < on)), "{kind:?}");
        }
    }

    #[test]
    fn no_ringing_is_taken_for_a_beep() {
        for kind in [Ringback::NorthAmerican, Ringback::European] {
            let (mut ringing, mut detector) = (Ringing::new(kind), BeepDetector::default());
            let beeps = (0..700).filter_map(|_| detector.hear(&ringing.frame())).count();
            assert_eq!((beeps, ringing.at), (0, 700 * FRAME_SAMPLES as u64), "{kind:?}");
        }
    }
}
