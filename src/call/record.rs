//! What is kept of a call: the shape of the record, shared by the store and the APIs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use crate::sip::Verification;
pub use crate::voice::{
    effect::{AnsweredBy, Speaker, TurnRecord},
    latency::LatencySplit,
};

use crate::base::{CallId, E164, Fault, Pii, Usd, Wallet, words::text_enum};

text_enum! {
    /// Where a call is in its life. The last four are final.
    CallStatus {
        /// No trunk has it: it waits for its turn, or the trunks that were tried are silent or have refused.
        Queued = "queued",
        /// A trunk has taken it and has not yet said that it rings.
        Started = "started",
        Ringing = "ringing",
        InProgress = "in-progress",
        Completed = "completed",
        Failed = "failed",
        NoAnswer = "no_answer",
        Busy = "busy",
    }
}

impl CallStatus {
    pub const fn is_final(self) -> bool {
        matches!(self, CallStatus::Completed | CallStatus::Failed | CallStatus::NoAnswer | CallStatus::Busy)
    }
}

text_enum! {
    /// Which way the call was set up, from this node.
    CallDirection { Outbound = "outbound", Inbound = "inbound" }
}

text_enum! {
    /// Who ended the call.
    EndedBy {
        Agent = "agent",
        Callee = "callee",
        /// The other side of a call that came in.
        Caller = "caller",
        /// The operator or the API client that placed the call.
        Client = "client",
        /// The maximum duration ran out.
        Limit = "limit",
        /// An answering machine answered: this node hung up, or left the message first.
        Voicemail = "voicemail",
        Carrier = "carrier",
        /// Whom the call was transferred to.
        TransferTarget = "transfer_target",
        /// An error on this node, or its shutdown.
        Node = "node",
    }
}

text_enum! {
    /// What became of handing the call to the number to transfer to.
    TransferStatus {
        Ringing = "ringing",
        /// The two parties were joined.
        Answered = "answered",
        /// The carrier took the call over, to join the two itself (REFER). What came of it is known to it
        /// alone where it hung up before it told.
        Referred = "referred",
        Busy = "busy",
        NoAnswer = "no_answer",
        /// The party or its network declined.
        Rejected = "rejected",
        Failed = "failed",
        /// The rules said no at the time of the transfer.
        Refused = "refused",
        /// All lines of the node were in use.
        NoLine = "no_line",
        /// The call ended while it rang.
        Cancelled = "cancelled",
    }
}

/// What an agent asks of a call. Validated by the service before it reaches this shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallPlan {
    /// The called number; `None` for a call that came in to a name.
    pub to: Option<E164>,
    /// The number to show; the trunk's own where none is given.
    pub from: Option<E164>,
    /// Name of the trunk that carries this number, where it is one of the node's stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    pub task: Pii<String>,
    pub first_sentence: Option<Pii<String>>,
    /// The voice asked for.
    pub voice: String,
    /// `base` or `turbo`: which language model of the configuration answers.
    pub model: String,
    pub language: String,
    pub max_duration_secs: u64,
    pub wait_for_greeting: bool,
    pub record: bool,
    /// Milliseconds of caller speech that stop the agent; `None` takes the node's default.
    pub interruption_threshold_ms: Option<u64>,
    pub transfer_to: Option<E164>,
    pub voicemail_action: VoicemailAction,
    pub voicemail_message: Option<Pii<String>>,
    pub metadata: Option<serde_json::Value>,
    /// Who placed the call; none for the operator's calls and those that came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Wallet>,
    /// What the wallet paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Usd>,
}

text_enum! {
    VoicemailAction { Hangup = "hangup", LeaveMessage = "leave_message", Ignore = "ignore" }
}

/// A whole call, as stored and served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    pub id: CallId,
    pub direction: CallDirection,
    pub plan: CallPlan,
    pub status: CallStatus,
    pub created_at: DateTime<Utc>,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub answered_by: Option<AnsweredBy>,
    pub ended_by: Option<EndedBy>,
    pub fault: Option<Fault>,
    /// Why it ended, for people: `busy here (486)`, `the caller hung up`.
    pub end_reason: Option<String>,
    /// The voice that spoke, which differs from the plan's where that one is not installed.
    pub voice_used: Option<String>,
    /// Seconds from answer to end.
    pub length_secs: Option<f64>,
    pub turns: Vec<TurnRecord>,
    pub summary: Option<Pii<String>>,
    /// The last word on a transfer, where one was asked for.
    pub transfer: Option<TransferStatus>,
    /// File name of the recording under the recordings folder.
    pub recording: Option<String>,
    /// Name of the trunk that carried it, or the last that was tried.
    pub trunk: Option<String>,
    /// The number that was called first, where another forwarded the call to ours.
    pub redirected_from: Option<E164>,
    /// What the trunk found out about the number of one who calls.
    pub verification: Option<Verification>,
    /// How the line was; of answered calls.
    pub quality: Option<CallQuality>,
}

/// How the line of a call was, by its packets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallQuality {
    /// There and back between this node and the far end's media, last measured.
    pub round_trip_ms: Option<f64>,
    /// What this node heard; `None` if nothing came.
    pub heard: Option<StreamQuality>,
    /// What the far end heard, by its own reports; `None` if it sent none.
    pub sent: Option<StreamQuality>,
    /// Whether audio was encrypted (SRTP) between this node and the trunk, when the call ended.
    #[serde(default)]
    pub encrypted: bool,
}

/// How one direction was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamQuality {
    /// Mean opinion score, estimated (ITU-T G.107): 1 bad to 4.5 excellent.
    pub score: f64,
    /// Share of packets that were lost or late, 0 to 1.
    pub loss: f64,
    pub jitter_ms: f64,
}

impl CallRecord {
    /// The turns as one text: a line each, `agent: …` or `caller: …`.
    pub fn concatenated_transcript(&self) -> String {
        let line = |turn: &TurnRecord| format!("{}: {}", turn.speaker, turn.text.expose());
        self.turns.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
