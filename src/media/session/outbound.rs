//! The stream we send: one packet a tick, whatever there is to say.

use super::Datagram;
use crate::{
    base::{
        audio::{Codec, rate_of_frame},
        terms::OpusTerms,
    },
    media::{
        codec::{Encoder, MAX_PAYLOAD},
        dtmf::{DtmfSender, Sending},
        inband::ToneSender,
        playout::{Playout, Progress},
        relay::{Frame, Relay},
        ringback::Ringing,
        rtp::{Header, SequenceNumber, Ssrc, Timestamp},
    },
};

/// Where the audio comes from.
#[derive(Debug, Default)]
pub enum Feed {
    /// What was queued to be played.
    #[default]
    Playout,
    /// The far end hears that a phone rings; what plays waits.
    Ringing(Box<Ringing>),
    /// Another session's far end; what plays waits.
    Relay(Box<Relay>),
}

impl Feed {
    /// The audio of this tick at `rate` Hz, if it does not come from the playout.
    fn frame(&mut self, rate: u32) -> Option<Frame> {
        match self {
            Feed::Playout => None,
            Feed::Ringing(ringing) => Some(ringing.frame(rate)),
            Feed::Relay(relay) => Some(relay.frame(rate)),
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
}

impl Outbound {
    pub fn new(codec: Codec, opus: OpusTerms, seed: u64) -> Self {
        let (a, b) = (scramble(seed), scramble(seed.wrapping_add(1)));
        Outbound {
            ssrc: Ssrc(a as u32),
            // In the lower half: where first packets are lost, a receiver of SRTP is not to miss a wrap.
            sequence: SequenceNumber((a >> 32) as u16 >> 1),
            timestamp: Timestamp(b as u32),
            step: codec.clock_rate() / 50,
            paused: true,
            encoder: Encoder::new(codec, opus),
            feed: Feed::default(),
            playout: Playout::new(codec.sample_rate()),
            dtmf: DtmfSender::default(),
            tones: ToneSender::default(),
        }
    }

    /// Another codec from here on; what plays goes on in it.
    pub fn set_codec(&mut self, codec: Codec, opus: OpusTerms) {
        self.step = codec.clock_rate() / 50;
        self.encoder = Encoder::new(codec, opus);
        self.playout.set_rate(codec.sample_rate());
    }

    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Of the next tick's audio.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Time passes in which nothing was sent.
    pub fn skip(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.plus(ticks.wrapping_mul(self.step));
        self.paused |= ticks > 0;
    }

    /// A tick in which nothing may be sent; what plays waits.
    pub fn pause(&mut self, rate: u32) {
        // Live audio passes, heard or not.
        self.feed.frame(rate);
        self.skip(1);
    }

    /// The packet of this tick. Its audio is put into `frame`, which is silent and as long as the codec's:
    /// that stays silent while events are sent. `payload_types` are those of the codec and of
    /// telephone-event.
    pub fn tick(
        &mut self,
        payload_types: (u8, Option<u8>),
        frame: &mut [i16],
        progress: &mut Vec<Progress>,
    ) -> Datagram {
        let live = self.feed.frame(rate_of_frame(frame.len()));
        let (now, step) = (self.timestamp, self.step);
        let datagram = match (self.dtmf.tick(now, step), payload_types.1) {
            (Some(Sending::Event { marker, timestamp, event, .. }), Some(payload_type)) => {
                let event = event.to_bytes();
                self.packet(marker, payload_type, timestamp, |_, payload| {
                    payload[..event.len()].copy_from_slice(&event);
                    event.len()
                })
            }
            (Some(sending), _) => {
                self.sound(sending, frame);
                self.audio(payload_types.0, frame)
            }
            (None, _) => {
                match live {
                    Some(live) => frame.iter_mut().zip(live).for_each(|(out, sample)| *out = sample),
                    None => drop(self.playout.frame(frame, progress)),
                }
                self.audio(payload_types.0, frame)
            }
        };
        self.timestamp = self.timestamp.plus(self.step);
        self.paused = false;
        datagram
    }

    /// Puts a digit's tones into this tick's audio. An event's end is sent three times, and sounds once.
    fn sound(&mut self, sending: Sending, frame: &mut [i16]) {
        let Sending::Event { marker, event, repeated, .. } = sending else { return };
        if marker {
            self.tones.begin();
        }
        if !repeated {
            self.tones.fill(event.code, rate_of_frame(frame.len()), frame);
        }
    }

    fn audio(&mut self, payload_type: u8, frame: &[i16]) -> Datagram {
        let (marker, timestamp) = (self.paused, self.timestamp);
        self.packet(marker, payload_type, timestamp, |encoder, payload| encoder.encode(frame, payload))
    }

    fn packet(
        &mut self,
        marker: bool,
        payload_type: u8,
        timestamp: Timestamp,
        write: impl FnOnce(&mut Encoder, &mut [u8; MAX_PAYLOAD]) -> usize,
    ) -> Datagram {
        let header = Header { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        self.sequence = self.sequence.next();
        Datagram::new(header, |payload| write(&mut self.encoder, payload))
    }
}

/// SplitMix64: spreads a seed over all bits.
pub(super) const fn scramble(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
