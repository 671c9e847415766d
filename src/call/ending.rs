//! What the end of a call means: its final status, who ended it, and whose fault it was.

use crate::base::Fault;
use crate::call::event::Ending;
use crate::call::record::{CallDirection, CallStatus, EndedBy};
use crate::sip::SipEnd;
use crate::voice::Closing;

/// Everything that is known when a call is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Circumstances {
    pub direction: CallDirection,
    /// Seconds since the answer; `None` if there was none.
    pub talked_secs: Option<f64>,
    /// Why the conversation ended, if it ended of itself.
    pub closing: Option<Closing>,
    /// Who asked this node to end the call, if anybody did.
    pub stopped_by: Option<EndedBy>,
    /// What signalling said; `None` if the call never got so far.
    pub signalled: Option<SipEnd>,
    /// Whether the far end rang, or played something, before that.
    pub rang: bool,
}

impl Circumstances {
    /// Of a call that rang, and that nobody answered.
    pub const fn unanswered(direction: CallDirection, signalled: Option<SipEnd>) -> Self {
        Circumstances { direction, talked_secs: None, closing: None, stopped_by: None, signalled, rang: true }
    }

    /// By whoever called in.
    fn is_given_up(&self) -> bool {
        self.direction == CallDirection::Inbound && self.signalled == Some(SipEnd::Cancelled)
    }
}

pub fn ending(known: Circumstances) -> Ending {
    let length_secs = known.talked_secs;
    let (status, ended_by, fault, reason) = match (length_secs, known.stopped_by) {
        (Some(_), _) => had(&known),
        (None, Some(by)) => taken_back(by),
        (None, None) if known.is_given_up() => {
            verdict(CallStatus::NoAnswer, EndedBy::Caller, None, "the caller hung up before the answer")
        }
        (None, None) => never_had(known.signalled, known.rang),
    };
    Ending { status, ended_by, fault, reason, length_secs }
}

type Verdict = (CallStatus, EndedBy, Option<Fault>, String);

fn verdict(status: CallStatus, by: EndedBy, fault: Option<Fault>, reason: impl Into<String>) -> Verdict {
    (status, by, fault, reason.into())
}

fn had(known: &Circumstances) -> Verdict {
    use CallStatus::{Completed, Failed};
    if let Some(closing) = known.closing {
        return match closing {
            Closing::AgentDone => verdict(Completed, EndedBy::Agent, None, "the agent hung up"),
            Closing::CallerSilent => {
                verdict(Completed, EndedBy::Agent, None, "the agent hung up, since the other side was silent")
            }
            Closing::Voicemail => {
                verdict(Completed, EndedBy::Voicemail, None, "a voicemail answered, and the agent hung up")
            }
            Closing::MessageLeft => {
                verdict(Completed, EndedBy::Voicemail, None, "a voicemail answered, and the message was left")
            }
            Closing::TransferOver => verdict(
                Completed,
                EndedBy::TransferTarget,
                None,
                "the party that it was transferred to hung up",
            ),
            Closing::Referred => {
                verdict(Completed, EndedBy::Agent, None, "transferred: the carrier took the call over")
            }
            Closing::MaxDuration => {
                verdict(Completed, EndedBy::Limit, None, "the maximum duration was reached")
            }
            Closing::MediaLost => {
                verdict(Failed, EndedBy::Carrier, Some(Fault::Carrier), "no audio came from the other side")
            }
            Closing::EngineLost => verdict(
                Failed,
                EndedBy::Node,
                Some(Fault::Us),
                "a speech or language engine was not available",
            ),
        };
    }
    match (known.stopped_by, &known.signalled) {
        (Some(EndedBy::Node), _) => verdict(Completed, EndedBy::Node, Some(Fault::Us), "the node stopped"),
        (Some(by), _) => verdict(Completed, by, None, "ended on request"),
        (None, Some(SipEnd::RemoteHangup) | None) => {
            verdict(Completed, far_end(known.direction), None, "the other side hung up")
        }
        (None, Some(end)) => {
            verdict(Failed, EndedBy::Carrier, end.fault().or(Some(Fault::Carrier)), describe(end))
        }
    }
}

