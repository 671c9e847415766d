//! What the other side said, after the call, by a real recogniser.

use std::time::Duration;

use super::report::CallReport;
use super::script::resampled;
use crate::base::Pii;
use crate::base::audio::{NARROWBAND_HZ, WIDEBAND_HZ, samples_in};
use crate::engine::worker::AsrHandle;
use crate::engine::{EngineError, SpeechHint};

/// Audio before the first and after the last voiced frame: soft sounds belong to the words.
const MARGIN: Duration = Duration::from_millis(200);

/// Writes the words into every turn that was heard. `language` is BCP 47, such as `en`.
pub async fn transcribe(asr: &AsrHandle, language: &str, report: &mut CallReport) -> Result<(), EngineError> {
    let hint = SpeechHint { language: Some(language.to_owned()), vocabulary: Vec::new() };
    let stream = asr.stream(hint);
    for heard in &mut report.heard {
        let audio = cut(&report.audio, heard.start.saturating_sub(MARGIN), heard.end + MARGIN);
        let lifted = resampled(audio, NARROWBAND_HZ, WIDEBAND_HZ)
            .map_err(|error| EngineError::Request(error.to_string()))?;
        stream.push(lifted)?;
        heard.text = Some(Pii::new(stream.finish().await?.value.text.trim().to_owned()));
    }
    Ok(())
}

fn cut(audio: &[i16], from: Duration, to: Duration) -> &[i16] {
    let index = |at| (samples_in(at, NARROWBAND_HZ) as usize).min(audio.len());
    &audio[index(from)..index(to)]
}
