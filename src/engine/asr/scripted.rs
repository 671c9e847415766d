//! Speech recognition from a script, for tests and rehearsals: it hears how long somebody speaks and
//! answers what the script says.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::engine::{Asr, EngineError, SpeechHint, StreamId, Transcript, scripted::Trapdoor};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AsrScript {
    /// What each stream's utterances are, in order; nothing after the last.
    pub utterances: Vec<Cue>,
    /// How long a request takes.
    pub delay_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cue {
    /// The text of the utterance; partials give the part of it that the audio so far has room for, at
    /// 15 characters a second.
    Say(String),
    /// The final fails; the engine goes on.
    Fail(String),
    /// The engine dies.
    Die(String),
}

pub struct ScriptedAsr {
    script: Arc<AsrScript>,
    streams: HashMap<StreamId, Ear>,
    trapdoor: Trapdoor,
}

#[derive(Default)]
struct Ear {
    utterance: usize,
    samples: u64,
}

const SAMPLES_A_CHARACTER: u64 = 16_000 / 15;

impl ScriptedAsr {
    pub fn new(script: impl Into<Arc<AsrScript>>) -> Self {
        ScriptedAsr { script: script.into(), streams: HashMap::new(), trapdoor: Trapdoor::default() }
    }

    /// Dies when `trapdoor` is opened.
    pub fn over(mut self, trapdoor: &Trapdoor) -> Self {
        self.trapdoor = trapdoor.clone();
        self
    }

    fn hear(&mut self, stream: StreamId) -> Result<(Option<Cue>, u64), EngineError> {
        std::thread::sleep(Duration::from_millis(self.script.delay_ms));
        self.trapdoor.check()?;
        let ear = self.streams.entry(stream).or_default();
        Ok((self.script.utterances.get(ear.utterance).cloned(), ear.samples))
    }
}

impl Asr for ScriptedAsr {
    fn start(&mut self, stream: StreamId, _hint: &SpeechHint) -> Result<(), EngineError> {
        self.trapdoor.check()?;
        self.streams.entry(stream).or_default().samples = 0;
        Ok(())
    }

    fn push(&mut self, stream: StreamId, pcm: &[i16]) -> Result<(), EngineError> {
        self.streams.entry(stream).or_default().samples += pcm.len() as u64;
        Ok(())
    }

    fn partial(&mut self, stream: StreamId) -> Result<Transcript, EngineError> {
        let (cue, samples) = self.hear(stream)?;
        let text = match cue {
            Some(Cue::Say(text)) => text.chars().take((samples / SAMPLES_A_CHARACTER) as usize).collect(),
            _ => String::new(),
        };
        Ok(Transcript { text, samples })
    }

    fn finish(&mut self, stream: StreamId) -> Result<Transcript, EngineError> {
        let (cue, samples) = self.hear(stream)?;
        self.streams.entry(stream).or_default().utterance += 1;
        match cue {
            Some(Cue::Say(text)) => Ok(Transcript { text, samples }),
            Some(Cue::Fail(detail)) => Err(EngineError::Request(detail)),
            Some(Cue::Die(detail)) => Err(EngineError::Died(detail)),
            None => Ok(Transcript { text: String::new(), samples }),
        }
    }

    fn cancel(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utterances_come_in_order_and_partials_grow_with_the_audio() {
        let script = AsrScript {
            utterances: vec![Cue::Say("good morning".to_owned()), Cue::Fail("noise".to_owned())],
            delay_ms: 0,
        };
        let mut asr = ScriptedAsr::new(script);
        let stream = StreamId(1);
        asr.start(stream, &SpeechHint::default()).unwrap();
        asr.push(stream, &[0; 4 * SAMPLES_A_CHARACTER as usize]).unwrap();
        assert_eq!(asr.partial(stream).unwrap().text, "good");
        assert_eq!(asr.finish(stream).unwrap().text, "good morning");
        assert!(matches!(asr.finish(stream), Err(EngineError::Request(_))));
        assert_eq!(asr.finish(stream).unwrap().text, "");
    }
}
