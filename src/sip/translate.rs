//! What the stack says or understands otherwise than the RFCs, put right at the wire, both ways.

use std::sync::Arc;

use rsipstack::{
    sip::{
        Header, Method, Param, Response, SipMessage, StatusCode, StatusCodeKind, Transport,
        prelude::{HasHeaders, HeadersExt, ToTypedHeader},
    },
    transaction::endpoint::MessageInspector,
    transport::SipAddr,
};

use super::{
    addresses::Addresses, challenge, digest::DigestTranslator, early, late_offer::LateOffers, next_hop,
    registrar, reliable::RELIABLE,
};

pub(super) struct Translator {
    pub addresses: Arc<Addresses>,
    pub digest: DigestTranslator,
    pub late_offers: Arc<LateOffers>,
}

impl MessageInspector for Translator {
    fn before_send(&self, mut message: SipMessage, to: Option<&SipAddr>) -> SipMessage {
        if let SipMessage::Request(request) = &mut message {
            next_hop::take_off(request);
            early::readdress(request);
            registrar::write_contact(request);
            self.addresses.sign(request);
            challenge::mark_last(request);
            match request.method {
                Method::Ack => self.late_offers.answer(request),
                // The stack writes the type of an offer that is not there.
                Method::Invite if request.body.is_empty() => {
                    request.headers.retain(|header| !matches!(header, Header::ContentType(_)));
                }
                _ => {}
            }
        }
        self.digest.before_send(message, to)
    }

    fn after_received(&self, mut message: SipMessage, from: Option<&SipAddr>) -> SipMessage {
        if let Some(from) = from {
            reach_by_flow(message.headers_mut().iter_mut(), from);
        }
        if let SipMessage::Response(response) = &mut message {
            challenge::settle(response);
        }
        if let SipMessage::Response(response) = &mut message
            && response.cseq_header().is_ok_and(|cseq| cseq.method() == Ok(Method::Invite))
        {
            match response.status_code.kind() {
                StatusCodeKind::Provisional => take_over_reliability(response),
                StatusCodeKind::Successful => {
                    response.status_code = StatusCode::OK;
                    self.late_offers.hear(response);
                }
                _ => {}
            }
        }
        self.digest.after_received(message, from)
    }
}

/// A phone behind a WebSocket or a NAT that cannot name itself writes a host in `.invalid` (RFC 7118 section
/// 5.2) and relies on the flow it came by. Nothing resolves that name: its place takes the flow's address.
fn reach_by_flow<'a>(headers: impl Iterator<Item = &'a mut Header>, from: &SipAddr) {
    for header in headers {
        let Header::Contact(contact) = header else { continue };
        let Ok(typed) = contact.typed() else { continue };
        let host = typed.uri.host_with_port.host.to_string();
        if !host.to_ascii_lowercase().ends_with(".invalid") {
            continue;
        }
        let mut uri = typed.uri.clone();
        uri.host_with_port = from.addr.clone();
        uri.params.retain(|param| !matches!(param, Param::Transport(_)));
        uri.params.extend(from.r#type.filter(|kind| *kind != Transport::Udp).map(Param::Transport));
        *header = Header::Contact(format!("<{uri}>").into());
    }
}

/// The stack would acknowledge a reliable response by itself, but in the order of arrival, for one fork
/// of a call and by no route. Without the option tag it leaves that to us; `RSeq` is then the mark of a
/// reliable response. (A 2xx other than 200 it would take for a failure: hence the plain 200 above.)
fn take_over_reliability(response: &mut Response) {
    let lists = |list: &str| list.split(',').any(|tag| tag.trim().eq_ignore_ascii_case(RELIABLE));
    let mut reliable = false;
    response.headers_mut().retain(|header| {
        let required = matches!(header, Header::Require(list) if lists(list.value()));
        reliable |= required;
        !required
    });
    if !reliable {
        response.headers_mut().retain(|header| !matches!(header, Header::RSeq(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::nonce::NonceCounts, *};

    fn received(status: &str, method: &str, headers: &str) -> Response {
        let text = format!(
            "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:c@d>;tag=2\r\nCall-ID: a\r\nCSeq: 1 {method}\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        let message = SipMessage::Response(Response::try_from(text.as_bytes()).unwrap());
        let addresses = Arc::new(Addresses::new(([192, 0, 2, 1], 5060).into(), false, 5060, true, None));
        let digest = DigestTranslator(NonceCounts::new(&[]));
        let late_offers = Arc::default();
        match (Translator { addresses, digest, late_offers }).after_received(message, None) {
            SipMessage::Response(response) => response,
            SipMessage::Request(_) => panic!("a response stays one"),
        }
    }

    #[test]
    fn only_a_reliable_response_keeps_its_number() {
        let reliable = received("183 Session Progress", "INVITE", "Require: 100rel\r\nRSeq: 5\r\n");
        assert_eq!(reliable.rseq_value(), Some(5));
        assert!(!reliable.header_contains_token("Require", RELIABLE));
        let stray = received("183 Session Progress", "INVITE", "RSeq: 5\r\n");
        assert_eq!(stray.rseq_value(), None);
    }

    #[test]
    fn contact_that_nothing_resolves_becomes_the_flow_it_came_by() {
        let contact = |text: &str, kind| {
            let mut headers = [Header::Contact(text.into())];
            let from = SipAddr { r#type: Some(kind), addr: "192.0.2.7:5071".try_into().unwrap() };
            reach_by_flow(headers.iter_mut(), &from);
            headers[0].value().to_owned()
        };
        let invalid = "<sip:bob@df7jal23ls0d.invalid;transport=ws;ob>;expires=60";
        assert_eq!(contact(invalid, Transport::Udp), "<sip:bob@192.0.2.7:5071;ob>");
        assert_eq!(contact(invalid, Transport::Tcp), "<sip:bob@192.0.2.7:5071;ob;transport=TCP>");
        for kept in ["<sip:bob@192.0.2.9:5060>", "<sip:bob@pbx.example;transport=tcp>", "*", "garbage <"] {
            assert_eq!(contact(kept, Transport::Udp), kept);
        }
    }

    #[test]
    fn any_success_answers_an_invite() {
        for status in ["200 OK", "202 Accepted", "204 No Notification", "299 Odd"] {
            assert_eq!(received(status, "INVITE", "").status_code, StatusCode::OK, "{status}");
        }
        assert_eq!(received("202 Accepted", "REFER", "").status_code, StatusCode::Accepted);
        assert_eq!(received("486 Busy Here", "INVITE", "").status_code, StatusCode::BusyHere);
    }
}
