//! Comfort noise (RFC 3389), received: where the far end falls silent and tells how loud its room is, the
//! line does not go dead. Never sent: we send silence as sound.

/// Payload type of comfort noise at 8 kHz.
pub const PAYLOAD_TYPE: u8 = 13;
/// A louder room than -30 dBov is a mistake, and would be taken for speech.
const LOUDEST: u8 = 30;

/// The noise of one far end.
pub struct ComfortNoise {
    /// Amplitude of white noise of the level that was told; `None` while the far end speaks.
    amplitude: Option<f32>,
    random: u32,
    /// The last sample: neighbours are averaged, so that it hisses less.
    last: f32,
}

impl Default for ComfortNoise {
    fn default() -> Self {
        ComfortNoise { amplitude: None, random: 0x2545_f491, last: 0.0 }
    }
}

impl ComfortNoise {
    /// Takes a payload: its first byte is the level in -dBov; the spectrum behind it is not read. An
    /// empty one tells nothing.
    pub fn handle(&mut self, payload: &[u8]) {
        let Some(&level) = payload.first() else { return };
        let decibels = f32::from((level & 0x7f).max(LOUDEST));
        let rms = f32::from(i16::MAX) * 10f32.powf(-decibels / 20.0);
        // Uniform noise has 1/√3 of its amplitude, and the mean of two 1/√2 of that.
        self.amplitude = Some(rms * 6f32.sqrt());
    }

    /// The far end speaks again.
    pub fn end(&mut self) {
        self.amplitude = None;
    }

    /// Fills a silent frame, if there is noise to fill it with.
    pub fn fill(&mut self, out: &mut [i16]) {
        let Some(amplitude) = self.amplitude else { return };
        for sample in out {
            // Xorshift.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 17;
            self.random ^= self.random << 5;
            let next = (self.random as f32 / u32::MAX as f32 * 2.0 - 1.0) * amplitude;
            *sample = ((self.last + next) / 2.0) as i16;
            self.last = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::conceal::signals::rms;

    fn noise(payload: &[u8]) -> f64 {
        let (mut noise, mut out) = (ComfortNoise::default(), [0; 16_000]);
        noise.handle(payload);
        noise.fill(&mut out);
        rms(&out)
    }

    #[test]
    fn noise_has_the_level_that_was_told() {
        for level in [30u8, 45, 60] {
            let decibels = 20.0 * (noise(&[level, 0x55, 0xaa]) / f64::from(i16::MAX)).log10();
            assert!((decibels + f64::from(level)).abs() < 1.0, "{level}: {decibels:.1} dBov");
        }
        assert_eq!(noise(&[0]), noise(&[LOUDEST]), "nobody's room is that loud");
    }

    #[test]
    fn without_a_level_or_once_speech_is_back_nothing_is_filled_in() {
        assert_eq!(noise(&[]), 0.0);
        let (mut noise, mut out) = (ComfortNoise::default(), [0; 160]);
        noise.handle(&[40]);
        noise.end();
        noise.fill(&mut out);
        assert_eq!(out, [0; 160]);
    }
}
