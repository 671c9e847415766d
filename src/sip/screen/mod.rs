//! What stands between the wire and the stack's parser: a message is put into the plain form that
//! the parser reads as RFC 3261 means it, or refused with the status that RFC asks for. RFC 4475's
//! messages are the measure (`tests/sip/torture`).
//!
//! In: the octets of one message, and where it came from. Out: octets for the parser, or a [`Refused`]. Pure.
//!
//! | file | what it is |
//! |---|---|
//! | `raw` | a message as a start line and header fields, whatever stands in them |
//! | `fault` | what is wrong with it |
//! | `tidy` | the plain form |
//! | `answer` | a response without a transaction (section 8.2.7) |

mod answer;
mod fault;
mod raw;
mod tidy;

use std::net::SocketAddr;

use self::{fault::Fault, raw::Raw};
use super::guard::{self, Refusal};

pub(super) use self::tidy::as_the_peer_wrote;

/// Why the stack does not see a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub why: &'static str,
    /// A response to send, for a request that says enough of itself to be answered.
    pub answer: Option<Vec<u8>>,
}

/// One message for the stack's parser, no longer than a datagram of it may be. What follows the body that
/// `Content-Length` declares is no part of it.
pub(super) fn screen(message: &[u8], source: SocketAddr) -> Result<Vec<u8>, Refused> {
    let length = match guard::message_length(message) {
        Ok(length) => length,
        Err(refusal) => return Err(misframed(message, source, refusal)),
    };
    let Some(raw) = Raw::parse(&message[..length]) else {
        return Err(Refused { why: "no header fields", answer: None });
    };
    if let Some(fault) = fault::find(&raw) {
        return Err(refused(&raw, source, &fault));
    }
    let plain = tidy::write(&raw);
    if plain.len() > guard::MAX_DATAGRAM {
        let fault = Fault { status: 513, reason: "Message Too Large", field: None };
        return Err(refused(&raw, source, &fault));
    }
    Ok(plain)
}

/// What a request is answered, sound or not, that its sender may repeat in a second, or take elsewhere (section
/// 21.5.4). `None` where nothing may be answered.
pub(super) fn busy(message: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let retry = Some(("Retry-After", "1"));
    let fault = Fault { status: 503, reason: "Service Unavailable", field: retry };
    answer::to(&Raw::parse(message)?, source, &fault)
}

/// A request whose length lies is answered (section 18.3); of anything else not even the end is known.
fn misframed(message: &[u8], source: SocketAddr, refusal: Refusal) -> Refused {
    let why = match refusal {
        Refusal::TooLong | Refusal::NoHeaderEnd => return Refused { why: "no message", answer: None },
        Refusal::BadContentLength => "Content-Length Is No Number",
        Refusal::RepeatedContentLength => "Content-Length Repeated",
        Refusal::BodyShorterThanContentLength => "Body Shorter Than Content-Length",
    };
    let answer = Raw::parse(message).map(|raw| refused(&raw, source, &Fault::bad(why)));
    answer.unwrap_or(Refused { why, answer: None })
}

fn refused(raw: &Raw<'_>, source: SocketAddr, fault: &Fault) -> Refused {
    Refused { why: fault.reason, answer: answer::to(raw, source, fault) }
}

#[cfg(test)]
mod tests;
