//! Between the stack's messages and states and ours.

use rsipstack::{
    dialog::dialog::TerminatedReason,
    sip::{Header, Response, StatusCode, StatusCodeKind},
};

use super::{dialog::Event, end::SipEnd, router};

pub(super) fn allow() -> Vec<Header> {
    vec![Header::Allow(router::ALLOW.into())]
}

pub(super) fn sdp_headers() -> Vec<Header> {
    vec![Header::ContentType("application/sdp".into()), Header::Allow(router::ALLOW.into())]
}

pub(super) fn body_text(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    (!text.trim().is_empty()).then(|| text.into_owned())
}

pub(super) fn end_of(response: &Response) -> SipEnd {
    match response.status_code.code() {
        401 | 407 => SipEnd::AuthRejected,
        status @ 300.. => SipEnd::Rejected { status, reason: reason_phrase(response) },
        status => SipEnd::ProtocolError { detail: format!("an INVITE cannot be answered with {status}") },
    }
}

fn reason_phrase(response: &Response) -> String {
    let reason = response.wire_reason.as_deref().unwrap_or_else(|| response.status_code.text());
    reason.chars().filter(|c| !c.is_control()).take(64).collect()
}

pub(super) fn terminated(reason: TerminatedReason) -> Event {
    match reason {
        TerminatedReason::UacCancel => Event::PeerCancelled,
        TerminatedReason::UacBye
        | TerminatedReason::UasBye
        | TerminatedReason::UacBusy
        | TerminatedReason::UasBusy
        | TerminatedReason::UasDecline => Event::PeerHungUp,
        TerminatedReason::Timeout => {
            Event::Broke(SipEnd::Unreachable { detail: "our 200 was never acknowledged".into() })
        }
        TerminatedReason::ProxyAuthRequired => Event::Broke(SipEnd::AuthRejected),
        TerminatedReason::ProxyError(status)
        | TerminatedReason::UacOther(status)
        | TerminatedReason::UasOther(status) => {
            Event::Broke(SipEnd::ProtocolError { detail: format!("the dialog ended with {}", status.code()) })
        }
    }
}

pub(super) fn is_success(status: &StatusCode) -> bool {
    status.kind() == StatusCodeKind::Successful
}
