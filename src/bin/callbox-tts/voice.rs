//! One Piper voice: its description on disk, its session once somebody asks for it.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use callbox::engine::{AudioChunk, EngineError, Voice};
use ort::session::Session;
use serde::Deserialize;

use crate::phrase;

pub struct PiperVoice {
    pub name: String,
    /// BCP 47.
    language: String,
    /// What espeak-ng calls the language.
    pub espeak: String,
    length_scale: f32,
    model: PathBuf,
    threads: usize,
    session: Option<piper_rs::Piper>,
}

/// What of `.onnx.json` matters beside what piper-rs reads.
#[derive(Deserialize)]
struct Description {
    espeak: Espeak,
    #[serde(default)]
    inference: Inference,
    #[serde(default)]
    language: Language,
}

#[derive(Deserialize)]
struct Espeak {
    voice: String,
}

#[derive(Deserialize, Default)]
struct Inference {
    length_scale: Option<f32>,
}

#[derive(Deserialize, Default)]
struct Language {
    code: Option<String>,
}

impl PiperVoice {
    /// Reads the voice's description. The model itself is loaded by the first [`PiperVoice::speak`].
    pub fn open(name: &str, model: &Path, threads: usize) -> Result<Self, EngineError> {
        if !model.is_file() {
            return Err(EngineError::Start(format!("--voice {name}: no file {}", model.display())));
        }
        let Description { espeak, inference, language } = read_json(name, model)?;
        let language = language.code.unwrap_or_else(|| espeak.voice.clone()).replace('_', "-");
        Ok(PiperVoice {
            name: name.to_owned(),
            language,
            espeak: espeak.voice,
            length_scale: inference.length_scale.unwrap_or(1.0),
            model: model.to_owned(),
            threads,
            session: None,
        })
    }

    pub fn describe(&self) -> Voice {
        Voice { name: self.name.clone(), language: self.language.clone() }
    }

    /// Loads the model, if that has not happened.
    pub fn load(&mut self) -> Result<&mut piper_rs::Piper, EngineError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.build()?,
        };
        Ok(self.session.insert(session))
    }

    fn build(&self) -> Result<piper_rs::Piper, EngineError> {
        let failed =
            |error: &dyn std::fmt::Display| EngineError::Request(format!("voice {}: {error}", self.name));
        let session = self.session_of_threads().map_err(|error| failed(&error))?;
        Ok(piper_rs::Piper::from_session(session, read_json(&self.name, &self.model)?))
    }

    /// Threads that do not spin: other engines want the cores between two pieces.
    fn session_of_threads(&self) -> ort::Result<Session> {
        let session = Session::builder()?
            .with_intra_threads(self.threads)?
            .with_inter_threads(1)?
            .with_config_entry("session.intra_op.allow_spinning", "0")?
            .commit_from_file(&self.model)?;
        Ok(session)
    }

    /// Synthesises phonemes; `speed` 2.0 takes half the time to say.
    pub fn speak(&mut self, phonemes: &str, speed: f32) -> Result<AudioChunk, EngineError> {
        let length_scale = self.length_scale / speed;
        let name = self.name.clone();
        let (samples, rate) = self
            .load()?
            .create(phonemes, true, None, Some(length_scale), None, None)
            .map_err(|error| EngineError::Request(format!("voice {name}: {error}")))?;
        let pcm = phrase::trim(&samples, rate).iter().map(|s| (s.clamp(-1.0, 1.0) * 32_767.0) as i16);
        Ok(AudioChunk { rate, pcm: pcm.collect() })
    }
}

fn read_json<T: serde::de::DeserializeOwned>(name: &str, model: &Path) -> Result<T, EngineError> {
    let path = PathBuf::from(format!("{}.json", model.display()));
    let cannot = |error: &dyn std::fmt::Display| {
        EngineError::Start(format!("--voice {name}: {}: {error}", path.display()))
    };
    let file = File::open(&path).map_err(|error| cannot(&error))?;
    serde_json::from_reader(file).map_err(|error| cannot(&error))
}
