//! What the engines are given to hear, at 16 kHz. The clips were spoken by flite's voice `slt`.

use std::{f64::consts::TAU, io::Cursor};

/// "Book a table for two on Thursday."
pub fn complete() -> Vec<i16> {
    clip(include_bytes!("clips/complete.wav"))
}

/// "So I was wondering if"
pub fn incomplete() -> Vec<i16> {
    clip(include_bytes!("clips/incomplete.wav"))
}

pub fn silence(samples: usize) -> Vec<i16> {
    vec![0; samples]
}

/// 440 Hz at -15 dBFS.
pub fn tone(samples: usize) -> Vec<i16> {
    (0..samples).map(|n| (6_000.0 * (TAU * 440.0 * n as f64 / 16_000.0).sin()).round() as i16).collect()
}

/// White noise up to `amplitude`, the same every time.
pub fn noise(samples: usize, amplitude: u32) -> Vec<i16> {
    let mut state = 12_345u32;
    let mut step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((state >> 16) * 2 * amplitude) >> 16) as i16 - amplitude as i16
    };
    (0..samples).map(|_| step()).collect()
}

fn clip(wav: &[u8]) -> Vec<i16> {
    let reader = hound::WavReader::new(Cursor::new(wav)).expect("the clip is a WAV file");
    assert_eq!(reader.spec().sample_rate, 16_000);
    reader.into_samples().map(|sample| sample.expect("the clip is whole")).collect()
}
