//! What a phone says: lines that are audio before the call begins, so that speaking them costs the call
//! nothing.

use crate::base::Pii;
use crate::base::audio::{NARROWBAND_HZ, duration_of};
use crate::engine::vad::energy::level_dbfs;
use crate::engine::worker::TtsHandle;
use crate::engine::{EngineError, Utterance};
use crate::media::playout::CAPACITY;
use crate::media::resample::{Resampler, UnsupportedRate};

/// Quieter than this is no part of a line's beginning or end.
const AUDIBLE_DBFS: f32 = -50.0;
/// 10 ms.
const HOP: usize = NARROWBAND_HZ as usize / 100;

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Say(Line),
    /// Digits, as [`MediaHandle::send_dtmf`](crate::media::MediaHandle::send_dtmf) takes them.
    Press(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: Pii<String>,
    /// 8 kHz mono, without silence at either end: its last sample is the end of speech.
    pub pcm: Vec<i16>,
}

#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Rate(#[from] UnsupportedRate),
    #[error("the voice says nothing for line {0}; give it words")]
    Empty(usize),
    #[error("line {line} takes {seconds} s to say; divide it, a line may last {most} s")]
    TooLong { line: usize, seconds: u64, most: u64 },
}

impl Line {
    pub fn new(text: impl Into<String>, pcm: &[i16]) -> Self {
        Line { text: Pii::new(text.into()), pcm: trimmed(pcm).to_vec() }
    }
}

/// Lets `voice` say every text.
pub async fn speak_lines(tts: &TtsHandle, voice: &str, texts: &[String]) -> Result<Vec<Line>, LineError> {
    let mut lines = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let line = Line::new(text, &speak(tts, voice, text).await?);
        if line.pcm.is_empty() {
            return Err(LineError::Empty(n + 1));
        }
        if line.pcm.len() > CAPACITY {
            let seconds = |samples: usize| duration_of(samples as u64, NARROWBAND_HZ).as_secs();
            return Err(LineError::TooLong {
                line: n + 1,
                seconds: seconds(line.pcm.len()),
                most: seconds(CAPACITY),
            });
        }
        lines.push(line);
    }
    Ok(lines)
}

async fn speak(tts: &TtsHandle, voice: &str, text: &str) -> Result<Vec<i16>, LineError> {
    let request = Utterance { text: text.to_owned(), voice: voice.to_owned(), speed: 1.0 };
    let mut chunks = tts.speak(request);
    let (mut pcm, mut rate) = (Vec::new(), NARROWBAND_HZ);
    while let Some(chunk) = chunks.recv().await {
        let chunk = chunk?;
        rate = chunk.rate;
        pcm.extend(chunk.pcm);
    }
    Ok(resampled(&pcm, rate, NARROWBAND_HZ)?)
}

/// A whole recording at another rate.
pub fn resampled(pcm: &[i16], from: u32, to: u32) -> Result<Vec<i16>, UnsupportedRate> {
    let mut resampler = Resampler::new(from, to)?;
    let mut out = Vec::with_capacity(pcm.len());
    resampler.process(pcm, &mut out);
    resampler.flush(&mut out);
    Ok(out)
}

fn trimmed(pcm: &[i16]) -> &[i16] {
    let audible = |hop: &[i16]| level_dbfs(hop) >= AUDIBLE_DBFS;
    let hops = pcm.chunks(HOP);
    let Some(first) = hops.clone().position(audible) else { return &[] };
    let last = hops.rev().position(audible).map_or(0, |back| pcm.len().div_ceil(HOP) - back);
    &pcm[first * HOP..(last * HOP).min(pcm.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_around_a_line_is_cut_and_pauses_in_it_are_kept() {
        let (silence, sound) = (vec![0i16; 800], vec![8_000i16; 400]);
        let pcm = [&silence[..], &sound[..], &silence[..], &sound[..], &silence[..], &[0; 33]].concat();
        assert_eq!(Line::new("", &pcm).pcm, [&sound[..], &silence[..], &sound[..]].concat());
        assert!(Line::new("", &silence).pcm.is_empty());
    }
}
