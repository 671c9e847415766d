//! Whose doing an ending was, so that an operator knows whom to ask (the shape of LiveKit SIP's
//! `termination.go`).

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The one who placed the call: a bad number, a cancelled request.
    Caller,
    /// The one who was called: busy, did not answer, declined.
    Callee,
    /// The trunk or the network behind it.
    Carrier,
    /// This node: an engine, its capacity, a bug.
    Us,
}

impl Fault {
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::Caller => "caller",
            Fault::Callee => "callee",
            Fault::Carrier => "carrier",
            Fault::Us => "us",
        }
    }
}
