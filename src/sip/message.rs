//! Between the stack's messages and states and ours.

use rsipstack::{
    dialog::dialog::TerminatedReason,
    sip::{Header, Headers, Response, StatusCode, StatusCodeKind},
};

use super::{
    dialog::Event,
    end::SipEnd,
    error::describe,
    reliable::RELIABLE,
    session_timer::{self, Asked, SessionExpires, TIMER},
};
use crate::base::Pii;

/// Methods served, in and out of a dialog.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, NOTIFY";
pub(super) const SDP: &str = "application/sdp";

pub(super) fn allow() -> Header {
    Header::Allow(ALLOW.into())
}

/// The extensions known here.
pub(super) fn supported(timers: bool) -> Header {
    Header::Supported(if timers { format!("{RELIABLE}, {TIMER}") } else { RELIABLE.to_owned() }.into())
}

/// Those of a call that leaves without an offer: a reliable response would bring the peer's, and want our
/// answer in its PRACK.
pub(super) fn supported_late(timers: bool) -> Option<Header> {
    timers.then(|| Header::Supported(TIMER.into()))
}

/// What a request requires and is not known here, as `Unsupported` says it.
pub(super) fn unknown_extensions(headers: &Headers, timers: bool) -> Option<String> {
    let known = |tag: &str| {
        tag.eq_ignore_ascii_case(RELIABLE) || (timers && tag.eq_ignore_ascii_case(TIMER)) || tag.is_empty()
    };
    let unknown: Vec<_> = option_tags(headers, require_list).filter(|tag| !known(tag)).collect();
    (!unknown.is_empty()).then(|| unknown.join(", "))
}

pub(super) fn requires(headers: &Headers, tag: &str) -> bool {
    option_tags(headers, require_list).any(|required| required.eq_ignore_ascii_case(tag))
}

/// What a request says of session timers.
pub(super) fn asked(headers: &Headers) -> Asked {
    Asked {
        supported: option_tags(headers, |header| require_list(header).or(supported_list(header)))
            .any(|tag| tag.eq_ignore_ascii_case(TIMER)),
        expires: session_expires(headers),
        min_se: min_se(headers),
    }
}

pub(super) fn session_expires(headers: &Headers) -> Option<SessionExpires> {
    headers.iter().find_map(|header| match header {
        Header::SessionExpires(value) => SessionExpires::parse(value.value()),
        _ => None,
    })
}

pub(super) fn min_se(headers: &Headers) -> Option<std::time::Duration> {
    headers.iter().find_map(|header| match header {
        Header::MinSE(value) => session_timer::parse_min_se(value.value()),
        _ => None,
    })
}

/// Whether the peer takes UPDATE requests; one that does not say takes none (RFC 3311 section 4).
pub(super) fn allows_update(headers: &Headers) -> bool {
    allows(headers, "UPDATE")
}

/// Whether the peer says that it takes REFER requests.
pub(super) fn allows_refer(headers: &Headers) -> bool {
    allows(headers, "REFER")
}

fn allows(headers: &Headers, wanted: &str) -> bool {
    option_tags(headers, allow_list).any(|method| method.eq_ignore_ascii_case(wanted))
}

/// Whether a description may stand in an answer; a caller that does not say takes one (RFC 3261 section
/// 11.2).
pub(super) fn accepts_sdp(headers: &Headers) -> bool {
    let mut lists = headers.iter().filter_map(accept_list).peekable();
    let types = ["application/sdp", "application/*", "*/*"];
    let kind = |range: &str| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    lists.peek().is_none()
        || lists.flat_map(|list| list.split(',')).any(|range| types.contains(&&*kind(range)))
}

/// The elements of every header that `list` picks.
fn option_tags<'a>(
    headers: &'a Headers,
    list: impl Fn(&'a Header) -> Option<&'a str>,
) -> impl Iterator<Item = &'a str> {
    headers.iter().filter_map(list).flat_map(|list| list.split(',')).map(str::trim)
}

fn require_list(header: &Header) -> Option<&str> {
    if let Header::Require(list) = header { Some(list.value()) } else { None }
}

fn supported_list(header: &Header) -> Option<&str> {
    if let Header::Supported(list) = header { Some(list.value()) } else { None }
}

fn allow_list(header: &Header) -> Option<&str> {
    if let Header::Allow(list) = header { Some(list.value()) } else { None }
}

fn accept_list(header: &Header) -> Option<&str> {
    if let Header::Accept(list) = header { Some(list.value()) } else { None }
}

/// How long a peer waits that asked while its own request of before is unanswered (RFC 3261 section 14.2).
pub(super) fn retry_soon() -> Header {
    Header::RetryAfter(rand::random_range(0..=10u32).to_string().into())
}

pub(super) fn body_text(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    (!text.trim().is_empty()).then(|| text.into_owned())
}

pub(super) fn end_of(response: &Response) -> SipEnd {
    match response.status_code.code() {
        401 | 407 => SipEnd::AuthRejected,
        status @ 300.. => SipEnd::Rejected { status, reason: Pii::new(reason_phrase(response)) },
        status => SipEnd::ProtocolError { detail: format!("an INVITE cannot be answered with {status}") },
    }
}

/// The end of a call whose INVITE the stack could not bring to an end.
pub(super) fn end_by(error: &rsipstack::Error) -> SipEnd {
    use rsipstack::Error::{IoError, TransportLayerError};
    let detail = describe(error);
    match error {
        // The connection broke, or could not be made.
        IoError(_) | TransportLayerError(..) => SipEnd::Unreachable { detail },
        _ => SipEnd::ProtocolError { detail },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unknown_is_unsupported() {
        let headers = |required: &[&str]| {
            let required = required.iter().map(|list| Header::Require((*list).into()));
            Headers::from(required.collect::<Vec<_>>())
        };
        assert_eq!(unknown_extensions(&headers(&["100rel, Timer"]), true), None);
        assert_eq!(unknown_extensions(&headers(&["timer"]), false), Some("timer".into()));
        let mixed = headers(&["100rel,precondition", "", "gruu"]);
        assert_eq!(unknown_extensions(&mixed, true), Some("precondition, gruu".into()));
        assert!(requires(&mixed, "100REL") && !requires(&mixed, "timer"));
    }

    #[test]
    fn description_goes_to_whoever_does_not_exclude_it() {
        let accept = |list: &str| Headers::from(vec![Header::Accept(list.into())]);
        assert!(accepts_sdp(&Headers::from(vec![])));
        assert!(accepts_sdp(&accept("text/plain, Application/SDP;level=1")) && accepts_sdp(&accept("*/*")));
        assert!(!accepts_sdp(&accept("text/nobodyKnowsThis")));
    }

    #[test]
    fn peer_that_names_no_methods_takes_no_update() {
        let allow = |list: &str| Headers::from(vec![Header::Allow(list.into())]);
        assert!(allows_update(&allow("INVITE, update")));
        assert!(!allows_update(&allow("INVITE, ACK")));
        assert!(!allows_update(&Headers::from(vec![])));
    }
}
