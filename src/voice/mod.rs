//! The conversation.
//!
//! [`Conversation`] is a pure state machine: events in ([`Event`]), effects out ([`Effect`]), time as
//! an argument. It holds the rules of turn-taking; it knows no engine, no socket and no clock.
//!
//! | file | phenomenon |
//! |---|---|
//! | [`activity`] | VAD probabilities become "speech started", "sustained" and "paused" |
//! | [`conversation`] | the state and the dispatch of events |
//! | `caller_turn` | when the caller's turn is over, and when it interrupts the agent |
//! | `answer` | an answer of the agent from the first token to the last word heard |
//! | `head_start` | the answer is begun while a pause may still be a breath |
//! | `silence` | the watchdog: nobody is left in silence, nothing lasts for ever |
//! | `recovery` | what is said and done when an engine fails |
//! | [`greeting`] | whether a person or an answering machine answered |
//! | [`voicemail`] | what is done about a machine: hang up, leave a message, go on |
//! | `transfer` | the caller is handed to a person |
//! | [`introduction`], [`introducing`] | that person is told who is on the line, and asked: the rules, and their driver |
//! | [`announcing`] | that person hears one sentence, and is asked nothing |
//! | [`keys`] | the agent walks through a menu of keys |
//! | [`chunk`] | text from the LLM is cut into clauses that can be spoken |
//! | [`heard`] | which words of a clause went over the wire |
//! | [`latency`] | where the time of a turn went |
//! | [`prompt`] | what the LLM is told |
//! | `tongues` | the agent's own phrases in other languages |
//! | [`hearing`], [`mouth`], [`driver`] | the thin drivers around it: ears, mouth, engines |

pub mod activity;
pub mod announcing;
mod answer;
mod caller_turn;
pub mod chunk;
pub mod conversation;
pub mod driver;
pub mod effect;
pub mod event;
pub mod greeting;
mod head_start;
pub mod heard;
pub mod hearing;
pub mod introducing;
pub mod introduction;
pub mod keys;
#[cfg(test)]
mod keys_scenarios;
pub mod latency;
pub mod mouth;
pub mod prompt;
mod recovery;
#[cfg(test)]
mod scenarios;
mod silence;
mod tongues;
mod transfer;
#[cfg(test)]
mod transfer_scenarios;
pub mod voicemail;
#[cfg(test)]
mod voicemail_scenarios;
mod words;
#[cfg(test)]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

pub use conversation::Conversation;
pub use effect::{Closing, Effect};
pub use event::{ClauseId, EngineKind, Event};
use serde::{Deserialize, Serialize};

/// The rules of a conversation. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub activity: activity::Config,
    pub turn: TurnConfig,
    pub watchdog: WatchdogConfig,
    pub phrases: Phrases,
    /// The same in other languages, by their primary BCP 47 subtag: `de`.
    pub phrases_in: BTreeMap<String, Phrases>,
    /// Longest answer of the LLM, in tokens.
    pub max_answer_tokens: u32,
    /// Sampling temperature of the LLM; 0 picks the likeliest token.
    pub temperature: f32,
}

impl Config {
    /// What the agent says of its own accord on a call in `language`.
    pub(crate) fn phrases_for(&self, language: &str) -> &Phrases {
        let primary = language.split('-').next().unwrap_or(language).to_ascii_lowercase();
        self.phrases_in.get(&primary).unwrap_or(&self.phrases)
    }
}

/// When a turn is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnConfig {
    /// A turn that the turn model holds complete ends after this much silence.
    pub min_silence_ms: u64,
    /// A turn that it holds unfinished ends after this much silence.
    pub max_silence_ms: u64,
    /// Added to `max_silence_ms` while the caller dictates digits or stops on a word like "and".
    pub dictation_extra_ms: u64,
    /// Probability from which the turn model's verdict counts as complete.
    pub complete_threshold: f32,
    /// The LLM begins its answer while a pause may still be a breath, and drops it if the caller goes on.
    pub head_start: bool,
    /// A partial transcript is asked for this often while the caller speaks; 0 asks for none.
    pub partial_every_ms: u64,
    /// An utterance is cut here, whatever the caller does.
    pub max_utterance_ms: u64,
    /// With `wait_for_greeting`: how long to wait for the callee's first words.
    pub greeting_wait_ms: u64,
}

/// Bounds on silence. No setting leaves a call silent for more than eight seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchdogConfig {
    /// Silence after which the agent asks whether the caller is there.
    pub prompt_after_ms: u64,
    /// How often it asks before it says goodbye.
    pub prompts: u32,
    /// The agent says that it is still thinking after this long without a word of the answer.
    pub filler_after_ms: u64,
    /// How long the recogniser or the LLM may be away before the call is ended. Without a voice the
    /// call ends after six seconds at most.
    pub engine_patience_ms: u64,
    /// The agent wraps up this long before the maximum duration.
    pub wrap_up_ms: u64,
}

/// What the agent says of its own accord. Text may be empty to say nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phrases {
    /// Spoken first on every call. Emptying it is logged at start.
    pub disclosure: String,
    /// Spoken after the disclosure where the call is recorded.
    pub recording_notice: String,
    pub still_there: String,
    pub one_moment: String,
    pub did_not_catch: String,
    pub apology: String,
    pub wrap_up: String,
    pub goodbye: String,
    /// Before the caller is handed to a person.
    pub connecting: String,
    /// When that person did not answer.
    pub not_reached: String,
    /// To that person, where the caller is introduced first and the model has nothing better to say.
    pub introduction: String,
    /// After the introduction.
    pub put_through: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            activity: activity::Config::default(),
            turn: TurnConfig::default(),
            watchdog: WatchdogConfig::default(),
            phrases: Phrases::default(),
            phrases_in: tongues::phrases(),
            max_answer_tokens: 120,
            temperature: 0.4,
        }
    }
}

impl Default for TurnConfig {
    fn default() -> Self {
        TurnConfig {
            min_silence_ms: 320,
            max_silence_ms: 1_200,
            dictation_extra_ms: 600,
            complete_threshold: 0.5,
            head_start: true,
            partial_every_ms: 1_500,
            max_utterance_ms: 28_000,
            greeting_wait_ms: 5_000,
        }
    }
}

impl Default for WatchdogConfig {
    fn default() -> Self {
        WatchdogConfig {
            prompt_after_ms: 6_500,
            prompts: 2,
            filler_after_ms: 3_500,
            engine_patience_ms: 20_000,
            wrap_up_ms: 8_000,
        }
    }
}

impl Default for Phrases {
    fn default() -> Self {
        Phrases {
            disclosure: "Hello, this is an AI assistant.".into(),
            recording_notice: "This call is recorded.".into(),
            still_there: "Are you still there?".into(),
            one_moment: "One moment, please.".into(),
            did_not_catch: "Sorry, I didn't catch that. Could you say it again?".into(),
            apology: "Sorry, I have a technical problem. One moment, please.".into(),
            wrap_up: "I'm sorry, but our time is up, so I have to end the call now. Goodbye.".into(),
            goodbye: "Goodbye.".into(),
            connecting: "One moment, please, I'll connect you.".into(),
            not_reached: "I'm sorry, I could not reach anybody there. Can I help you with anything else?"
                .into(),
            introduction: "I have a caller on the line who wants to speak to you.".into(),
            put_through: "Shall I put them through? Say yes or press one. Say no or press two to decline."
                .into(),
        }
    }
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
