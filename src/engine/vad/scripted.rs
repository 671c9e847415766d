//! A detector without a model: loud is speech. For tests of what is built on a detector.

use super::{FRAME_SAMPLES, check_frame, energy::level_dbfs};
use crate::engine::{EngineError, StreamId, Vad};

/// Answers 1.0 for a frame at or above `threshold_dbfs` and 0.0 for any other. Keeps no state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoudnessVad {
    pub threshold_dbfs: f32,
}

impl Default for LoudnessVad {
    fn default() -> Self {
        LoudnessVad { threshold_dbfs: -45.0 }
    }
}

impl Vad for LoudnessVad {
    fn frame_samples(&self) -> usize {
        FRAME_SAMPLES
    }

    fn probability(&mut self, _: StreamId, frame: &[i16]) -> Result<f32, EngineError> {
        check_frame(frame)?;
        Ok(if level_dbfs(frame) >= self.threshold_dbfs { 1.0 } else { 0.0 })
    }

    fn forget(&mut self, _: StreamId) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loud_is_speech_and_quiet_is_not() {
        let mut vad = LoudnessVad::default();
        assert_eq!(vad.probability(StreamId(1), &[3_000; FRAME_SAMPLES]).unwrap(), 1.0);
        assert_eq!(vad.probability(StreamId(1), &[30; FRAME_SAMPLES]).unwrap(), 0.0);
    }

    #[test]
    fn a_frame_of_another_size_is_refused() {
        let error = LoudnessVad::default().probability(StreamId(1), &[0; 320]).unwrap_err();
        assert!(error.to_string().contains("512 samples at 16 kHz, not 320"), "{error}");
    }
}
