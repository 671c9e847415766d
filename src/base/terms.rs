//! What offer and answer agree on: SDP finds it out, media does it.

use std::net::SocketAddr;

use super::{
    audio::{Codec, Direction},
    srtp::Keying,
};

/// Where RTCP goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rtcp {
    /// To the port above RTP's (RFC 3550 §11).
    #[default]
    NextPort,
    /// To an address of its own (RFC 3605).
    At(SocketAddr),
    /// With RTP, through one port (RFC 5761).
    Mux,
}

/// What a payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Speech(Codec),
    /// Telephone events (RFC 4733).
    Event,
}

/// Payload types under which the far end may send to us: ours, which need not be those it wants itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Formats([Option<(u8, Format)>; Formats::CAPACITY]);

impl Formats {
    /// The codecs, and telephone events on either of their clocks.
    const CAPACITY: usize = Codec::ALL.len() + 2;

    /// The first meaning of a payload type stands, and so do the first [`Formats::CAPACITY`] of them.
    pub fn insert(&mut self, payload_type: u8, format: Format) {
        if self.get(payload_type).is_none()
            && let Some(free) = self.0.iter_mut().find(|slot| slot.is_none())
        {
            *free = Some((payload_type, format));
        }
    }

    pub fn get(&self, payload_type: u8) -> Option<Format> {
        self.0.iter().flatten().find(|(known, _)| *known == payload_type).map(|(_, format)| *format)
    }
}

/// What the far end wants of Opus (RFC 7587 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusTerms {
    /// Bits a second that it takes on average.
    pub bitrate: u32,
    /// It makes use of in-band forward error correction.
    pub fec: bool,
}

impl OpusTerms {
    /// Plenty for one wideband voice.
    pub const BITRATE: u32 = 24_000;
    /// Opus does not go below.
    pub const LOWEST: u32 = 6_000;
}

impl Default for OpusTerms {
    fn default() -> Self {
        OpusTerms { bitrate: OpusTerms::BITRATE, fec: false }
    }
}

/// What one stream of audio is to be, in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    pub codec: Codec,
    /// Of the codec, as the SDP maps it.
    pub payload_type: u8,
    /// Payload type of `telephone-event` at the codec's clock rate, if agreed on.
    pub telephone_event: Option<u8>,
    /// Where the far end's SDP says it receives.
    pub remote: SocketAddr,
    /// Ours.
    pub direction: Direction,
    pub terms: Terms,
}

impl Agreed {
    /// Speech in `codec` under its usual number, and digits under 101, both ways and nothing special.
    pub fn usual(codec: Codec, remote: SocketAddr) -> Self {
        Agreed {
            codec,
            payload_type: codec.payload_type(),
            telephone_event: Some(101),
            remote,
            direction: Direction::SendRecv,
            terms: Terms::default(),
        }
    }
}

/// The finer terms of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    pub rtcp: Rtcp,
    pub receives: Formats,
    pub opus: OpusTerms,
    /// Both directions are encrypted, or neither is.
    pub srtp: Option<Keying>,
}
