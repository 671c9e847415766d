//! Who answers calls that come in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{E164, Pii};
use crate::call::record::{CallPlan, VoicemailAction};
use crate::voice::announcing;

/// An entry of `[personas]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Persona {
    /// What the agent is there for.
    pub task: String,
    /// Said after the disclosure; empty lets the LLM open.
    pub first_sentence: String,
    pub voice: String,
    pub language: String,
    /// How long the caller hears a phone ring before the answer. 0 with no announcement answers at once.
    pub ring_secs: u64,
    /// Said before the answer, in at most 20 seconds; empty: nothing.
    pub announcement: String,
    pub max_duration_mins: u64,
    pub record: bool,
}

impl Default for Persona {
    fn default() -> Self {
        Persona {
            task: "Answer the phone, find out what the caller wants and take a message.".into(),
            first_sentence: "How can I help you?".into(),
            voice: "nat".into(),
            language: "en".into(),
            ring_secs: 0,
            announcement: String::new(),
            max_duration_mins: 10,
            record: true,
        }
    }
}

impl Persona {
    pub fn plays_before_answer(&self) -> bool {
        self.ring_secs > 0 || !self.announcement.is_empty()
    }

    /// The longest that is played before the answer.
    pub fn longest_prelude(&self) -> Duration {
        let spoken = if self.announcement.is_empty() { Duration::ZERO } else { announcing::LONGEST };
        Duration::from_secs(self.ring_secs).saturating_add(spoken)
    }

    /// The plan of a call that came in: `to` is ours, `from` the caller's, where they are numbers.
    pub fn plan(&self, to: Option<E164>, from: Option<E164>) -> CallPlan {
        let first = Some(self.first_sentence.clone()).filter(|text| !text.is_empty());
        CallPlan {
            to,
            from,
            home: None,
            task: Pii::new(self.task.clone()),
            first_sentence: first.map(Pii::new),
            voice: self.voice.clone(),
            model: "base".into(),
            language: self.language.clone(),
            max_duration_secs: self.max_duration_mins * 60,
            wait_for_greeting: false,
            record: self.record,
            interruption_threshold_ms: None,
            transfer_to: None,
            voicemail_action: VoicemailAction::Ignore,
            voicemail_message: None,
            metadata: None,
            owner: None,
            price: None,
        }
    }
}
