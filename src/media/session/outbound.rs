//! The stream we send: one packet a tick, whatever there is to say.

use std::ops::Deref;

use crate::{
    base::{
        audio::{Codec, NARROWBAND_HZ, frame_samples, rate_of_frame},
        terms::OpusTerms,
    },
    media::{
        codec::{Encoder, opus::MAX_FRAME},
        dtmf::{DtmfSender, Sending},
        inband::ToneSender,
        jitter::FRAME_SAMPLES,
        playout::{Playout, Progress},
        relay::{Frame, Relay},
        resample::stretched,
        ringback::Ringing,
        rtp::{HEADER_LEN, Header, SequenceNumber, Ssrc, Timestamp},
    },
};

/// G.711 and G.722 have 160 bytes in 20 ms, Opus has no more.
const MAX_LEN: usize = HEADER_LEN + MAX_FRAME;

/// One packet as it goes on the wire, without a heap allocation.
#[derive(Clone)]
pub struct Datagram {
    len: u8,
    bytes: [u8; MAX_LEN],
}

impl Datagram {
    pub fn new(header: Header, payload: &[u8]) -> Self {
        let payload = &payload[..payload.len().min(MAX_FRAME)];
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
    /// Timestamp units of a tick.
    step: u32,
    /// The last tick sent no packet, so the next one begins a talkspurt.
    paused: bool,
    pub feed: Feed,
    encoder: Encoder,
    pub playout: Playout,
    pub dtmf: DtmfSender,
    /// Digits as sound, where events were not agreed on.
    tones: ToneSender,
    /// This tick's audio, at the codec's rate.
    frame: Vec<i16>,
    payload: Vec<u8>,
}

impl Outbound {
    pub fn new(codec: Codec, opus: OpusTerms, seed: u64) -> Self {
        let (a, b) = (scramble(seed), scramble(seed.wrapping_add(1)));
        Outbound {
            ssrc: Ssrc(a as u32),
            sequence: SequenceNumber((a >> 32) as u16),
            timestamp: Timestamp(b as u32),
            step: codec.clock_rate() / 50,
            paused: true,
            encoder: Encoder::new(codec, opus),
            feed: Feed::default(),
            playout: Playout::new(codec.sample_rate()),
            dtmf: DtmfSender::default(),
            tones: ToneSender::default(),
            frame: vec![0; frame_samples(codec.sample_rate())],
            payload: Vec::with_capacity(MAX_FRAME),
        }
    }

    /// Another codec from here on; what plays goes on in it.
    pub fn set_codec(&mut self, codec: Codec, opus: OpusTerms) {
        self.step = codec.clock_rate() / 50;
        self.encoder = Encoder::new(codec, opus);
        self.playout.set_rate(codec.sample_rate());
        self.frame.resize(frame_samples(codec.sample_rate()), 0);
    }

    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Of the next tick's audio.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Audio of the last tick: silence while digits were sent.
    pub fn sent(&self) -> &[i16] {
        &self.frame
    }

    /// Time passes in which nothing was sent.
    pub fn skip(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.plus(ticks.wrapping_mul(self.step));
        self.paused |= ticks > 0;
    }

    /// A tick in which nothing may be sent; what plays waits.
    pub fn pause(&mut self) {
        self.frame.fill(0);
        // Live audio passes, heard or not.
        self.feed.frame();
        self.skip(1);
    }

    /// The packet of this tick. `payload_types` are those of the codec and of
    /// telephone-event.
    pub fn tick(&mut self, payload_types: (u8, Option<u8>), progress: &mut Vec<Progress>) -> Datagram {
        self.frame.fill(0);
        let live = self.feed.frame();
        let (now, step) = (self.timestamp, self.step);
        let datagram = match (self.dtmf.tick(now, step), payload_types.1) {
            (Some(Sending::Event { marker, timestamp, event, .. }), Some(payload_type)) => {
                self.packet(marker, payload_type, timestamp, &event.to_bytes())
            }
            (Some(sending), _) => {
                self.sound(sending);
                self.audio(payload_types.0)
            }
            (None, _) => {
                match live {
                    Some(frame) => self.fill(&frame),
                    None => drop(self.playout.frame(&mut self.frame, progress)),
                }
                self.audio(payload_types.0)
            }
        };
        self.timestamp = self.timestamp.plus(self.step);
        self.paused = false;
        datagram
    }

    /// Live audio is narrowband, whatever the line.
    fn fill(&mut self, live: &Frame) {
        let rate = rate_of_frame(self.frame.len());
        self.frame.copy_from_slice(&stretched(live, NARROWBAND_HZ, rate));
    }

    /// Puts a digit's tones into this tick's audio. An event's end is sent three times, and sounds once.
    fn sound(&mut self, sending: Sending) {
        let Sending::Event { marker, event, repeated, .. } = sending else { return };
        if marker {
            self.tones.begin();
        }
        if !repeated {
            let rate = self.frame.len() as u32 * 50;
            self.tones.fill(event.code, rate, &mut self.frame);
        }
    }

    fn audio(&mut self, payload_type: u8) -> Datagram {
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        self.encoder.encode(&self.frame, &mut payload);
        let datagram = self.packet(self.paused, payload_type, self.timestamp, &payload);
        self.payload = payload;
        datagram
    }

    fn packet(&mut self, marker: bool, payload_type: u8, timestamp: Timestamp, payload: &[u8]) -> Datagram {
        let header = Header { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        self.sequence = self.sequence.next();
        Datagram::new(header, payload)
    }
}

/// SplitMix64: spreads a seed over all bits.
pub(super) const fn scramble(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
