//! [`Tts`] by Piper: a text is turned into phonemes at once and synthesised piece by piece.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
};

use callbox::engine::{AudioChunk, EngineError, StreamId, Tts, Utterance, Voice};

use crate::{
    Args,
    clause::{self, Clause},
    phrase, runtime,
    voice::PiperVoice,
};

/// Characters of one utterance: some minutes of speech.
const MAX_TEXT: usize = 5_000;

pub struct Piper {
    voices: Vec<PiperVoice>,
    streams: HashMap<StreamId, Speech>,
}

struct Speech {
    voice: usize,
    speed: f32,
    /// Phonemes, to be said one after the other.
    pieces: VecDeque<String>,
}

impl Piper {
    /// Reads all voices' descriptions and makes the first ready to speak.
    pub fn load(args: &Args) -> Result<Self, EngineError> {
        let threads = args.threads.clamp(1, 64);
        let open = |(name, model): &(String, PathBuf)| PiperVoice::open(name, model, threads);
        let mut voices: Vec<PiperVoice> = args.voices.iter().map(open).collect::<Result<_, _>>()?;
        runtime::load_onnxruntime(&args.onnxruntime)?;
        for voice in &voices {
            phonemes("hello", voice).map_err(|error| EngineError::Start(error.to_string()))?;
        }
        if let Some(first) = voices.first_mut() {
            // The first run allocates; no caller should wait for that.
            first.speak("həlˈoʊ.", 1.0).map_err(|error| EngineError::Start(error.to_string()))?;
        }
        Ok(Piper { voices, streams: HashMap::new() })
    }

    fn voice(&self, name: &str) -> Result<usize, EngineError> {
        self.voices.iter().position(|voice| voice.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.voices.iter().map(|voice| voice.name.as_str()).collect();
            EngineError::Request(format!("there is no voice `{name}`; there are {}", names.join(", ")))
        })
    }
}

impl Tts for Piper {
    fn voices(&self) -> Vec<Voice> {
        self.voices.iter().map(PiperVoice::describe).collect()
    }

    fn start(&mut self, stream: StreamId, request: &Utterance) -> Result<(), EngineError> {
        let voice = self.voice(&request.voice)?;
        if !(0.25..=4.0).contains(&request.speed) {
            return Err(EngineError::Request(format!("speed must be 0.25 to 4, not {}", request.speed)));
        }
        if request.text.chars().count() > MAX_TEXT {
            return Err(EngineError::Request(format!("text is longer than {MAX_TEXT} characters")));
        }
        let pieces = phrase::pieces(&phonemes(&request.text, &self.voices[voice])?).into();
        self.streams.insert(stream, Speech { voice, speed: request.speed, pieces });
        Ok(())
    }

    fn next(&mut self, stream: StreamId) -> Result<Option<AudioChunk>, EngineError> {
        let Some(speech) = self.streams.get_mut(&stream) else { return Ok(None) };
        let Some(piece) = speech.pieces.pop_front() else {
            self.streams.remove(&stream);
            return Ok(None);
        };
        self.voices[speech.voice].speak(&piece, speech.speed).map(Some)
    }

    fn cancel(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }
}

/// Phonemes, sentence by sentence, with the marks of the text in them: Piper's voices are trained to read
/// those, and espeak-ng drops them.
fn phonemes(text: &str, voice: &PiperVoice) -> Result<Vec<String>, EngineError> {
    let mut sentences = vec![String::new()];
    for Clause { text, mark } in clause::clauses(text) {
        let spoken = espeak_rs::text_to_phonemes(&text, &voice.espeak, None)
            .map_err(|error| EngineError::Request(format!("voice {}: {error}", voice.name)))?;
        let sentence = sentences.last_mut().expect("there is always a last sentence");
        sentence.push_str(&format!("{}{mark} ", spoken.join(" ").trim()));
        if clause::ends_sentence(mark) {
            sentences.push(String::new());
        }
    }
    Ok(sentences)
}
