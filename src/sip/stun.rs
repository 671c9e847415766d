//! What address a server on the other side of a NAT sees us by: the Binding request of STUN
//! (RFC 8489), and no more of it. Pure: bytes in and out.

use std::net::{IpAddr, SocketAddr};

const MAGIC: u32 = 0x2112_a442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const MAPPED_ADDRESS: u16 = 0x0001;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const HEADER: usize = 20;

/// Ties a response to its request; drawn at random, so that nobody off the path can answer.
pub(super) type TransactionId = [u8; 12];

/// A Binding request.
pub(super) fn request(id: TransactionId) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    bytes[4..8].copy_from_slice(&MAGIC.to_be_bytes());
    bytes[8..].copy_from_slice(&id);
    bytes
}

/// Whether a datagram is an answer of a STUN server, of whatever kind; no SIP message begins like one.
pub(super) fn is_response(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram[0] == 1 && datagram[4..8] == MAGIC.to_be_bytes()
}

/// The address in a success response to `id`; `None` for everything else.
pub(super) fn mapped_address(datagram: &[u8], id: TransactionId) -> Option<SocketAddr> {
    let (header, attributes) = datagram.split_at_checked(HEADER)?;
    let is_ours =
        half(header, 0)? == BINDING_SUCCESS && header[4..8] == MAGIC.to_be_bytes() && header[8..] == id;
    let attributes = attributes.get(..usize::from(half(header, 2)?)).filter(|_| is_ours)?;
    let mut plain = None;
    let mut rest = attributes;
    while let (Some(kind), Some(length)) = (half(rest, 0), half(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(4..4 + length)?;
        match kind {
            // It cannot be rewritten by a router that meddles with addresses in payloads.
            XOR_MAPPED_ADDRESS => return address(value, Some(id)),
            MAPPED_ADDRESS => plain = address(value, None),
            _ => {}
        }
        rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    plain
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// An address attribute (sections 14.1 and 14.2), with the mask taken off if it has one.
fn address(value: &[u8], masked_by: Option<TransactionId>) -> Option<SocketAddr> {
    let mut mask = [0; 16];
    if let Some(id) = masked_by {
        mask[..4].copy_from_slice(&MAGIC.to_be_bytes());
        mask[4..].copy_from_slice(&id);
    }
    let port = half(value, 2)? ^ u16::from_be_bytes([mask[0], mask[1]]);
    let unmasked =
        |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect() };
    let ip = match (value.get(1)?, &value[4.min(value.len())..]) {
        (1, ip @ [_, _, _, _]) => IpAddr::from(<[u8; 4]>::try_from(unmasked(ip)).ok()?),
        (2, ip) if ip.len() == 16 => IpAddr::from(<[u8; 16]>::try_from(unmasked(ip)).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The transaction of RFC 5769's test vectors.
    const ID: TransactionId = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    fn response(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = request(ID).to_vec();
        bytes[..2].copy_from_slice(&BINDING_SUCCESS.to_be_bytes());
        bytes[2..4].copy_from_slice(&(attributes.len() as u16).to_be_bytes());
        bytes.extend(attributes);
        bytes
    }

    /// SOFTWARE with its padding, then XOR-MAPPED-ADDRESS: the beginning of RFC 5769 section 2.2.
    const V4: [u8; 28] = [
        0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20, 0x00,
        0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
    ];
    /// Section 2.3.
    const V6: [u8; 24] = [
        0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc,
        0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
    ];

    #[test]
    fn test_vectors_of_rfc_5769_are_read() {
        assert_eq!(mapped_address(&response(&V4), ID), Some("192.0.2.1:32853".parse().unwrap()));
        let v6 = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        assert_eq!(mapped_address(&response(&V6), ID), Some(v6));
    }

    #[test]
    fn old_servers_name_the_address_plainly() {
        let plain = [0, 1, 0, 8, 0, 1, 0x13, 0xc4, 192, 0, 2, 9];
        assert_eq!(mapped_address(&response(&plain), ID), Some("192.0.2.9:5060".parse().unwrap()));
    }

    #[test]
    fn strangers_answers_and_requests_are_not_believed() {
        assert_eq!(mapped_address(&response(&V4), [0; 12]), None);
        assert_eq!(mapped_address(&request(ID), ID), None);
        assert!(!is_response(&request(ID)) && is_response(&response(&V4)));
        let mut error = response(&V4);
        error[1] = 0x11;
        assert_eq!(mapped_address(&error, ID), None);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(attributes in proptest::collection::vec(any::<u8>(), 0..80), cut in 0usize..100) {
            let bytes = response(&attributes);
            let _ = mapped_address(&bytes[..cut.min(bytes.len())], ID);
        }
    }
}
