//! Speech codecs: bytes of a payload to linear PCM and back, one codec a file.

pub mod g711;

use crate::base::audio::Codec;

/// Appends the samples of `payload` to `pcm`.
pub fn decode(codec: Codec, payload: &[u8], pcm: &mut Vec<i16>) {
    let table = decode_table(codec);
    pcm.extend(payload.iter().map(|&byte| table[usize::from(byte)]));
}

/// Appends the bytes of `pcm` to `payload`.
pub fn encode(codec: Codec, pcm: &[i16], payload: &mut Vec<u8>) {
    match codec {
        Codec::Pcmu => payload.extend(pcm.iter().map(|&sample| g711::encode_ulaw(sample))),
        Codec::Pcma => payload.extend(pcm.iter().map(|&sample| g711::encode_alaw(sample))),
    }
}

/// Linear value of every code byte.
pub const fn decode_table(codec: Codec) -> &'static [i16; 256] {
    match codec {
        Codec::Pcmu => &g711::ULAW,
        Codec::Pcma => &g711::ALAW,
    }
}

/// The byte that stands for no sound.
pub const fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => g711::encode_ulaw(0),
        Codec::Pcma => g711::encode_alaw(0),
    }
}
