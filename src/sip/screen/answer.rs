//! A response by someone who keeps no state of the request (RFC 3261 section 8.2.7).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
};

use super::{
    fault::Fault,
    raw::Raw,
    tidy::{PARAMS, tight},
};
use crate::sip::{
    party::has_tag,
    quoting::{elements, outside},
};

/// Copied from the request after its Vias (section 8.2.6.2).
const COPIED: [&str; 4] = ["From", "To", "Call-ID", "CSeq"];

/// `None` for a response, for an ACK, and for a request that does not say whom it passed.
pub(super) fn to(raw: &Raw<'_>, source: SocketAddr, fault: &Fault) -> Option<Vec<u8>> {
    if !raw.is_request() || raw.method() == "ACK" {
        return None;
    }
    let mut vias = raw.all("Via").map(str::to_owned);
    let top = seen_from(&vias.next()?, source);
    let mut text = format!("SIP/2.0 {} {}\r\n", fault.status, fault.reason);
    let mut copy =
        |name: &str, value: &str| text.push_str(&format!("{name}: {}\r\n", value.replace('\r', " ")));
    [top].into_iter().chain(vias).for_each(|via| copy("Via", &via));
    for name in COPIED {
        let is_bare = |to: &str| name == "To" && !has_tag(&tight(to, PARAMS));
        let tag = |to: &str| if is_bare(to) { tag_of(raw) } else { String::new() };
        raw.first(name).iter().for_each(|value| copy(name, &format!("{value}{}", tag(value))));
    }
    if let Some((name, value)) = fault.field {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    Some(text.into_bytes())
}

/// The topmost Via with the address it came from (section 18.2.1), and its port if it asks for that
/// (RFC 3581).
fn seen_from(vias: &str, source: SocketAddr) -> String {
    let (top, rest) = vias.split_at(elements(vias).first().map_or(0, |top| top.len()));
    let mut top = format!("{};received={}", without_received(top), source.ip().to_canonical());
    if let Some(at) = end_of_empty_rport(&top) {
        top.insert_str(at, &format!("={}", source.port()));
    }
    top + rest
}

/// One that stands there already may be the sender's own word.
fn without_received(via: &str) -> String {
    let ends = outside(via).filter(|(_, c)| *c == ';').map(|(at, _)| at).chain([via.len()]);
    let (mut from, mut kept) = (0, String::new());
    for end in ends {
        let (part, name) = (&via[from..end], via[from..end].trim_start_matches(';').split('=').next());
        if !name.is_some_and(|name| name.trim().eq_ignore_ascii_case("received")) {
            kept.push_str(part);
        }
        from = end;
    }
    kept
}

fn end_of_empty_rport(via: &str) -> Option<usize> {
    let mut semicolons = outside(via).filter(|(_, c)| *c == ';');
    semicolons.find_map(|(at, _)| {
        let param = via[at + 1..].trim_start();
        let after = param.strip_prefix("rport").filter(|after| after.trim_start().starts_with(';'))?;
        Some(via.len() - after.len())
    })
}

/// The same for every copy of the request.
fn tag_of(raw: &Raw<'_>) -> String {
    let mut hasher = DefaultHasher::new();
    raw.first("Via").hash(&mut hasher);
    COPIED.iter().for_each(|name| raw.first(name).hash(&mut hasher));
    format!(";tag={:016x}", hasher.finish())
}
