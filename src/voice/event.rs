//! What happens to a conversation.

use std::time::{Duration, Instant};

use crate::engine::Delta;

/// One clause of the agent's speech, numbered from 1 in the order of speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClauseId(pub u64);

/// One question to the LLM. An answer to an older question is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerId(pub u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    Asr,
    Llm,
    Tts,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The far end answered; media flows.
    Answered,
    /// The caller began to speak at `onset`, or went on after a pause.
    SpeechStarted { onset: Instant },
    /// The caller has spoken for long enough to take the turn from the agent.
    SpeechSustained,
    /// The caller has been silent for the pause length; the last speech was at `last_speech`.
    SpeechPaused { last_speech: Instant },
    /// A partial transcript of the utterance under way.
    Partial { text: String },
    /// The final transcript, asked for by [`super::Effect::FinishUtterance`].
    Final { text: String },
    /// How likely the turn is complete, asked for by [`super::Effect::JudgeTurn`].
    TurnJudged { complete: f32 },
    /// A piece of an answer.
    Llm { answer: AnswerId, delta: Delta },
    /// The first audio of a clause is synthesised.
    ClauseAudio { clause: ClauseId },
    /// All audio of a clause is synthesised: its length in samples at the codec's rate.
    ClauseSynthesised { clause: ClauseId, samples: u64 },
    /// The first packet of a clause is on the wire.
    ClausePlaying { clause: ClauseId, at: Instant },
    /// The last packet of a clause is on the wire.
    ClausePlayed { clause: ClauseId },
    /// A clause was cut after `samples` samples.
    ClauseStopped { clause: ClauseId, samples: u64 },
    /// An engine failed the request under way. For the LLM this comes as [`Delta::Failed`] too.
    EngineFailed { engine: EngineKind, clause: Option<ClauseId> },
    /// A key was pressed on the caller's side (RFC 4733).
    Dtmf { digit: char },
    /// A beep of the far end (400 to 2 200 Hz, 150 ms to 2 s) has just ended.
    Beep { length: Duration },
    /// The person to whom the caller is handed has answered: the two hear each other.
    TransferAnswered,
    /// That person cannot be had.
    TransferFailed,
    /// That person has hung up.
    TransferOver,
    /// The carrier has taken the call over: it joins the two.
    Referred,
    /// Nothing has come from the far end for this long (RTP timeout of the media session).
    MediaLost,
}

impl Event {
    /// Its name, for logs: what was said stays out of them.
    pub const fn name(&self) -> &'static str {
        match self {
            Event::Answered => "answered",
            Event::SpeechStarted { .. } => "speech started",
            Event::SpeechSustained => "speech sustained",
            Event::SpeechPaused { .. } => "speech paused",
            Event::Partial { .. } => "partial transcript",
            Event::Final { .. } => "final transcript",
            Event::TurnJudged { .. } => "turn judged",
            Event::Llm { delta: Delta::Done { .. }, .. } => "answer complete",
            Event::Llm { delta: Delta::Failed { .. }, .. } => "answer failed",
            Event::Llm { .. } => "answer goes on",
            Event::ClauseAudio { .. } => "clause has audio",
            Event::ClauseSynthesised { .. } => "clause synthesised",
            Event::ClausePlaying { .. } => "clause playing",
            Event::ClausePlayed { .. } => "clause played",
            Event::ClauseStopped { .. } => "clause stopped",
            Event::EngineFailed { .. } => "engine failed",
            Event::Dtmf { .. } => "key pressed",
            Event::Beep { .. } => "beep",
            Event::TransferAnswered => "transfer answered",
            Event::TransferFailed => "transfer failed",
            Event::TransferOver => "transfer over",
            Event::Referred => "referred",
            Event::MediaLost => "media lost",
        }
    }
}
