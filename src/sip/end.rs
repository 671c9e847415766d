//! How a call ended, in SIP's words.

use std::time::Duration;

use crate::base::{Fault, Pii};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SipEnd {
    /// A final response other than success: 486 busy, 404 unknown, 603 declined.
    Rejected {
        status: u16,
        /// The peer's phrase, which may name a number.
        reason: Pii<String>,
    },
    /// It rang for as long as was allowed.
    NoAnswer,
    /// Taken back before an answer: by us if the call was ours, by the caller if it was not.
    Cancelled,
    RemoteHangup,
    LocalHangup,
    /// Nobody is there: no response, a closed port, a name that does not resolve.
    Unreachable {
        detail: String,
    },
    /// Every trunk has as many calls waiting for their turn as it may have (`cps`).
    Congested {
        retry_after: Duration,
    },
    /// The trunk's credentials are missing or wrong.
    AuthRejected,
    /// The call was answered and is gone: nobody refreshed it in time (RFC 4028), or the peer knows it no
    /// more.
    SessionLost {
        detail: String,
    },
    /// The peer said something that cannot be acted on.
    ProtocolError {
        detail: String,
    },
}

impl SipEnd {
    /// Whose doing it was; nobody's if the call was had.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            SipEnd::Rejected { status, .. } => Some(fault_of_status(*status)),
            SipEnd::NoAnswer => Some(Fault::Callee),
            SipEnd::Cancelled => Some(Fault::Caller),
            SipEnd::RemoteHangup | SipEnd::LocalHangup => None,
            SipEnd::Unreachable { .. } | SipEnd::SessionLost { .. } | SipEnd::ProtocolError { .. } => {
                Some(Fault::Carrier)
            }
            SipEnd::AuthRejected | SipEnd::Congested { .. } => Some(Fault::Us),
        }
    }
}

fn fault_of_status(status: u16) -> Fault {
    match status {
        // Not available, busy, gone while ringing; everywhere busy, declined, unwanted.
        408 | 480 | 486 | 487 | 600 | 603 | 607 => Fault::Callee,
        // Unknown, gone, incomplete, ambiguous: the number is wrong.
        404 | 410 | 484 | 485 | 604 => Fault::Caller,
        // What we wrote, or the session we offered, is not acceptable.
        400 | 405 | 406 | 415 | 420 | 421 | 422 | 488 | 606 => Fault::Us,
        _ => Fault::Carrier,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_the_callees_and_congestion_the_carriers() {
        let fault = |status| SipEnd::Rejected { status, reason: Pii::default() }.fault();
        assert_eq!(fault(486), Some(Fault::Callee));
        assert_eq!(fault(404), Some(Fault::Caller));
        assert_eq!(fault(503), Some(Fault::Carrier));
        assert_eq!(SipEnd::RemoteHangup.fault(), None);
    }
}
