//! Captures that SIPp plays: tones of our own making, and the packaged ones with bits changed.

use std::fs;
use std::path::Path;

use callbox::media::comfort;
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

/// A packet of a stream of 8 kHz audio.
pub struct Sent {
    /// Milliseconds from the beginning of the stream.
    pub at: u32,
    pub payload_type: u8,
    pub payload: Vec<u8>,
}

/// Sound cut into packets of `ms` milliseconds, the first of them at `at`; each sample is a byte.
pub fn packets(payload_type: u8, at: u32, ms: u32, encoded: &[u8]) -> Vec<Sent> {
    let cut = (0..).zip(encoded.chunks_exact(8 * ms as usize));
    cut.map(|(n, part)| Sent { at: at + n * ms, payload_type, payload: part.to_vec() }).collect()
}

/// Writes a stream; SIPp sends each packet at its time. The first after silence is marked.
pub fn write(to: &Path, packets: &[Sent]) {
    let mut file = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for (n, Sent { at, payload_type, payload }) in packets.iter().enumerate() {
        let noise = |packet: &Sent| packet.payload_type == comfort::PAYLOAD_TYPE;
        let header = Header {
            marker: !noise(&packets[n]) && packets[..n].last().is_none_or(noise),
            payload_type: *payload_type,
            sequence: SequenceNumber(n as u16),
            timestamp: Timestamp(at * 8),
            ssrc: Ssrc(7),
        };
        let length = (BELOW_RTP + HEADER_LEN + payload.len()) as u32;
        let (seconds, micros) = (at / 1_000, at % 1_000 * 1_000);
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
