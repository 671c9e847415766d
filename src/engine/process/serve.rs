//! The engine's side: an engine behind its trait, served on standard input until the parent is gone.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    message::{
        Answer, AsrRequest, ChunkHeader, Hello, Info, Kind, LlmRequest, PROTOCOL, Stepped, TtsRequest, Warmth,
    },
    wire::{WireError, read_message, write_message},
};
use crate::engine::{Asr, EngineError, Llm, Tts};

/// Serves the engine that `build` gives, until the parent hangs up. `name` is the model's, for logs.
pub fn serve_asr<E: Asr>(
    name: &str,
    build: impl FnOnce() -> Result<E, EngineError>,
) -> Result<(), WireError> {
    let (mut parent, engine) = Parent::greet(Kind::Asr, name, build, |_| Vec::new())?;
    let Some(mut engine) = engine else { return Ok(()) };
    while let Some((request, pcm)) = parent.next::<AsrRequest>()? {
        match request {
            AsrRequest::Start { stream, hint } => parent.answer(engine.start(stream, &hint))?,
            AsrRequest::Push { stream } => parent.answer(engine.push(stream, &pcm))?,
            AsrRequest::Partial { stream } => parent.answer(engine.partial(stream))?,
            AsrRequest::Finish { stream } => parent.answer(engine.finish(stream))?,
            AsrRequest::Cancel { stream } => {
                engine.cancel(stream);
                parent.answer(Ok(()))?;
            }
        }
    }
    Ok(())
}

/// As [`serve_asr`], for a chat model.
pub fn serve_llm<E: Llm>(
    name: &str,
    build: impl FnOnce() -> Result<E, EngineError>,
) -> Result<(), WireError> {
    let (mut parent, engine) = Parent::greet(Kind::Llm, name, build, |_| Vec::new())?;
    let Some(mut engine) = engine else { return Ok(()) };
    while let Some((request, _)) = parent.next::<LlmRequest>()? {
        match request {
            LlmRequest::Warm { stream, messages, tools } => {
                let result = engine.warm(stream, &messages, &tools);
                parent.answer(result.map(|()| Warmth { warming: engine.warming() }))?;
            }
            LlmRequest::Start { stream, request } => parent.answer(engine.start(stream, &request))?,
            LlmRequest::Step => {
                let result = engine.step();
                parent.answer(result.map(|deltas| Stepped { deltas, warming: engine.warming() }))?;
            }
            LlmRequest::Cancel { stream } => {
                engine.cancel(stream);
                parent.answer(Ok(()))?;
            }
            LlmRequest::Forget { stream } => {
                engine.forget(stream);
                parent.answer(Ok(()))?;
            }
        }
    }
    Ok(())
}

/// As [`serve_asr`], for a voice.
pub fn serve_tts<E: Tts>(
    name: &str,
    build: impl FnOnce() -> Result<E, EngineError>,
) -> Result<(), WireError> {
    let (mut parent, engine) = Parent::greet(Kind::Tts, name, build, |engine: &E| engine.voices())?;
    let Some(mut engine) = engine else { return Ok(()) };
    while let Some((request, _)) = parent.next::<TtsRequest>()? {
        match request {
            TtsRequest::Start { stream, request } => parent.answer(engine.start(stream, &request))?,
            TtsRequest::Next { stream } => match engine.next(stream) {
                Ok(Some(chunk)) => {
                    parent.answer_with(Ok(Some(ChunkHeader { rate: chunk.rate })), &chunk.pcm)?;
                }
                Ok(None) => parent.answer(Ok(None::<ChunkHeader>))?,
                Err(error) => parent.answer::<Option<ChunkHeader>>(Err(error))?,
            },
            TtsRequest::Cancel { stream } => {
                engine.cancel(stream);
                parent.answer(Ok(()))?;
            }
        }
    }
    Ok(())
}

/// The process that started this one.
struct Parent {
    socket: UnixStream,
}

impl Parent {
    /// Waits for hello, builds the engine, and says how that went; no engine where it cannot start.
    fn greet<E>(
        kind: Kind,
        name: &str,
        build: impl FnOnce() -> Result<E, EngineError>,
        voices: impl FnOnce(&E) -> Vec<crate::engine::Voice>,
    ) -> Result<(Self, Option<E>), WireError> {
        end_with_parent();
        let mut parent = Parent { socket: UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?) };
        let Some((Hello::Hello { .. }, _)) = parent.next::<Hello>()? else { return Ok((parent, None)) };
        match build() {
            Ok(engine) => {
                let voices = voices(&engine);
                parent.answer(Ok(Info { protocol: PROTOCOL, kind, name: name.to_owned(), voices }))?;
                Ok((parent, Some(engine)))
            }
            Err(error) => {
                parent.answer::<Value>(Err(error))?;
                Ok((parent, None))
            }
        }
    }

    /// The next request; one that cannot be read is answered and passed over.
    fn next<R: DeserializeOwned>(&mut self) -> Result<Option<(R, Vec<i16>)>, WireError> {
        loop {
            match read_message(&mut self.socket) {
                Err(error @ WireError::Json { .. }) => {
                    self.answer::<Value>(Err(EngineError::Request(error.to_string())))?;
                }
                // A parent killed with an answer unread resets the connection: it is gone all the same.
                Err(WireError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(None);
                }
                other => return other,
            }
        }
    }

    fn answer<T: Serialize>(&mut self, result: Result<T, EngineError>) -> Result<(), WireError> {
        self.answer_with(result, &[])
    }

    fn answer_with<T: Serialize>(
        &mut self,
        result: Result<T, EngineError>,
        pcm: &[i16],
    ) -> Result<(), WireError> {
        write_message(&mut self.socket, &Answer::from(result), pcm)
    }
}

/// Ends this process with its parent even while it computes and reads nothing.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
    {
        eprintln!("this engine may outlive its parent: {error}");
    }
}
