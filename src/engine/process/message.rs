//! The headers of requests and answers.

use serde::{Deserialize, Serialize};

use crate::engine::{
    ChatMessage, Completion, Delta, EngineError, SpeechHint, StreamId, ToolSpec, Utterance, Voice,
};

/// Raised when a message changes its meaning.
pub const PROTOCOL: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Asr,
    Llm,
    Tts,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "lowercase")]
pub enum Hello {
    Hello { protocol: u32, kind: Kind },
}

/// What an engine says of itself once its model is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    pub protocol: u32,
    pub kind: Kind,
    /// The model, for logs.
    pub name: String,
    #[serde(default)]
    pub voices: Vec<Voice>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer<T> {
    Ok(T),
    Error(EngineError),
}

impl<T> From<Result<T, EngineError>> for Answer<T> {
    fn from(result: Result<T, EngineError>) -> Self {
        match result {
            Ok(value) => Answer::Ok(value),
            Err(error) => Answer::Error(error),
        }
    }
}

impl<T> From<Answer<T>> for Result<T, EngineError> {
    fn from(answer: Answer<T>) -> Self {
        match answer {
            Answer::Ok(value) => Ok(value),
            Answer::Error(error) => Err(error),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "lowercase")]
pub enum AsrRequest {
    Start { stream: StreamId, hint: SpeechHint },
    Push { stream: StreamId },
    Partial { stream: StreamId },
    Finish { stream: StreamId },
    Cancel { stream: StreamId },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "lowercase")]
pub enum LlmRequest {
    Warm { stream: StreamId, messages: Vec<ChatMessage>, tools: Vec<ToolSpec> },
    Start { stream: StreamId, request: Completion },
    Step,
    Cancel { stream: StreamId },
    Forget { stream: StreamId },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Warmth {
    #[serde(default)]
    pub warming: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Stepped {
    pub deltas: Vec<(StreamId, Delta)>,
    #[serde(default)]
    pub warming: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "lowercase")]
pub enum TtsRequest {
    Start { stream: StreamId, request: Utterance },
    Next { stream: StreamId },
    Cancel { stream: StreamId },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ChunkHeader {
    pub rate: u32,
}
