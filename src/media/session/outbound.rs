//! The stream we send: one packet a tick, whatever there is to say.

use std::ops::Deref;

use crate::{
    base::audio::Codec,
    media::{
        codec,
        dtmf::{DtmfSender, Sending},
        jitter::FRAME_SAMPLES,
        playout::{Playout, Progress},
        relay::{Frame, Relay},
        ringback::Ringing,
        rtp::{HEADER_LEN, Header, SequenceNumber, Ssrc, Timestamp},
    },
};

const MAX_LEN: usize = HEADER_LEN + FRAME_SAMPLES;

/// One packet as it goes on the wire, without a heap allocation.
#[derive(Clone)]
pub struct Datagram {
    len: u8,
    bytes: [u8; MAX_LEN],
}

impl Datagram {
    fn new(header: Header, payload: &[u8]) -> Self {
        let len = HEADER_LEN + payload.len();
        let mut bytes = [0; MAX_LEN];
        bytes[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        bytes[HEADER_LEN..len].copy_from_slice(payload);
        Datagram { len: len as u8, bytes }
    }

    pub(super) fn payload_len(&self) -> usize {
        usize::from(self.len) - HEADER_LEN
    }
}

impl Deref for Datagram {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for Datagram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Datagram({} bytes)", self.len)
    }
}

/// Where the audio comes from.
#[derive(Debug, Default)]
pub enum Feed {
    /// What was queued to be played.
    #[default]
    Playout,
    /// The far end hears that a phone rings; what plays waits.
    Ringing(Ringing),
    /// Another session's far end; what plays waits.
    Relay(Relay),
}

impl Feed {
    /// The audio of this tick, if it does not come from the playout.
    fn frame(&mut self) -> Option<Frame> {
        match self {
            Feed::Playout => None,
            Feed::Ringing(ringing) => Some(ringing.frame()),
            Feed::Relay(relay) => Some(relay.frame().unwrap_or([0; FRAME_SAMPLES])),
        }
    }
}

pub struct Outbound {
    ssrc: Ssrc,
    sequence: SequenceNumber,
    /// Of this tick's audio: moves with time, sent or not.
    timestamp: Timestamp,
    /// The last tick sent no packet, so the next one begins a talkspurt.
    paused: bool,
    pub feed: Feed,
    pub playout: Playout,
    pub dtmf: DtmfSender,
    /// This tick's audio as codec bytes.
    frame: [u8; FRAME_SAMPLES],
    encoded: Vec<u8>,
}

impl Outbound {
    pub fn new(seed: u64) -> Self {
        let (a, b) = (scramble(seed), scramble(seed.wrapping_add(1)));
        Outbound {
            ssrc: Ssrc(a as u32),
            sequence: SequenceNumber((a >> 32) as u16),
            timestamp: Timestamp(b as u32),
            paused: true,
            feed: Feed::default(),
            playout: Playout::default(),
            dtmf: DtmfSender::default(),
            frame: [0; FRAME_SAMPLES],
            encoded: Vec::new(),
        }
    }

    /// Audio of the last tick, as codec bytes: silence while digits were sent.
    pub fn sent(&self) -> &[u8; FRAME_SAMPLES] {
        &self.frame
    }

    /// Time passes in which nothing was sent.
    pub fn skip(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.plus(ticks.wrapping_mul(FRAME_SAMPLES as u32));
        self.paused |= ticks > 0;
    }

    /// A tick in which nothing may be sent; what plays waits.
    pub fn pause(&mut self, codec: Codec) {
        self.frame.fill(codec::silence(codec));
        // Live audio passes, heard or not.
        self.feed.frame();
        self.skip(1);
    }

    /// The packet of this tick. `payload_types` are those of the codec and of
    /// telephone-event.
    pub fn tick(
        &mut self,
        codec: Codec,
        payload_types: (u8, Option<u8>),
        progress: &mut Vec<Progress>,
    ) -> Datagram {
        self.frame.fill(codec::silence(codec));
        let live = self.feed.frame();
        let sending = payload_types.1.and_then(|pt| self.dtmf.tick(self.timestamp).map(|s| (pt, s)));
        let datagram = match sending {
            Some((payload_type, Sending::Event { marker, timestamp, event })) => {
                self.packet(marker, payload_type, timestamp, &event.to_bytes())
            }
            Some((_, Sending::Pause)) => self.audio(payload_types.0),
            None => {
                match live {
                    Some(frame) => self.fill(codec, &frame),
                    None => drop(self.playout.frame(&mut self.frame, progress)),
                }
                self.audio(payload_types.0)
            }
        };
        self.timestamp = self.timestamp.plus(FRAME_SAMPLES as u32);
        self.paused = false;
        datagram
    }

    fn fill(&mut self, codec: Codec, frame: &Frame) {
        self.encoded.clear();
        codec::encode(codec, frame, &mut self.encoded);
        self.frame.copy_from_slice(&self.encoded);
    }

    fn audio(&mut self, payload_type: u8) -> Datagram {
        let frame = self.frame;
        self.packet(self.paused, payload_type, self.timestamp, &frame)
    }

    fn packet(&mut self, marker: bool, payload_type: u8, timestamp: Timestamp, payload: &[u8]) -> Datagram {
        let header = Header { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        self.sequence = self.sequence.next();
        Datagram::new(header, payload)
    }
}

/// SplitMix64: spreads a seed over all bits.
const fn scramble(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
