//! What the fuzz targets reach of this module (`tests/hostile/bodies.rs`). No part of the API.

use std::net::SocketAddr;

use rsipstack::{
    sip::SipMessage,
    transaction::key::{TransactionKey, TransactionRole},
};

use super::{screen, sdp::crypto::Crypto, stun};
use crate::base::srtp::{MasterKey, Suite};

/// The plain form of a message, or the answer to it, if it gets one.
pub fn screen(message: &[u8]) -> Result<Vec<u8>, Option<Vec<u8>>> {
    let source = SocketAddr::from(([192, 0, 2, 1], 5060));
    screen::screen(message, source).map_err(|refused| refused.answer)
}

/// By which transaction the stack knows a message; `None` if it cannot read it.
pub fn transaction(message: &[u8]) -> Option<String> {
    let key = match SipMessage::try_from(message).ok()? {
        SipMessage::Request(request) => TransactionKey::from_request(&request, TransactionRole::Server),
        SipMessage::Response(response) => TransactionKey::from_response(&response, TransactionRole::Client),
    };
    key.ok().map(|key| key.to_string())
}

/// The address in a STUN server's answer to the request `id`.
pub fn mapped_address(datagram: &[u8], id: [u8; 12]) -> Option<SocketAddr> {
    stun::mapped_address(datagram, id)
}

/// Tag, suite and key of what stands behind `a=crypto:`, and how it is written.
pub fn crypto(value: &str) -> Option<(u32, Suite, MasterKey, String)> {
    Crypto::parse(value).map(|line| (line.tag, line.suite, line.key, line.to_string()))
}
