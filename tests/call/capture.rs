//! Captures that SIPp plays: tones of our own making, and the packaged ones with bits changed.

use std::fs;
use std::path::Path;

use callbox::media::rtp::{HEADER_LEN, Header, SequenceNumber, Ssrc, Timestamp};

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Ethernet, IPv4 and UDP, as in the packaged captures.
const BELOW_RTP: usize = 14 + 20 + 8;

/// Writes `from`, with each RTP packet changed by `change`, to `to`.
pub fn rewrite(from: &str, to: &Path, change: impl Fn(&mut [u8])) {
    let mut bytes = fs::read(from).unwrap();
    let mut at = FILE_HEADER;
    while at + RECORD_HEADER < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        at += RECORD_HEADER;
        change(&mut bytes[at + BELOW_RTP..at + length]);
        at += length;
    }
    fs::write(to, bytes).unwrap();
}

/// Writes a stream of `payloads`, one every `ms` milliseconds of 8 kHz audio.
pub fn write(to: &Path, payload_type: u8, ms: u32, payloads: &[Vec<u8>]) {
    let mut file = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for (n, payload) in (0u32..).zip(payloads) {
        let header = Header {
            marker: n == 0,
            payload_type,
            sequence: SequenceNumber(n as u16),
            timestamp: Timestamp(n * ms * 8),
            ssrc: Ssrc(7),
        };
        let length = (BELOW_RTP + HEADER_LEN + payload.len()) as u32;
        let (seconds, micros) = (n * ms / 1_000, n * ms % 1_000 * 1_000);
        file.extend([seconds, micros, length, length].map(u32::to_le_bytes).concat());
        file.extend(below_rtp(HEADER_LEN + payload.len()));
        file.extend(header.to_bytes());
        file.extend(payload);
    }
    fs::write(to, file).unwrap();
}

/// SIPp puts addresses and ports of its own in.
fn below_rtp(length: usize) -> [u8; BELOW_RTP] {
    let mut bytes = [0; BELOW_RTP];
    bytes[12] = 0x08;
    bytes[14] = 0x45;
    bytes[16..18].copy_from_slice(&(28 + length as u16).to_be_bytes());
    bytes[22..24].copy_from_slice(&[64, 17]);
    bytes[26..34].copy_from_slice(&[127, 0, 0, 1, 127, 0, 0, 1]);
    bytes[34..38].copy_from_slice(&[0x13, 0x88, 0x13, 0x88]);
    bytes[38..40].copy_from_slice(&(8 + length as u16).to_be_bytes());
    bytes
}
