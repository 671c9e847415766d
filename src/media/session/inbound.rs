//! From a packet of the far end to the jitter buffer, or to a digit.

use std::{borrow::Cow, cell::Cell, time::Instant};

use super::Session;
use crate::{
    base::{audio::Codec, terms::Format},
    media::{
        codec::Decoder,
        comfort,
        dtmf::Event,
        resample::stretched,
        rtp::{Packet, Timestamp},
    },
};

/// The longest payload that is read: 60 ms of G.711 are 480 bytes.
const LONGEST_READ: usize = 1_500;

thread_local! {
    /// What a packet is decoded into: one for all sessions of a thread, so that its memory is always near.
    static SCRATCH: Cell<Vec<i16>> = const { Cell::new(Vec::new()) };
}

impl Session {
    /// Numbers from 96 on mean what we said they do, whatever the far end calls the same thing; below,
    /// what the far end agreed to. Codecs are taken under their static numbers, whichever was agreed on:
    /// gateways switch between them in early media.
    pub(super) fn kind_of(&self, payload_type: u8) -> Option<Payload> {
        let ours = self.receives.get(payload_type).map(|format| match format {
            Format::Speech(codec) => Payload::Speech(codec),
            Format::Event => Payload::Event,
        });
        let of_codec = |codec: &Codec| codec.static_payload_type() == Some(payload_type);
        match payload_type {
            96.. if ours.is_some() => ours,
            pt if pt == self.payload_type => Some(Payload::Speech(self.codec)),
            pt if Some(pt) == self.telephone_event => Some(Payload::Event),
            comfort::PAYLOAD_TYPE => Some(Payload::ComfortNoise),
            _ => ours.or_else(|| Codec::ALL.into_iter().find(of_codec).map(Payload::Speech)),
        }
    }

    pub(super) fn restart_inbound(&mut self, now: Instant) {
        self.jitter.reset(now);
        self.spoken = None;
        self.comfort.end();
        let digit = self.dtmf.reset();
        self.emit_digit(digit);
    }

    pub(super) fn take(&mut self, now: Instant, packet: &Packet<'_>, kind: Payload) {
        let header = packet.header;
        match kind {
            Payload::Speech(codec) => {
                self.reception.observe(now, header.timestamp, codec.clock_rate());
                self.comfort.end();
                self.take_speech(now, packet, codec);
            }
            Payload::Event => match Event::parse(packet.payload) {
                Some(event) => {
                    let digit = self.dtmf.handle(now, header.timestamp, event, self.codec.clock_rate());
                    self.emit_digit(digit);
                }
                None => self.counters.malformed += 1,
            },
            Payload::ComfortNoise => self.comfort.handle(packet.payload),
        }
    }

    /// Decodes a packet into the jitter buffer, and before it what it tells of one that was lost.
    fn take_speech(&mut self, now: Instant, packet: &Packet<'_>, codec: Codec) {
        let header = packet.header;
        let payload = &packet.payload[..packet.payload.len().min(LONGEST_READ)];
        self.jitter.set_clock(codec.clock_rate());
        if self.spoken.is_none_or(|newest| header.sequence.since(newest) > 0) {
            self.spoken = Some(header.sequence);
        } else if codec == Codec::Opus || self.jitter.is_jump(header.timestamp) {
            // Opus: its decoder has gone on; what it made of the hole stays. Any other: speech overtook it by
            // more than the buffer spans, which is no jump of its timestamps.
            return self.counters.late += 1;
        }
        let at = self.decoders.iter().position(|(known, _)| *known == codec).unwrap_or_else(|| {
            self.decoders.push((codec, Decoder::new(codec)));
            self.decoders.len() - 1
        });
        let decoder = &mut self.decoders[at].1;
        let mut scratch = SCRATCH.take();
        scratch.clear();
        if self.reception.follows_a_loss(&header) {
            decoder.recover(payload, &mut scratch);
            let units = scratch.len() as u32 * (codec.clock_rate() / 1_000) / (codec.sample_rate() / 1_000);
            let before = Timestamp(header.timestamp.0.wrapping_sub(units));
            if !scratch.is_empty() {
                self.counters.recovered += 1;
                let pcm = fitted(&scratch, codec, self.codec);
                self.jitter.push(now, before, false, &pcm);
                scratch.clear();
            }
        }
        match decoder.decode(payload, &mut scratch) {
            Ok(()) => {
                let pcm = fitted(&scratch, codec, self.codec);
                self.jitter.push(now, header.timestamp, header.marker, &pcm);
            }
            Err(_) => self.counters.malformed += 1,
        }
        SCRATCH.set(scratch);
    }
}

/// Samples of a codec at the rate of the line's.
fn fitted(pcm: &[i16], codec: Codec, line: Codec) -> Cow<'_, [i16]> {
    match (codec.sample_rate(), line.sample_rate()) {
        (from, to) if from == to => Cow::Borrowed(pcm),
        (from, to) => Cow::Owned(stretched(pcm, from, to)),
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Payload {
    Speech(Codec),
    Event,
    ComfortNoise,
}
