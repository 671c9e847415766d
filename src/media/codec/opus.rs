//! Opus (RFC 6716, RFC 7587): one channel, 16 kHz, frames of 20 ms.

use opus::{Application, Bitrate, Channels, Signal};

use super::{MAX_PAYLOAD, Unreadable};
use crate::base::{
    audio::{WIDEBAND_HZ, frame_samples},
    terms::OpusTerms,
};

/// Samples of the longest packet, 120 ms.
const LONGEST: usize = frame_samples(WIDEBAND_HZ) * 6;
/// Work spent on a frame, 0 to 10: above this a voice at this rate gains nothing that is heard.
const COMPLEXITY: i32 = 5;
/// The loss that forward error correction is made for, in percent.
const EXPECTED_LOSS: i32 = 10;

pub struct Decoder {
    opus: opus::Decoder,
    buffer: Box<[i16; LONGEST]>,
}

impl Default for Decoder {
    fn default() -> Self {
        let opus = opus::Decoder::new(WIDEBAND_HZ, Channels::Mono)
            .expect("16 kHz mono is among the formats of libopus");
        Decoder { opus, buffer: Box::new([0; LONGEST]) }
    }
}

impl Decoder {
    pub fn decode(&mut self, payload: &[u8], pcm: &mut Vec<i16>) -> Result<(), Unreadable> {
        // No payload at all means a lost packet to libopus.
        if payload.is_empty() {
            return Err(Unreadable);
        }
        let samples = self.opus.decode(payload, &mut self.buffer[..], false).map_err(|_| Unreadable)?;
        pcm.extend_from_slice(&self.buffer[..samples]);
        Ok(())
    }

    /// Without a redundant frame in the packet libopus makes one up; then nothing is appended, since
    /// the jitter buffer does that itself and knows for how long.
    pub fn recover(&mut self, payload: &[u8], pcm: &mut Vec<i16>) {
        if payload.is_empty() || !carries_redundancy(payload) {
            return;
        }
        let frame = &mut self.buffer[..frame_samples(WIDEBAND_HZ)];
        if let Ok(samples) = self.opus.decode(payload, frame, true) {
            pcm.extend_from_slice(&self.buffer[..samples]);
        }
    }
}

/// Whether a packet of one 20 ms frame has an LBRR frame (RFC 6716 §4.2.4): the flag stands behind the
/// voice activity flag, in the first bits of what the range coder wrote. CELT has none.
fn carries_redundancy(payload: &[u8]) -> bool {
    let &[toc, first, ..] = payload else { return false };
    let (config, frames) = (toc >> 3, toc & 3);
    let twenty_ms = matches!(config, 1 | 5 | 9 | 13 | 15);
    twenty_ms && frames == 0 && first & 0x40 != 0
}

pub struct Encoder {
    opus: opus::Encoder,
}

impl Encoder {
    pub fn new(terms: OpusTerms) -> Self {
        let mut opus = opus::Encoder::new(WIDEBAND_HZ, Channels::Mono, Application::Voip)
            .expect("16 kHz mono is among the formats of libopus");
        let bitrate = terms.bitrate.clamp(OpusTerms::LOWEST, OpusTerms::BITRATE) as i32;
        // All are within the ranges of libopus; one it does not know leaves its default.
        let _ = opus.set_bitrate(Bitrate::Bits(bitrate));
        let _ = opus.set_complexity(COMPLEXITY);
        let _ = opus.set_signal(Signal::Voice);
        let _ = opus.set_inband_fec(terms.fec);
        let _ = opus.set_packet_loss_perc(if terms.fec { EXPECTED_LOSS } else { 0 });
        Encoder { opus }
    }

    pub fn encode(&mut self, pcm: &[i16], payload: &mut [u8; MAX_PAYLOAD]) -> usize {
        // Fails only for a frame of another length.
        self.opus.encode(pcm, payload).unwrap_or(0)
    }
}
