//! Who answers calls that come in.

use serde::{Deserialize, Serialize};

use crate::base::{E164, Pii};
use crate::call::record::{CallPlan, VoicemailAction};

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
            max_duration_mins: 10,
            record: true,
        }
    }
}

impl Persona {
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
