//! Speech codecs: bytes of a payload to linear PCM and back, one codec a file.
//!
//! Those beside G.711 remember what they heard and said, so a stream has a [`Decoder`] and an
//! [`Encoder`] of its own for as long as it keeps its codec.

pub mod g711;
pub mod opus;

use audio_codec::{
    Decoder as _, Encoder as _,
    g722::{G722Decoder, G722Encoder},
};

use crate::base::{
    audio::{Codec, frame_samples},
    terms::OpusTerms,
};

/// The longest payload of 20 ms: G.711 and G.722 fill it, as 64 kbit/s of Opus would.
pub const MAX_PAYLOAD: usize = 160;

/// A payload that the codec cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payload is not of its codec")]
pub struct Unreadable;

pub enum Decoder {
    G711(&'static [i16; 256]),
    G722(Box<G722Decoder>),
    Opus(opus::Decoder),
}

impl Decoder {
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Decoder::G711(&g711::ULAW),
            Codec::Pcma => Decoder::G711(&g711::ALAW),
            Codec::G722 => Decoder::G722(Box::default()),
            Codec::Opus => Decoder::Opus(opus::Decoder::default()),
        }
    }

    /// Appends the samples of `payload` to `pcm`, at the codec's rate.
    pub fn decode(&mut self, payload: &[u8], pcm: &mut Vec<i16>) -> Result<(), Unreadable> {
        match self {
            Decoder::G711(table) => pcm.extend(payload.iter().map(|&byte| table[usize::from(byte)])),
            Decoder::G722(decoder) => {
                let start = pcm.len();
                pcm.resize(start + decoder.max_decode_samples(payload.len()), 0);
                let written = decoder.decode_into(payload, &mut pcm[start..]).map_err(|_| Unreadable);
                pcm.truncate(start + written.unwrap_or(0));
                written?;
            }
            Decoder::Opus(decoder) => decoder.decode(payload, pcm)?,
        }
        Ok(())
    }

    /// Appends what `payload` tells of the frame before it, which was lost. Nothing, where it tells
    /// nothing. To be asked before the payload itself is decoded.
    pub fn recover(&mut self, payload: &[u8], pcm: &mut Vec<i16>) {
        if let Decoder::Opus(decoder) = self {
            decoder.recover(payload, pcm);
        }
    }
}

pub enum Encoder {
    Pcmu,
    Pcma,
    G722(Box<G722Encoder>),
    Opus(opus::Encoder),
}

impl Encoder {
    pub fn new(codec: Codec, terms: OpusTerms) -> Self {
        match codec {
            Codec::Pcmu => Encoder::Pcmu,
            Codec::Pcma => Encoder::Pcma,
            Codec::G722 => Encoder::G722(Box::default()),
            Codec::Opus => Encoder::Opus(opus::Encoder::new(terms)),
        }
    }

    /// Writes the bytes of one frame, 20 ms at the codec's rate, to the beginning of `payload`, and gives how
    /// many.
    pub fn encode(&mut self, pcm: &[i16], payload: &mut [u8; MAX_PAYLOAD]) -> usize {
        match self {
            Encoder::Pcmu => each(pcm, payload, g711::encode_ulaw),
            Encoder::Pcma => each(pcm, payload, g711::encode_alaw),
            // Refuses only a buffer that is too small.
            Encoder::G722(encoder) => encoder.encode_into(pcm, payload).unwrap_or(0),
            Encoder::Opus(encoder) => encoder.encode(pcm, payload),
        }
    }
}

/// One byte for each sample.
fn each(pcm: &[i16], payload: &mut [u8], encode: impl Fn(i16) -> u8) -> usize {
    payload.iter_mut().zip(pcm).for_each(|(byte, &sample)| *byte = encode(sample));
    pcm.len().min(payload.len())
}

/// Encodes a whole signal at the codec's rate and decodes it again: what a line makes of it.
pub fn through(codec: Codec, pcm: &[i16]) -> Vec<i16> {
    let (mut encoder, mut decoder) = (Encoder::new(codec, OpusTerms::default()), Decoder::new(codec));
    let length = frame_samples(codec.sample_rate());
    let (mut heard, mut payload) = (Vec::with_capacity(pcm.len()), [0; MAX_PAYLOAD]);
    let mut frame = Vec::with_capacity(length);
    for part in pcm.chunks(length) {
        frame.clear();
        frame.extend_from_slice(part);
        frame.resize(length, 0);
        let written = encoder.encode(&frame, &mut payload);
        // What was just encoded can be read.
        let _ = decoder.decode(&payload[..written], &mut heard);
    }
    heard.truncate(pcm.len());
    heard
}

#[cfg(test)]
mod tests;
