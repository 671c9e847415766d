//! Speech and language engines.
//!
//! An engine is one of five small synchronous traits ([`Asr`], [`Llm`], [`Tts`], [`Vad`], [`Turn`]).
//! A [`worker`] gives it a thread and a bounded queue, and the voice loop talks to the worker through
//! cloneable async handles. An engine lives in this process (Rust models, scripted engines, HTTP
//! clients) or in an executable of its own ([`process`]), behind the same trait. The [`registry`] maps
//! the name in the configuration to a constructor.
//!
//! Audio that goes in is 16 kHz mono `i16`; audio that comes out says its own rate. One engine serves
//! many callers: a [`StreamId`] names the caller whose state a method touches.

pub mod asr;
pub mod http;
pub mod llm;
mod native;
pub mod process;
pub mod registry;
pub mod scripted;
pub mod tts;
pub mod turn;
pub mod vad;
pub mod worker;

use serde::{Deserialize, Serialize};

/// One caller's state inside an engine. Chosen by the worker, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u64);

/// What an engine can answer instead of a result.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", content = "detail", rename_all = "snake_case")]
pub enum EngineError {
    /// The engine cannot be built: a missing model, a wrong library, a bad option.
    #[error("engine cannot start: {0}")]
    Start(String),
    /// This request failed; the engine goes on.
    #[error("engine request failed: {0}")]
    Request(String),
    /// The engine process or its peer is gone. The worker starts it again.
    #[error("engine died: {0}")]
    Died(String),
    /// The queue is full: more callers than this engine can serve.
    #[error("engine is overloaded: its queue of {0} requests is full")]
    Overloaded(usize),
}

/// Speech recognition. `start`, any number of `push` and `partial`, then `finish` or `cancel`.
pub trait Asr: Send {
    /// Finds out that the engine is gone while nobody asks it anything.
    fn check(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
    /// Begins an utterance on `stream`, dropping what an unfinished one left.
    fn start(&mut self, stream: StreamId, hint: &SpeechHint) -> Result<(), EngineError>;
    /// Adds 16 kHz mono audio to the utterance. Cheap: it only stores or feeds an incremental model.
    fn push(&mut self, stream: StreamId, pcm: &[i16]) -> Result<(), EngineError>;
    /// The best text so far; the utterance goes on.
    fn partial(&mut self, stream: StreamId) -> Result<Transcript, EngineError>;
    /// The final text; the utterance is over.
    fn finish(&mut self, stream: StreamId) -> Result<Transcript, EngineError>;
    /// Drops the utterance and everything kept for `stream`.
    fn cancel(&mut self, stream: StreamId);
}

/// What is known before a caller speaks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeechHint {
    /// BCP 47 primary language, such as `en`; `None` lets the model detect it.
    pub language: Option<String>,
    /// Words that are likely to come up: names, products.
    #[serde(default)]
    pub vocabulary: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// Empty where nothing was said, or where the model only invents words over silence.
    pub text: String,
    /// How many 16 kHz samples of the utterance the text covers.
    pub samples: u64,
}

/// A chat model that serves many conversations at once. The worker calls [`Llm::step`] for as long as
/// any conversation is generating; one step is one batched decode.
pub trait Llm: Send {
    /// Finds out that the engine is gone while nobody asks it anything.
    fn check(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
    /// Evaluates a prompt prefix ahead of time, so that the first answer comes at once. May leave the
    /// work to later steps, so that it holds up nobody: see [`Llm::warming`].
    fn warm(
        &mut self,
        stream: StreamId,
        messages: &[ChatMessage],
        tools: &[ToolSpec],
    ) -> Result<(), EngineError>;
    /// Begins an answer on `stream`, replacing one under way. State of the common prefix is reused.
    fn start(&mut self, stream: StreamId, request: &Completion) -> Result<(), EngineError>;
    /// Advances every conversation that is generating; empty when none is.
    fn step(&mut self) -> Result<Vec<(StreamId, Delta)>, EngineError>;
    /// Whether a prefix is still being evaluated, so that [`Llm::step`] has work though nobody answers.
    fn warming(&self) -> bool {
        false
    }
    /// Stops generating on `stream`; the conversation's state stays for the next turn.
    fn cancel(&mut self, stream: StreamId);
    /// Drops the conversation's state.
    fn forget(&mut self, stream: StreamId);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    pub role: Role,
    pub content: String,
}

impl ChatMessage {
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        ChatMessage { role, content: content.into() }
    }
}

/// A function the model may call, as OpenAI's chat API describes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments object.
    pub parameters: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    pub messages: Vec<ChatMessage>,
    #[serde(default)]
    pub tools: Vec<ToolSpec>,
    pub max_tokens: u32,
    /// 0 picks the likeliest token.
    pub temperature: f32,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta {
    Text {
        text: String,
    },
    ToolCall {
        name: String,
        arguments: serde_json::Value,
    },
    /// The answer is complete. No delta follows.
    Done {
        usage: Usage,
    },
    /// This answer failed; other conversations go on. No delta follows.
    Failed {
        detail: String,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub prompt_tokens: u32,
    /// Prompt tokens whose state was kept from an earlier turn.
    pub reused_tokens: u32,
    pub generated_tokens: u32,
}

/// Speech synthesis. `start`, then `next` until it gives `None`; `cancel` at any time.
pub trait Tts: Send {
    /// Finds out that the engine is gone while nobody asks it anything.
    fn check(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
    /// The voices that can speak now.
    fn voices(&self) -> Vec<Voice>;
    fn start(&mut self, stream: StreamId, request: &Utterance) -> Result<(), EngineError>;
    /// The next piece of audio, in order; `None` when all has been said.
    fn next(&mut self, stream: StreamId) -> Result<Option<AudioChunk>, EngineError>;
    fn cancel(&mut self, stream: StreamId);
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voice {
    pub name: String,
    /// BCP 47, such as `en-US`.
    pub language: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Utterance {
    pub text: String,
    /// A name from [`Tts::voices`]; an unknown one is an [`EngineError::Request`].
    pub voice: String,
    /// 1.0 is the voice's own pace; larger is faster.
    pub speed: f32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioChunk {
    /// Samples a second of `pcm`.
    pub rate: u32,
    pub pcm: Vec<i16>,
}

/// Voice activity: how likely a frame holds speech.
pub trait Vad: Send {
    /// Samples a frame must have, at 16 kHz.
    fn frame_samples(&self) -> usize;
    /// 0.0 to 1.0. State carries from frame to frame of a stream.
    fn probability(&mut self, stream: StreamId, frame: &[i16]) -> Result<f32, EngineError>;
    fn forget(&mut self, stream: StreamId);
}

/// End of turn: how likely the speaker has finished, judged from the sound.
pub trait Turn: Send {
    /// 0.0 to 1.0, from up to the last eight seconds of the speaker's audio at 16 kHz, the newest last.
    fn probability(&mut self, pcm: &[i16]) -> Result<f32, EngineError>;
}
