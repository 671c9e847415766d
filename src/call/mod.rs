//! A call from dial to record.
//!
//! [`Directory`] holds the live calls. A call is a task: it sets up the leg ([`sip`](crate::sip) and
//! [`media`](crate::media)), lets a [`Talk`](crate::voice::driver::Talk) converse over it, and tells
//! what happens as [`event::CallEvent`]s. It knows nobody who listens.
//!
//! | file | phenomenon |
//! |---|---|
//! | [`directory`] | which calls are live; placing, ending, capacity, shutdown |
//! | `outbound`, `inbound` | how a call comes to be answered |
//! | `before_answer` | what a caller hears until then |
//! | `leg` | signalling and media of one call as one thing |
//! | `conversing` | from the answer to the end of the call |
//! | `quality` | how the line was |
//! | `recording` | where a call's recording lies, and when the record names it |
//! | `transfer`, `bridge` | the call is handed to a second party: the rules, and their driver |
//! | `target`, `briefing` | the second leg, and what its party is told of the call |
//! | [`ending`] | what an end means: status, who, whose fault |
//! | [`summary`] | the LLM's account of the call |
//! | [`persona`] | who answers calls that come in |
//! | [`record`], [`event`] | what is kept of a call, and what it tells while it lives |

mod before_answer;
mod bridge;
mod briefing;
mod conversing;
pub mod directory;
pub mod ending;
pub mod event;
mod inbound;
mod leg;
mod outbound;
pub mod persona;
mod quality;
pub mod record;
mod recording;
pub mod summary;
mod target;
mod teller;
mod transfer;

use std::time::Duration;

pub use directory::{Directory, Parts};
use serde::{Deserialize, Serialize};

use crate::sip::ring_timeout_is_valid;
use crate::voice::greeting;

/// What recordings are kept as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordingFormat {
    #[default]
    Wav,
    /// Opus in Ogg: about a sixth of the size or less.
    Opus,
}

impl RecordingFormat {
    const fn extension(self) -> &'static str {
        match self {
            RecordingFormat::Wav => "wav",
            RecordingFormat::Opus => "ogg",
        }
    }
}

/// The `[call]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Calls at once, both ways. More are refused.
    pub max_concurrent: usize,
    /// How long the callee's phone may ring.
    pub ring_timeout_secs: u64,
    /// How long the phone of whoever a call is transferred to may ring.
    pub transfer_ring_secs: u64,
    /// Whether whoever a call is transferred to is asked first.
    pub transfer: TransferManner,
    /// Name of the `[personas]` entry that answers calls that come in; empty refuses them.
    pub inbound_persona: String,
    /// Write a summary after each answered call.
    pub summary: bool,
    pub recording_format: RecordingFormat,
    /// How a call that goes out tells a person from an answering machine.
    pub answering: greeting::Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferManner {
    /// The two are joined as soon as the second party answers.
    Blind,
    /// The agent introduces the caller, and the second party may decline.
    Warm,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_concurrent: 20,
            ring_timeout_secs: 45,
            transfer_ring_secs: 30,
            transfer: TransferManner::Blind,
            inbound_persona: String::new(),
            summary: true,
            recording_format: RecordingFormat::default(),
            answering: greeting::Config::default(),
        }
    }
}

impl Config {
    /// What types do not say; gives the field that is wrong, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let rings =
            [("ring_timeout_secs", self.ring_timeout()), ("transfer_ring_secs", self.transfer_ring())];
        match rings.iter().find(|(_, ring)| !ring_timeout_is_valid(*ring)) {
            Some((field, _)) => Err((field, "must be 1 to 170 seconds")),
            None => Ok(()),
        }
    }

    fn ring_timeout(&self) -> Duration {
        Duration::from_secs(self.ring_timeout_secs)
    }

    fn transfer_ring(&self) -> Duration {
        Duration::from_secs(self.transfer_ring_secs)
    }
}
