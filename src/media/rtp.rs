//! RTP packets (RFC 3550 §5.1): read in place, written into a buffer that is already there.
//!
//! In: one UDP datagram. Out: a [`Packet`] that borrows from it. Sequence numbers and timestamps are
//! newtypes whose comparison wraps, because a call may begin at 65,535.

use std::fmt;

/// Bytes of a header with neither contributing sources nor extension: all we ever send.
pub const HEADER_LEN: usize = 12;
const VERSION: u8 = 2;

/// Counts packets of one source, modulo 2^16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SequenceNumber(pub u16);

impl SequenceNumber {
    pub const fn next(self) -> Self {
        SequenceNumber(self.0.wrapping_add(1))
    }

    /// How far `self` is ahead of `other`; negative when it is behind.
    pub const fn since(self, other: Self) -> i16 {
        self.0.wrapping_sub(other.0) as i16
    }
}

/// Counts samples of one source at the codec's clock rate, modulo 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// How far `self` is ahead of `other`, in samples; negative when it is behind.
    pub const fn since(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    pub const fn plus(self, samples: u32) -> Self {
        Timestamp(self.0.wrapping_add(samples))
    }

    /// The 64-bit position nearest to `near` that this timestamp can stand for.
    pub const fn extend(self, near: i64) -> i64 {
        near + self.since(Timestamp(near as u32)) as i64
    }
}

/// Synchronisation source: names one sender's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// First packet after a silence (RFC 3551 §4.1), or of an event (RFC 4733).
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    pub sequence: SequenceNumber,
    pub timestamp: Timestamp,
    pub ssrc: Ssrc,
}

impl Header {
    /// The header alone, without contributing sources, extension or padding.
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [s0, s1] = self.sequence.0.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.0.to_be_bytes();
        let [r0, r1, r2, r3] = self.ssrc.0.to_be_bytes();
        let second = (self.marker as u8) << 7 | (self.payload_type & 0x7f);
        [VERSION << 6, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3]
    }
}

/// A header extension (RFC 3550 §5.3.1): the profile's number and whole 32-bit words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    pub profile: u16,
    pub words: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    pub header: Header,
    /// Contributing sources, four bytes each, at most 15.
    pub csrc: &'a [u8],
    pub extension: Option<Extension<'a>>,
    /// What the codec reads: padding is already off.
    pub payload: &'a [u8],
}

/// Why a datagram is not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    #[error("datagram of {0} bytes is shorter than an RTP header")]
    TooShort(usize),
    #[error("RTP version must be 2, is {0}")]
    Version(u8),
    #[error("RTCP packet of type {0}")]
    Rtcp(u8),
    #[error("contributing sources or extension run past the end of the datagram")]
    Truncated,
    #[error("padding is longer than the payload")]
    Padding,
}

impl<'a> Packet<'a> {
    /// Reads one datagram without copying. RTCP that shares the port (RFC 5761 §4: second byte 192
    /// to 223, which are the payload types 64 to 95 with marker) is told apart as [`RtpError::Rtcp`].
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let Some((fixed, rest)) = datagram.split_first_chunk::<HEADER_LEN>() else {
            return Err(short(datagram));
        };
        let [first, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = *fixed;
        if first >> 6 != VERSION {
            return Err(RtpError::Version(first >> 6));
        }
        if is_rtcp(second) {
            return Err(RtpError::Rtcp(second));
        }
        let (csrc, rest) = rest.split_at_checked(4 * usize::from(first & 0x0f)).ok_or(RtpError::Truncated)?;
        let (extension, rest) = if first & 0x10 != 0 { read_extension(rest)? } else { (None, rest) };
        let payload = if first & 0x20 != 0 { strip_padding(rest)? } else { rest };
        let header = Header {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: SequenceNumber(u16::from_be_bytes([s0, s1])),
            timestamp: Timestamp(u32::from_be_bytes([t0, t1, t2, t3])),
            ssrc: Ssrc(u32::from_be_bytes([r0, r1, r2, r3])),
        };
        Ok(Packet { header, csrc, extension, payload })
    }

    /// Appends the packet to `out`, padded with `padding` bytes (0: none). Contributing sources and
    /// extension words beyond what the format can count are cut off.
    pub fn write(&self, padding: u8, out: &mut Vec<u8>) {
        let sources = (self.csrc.len() / 4).min(15);
        let mut head = self.header.to_bytes();
        head[0] |= sources as u8;
        head[0] |= u8::from(self.extension.is_some()) << 4;
        head[0] |= u8::from(padding > 0) << 5;
        out.extend_from_slice(&head);
        out.extend_from_slice(&self.csrc[..4 * sources]);
        if let Some(extension) = self.extension {
            let words = (extension.words.len() / 4).min(usize::from(u16::MAX));
            out.extend_from_slice(&extension.profile.to_be_bytes());
            out.extend_from_slice(&(words as u16).to_be_bytes());
            out.extend_from_slice(&extension.words[..4 * words]);
        }
        out.extend_from_slice(self.payload);
        if padding > 0 {
            out.resize(out.len() + usize::from(padding) - 1, 0);
            out.push(padding);
        }
    }
}

const fn is_rtcp(second: u8) -> bool {
    matches!(second, 192..=223)
}

/// An RTCP receiver report of no blocks has 8 bytes, fewer than any RTP header.
fn short(datagram: &[u8]) -> RtpError {
    match datagram {
        [first, second, ..] if first >> 6 == VERSION && is_rtcp(*second) => RtpError::Rtcp(*second),
        _ => RtpError::TooShort(datagram.len()),
    }
}

