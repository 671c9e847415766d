//! Speech as a recogniser gets it from a telephone: 8 kHz, μ-law, and lifted back to 16 kHz by the same
//! resampler that serves calls. And a speaker for it whose voice no engine of ours has.

use std::path::Path;
use std::process::Command;

use super::phone::script::resampled;
use crate::base::audio::{Codec, NARROWBAND_HZ, WIDEBAND_HZ};
use crate::media::codec;
use crate::media::resample::UnsupportedRate;

#[derive(Debug, thiserror::Error)]
pub enum SpeakerError {
    #[error("flite is not installed; on Debian and Ubuntu: apt-get install flite")]
    NotInstalled,
    #[error("flite fails with voice `{voice}`: {detail}; `flite -lv` lists its voices")]
    Failed { voice: String, detail: String },
    #[error("what flite wrote cannot be read: {0}")]
    Wav(#[from] hound::Error),
    #[error(transparent)]
    Rate(#[from] UnsupportedRate),
    #[error("a scratch file cannot be made: {0}")]
    Scratch(#[from] std::io::Error),
}

/// `pcm` at `rate` after a telephone line, at 16 kHz.
pub fn over_the_line(pcm: &[i16], rate: u32) -> Result<Vec<i16>, UnsupportedRate> {
    let narrow = resampled(pcm, rate, NARROWBAND_HZ)?;
    resampled(&codec::through(Codec::Pcmu, &narrow), NARROWBAND_HZ, WIDEBAND_HZ)
}

/// Lets flite say `text`; gives the audio and its rate. Blocks for about a tenth of the audio's length.
pub fn speak(voice: &str, text: &str, scratch: &Path) -> Result<(Vec<i16>, u32), SpeakerError> {
    let file = scratch.join("flite.wav");
    let ran = Command::new("flite").args(["-voice", voice, "-t", text, "-o"]).arg(&file).output();
    let ran = ran.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => SpeakerError::NotInstalled,
        _ => SpeakerError::Scratch(error),
    })?;
    if !ran.status.success() {
        let detail = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        return Err(SpeakerError::Failed { voice: voice.to_owned(), detail });
    }
    let mut wav = hound::WavReader::open(&file)?;
    let rate = wav.spec().sample_rate;
    Ok((wav.samples::<i16>().collect::<Result<_, _>>()?, rate))
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn tone(hz: f32, rate: u32) -> Vec<i16> {
        (0..rate).map(|n| ((n as f32 * hz / rate as f32 * TAU).sin() * 8_000.0) as i16).collect()
    }

    fn power(pcm: &[i16]) -> f64 {
        pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len() as f64
    }

    #[test]
    fn the_line_keeps_what_a_telephone_carries_and_nothing_above() {
        let (low, high) = (tone(1_000.0, 22_050), tone(6_000.0, 22_050));
        let kept = power(&over_the_line(&low, 22_050).unwrap()) / power(&low);
        let lost = power(&over_the_line(&high, 22_050).unwrap()) / power(&high);
        assert!((0.9..1.1).contains(&kept), "{kept}");
        assert!(lost < 0.001, "{lost}");
    }
}
