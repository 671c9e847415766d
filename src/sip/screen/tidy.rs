//! The plain form of a sound message: what RFC 3261 allows to be written in many ways is written in the
//! one that the stack reads.

use std::borrow::Cow;

use super::raw::{Field, Raw};
use crate::sip::{
    party::{has_tag, uri_of},
    quoting::outside,
};

/// Where white space means nothing in From, To, Contact (section 25.1).
pub(super) const PARAMS: &str = ";=";
/// And in Via.
pub(super) const VIA: &str = ";=,/:";
/// Stands for the tag that a caller of RFC 2543 does not put into From; the stack knows no call
/// without one. It leaves the node in no datagram; over TCP and TLS it does: there the stack writes by itself.
const STAND_IN_TAG: &str = ";tag=rfc2543";

pub(super) fn write(raw: &Raw<'_>) -> Vec<u8> {
    let mut text = String::with_capacity(raw.start.len() + 64 * raw.fields.len());
    line(&mut text, &[&start_line(&raw.start)]);
    for field in &raw.fields {
        line(&mut text, &[&field.name, ": ", &plain(raw, field)]);
    }
    if raw.method() == "INVITE" && raw.first("Contact").is_none() {
        line(&mut text, &["Contact: ", &legacy_contact(raw.first("From").unwrap_or_default())]);
    }
    // A datagram's end is the body's end; the stack takes a body only by its length.
    if raw.first("Content-Length").is_none() {
        line(&mut text, &["Content-Length: ", &raw.body.len().to_string()]);
    }
    text.push_str("\r\n");
    [text.as_bytes(), raw.body].concat()
}

/// The version is the one word of it that may be written in any case (section 7.1).
fn start_line(start: &str) -> String {
    let plain = |word| if str::eq_ignore_ascii_case(word, "SIP/2.0") { "SIP/2.0" } else { word };
    start.trim_end().split([' ', '\t']).map(plain).collect::<Vec<_>>().join(" ")
}

fn line(text: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| text.push_str(part));
    text.push_str("\r\n");
}

fn plain(raw: &Raw<'_>, field: &Field) -> String {
    match field.name.to_ascii_lowercase().as_str() {
        "via" => tight(&field.value, VIA),
        "from" if raw.is_request() => tagged(tight(&field.value, PARAMS)),
        "from" | "to" | "contact" => tight(&field.value, PARAMS),
        "cseq" => field.value.split_whitespace().collect::<Vec<_>>().join(" "),
        _ => field.value.clone(),
    }
}

/// `value` with no white space around the separators in `around`, and one space elsewhere; what is
/// quoted or bracketed stays.
pub(super) fn tight(value: &str, around: &str) -> String {
    let mut tight = String::with_capacity(value.len());
    let (mut kept, mut gap) = (0, false);
    for (at, c) in outside(value) {
        if at > kept {
            separate(&mut tight, &mut gap, around, None);
            tight.push_str(&value[kept..at]);
        }
        kept = at + c.len_utf8();
        if c.is_ascii_whitespace() {
            gap = true;
        } else {
            separate(&mut tight, &mut gap, around, Some(c));
            tight.push(c);
        }
    }
    if kept < value.len() {
        separate(&mut tight, &mut gap, around, None);
        tight.push_str(&value[kept..]);
    }
    tight
}

/// The space that a gap becomes, if it separates anything.
fn separate(tight: &mut String, gap: &mut bool, around: &str, next: Option<char>) {
    let before = tight.chars().next_back();
    let means_nothing = before.is_none_or(|c| around.contains(c)) || next.is_some_and(|c| around.contains(c));
    if std::mem::take(gap) && !means_nothing {
        tight.push(' ');
    }
}

fn tagged(from: String) -> String {
    if has_tag(&from) { from } else { from + STAND_IN_TAG }
}

/// RFC 2543 sends requests within a call to the caller's own address.
fn legacy_contact(from: &str) -> String {
    format!("<{}>", uri_of(from).unwrap_or_default())
}

/// A message of ours without the tag that its peer never had.
pub(in crate::sip) fn as_the_peer_wrote(message: &[u8]) -> Cow<'_, [u8]> {
    let tag = STAND_IN_TAG.as_bytes();
    let Some(at) = message.windows(tag.len()).position(|window| window == tag) else { return message.into() };
    [&message[..at], &message[at + tag.len()..]].concat().into()
}
