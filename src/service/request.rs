//! A call as a client asks for it, before anything is checked, and who asks.

use crate::base::Wallet;

/// Texts as they came. No `Debug`: it holds numbers and speech.
#[derive(Clone, Default)]
pub struct CallRequest {
    pub phone_number: String,
    pub task: String,
    pub from: Option<String>,
    pub first_sentence: Option<String>,
    pub voice: Option<String>,
    /// Minutes.
    pub max_duration: Option<i64>,
    pub wait_for_greeting: Option<bool>,
    pub record: Option<bool>,
    pub model: Option<String>,
    /// BCP 47 primary language, such as `en`.
    pub language: Option<String>,
    /// Milliseconds of caller speech that stop the agent.
    pub interruption_threshold: Option<i64>,
    pub transfer_phone_number: Option<String>,
    pub voicemail_action: Option<String>,
    pub voicemail_message: Option<String>,
    pub metadata: Option<serde_json::Value>,
}

/// Who asks for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    Operator,
    /// An agent, known by the wallet that pays.
    Wallet(Wallet),
    /// An agent that has not paid yet. What hangs on its wallet is judged when it has.
    Unknown,
}

impl Caller {
    pub fn wallet(&self) -> Option<&Wallet> {
        match self {
            Caller::Operator | Caller::Unknown => None,
            Caller::Wallet(wallet) => Some(wallet),
        }
    }
}
