use rsipstack::sip::{
    SipMessage,
    prelude::{HasHeaders, HeadersExt},
};

use super::*;

fn request(start: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("{start}\r\n{fields}\r\n{body}").into_bytes()
}

const FIELDS: &str = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
    Call-ID: x\r\nCSeq: 1 OPTIONS\r\n";

fn options(fields: &str) -> Vec<u8> {
    request("OPTIONS sip:a@b SIP/2.0", fields, "")
}

fn screened(message: &[u8]) -> Result<Vec<u8>, Refused> {
    screen(message, "198.51.100.9:5099".parse().unwrap())
}

fn parsed(message: &[u8]) -> SipMessage {
    SipMessage::try_from(&screened(message).unwrap()[..]).unwrap()
}

fn first_line(message: &[u8]) -> String {
    let refused = screened(message).unwrap_err();
    let answer = String::from_utf8(refused.answer.expect("an answer")).unwrap();
    answer.lines().next().unwrap().trim_start_matches("SIP/2.0 ").to_owned()
}

#[test]
fn white_space_that_means_nothing_is_gone() {
    let odd = "v :\tSIP  / 2.0\r\n  /UDP\r\n   192.0.2.1 : 5062 ; branch =z9hG4bK1 , SIP/2.0/TCP x\r\n\
        from: \"a ; b\"  <sip:a@b>\r\n ;\r\n tag = 1\r\nTO: sip:c@d ; tag=2\r\ni: x\r\ncseq: 0007\r\n  OPTIONS\r\n";
    let message = parsed(&options(odd));
    let (via, from) = (message.via_header().unwrap(), message.from_header().unwrap());
    assert_eq!(via.value(), "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1,SIP/2.0/TCP x");
    assert_eq!(from.value(), "\"a ; b\" <sip:a@b>;tag=1");
    assert_eq!(message.to_header().unwrap().tag().unwrap().unwrap().value(), "2");
    assert_eq!(message.cseq_header().unwrap().seq(), Ok(7));
}

#[test]
fn name_that_is_not_utf8_hides_nothing_behind_it() {
    let mut message = options(&FIELDS.replace("<sip:a@b>", "\"Jrg\" <sip:a@b>"));
    let at = message.windows(3).position(|window| window == b"Jrg").unwrap();
    message.insert(at + 1, 0xf6);
    assert_eq!(parsed(&message).call_id_header().unwrap().value(), "x");
}

#[test]
fn message_that_outgrows_a_datagram_in_its_plain_form_is_none() {
    let mut message = options(&format!("Subject: {}\r\n{FIELDS}", "x".repeat(3_000)));
    assert!(screened(&message).is_ok());
    message.iter_mut().filter(|octet| **octet == b'x').for_each(|octet| *octet = 0xff);
    let refused = screened(&message).unwrap_err();
    assert_eq!(refused.why, "Message Too Large");
    assert!(refused.answer.unwrap().starts_with(b"SIP/2.0 513 "));
}

#[test]
fn datagram_without_a_length_keeps_its_body() {
    let message = parsed(&request("OPTIONS sip:a@b SIP/2.0", FIELDS, "v=0\r\n"));
    let SipMessage::Request(request) = message else { panic!("a request") };
    assert_eq!(request.body, b"v=0\r\n");
}

#[test]
fn caller_of_rfc_2543_gets_a_tag_and_a_contact_that_nobody_sees_again() {
    let fields = FIELDS.replace(";tag=1", "").replace("OPTIONS", "INVITE");
    let message = parsed(&request("INVITE sip:a@b SIP/2.0", &fields, ""));
    let from = message.from_header().unwrap().value().to_owned();
    assert!(message.from_header().unwrap().tag().unwrap().is_some(), "{from}");
    assert_eq!(*as_the_peer_wrote(from.as_bytes()), *b"<sip:a@b>");
    assert_eq!(*as_the_peer_wrote(b"<sip:a@b>;tag=1"), *b"<sip:a@b>;tag=1");
    assert!(message.headers().to_string().contains("Contact: <sip:a@b>"));
}

#[test]
fn tag_in_a_name_or_in_a_user_is_no_tag_to_anybody() {
    for from in ["sip:x@y;tag=1 <sip:a@b>", "sip:a;tag=1@b"] {
        let message = parsed(&options(&FIELDS.replace("<sip:a@b>;tag=1", from)));
        let tag = message.from_header().unwrap().tag().unwrap().unwrap_or_else(|| panic!("{from}"));
        assert_eq!(tag.value(), "rfc2543", "{from}");
    }
}

#[test]
fn version_may_be_written_in_any_case() {
    let message = request("OPTIONS sip:a@b sip/2.0", FIELDS, "");
    assert!(screened(&message).unwrap().starts_with(b"OPTIONS sip:a@b SIP/2.0\r\n"));
    assert!(screened(&request("Sip/2.0 200 OK", FIELDS, "")).unwrap().starts_with(b"SIP/2.0 200 OK\r\n"));
}

#[test]
fn plain_form_is_its_own_plain_form() {
    let once = screened(&options(FIELDS)).unwrap();
    assert_eq!(screened(&once).unwrap(), once);
}

