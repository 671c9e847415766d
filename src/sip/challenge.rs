//! A challenge to our REFER that we have no answer to, which must not cost the call.
//!
//! The stack takes it for the end of the dialog and would send no BYE, while for the peer the call goes on.
//! So a REFER that is the last we try says so in its Via, which the response brings back, and a challenge in
//! that response becomes a plain refusal at the wire. (RFC 3261 section 12.2.1.2 ends a dialog by 481 and
//! 408 alone.)

use rsipstack::sip::{Header, Method, Request, Response, StatusCode, prelude::HeadersExt};

const WITHOUT_CREDENTIALS: &str = "Callbox-Without-Credentials";
const LAST: &str = ";last";

/// For a REFER whose trunk has no credentials, to be taken off by [`mark_last`].
pub(super) fn without_credentials() -> Header {
    Header::Other(WITHOUT_CREDENTIALS.into(), String::new())
}

/// Marks a REFER after which there is no other.
pub(super) fn mark_last(request: &mut Request) {
    if request.method != Method::Refer {
        return;
    }
    let ours = |header: &Header| matches!(header, Header::Other(name, _) if name == WITHOUT_CREDENTIALS);
    let answers =
        |header: &Header| matches!(header, Header::Authorization(_) | Header::ProxyAuthorization(_));
    let last = request.headers.iter().any(|header| ours(header) || answers(header));
    request.headers.retain(|header| !ours(header));
    if last && let Ok(via) = request.via_header() {
        let marked = format!("{}{LAST}", via.value());
        request.headers.unique_push(Header::Via(marked.into()));
    }
}

/// Makes a challenge to a marked REFER a refusal.
pub(super) fn settle(response: &mut Response) {
    let challenges =
        matches!(response.status_code, StatusCode::Unauthorized | StatusCode::ProxyAuthenticationRequired);
    let last = challenges
        && response.cseq_header().is_ok_and(|cseq| cseq.method() == Ok(Method::Refer))
        && response
            .via_header()
            .is_ok_and(|via| via.value().split(';').any(|param| param.trim() == &LAST[1..]));
    if last {
        response.status_code = StatusCode::Forbidden;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(method: &str, header: Option<Header>) -> Request {
        let text = format!(
            "{method} sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2;rport\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: a\r\nCSeq: 2 {method}\r\n\r\n"
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
            let refer = sent("REFER", Some(last));
            assert!(!refer.to_string().contains("Callbox"), "{refer}");
            assert_eq!(answered(&refer, "407 Proxy Authentication Required"), StatusCode::Forbidden);
            assert_eq!(answered(&refer, "401 Unauthorized"), StatusCode::Forbidden);
            assert_eq!(answered(&refer, "405 Method Not Allowed"), StatusCode::MethodNotAllowed);
        }
    }

    #[test]
    fn challenge_that_can_be_answered_stays_one() {
        let refer = sent("REFER", None);
        assert_eq!(answered(&refer, "401 Unauthorized"), StatusCode::Unauthorized);
        let bye = sent("BYE", Some(without_credentials()));
        assert_eq!(answered(&bye, "401 Unauthorized"), StatusCode::Unauthorized);
    }
}
