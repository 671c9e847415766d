//! Speech recognition in an executable of its own.

use crate::engine::{
    Asr, EngineError, SpeechHint, StreamId, Transcript,
    process::{
        EngineProcess, Program,
        message::{AsrRequest, Kind},
    },
};

pub struct RemoteAsr {
    process: EngineProcess,
}

impl RemoteAsr {
    pub fn spawn(program: &Program) -> Result<Self, EngineError> {
        Ok(RemoteAsr { process: EngineProcess::spawn(program, Kind::Asr)? })
    }

    pub fn process(&self) -> &EngineProcess {
        &self.process
    }
}

impl Asr for RemoteAsr {
    fn check(&mut self) -> Result<(), EngineError> {
        self.process.check()
    }

    fn start(&mut self, stream: StreamId, hint: &SpeechHint) -> Result<(), EngineError> {
        self.process.call(&AsrRequest::Start { stream, hint: hint.clone() }, &[]).map(|(ok, _)| ok)
    }

    fn push(&mut self, stream: StreamId, pcm: &[i16]) -> Result<(), EngineError> {
        self.process.call(&AsrRequest::Push { stream }, pcm).map(|(ok, _)| ok)
    }

    fn partial(&mut self, stream: StreamId) -> Result<Transcript, EngineError> {
        self.process.call(&AsrRequest::Partial { stream }, &[]).map(|(transcript, _)| transcript)
    }

    fn finish(&mut self, stream: StreamId) -> Result<Transcript, EngineError> {
        self.process.call(&AsrRequest::Finish { stream }, &[]).map(|(transcript, _)| transcript)
    }

    fn cancel(&mut self, stream: StreamId) {
        // A dead process has forgotten already, and the next request says that it is dead.
        let _ = self.process.call::<()>(&AsrRequest::Cancel { stream }, &[]);
    }
}
