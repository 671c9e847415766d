//! A voice that hums: a tone as long as the text would take, for tests and rehearsals.

use std::{collections::HashMap, f32::consts::TAU, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::engine::{AudioChunk, EngineError, StreamId, Tts, Utterance, Voice, scripted::Trapdoor};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TtsScript {
    /// Sample rate of the tone, in Hz.
    pub rate: u32,
    /// Length of the tone for each character of text.
    pub ms_a_character: u32,
    /// Length of one piece of audio.
    pub piece_ms: u32,
    /// How long a piece takes to make.
    pub delay_ms: u64,
    /// Pitch, in Hz; one for each voice `tone-0`, `tone-1`, …
    pub tones: Vec<f32>,
}

impl Default for TtsScript {
    fn default() -> Self {
        TtsScript { rate: 22_050, ms_a_character: 65, piece_ms: 400, delay_ms: 0, tones: vec![440.0] }
    }
}

pub struct ScriptedTts {
    script: Arc<TtsScript>,
    streams: HashMap<StreamId, Tone>,
    trapdoor: Trapdoor,
}

struct Tone {
    hz: f32,
    said: usize,
    samples: usize,
}

impl ScriptedTts {
    pub fn new(script: impl Into<Arc<TtsScript>>) -> Self {
        ScriptedTts { script: script.into(), streams: HashMap::new(), trapdoor: Trapdoor::default() }
    }

    /// Dies when `trapdoor` is opened.
    pub fn over(mut self, trapdoor: &Trapdoor) -> Self {
        self.trapdoor = trapdoor.clone();
        self
    }
}

impl TtsScript {
    fn samples(&self, ms: u64) -> usize {
        (ms * u64::from(self.rate) / 1_000) as usize
    }
}

impl Tts for ScriptedTts {
    fn voices(&self) -> Vec<Voice> {
        let voice = |i| Voice { name: format!("tone-{i}"), language: "en-US".to_owned() };
        (0..self.script.tones.len()).map(voice).collect()
    }

    fn start(&mut self, stream: StreamId, request: &Utterance) -> Result<(), EngineError> {
        self.trapdoor.check()?;
        let index = self.voices().iter().position(|voice| voice.name == request.voice);
        let hz = index.map(|i| self.script.tones[i]).ok_or_else(|| {
            EngineError::Request(format!("there is no voice `{}`; there are tone-0, …", request.voice))
        })?;
        let ms =
            request.text.chars().count() as f32 * self.script.ms_a_character as f32 / request.speed.max(0.1);
        self.streams.insert(stream, Tone { hz, said: 0, samples: self.script.samples(ms as u64) });
        Ok(())
    }

    fn next(&mut self, stream: StreamId) -> Result<Option<AudioChunk>, EngineError> {
        std::thread::sleep(Duration::from_millis(self.script.delay_ms));
        self.trapdoor.check()?;
        let rate = self.script.rate;
        let Some(tone) = self.streams.get_mut(&stream).filter(|tone| tone.said < tone.samples) else {
            self.streams.remove(&stream);
            return Ok(None);
        };
        let end = (tone.said + self.script.samples(self.script.piece_ms.into()).max(1)).min(tone.samples);
        let at = |i: usize| ((i as f32 * tone.hz / rate as f32 * TAU).sin() * 8_000.0) as i16;
        let pcm = (tone.said..end).map(at).collect();
        tone.said = end;
        Ok(Some(AudioChunk { rate, pcm }))
    }

    fn cancel(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_twice_as_long_hums_twice_as_long() {
        let mut tts = ScriptedTts::new(TtsScript::default());
        let mut length = |text: &str| {
            let request = Utterance { text: text.to_owned(), voice: "tone-0".to_owned(), speed: 1.0 };
            tts.start(StreamId(1), &request).unwrap();
            let mut samples = 0;
            while let Some(chunk) = tts.next(StreamId(1)).unwrap() {
                samples += chunk.pcm.len();
            }
            samples
        };
        assert_eq!(length("abcdefgh"), 2 * length("abcd"));
    }
}