fn taken_back(by: EndedBy) -> Verdict {
    let fault = if by == EndedBy::Node { Fault::Us } else { Fault::Caller };
    verdict(CallStatus::Failed, by, Some(fault), "taken back before it was answered")
}

fn never_had(end: Option<SipEnd>, rang: bool) -> Verdict {
    let Some(end) = end else {
        return verdict(CallStatus::Failed, EndedBy::Node, Some(Fault::Us), "the call could not be set up");
    };
    // Nobody says that the callee was ever asked.
    if !rang && matches!(end, SipEnd::NoAnswer | SipEnd::Rejected { status: 408, .. }) {
        let reason = format!("the carrier never said that it rings: {}", describe(&end));
        return verdict(CallStatus::Failed, EndedBy::Carrier, Some(Fault::Carrier), reason);
    }
    let status = match end {
        SipEnd::Rejected { status: 486 | 600, .. } => CallStatus::Busy,
        SipEnd::NoAnswer | SipEnd::Rejected { status: 408 | 480 | 487, .. } => CallStatus::NoAnswer,
        _ => CallStatus::Failed,
    };
    let fault = end.fault();
    let by = match fault {
        Some(Fault::Callee) => EndedBy::Callee,
        Some(Fault::Us) => EndedBy::Node,
        _ => EndedBy::Carrier,
    };
    verdict(status, by, fault, describe(&end))
}

const fn far_end(direction: CallDirection) -> EndedBy {
    match direction {
        CallDirection::Outbound => EndedBy::Callee,
        CallDirection::Inbound => EndedBy::Caller,
    }
}

