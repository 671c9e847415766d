//! What is wrong with a message, in the order in which RFC 3261 section 8.2 looks at a request.

use rsipstack::sip::{Uri, headers::untyped, prelude::ToTypedHeader};

use super::{
    raw::Raw,
    tidy::{PARAMS, VIA, tight},
};
use crate::sip::{
    guard::parse_content_length,
    message::ALLOW,
    party::{has_tag, uri_of},
    quoting::{elements, is_balanced},
};

/// Methods that this node can tell from others; those it does not serve get a 405 further in.
const METHODS: [&str; 14] = [
    "ACK",
    "BYE",
    "CANCEL",
    "INFO",
    "INVITE",
    "MESSAGE",
    "NOTIFY",
    "OPTIONS",
    "PRACK",
    "PUBLISH",
    "REFER",
    "REGISTER",
    "SUBSCRIBE",
    "UPDATE",
];
/// Header fields that stand in every message exactly once (section 8.1.1).
const ONCE: [(&str, &str, &str); 4] = [
    ("Call-ID", "Missing Call-ID", "Call-ID Repeated"),
    ("CSeq", "Missing CSeq", "CSeq Repeated"),
    ("From", "Missing From", "From Repeated"),
    ("To", "Missing To", "To Repeated"),
];

/// A status, and its reason phrase, which names the fault (section 21.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub status: u16,
    pub reason: &'static str,
    /// A header field that goes with the status.
    pub field: Option<(&'static str, &'static str)>,
}

impl Fault {
    pub const fn bad(reason: &'static str) -> Self {
        Fault { status: 400, reason, field: None }
    }
}

pub(super) fn find(raw: &Raw<'_>) -> Option<Fault> {
    if raw.is_request() { find_in_request(raw) } else { find_in_response(raw) }.err()
}

fn find_in_request(raw: &Raw<'_>) -> Result<(), Fault> {
    let mut words = raw.start.trim_end().split([' ', '\t']);
    let (method, uri) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let version = words.next().unwrap_or_default();
    if words.next().is_some() || uri.is_empty() || !is_token(method) {
        return Err(Fault::bad("Malformed Request-Line"));
    }
    check_version(version)?;
    check_fields(raw)?;
    let (number, cseq_method) = cseq(raw)?;
    if !METHODS.contains(&method) {
        return Err(Fault { status: 501, reason: "Not Implemented", field: Some(("Allow", ALLOW)) });
    }
    check_request_uri(uri)?;
    if cseq_method != method {
        return Err(Fault::bad("CSeq Names Another Method"));
    }
    check_number(number)?;
    match raw.first("Max-Forwards").map(str::parse::<u8>) {
        Some(Err(_)) => Err(Fault::bad("Max-Forwards Out of Range")),
        _ => Ok(()),
    }
}

fn find_in_response(raw: &Raw<'_>) -> Result<(), Fault> {
    let mut words = raw.start.split([' ', '\t']);
    check_version(words.next().unwrap_or_default())?;
    let code = words.next().unwrap_or_default();
    if code.len() != 3 || !code.parse::<u16>().is_ok_and(|code| (100..700).contains(&code)) {
        return Err(Fault::bad("Malformed Status-Line"));
    }
    check_fields(raw)?;
    check_number(cseq(raw)?.0)
}

fn check_version(version: &str) -> Result<(), Fault> {
    let Some(number) =
        version.get(..4).filter(|name| name.eq_ignore_ascii_case("SIP/")).map(|_| &version[4..])
    else {
        return Err(Fault::bad("Malformed SIP Version"));
    };
    match number.split_once('.') {
        Some(("2", "0")) => Ok(()),
        Some((major, minor)) if is_number(major) && is_number(minor) => {
            Err(Fault { status: 505, reason: "Version Not Supported", field: None })
        }
        _ => Err(Fault::bad("Malformed SIP Version")),
    }
}