fn read_extension(rest: &[u8]) -> Result<(Option<Extension<'_>>, &[u8]), RtpError> {
    let (&[p0, p1, n0, n1], rest) = rest.split_first_chunk::<4>().ok_or(RtpError::Truncated)?;
    let len = 4 * usize::from(u16::from_be_bytes([n0, n1]));
    let (words, rest) = rest.split_at_checked(len).ok_or(RtpError::Truncated)?;
    Ok((Some(Extension { profile: u16::from_be_bytes([p0, p1]), words }), rest))
}

/// The last byte says how many bytes of padding there are, itself included.
fn strip_padding(rest: &[u8]) -> Result<&[u8], RtpError> {
    let count = usize::from(*rest.last().ok_or(RtpError::Padding)?);
    if count == 0 || count > rest.len() {
        return Err(RtpError::Padding);
    }
    Ok(&rest[..rest.len() - count])
}

/// Whose a datagram says that it is, encrypted or not (RFC 3711 §3.1, §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Media(Ssrc),
    /// RTCP, with its sender.
    Reports(Ssrc),
}

/// The stream of a datagram; none where it is neither RTP nor RTCP.
pub fn stream_of(datagram: &[u8]) -> Option<Stream> {
    let word = |at: usize| Some(Ssrc(u32::from_be_bytes(*datagram.get(at..)?.first_chunk()?)));
    match datagram {
        [first, ..] if first >> 6 != VERSION => None,
        [_, second, ..] if is_rtcp(*second) => word(4).map(Stream::Reports),
        _ => word(8).map(Stream::Media),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header = Header {
        marker: true,
        payload_type: 101,
        sequence: SequenceNumber(0xfffe),
        timestamp: Timestamp(0x0102_0304),
        ssrc: Ssrc(0xdead_beef),
    };

    #[test]
    fn fields_sit_where_rfc_3550_puts_them() {
        let bytes = [0x80, 0xe5, 0xff, 0xfe, 1, 2, 3, 4, 0xde, 0xad, 0xbe, 0xef, 7, 8];
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet, Packet { header: HEADER, csrc: &[], extension: None, payload: &[7, 8] });
        assert_eq!(HEADER.to_bytes(), bytes[..HEADER_LEN]);
    }

    #[test]
    fn sequence_and_timestamp_compare_across_the_wrap() {
        assert_eq!(SequenceNumber(2).since(SequenceNumber(0xfffe)), 4);
        assert_eq!(SequenceNumber(0xfffe).since(SequenceNumber(2)), -4);
        assert_eq!(Timestamp(100).since(Timestamp(u32::MAX - 59)), 160);
        assert_eq!(Timestamp(100).extend(0xffff_ff00), 0x1_0000_0064);
        assert_eq!(Timestamp(0xffff_ff00).extend(0x1_0000_0064), 0xffff_ff00);
    }

    #[test]
    fn broken_packets_are_told_apart() {
        let parse = |bytes: &[u8]| Packet::parse(bytes).unwrap_err();
        let mut bytes = [0u8; 16];
        assert_eq!(parse(&bytes[..5]), RtpError::TooShort(5));
        bytes[0] = 0x40;
        assert_eq!(parse(&bytes), RtpError::Version(1));
        bytes[0] = 0x8f;
        assert_eq!(parse(&bytes), RtpError::Truncated);
        bytes[0] = 0x90;
        bytes[15] = 1;
        assert_eq!(parse(&bytes), RtpError::Truncated);
        bytes[0] = 0xa0;
        bytes[15] = 5;
        assert_eq!(parse(&bytes), RtpError::Padding);
        bytes[15] = 0;
        assert_eq!(parse(&bytes), RtpError::Padding);
        assert_eq!(parse(&[0x80, 201, 0, 1, 1, 2, 3, 4]), RtpError::Rtcp(201));
    }

    #[test]
    fn the_stream_is_told_of_rtp_and_of_rtcp() {
        let media = HEADER.to_bytes();
        assert_eq!(stream_of(&media), Some(Stream::Media(HEADER.ssrc)));
        assert_eq!(stream_of(&media[..11]), None);
        assert_eq!(stream_of(&[0x80, 201, 0, 1, 0, 0, 0, 9]), Some(Stream::Reports(Ssrc(9))));
        assert_eq!(stream_of(&[0x80, 201, 0, 1, 0]), None);
        assert_eq!(stream_of(&[0; 20]), None);
        assert_eq!(stream_of(&[]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            marker: bool, payload_type in 0u8..64, sequence: u16, timestamp: u32, ssrc: u32,
            sources in 0usize..16, words in proptest::option::of(0usize..5), profile: u16,
            payload in proptest::collection::vec(any::<u8>(), 0..600), padding: u8,
        ) {
            let filler = [0xa5u8; 64];
            let packet = Packet {
                header: Header {
                    marker, payload_type, sequence: SequenceNumber(sequence),
                    timestamp: Timestamp(timestamp), ssrc: Ssrc(ssrc),
                },
                csrc: &filler[..4 * sources],
                extension: words.map(|n| Extension { profile, words: &filler[..4 * n] }),
                payload: &payload,
            };
            let mut bytes = Vec::new();
            packet.write(padding, &mut bytes);
            prop_assert_eq!(Packet::parse(&bytes), Ok(packet));
        }

        #[test]
        fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert!(packet.payload.len() + HEADER_LEN <= bytes.len());
            }
        }
    }
}
