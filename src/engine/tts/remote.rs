//! A voice in an executable of its own.

use crate::engine::{
    AudioChunk, EngineError, StreamId, Tts, Utterance, Voice,
    process::{
        EngineProcess, Program,
        message::{ChunkHeader, Kind, TtsRequest},
    },
};

pub struct RemoteTts {
    process: EngineProcess,
}

impl RemoteTts {
    pub fn spawn(program: &Program) -> Result<Self, EngineError> {
        Ok(RemoteTts { process: EngineProcess::spawn(program, Kind::Tts)? })
    }

    pub fn process(&self) -> &EngineProcess {
        &self.process
    }
}

impl Tts for RemoteTts {
    fn check(&mut self) -> Result<(), EngineError> {
        self.process.check()
    }

    fn voices(&self) -> Vec<Voice> {
        self.process.info().voices.clone()
    }

    fn start(&mut self, stream: StreamId, request: &Utterance) -> Result<(), EngineError> {
        self.process.call(&TtsRequest::Start { stream, request: request.clone() }, &[]).map(|(ok, _)| ok)
    }

    fn next(&mut self, stream: StreamId) -> Result<Option<AudioChunk>, EngineError> {
        let (header, pcm) = self.process.call::<Option<ChunkHeader>>(&TtsRequest::Next { stream }, &[])?;
        Ok(header.map(|header| AudioChunk { rate: header.rate, pcm }))
    }

    fn cancel(&mut self, stream: StreamId) {
        // A dead process has stopped already, and the next request says that it is dead.
        let _ = self.process.call::<()>(&TtsRequest::Cancel { stream }, &[]);
    }
}