fn describe(end: &SipEnd) -> String {
    match end {
        SipEnd::Rejected { status, reason } => format!("{} ({status})", reason.expose().to_lowercase()),
        SipEnd::NoAnswer => "nobody answered".into(),
        SipEnd::Cancelled => "taken back before it was answered".into(),
        SipEnd::RemoteHangup => "the other side hung up".into(),
        SipEnd::LocalHangup => "this side hung up".into(),
        SipEnd::Unreachable { detail } => format!("the trunk cannot be reached: {detail}"),
        SipEnd::Congested { retry_after } => {
            format!(
                "too many calls wait for their turn (sip.trunks.cps): try again in {} s",
                retry_after.as_secs() + 1
            )
        }
        SipEnd::AuthRejected => {
            "the trunk refused our credentials: check sip.trunks.username and password".into()
        }
        SipEnd::SessionLost { detail } => format!("the call was lost: {detail}"),
        SipEnd::ProtocolError { detail } => format!("the trunk said something unusable: {detail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Pii;

    fn unanswered(end: SipEnd) -> Ending {
        ending(Circumstances::unanswered(CallDirection::Outbound, Some(end)))
    }

    fn answered(closing: Option<Closing>, stopped_by: Option<EndedBy>, direction: CallDirection) -> Ending {
        ending(Circumstances {
            direction,
            talked_secs: Some(12.5),
            closing,
            stopped_by,
            signalled: Some(SipEnd::RemoteHangup),
            rang: true,
        })
    }

    #[test]
    fn a_refusal_names_its_status_and_whose_fault_it_was() {
        let rejected =
            |status, reason: &str| unanswered(SipEnd::Rejected { status, reason: Pii::new(reason.into()) });
        let busy = rejected(486, "Busy Here");
        assert_eq!((busy.status, busy.fault), (CallStatus::Busy, Some(Fault::Callee)));
        assert_eq!(busy.reason, "busy here (486)");
        let unknown = rejected(404, "Not Found");
        assert_eq!((unknown.status, unknown.fault), (CallStatus::Failed, Some(Fault::Caller)));
        assert_eq!(rejected(480, "Temporarily Unavailable").status, CallStatus::NoAnswer);
        assert_eq!(rejected(503, "Service Unavailable").fault, Some(Fault::Carrier));
    }

    #[test]
    fn a_caller_who_does_not_wait_for_the_answer_has_hung_up() {
        let given_up = Circumstances::unanswered(CallDirection::Inbound, Some(SipEnd::Cancelled));
        let Ending { status, ended_by, fault, .. } = ending(given_up.clone());
        assert_eq!((status, ended_by, fault), (CallStatus::NoAnswer, EndedBy::Caller, None));
        let stopped = Circumstances { stopped_by: Some(EndedBy::Node), ..given_up };
        assert_eq!(ending(stopped).ended_by, EndedBy::Node);
    }

    #[test]
    fn wrong_credentials_are_our_fault_and_silence_is_the_carriers() {
        assert_eq!(unanswered(SipEnd::AuthRejected).fault, Some(Fault::Us));
        let down = unanswered(SipEnd::Unreachable { detail: "no response".into() });
        assert_eq!((down.status, down.fault), (CallStatus::Failed, Some(Fault::Carrier)));
    }

    #[test]
    fn nobody_answered_where_it_rang_and_the_carrier_failed_where_it_did_not() {
        let timeout = || SipEnd::Rejected { status: 408, reason: Pii::new("Request Timeout".into()) };
        for end in [SipEnd::NoAnswer, timeout()] {
            assert_eq!(unanswered(end.clone()).status, CallStatus::NoAnswer);
            let known = Circumstances::unanswered(CallDirection::Outbound, Some(end));
            let silent = ending(Circumstances { rang: false, ..known });
            assert_eq!((silent.status, silent.fault), (CallStatus::Failed, Some(Fault::Carrier)));
        }
        let away = SipEnd::Rejected { status: 480, reason: Pii::new("Temporarily Unavailable".into()) };
        let known = Circumstances::unanswered(CallDirection::Outbound, Some(away));
        let away = ending(Circumstances { rang: false, ..known });
        assert_eq!(away.status, CallStatus::NoAnswer, "the callee's own word");
    }

    #[test]
    fn an_answered_call_is_completed_by_the_one_who_hung_up() {
        let by = |closing, stopped, direction| answered(closing, stopped, direction).ended_by;
        assert_eq!(by(None, None, CallDirection::Outbound), EndedBy::Callee);
        assert_eq!(by(None, None, CallDirection::Inbound), EndedBy::Caller);
        assert_eq!(by(Some(Closing::AgentDone), None, CallDirection::Outbound), EndedBy::Agent);
        assert_eq!(by(Some(Closing::MaxDuration), None, CallDirection::Outbound), EndedBy::Limit);
        assert_eq!(by(Some(Closing::Voicemail), None, CallDirection::Outbound), EndedBy::Voicemail);
        assert_eq!(by(Some(Closing::TransferOver), None, CallDirection::Outbound), EndedBy::TransferTarget);
        assert_eq!(by(None, Some(EndedBy::Client), CallDirection::Outbound), EndedBy::Client);
    }

    #[test]
    fn a_call_that_the_carrier_took_over_is_completed() {
        let referred = answered(Some(Closing::Referred), None, CallDirection::Outbound);
        let outcome = (referred.status, referred.ended_by, referred.fault);
        assert_eq!(outcome, (CallStatus::Completed, EndedBy::Agent, None));
    }

    #[test]
    fn a_lost_engine_is_our_fault() {
        let lost = answered(Some(Closing::EngineLost), None, CallDirection::Outbound);
        assert_eq!(
            (lost.status, lost.fault, lost.length_secs),
            (CallStatus::Failed, Some(Fault::Us), Some(12.5))
        );
    }

    #[test]
    fn a_call_taken_back_while_it_rings_has_failed_by_the_client() {
        let taken = ending(Circumstances {
            stopped_by: Some(EndedBy::Client),
            ..Circumstances::unanswered(CallDirection::Outbound, Some(SipEnd::Cancelled))
        });
        assert_eq!((taken.status, taken.ended_by), (CallStatus::Failed, EndedBy::Client));
    }
}
