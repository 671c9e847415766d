//! Workers: one OS thread and one bounded queue per engine instance.
//!
//! In come requests from async code, through cloneable handles ([`AsrHandle`], [`LlmHandle`],
//! [`TtsHandle`], [`VadHandle`], [`TurnHandle`]); out go replies on tokio channels, each with how long
//! it waited and how long it computed ([`Timing`]). Nothing here blocks a caller: a full queue answers
//! [`EngineError::Overloaded`] at once, an engine that is down answers [`EngineError::Died`] at once.
//!
//! The thread builds its engine with a factory, runs it, and builds it again, ever more slowly, when it
//! died or panicked ([`supervise`]). Several instances stand behind one handle; a new stream goes to
//! the least loaded that is not down. When the last handle and the last stream of it are dropped, the
//! threads end and take their engines with them.

mod asr;
mod llm;
mod pool;
mod queue;
mod supervise;
mod tts;
mod turn;
mod vad;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

pub use asr::{AsrHandle, AsrStream};
pub use llm::{LlmConversation, LlmEvent, LlmHandle};
pub use tts::TtsHandle;
pub use turn::TurnHandle;
pub use vad::{VadHandle, VadStream};

use super::EngineError;

/// Builds an engine, on the thread that will run it. Called again after the engine died.
pub type Factory<E> = Arc<dyn Fn() -> Result<Box<E>, EngineError> + Send + Sync>;

/// How an engine is hosted.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Names the threads and the `engine` label of the metrics: `asr`, `llm`, …
    pub name: &'static str,
    /// Engines, each with a thread and a queue of its own.
    pub instances: usize,
    /// Requests that may wait for one instance; one more answers [`EngineError::Overloaded`].
    pub queue: usize,
}

impl WorkerConfig {
    pub fn new(name: &'static str) -> Self {
        WorkerConfig { name, instances: 1, queue: 64 }
    }
}

/// Whether an engine can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Being built for the first time; requests wait in the queue.
    Starting,
    Ready,
    /// Died or cannot start, and is being built again; requests answer [`EngineError::Died`] at once.
    Down {
        detail: String,
    },
}

/// Where the time of a request went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// From the request to the moment the engine took it up.
    pub queued: Duration,
    /// Inside the engine. For a streamed answer: since the engine took it up.
    pub inference: Duration,
}

/// A reply and where its time went.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed<T> {
    pub value: T,
    pub timing: Timing,
}
