//! What a call tells the rest of the node while it lives. The call knows nobody who listens.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::mpsc;

use super::record::{
    AnsweredBy, CallDirection, CallPlan, CallQuality, CallStatus, EndedBy, Speaker, TransferStatus,
    TurnRecord, Verification,
};
use crate::base::{CallId, E164, Fault, Pii};

/// One change in one call.
#[derive(Debug, Clone)]
pub struct CallEvent {
    pub call: CallId,
    pub at: DateTime<Utc>,
    pub change: CallChange,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CallChange {
    /// First event of every call: the record is made from it.
    Created {
        direction: CallDirection,
        plan: Box<CallPlan>,
    },
    Status {
        status: CallStatus,
    },
    /// The trunk that the call goes by, told again when another one is tried; and what it said of a call
    /// that came in.
    Line {
        trunk: String,
        redirected_from: Option<E164>,
        verification: Option<Verification>,
    },
    Answered {
        answered_by: AnsweredBy,
    },
    /// The voice that will speak.
    Voice {
        name: String,
    },
    /// Text of a turn that is not complete: for live displays, never stored.
    Live {
        speaker: Speaker,
        text: Pii<String>,
    },
    Turn {
        turn: TurnRecord,
    },
    /// How handing the call to somebody else goes. The number is the plan's.
    Transfer {
        status: TransferStatus,
    },
    /// Last event of the conversation: `status` is final. Quality, a recording and a summary may follow.
    Ended(Box<Ending>),
    /// How the line was.
    Quality {
        quality: CallQuality,
    },
    Summary {
        text: Pii<String>,
    },
    /// The recording is complete under this file name.
    Recording {
        file: String,
    },
    /// Nothing more will come for this call.
    Closed,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ending {
    pub status: CallStatus,
    pub ended_by: EndedBy,
    pub fault: Option<Fault>,
    pub reason: String,
    /// From answer to end; `None` if it was never answered.
    pub length_secs: Option<f64>,
}

/// Where a call sends its events. Bounded: a recorder that falls behind slows the call's bookkeeping,
/// never its audio.
pub type CallEvents = mpsc::Sender<CallEvent>;
