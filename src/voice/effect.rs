//! What a conversation wants done.

use serde::{Deserialize, Serialize};

use crate::base::{Pii, words::text_enum};
use crate::engine::ChatMessage;
use crate::voice::event::{AnswerId, ClauseId};
use crate::voice::keys::Keys;
use crate::voice::latency::LatencySplit;

text_enum! {
    /// Who said a turn. The caller is the far end, whoever dialled.
    Speaker { Agent = "agent", Caller = "caller" }
}

text_enum! {
    /// Who answered, as far as the greeting shows it.
    AnsweredBy { Human = "human", Voicemail = "voicemail", Unknown = "unknown" }
}

/// Why the conversation ends the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The agent called its `hang_up` tool.
    AgentDone,
    /// The caller stayed silent.
    CallerSilent,
    /// A machine answered, and the call was to end then.
    Voicemail,
    /// A machine answered, and the message was left on it.
    MessageLeft,
    MaxDuration,
    /// No media comes from the far end.
    MediaLost,
    /// Whom the caller was handed to hung up.
    TransferOver,
    /// An engine stayed away for longer than the patience set.
    EngineLost,
}

/// Each effect says what barge-in does to it: `StopSpeaking` drops every clause not yet heard and
/// every `AskLlm` under way; nothing else is dropped.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Evaluate the prompt ahead of the first question.
    WarmLlm {
        messages: Vec<ChatMessage>,
    },
    /// Give the recogniser the caller's audio from shortly before the onset on.
    StartUtterance,
    /// Ask for a partial transcript.
    TranscribePartial,
    /// Ask for the final transcript and close the utterance.
    FinishUtterance,
    /// Drop the utterance.
    DropUtterance,
    /// Ask the turn model about the last seconds of the caller's audio.
    JudgeTurn,
    AskLlm {
        answer: AnswerId,
        messages: Vec<ChatMessage>,
    },
    CancelLlm,
    /// Synthesise and queue a clause.
    Speak {
        clause: ClauseId,
        text: String,
    },
    /// Empty the playout and drop the clauses that wait.
    StopSpeaking,
    /// A turn is complete: for the record.
    Turn(TurnRecord),
    /// Text of a turn under way: for live displays.
    Live {
        speaker: Speaker,
        text: Pii<String>,
    },
    /// Who answered is known. Comes once at most.
    AnsweredBy(AnsweredBy),
    /// Call the person whom the caller is handed to; a [`TransferAnswered`](super::Event::TransferAnswered) or
    /// [`TransferFailed`](super::Event::TransferFailed) follows.
    Transfer,
    /// Press a key to the person whom the caller was handed to.
    PassDigit {
        digit: char,
    },
    /// Press keys to the far end, behind those under way.
    Press {
        keys: Keys,
    },
    /// The agent listens again: what was heard before is forgotten.
    ListenAnew,
    HangUp {
        closing: Closing,
    },
}

/// One turn of speech. Times are milliseconds since the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    pub speaker: Speaker,
    /// For the agent: only the words that were heard.
    pub text: Pii<String>,
    pub start_ms: u64,
    pub end_ms: u64,
    /// The agent's turn was cut short by the caller.
    pub interrupted: bool,
    /// For the agent's answers: where the time since the caller's last word went.
    pub latency: Option<LatencySplit>,
}

impl Effect {
    /// Its name, for logs: what is said stays out of them.
    pub const fn name(&self) -> &'static str {
        match self {
            Effect::WarmLlm { .. } => "warm the LLM",
            Effect::StartUtterance => "start an utterance",
            Effect::TranscribePartial => "transcribe so far",
            Effect::FinishUtterance => "finish the utterance",
            Effect::DropUtterance => "drop the utterance",
            Effect::JudgeTurn => "judge the turn",
            Effect::AskLlm { .. } => "ask the LLM",
            Effect::CancelLlm => "cancel the LLM",
            Effect::Speak { .. } => "speak a clause",
            Effect::StopSpeaking => "stop speaking",
            Effect::Turn(_) => "record a turn",
            Effect::Live { .. } => "show live text",
            Effect::AnsweredBy(_) => "tell who answered",
            Effect::Transfer => "transfer",
            Effect::PassDigit { .. } => "pass a digit on",
            Effect::Press { .. } => "press keys",
            Effect::ListenAnew => "listen anew",
            Effect::HangUp { .. } => "hang up",
        }
    }
}