/// The fields by which a message finds its transaction and its dialog: each there, once, and readable
/// to the stack, which would drop the message without a word.
fn check_fields(raw: &Raw<'_>) -> Result<(), Fault> {
    // A name with a stray octet is one thing to who finds the end of the body, and another to the stack.
    if !raw.fields.iter().all(|field| is_token(&field.name)) {
        return Err(Fault::bad("Malformed Header Name"));
    }
    for (name, missing, repeated) in ONCE {
        match raw.all(name).count() {
            0 => return Err(Fault::bad(missing)),
            1 => {}
            _ => return Err(Fault::bad(repeated)),
        }
    }
    if raw.all("Max-Forwards").count() > 1 {
        return Err(Fault::bad("Max-Forwards Repeated"));
    }
    // Who finds the end of the body looks at one line; the stack takes what continues it, too.
    if raw.first("Content-Length").is_some_and(|length| parse_content_length(length.as_bytes()).is_none()) {
        return Err(Fault::bad("Content-Length Is No Number"));
    }
    check_vias(raw)?;
    let value = |name| raw.first(name).unwrap_or_default();
    for (name, malformed) in [("From", "Malformed From"), ("To", "Malformed To")] {
        if !is_address(value(name)) {
            return Err(Fault::bad(malformed));
        }
    }
    if value("Call-ID").is_empty() || value("Call-ID").contains(' ') {
        return Err(Fault::bad("Malformed Call-ID"));
    }
    if !raw.all("Contact").all(is_balanced) {
        return Err(Fault::bad("Malformed Contact"));
    }
    Ok(())
}

/// An address whose tag the stack reads as we do, though it looks for brackets in quotes, too; and whose URI
/// has none.
fn is_address(value: &str) -> bool {
    let plain = tight(value, PARAMS);
    let read = untyped::From::new(plain.as_str()).typed();
    let is_read = read.is_ok_and(|read| read.tag().is_some() == has_tag(&plain));
    is_read && is_balanced(value) && uri_of(&plain).is_some_and(|uri| !uri.contains(['<', '>']))
}

fn check_vias(raw: &Raw<'_>) -> Result<(), Fault> {
    let lists: Vec<String> = raw.all("Via").map(|list| tight(list, VIA)).collect();
    let Some(first) = lists.first() else { return Err(Fault::bad("Missing Via")) };
    // The stack looks for quotes in brackets, too, and may see another end of the topmost.
    let top = untyped::Via::new(first.as_str()).first_value();
    let is_read = top.is_ok_and(|top| elements(first).first() == Some(&top.value()) && top.typed().is_ok());
    let is_sound = |list: &String| is_balanced(list) && elements(list).into_iter().all(is_via);
    if !is_read || !lists.iter().all(is_sound) {
        return Err(Fault::bad("Malformed Via"));
    }
    Ok(())
}

/// A protocol, its version, a transport, and an address after it.
fn is_via(via: &str) -> bool {
    let mut parts = via.splitn(3, '/').map(str::trim);
    let sip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("SIP"));
    sip && parts.next() == Some("2.0") && parts.next().is_some_and(|rest| rest.contains([' ', '\t']))
}

fn cseq<'a>(raw: &'a Raw<'_>) -> Result<(&'a str, &'a str), Fault> {
    let mut words = raw.first("CSeq").unwrap_or_default().split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(number), Some(method), None) if is_number(number) && is_token(method) => Ok((number, method)),
        _ => Err(Fault::bad("Malformed CSeq")),
    }
}

/// Below 2^31 (section 8.1.1.5).
fn check_number(number: &str) -> Result<(), Fault> {
    let fits = number.parse::<u32>().is_ok_and(|number| number < 1 << 31);
    if fits { Ok(()) } else { Err(Fault::bad("CSeq Out of Range")) }
}

/// A SIP or tel URI without header fields (section 19.1.1, table 1).
fn check_request_uri(uri: &str) -> Result<(), Fault> {
    let malformed = Fault::bad("Malformed Request-URI");
    let (scheme, rest) = uri.split_once(':').ok_or(malformed)?;
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(is_scheme) {
        return Err(malformed);
    }
    if !["sip", "sips", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(Fault { status: 416, reason: "Unsupported URI Scheme", field: None });
    }
    // A user may have a question mark in its name; what follows one behind the host are header fields.
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if host.contains('?') || uri.contains(['<', '>', '"']) || Uri::try_from(uri).is_err() {
        return Err(malformed);
    }
    Ok(())
}

fn is_token(word: &str) -> bool {
    let is_mark = |c: char| "-.!%*_+`'~".contains(c);
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || is_mark(c))
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}
