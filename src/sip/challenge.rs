//! A challenge within a call that we have no answer to, which must not cost the call.
//!
//! The stack takes it for the end of the dialog and would send no BYE, while for the peer the call goes on.
//! So a request within a dialog that is the last we try says so in its Via, which the response brings back,
//! and a challenge in that response becomes a plain refusal at the wire. (RFC 3261 section 12.2.1.2 ends a
//! dialog by 481 and 408 alone.) A BYE ends the dialog whatever is said to it.

use rsipstack::sip::{Header, Method, Request, Response, StatusCode, prelude::HeadersExt};

const WITHOUT_CREDENTIALS: &str = "Callbox-Without-Credentials";
const LAST: &str = ";last";

/// For a request within a call whose trunk has no credentials, to be taken off by [`mark_last`].
pub(super) fn without_credentials() -> Header {
    Header::Other(WITHOUT_CREDENTIALS.into(), String::new())
}

/// Marks a request within a dialog after which there is no other.
pub(super) fn mark_last(request: &mut Request) {
    let ours = |header: &Header| matches!(header, Header::Other(name, _) if name == WITHOUT_CREDENTIALS);
    let answers =
        |header: &Header| matches!(header, Header::Authorization(_) | Header::ProxyAuthorization(_));
    let last = request.headers.iter().any(|header| ours(header) || answers(header));
    request.headers.retain(|header| !ours(header));
    if last
        && is_within_a_dialog(request)
        && let Ok(via) = request.via_header()
    {
        let marked = format!("{}{LAST}", via.value());
        request.headers.unique_push(Header::Via(marked.into()));
    }
}

fn is_within_a_dialog(request: &Request) -> bool {
    let goes_on = !matches!(request.method, Method::Ack | Method::Bye | Method::Cancel);
    goes_on && matches!(request.to_header().map(|to| to.tag()), Ok(Ok(Some(_))))
}

/// Makes a challenge to a marked request a refusal.
pub(super) fn settle(response: &mut Response) {
    let challenges =
        matches!(response.status_code, StatusCode::Unauthorized | StatusCode::ProxyAuthenticationRequired);
    let last = || {
        let via = response.via_header();
        via.is_ok_and(|via| via.value().split(';').any(|param| param.trim() == &LAST[1..]))
    };
    if challenges && last() {
        response.status_code = StatusCode::Forbidden;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(method: &str, header: Option<Header>) -> Request {
        sent_to(method, "<sip:c@d>;tag=2", header)
    }

    fn sent_to(method: &str, to: &str, header: Option<Header>) -> Request {
        let text = format!(
            "{method} sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2;rport\r\n\
             From: <sip:a@b>;tag=1\r\nTo: {to}\r\nCall-ID: a\r\nCSeq: 2 {method}\r\n\r\n"
        );
        let mut request = Request::try_from(text.as_bytes()).unwrap();
        request.headers.extend(header.into_iter().collect());
        mark_last(&mut request);
        request
    }

    fn answered(request: &Request, status: &str) -> StatusCode {
        let via = request.via_header().unwrap().value().replace("rport", "received=192.0.2.1;rport=5060");
        let text = format!(
            "SIP/2.0 {status}\r\nVia: {via}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: a\r\n\
             CSeq: 2 {}\r\nContent-Length: 0\r\n\r\n",
            request.method
        );
        let mut response = Response::try_from(text.as_bytes()).unwrap();
        settle(&mut response);
        response.status_code
    }

    #[test]
    fn challenge_that_cannot_be_answered_is_a_refusal() {
        let digest = Header::ProxyAuthorization("Digest username=\"u\"".into());
        for last in [without_credentials(), digest] {
            for method in ["REFER", "UPDATE", "INVITE", "PRACK"] {
                let request = sent(method, Some(last.clone()));
                assert!(!request.to_string().contains("Callbox"), "{request}");
                assert_eq!(answered(&request, "407 Proxy Authentication Required"), StatusCode::Forbidden);
                assert_eq!(answered(&request, "401 Unauthorized"), StatusCode::Forbidden);
                assert_eq!(answered(&request, "405 Method Not Allowed"), StatusCode::MethodNotAllowed);
            }
        }
    }

    #[test]
    fn challenge_that_can_be_answered_stays_one() {
        let refer = sent("REFER", None);
        assert_eq!(answered(&refer, "401 Unauthorized"), StatusCode::Unauthorized);
        let bye = sent("BYE", Some(without_credentials()));
        assert_eq!(answered(&bye, "401 Unauthorized"), StatusCode::Unauthorized);
    }

    #[test]
    fn rejected_password_of_a_call_that_begins_stays_a_challenge() {
        let digest = Header::Authorization("Digest username=\"u\"".into());
        let invite = sent_to("INVITE", "<sip:c@d>", Some(digest));
        assert_eq!(answered(&invite, "401 Unauthorized"), StatusCode::Unauthorized);
    }
}
