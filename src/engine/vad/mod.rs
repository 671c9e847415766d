//! Voice activity detection: [`silero`] is the model, [`energy`] decides when it is worth asking,
//! [`gated`] joins the two, [`scripted`] stands in where only the logic around it is tested.

pub mod energy;
pub mod gated;
pub mod scripted;
pub mod silero;
mod streams;

use super::EngineError;

/// Samples in a frame at 16 kHz: 32 ms, the one size Silero takes.
pub const FRAME_SAMPLES: usize = 512;

/// How many callers' states an engine keeps unless told otherwise.
const DEFAULT_MAX_STREAMS: usize = 512;

/// Refuses a frame that is not [`FRAME_SAMPLES`] long.
fn check_frame(frame: &[i16]) -> Result<(), EngineError> {
    if frame.len() == FRAME_SAMPLES {
        return Ok(());
    }
    Err(EngineError::Request(format!(
        "a voice activity frame has {FRAME_SAMPLES} samples at 16 kHz, not {}",
        frame.len()
    )))
}