#[test]
fn faults_are_named() {
    let swapped = |from: &str, to: &str| first_line(&options(&FIELDS.replace(from, to)));
    assert_eq!(swapped("Call-ID: x\r\n", ""), "400 Missing Call-ID");
    assert_eq!(swapped("Call-ID: x", "Call-ID: x\r\ni: y"), "400 Call-ID Repeated");
    assert_eq!(swapped("1 OPTIONS", "1 INVITE"), "400 CSeq Names Another Method");
    assert_eq!(swapped("1 OPTIONS", "2147483648 OPTIONS"), "400 CSeq Out of Range");
    assert_eq!(swapped("1 OPTIONS", "1"), "400 Malformed CSeq");
    assert_eq!(swapped("To: <", "To: \"x <"), "400 Malformed To");
    assert_eq!(swapped("CSeq", "\u{b}Content-Length: 0\r\nCSeq"), "400 Malformed Header Name");
    assert_eq!(swapped(">;tag=1", "><;tag=1"), "400 Malformed From");
    assert_eq!(swapped("<sip:a@b>;tag=1", "sip:a@b;tag=1;x=\"<c>\""), "400 Malformed From");
    assert_eq!(swapped("<sip:a@b>;", "\"a <sip:c@d>\";"), "400 Malformed From");
    assert_eq!(swapped("\r\nFrom", ", SIP/2.0/TCP= x\r\nFrom"), "400 Malformed Via");
    assert_eq!(swapped(";branch", ";;,;,,branch"), "400 Malformed Via");
    assert_eq!(swapped(";branch", ";x=<\">;branch"), "400 Malformed Via");
    assert_eq!(swapped("CSeq", "Max-Forwards: 256\r\nCSeq"), "400 Max-Forwards Out of Range");
    assert_eq!(swapped("CSeq", "Content-Length: -1\r\nCSeq"), "400 Content-Length Is No Number");
    assert_eq!(swapped("CSeq", "Content-Length: 0\r\n 5\r\nCSeq"), "400 Content-Length Is No Number");
    let started = |start: &str| first_line(&request(start, FIELDS, ""));
    assert_eq!(started("OPTIONS sip:a@b SIP/7.0"), "505 Version Not Supported");
    assert_eq!(started("OPTIONS  sip:a@b SIP/2.0"), "400 Malformed Request-Line");
    assert_eq!(started("OPTIONS sip:a@b; lr SIP/2.0"), "400 Malformed Request-Line");
    assert_eq!(started("OPTIONS <sip:a@b> SIP/2.0"), "400 Malformed Request-URI");
    assert_eq!(started("OPTIONS sip:a@b?Route=x SIP/2.0"), "400 Malformed Request-URI");
    assert_eq!(started("OPTIONS mailto:a@b SIP/2.0"), "416 Unsupported URI Scheme");
    assert_eq!(started("options sip:a@b SIP/2.0"), "501 Not Implemented");
    assert!(screened(&request("OPTIONS sip:a?b@c SIP/2.0", FIELDS, "")).is_ok());
}

#[test]
fn answer_copies_what_finds_the_request_again() {
    let message = options(&FIELDS.replace("OPTIONS", "INVITE").replace(";branch", ";rport;branch"));
    let answer = || String::from_utf8(screened(&message).unwrap_err().answer.unwrap()).unwrap();
    let text = answer();
    for line in [
        "Via: SIP/2.0/UDP 192.0.2.1;rport=5099;branch=z9hG4bK1;received=198.51.100.9",
        "Call-ID: x",
        "CSeq: 1 INVITE",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{text}");
    }
    assert!(text.contains("To: <sip:c@d>;tag=") && text == answer(), "one tag for every copy: {text}");
    let seen = FIELDS.replace(";branch", ";Received =203.0.113.1;branch").replace("OPTIONS", "INVITE");
    let text = String::from_utf8(screened(&options(&seen)).unwrap_err().answer.unwrap()).unwrap();
    let via = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;received=198.51.100.9\r\n";
    assert!(text.contains(via), "what we see and nothing else: {text}");
}

#[test]
fn responses_and_acknowledgements_are_never_answered() {
    let silent = |start: &str, fields: &str| screened(&request(start, fields, "")).unwrap_err().answer;
    assert_eq!(silent("SIP/2.0 4294967301 Big", FIELDS), None);
    assert_eq!(silent("SIP/2.0 099 Small", FIELDS), None);
    assert_eq!(silent("ACK sip:a@b SIP/2.0", FIELDS), None);
    assert_eq!(silent("OPTIONS sip:a@b SIP/2.0", "To: x\r\n"), None);
    assert!(screened(&request("SIP/2.0 299 ", FIELDS, "")).is_ok(), "a reason may be empty");
}

#[test]
fn contact_of_rfc_2543_is_the_address_and_not_what_the_name_says() {
    let fields = FIELDS.replace("<sip:a@b>;tag=1", "\"<sip:evil@x>\" <sip:a@b>").replace("OPTIONS", "INVITE");
    let message = parsed(&request("INVITE sip:a@b SIP/2.0", &fields, ""));
    assert!(message.headers().to_string().contains("Contact: <sip:a@b>"));
}
