//! Tones, and how much of a sound is one.

use std::f64::consts::TAU;

/// So many samples of a tone; silence at 0 Hz.
pub fn tone(hz: f64, samples: usize, rate: u32) -> Vec<i16> {
    let wave = |n: usize| (TAU * hz * n as f64 / f64::from(rate)).sin();
    (0..samples).map(|n| (wave(n) * 8_000.0) as i16).collect()
}

/// The share of the energy of `pcm` that a tone of `hz` has: 1 for the tone alone.
pub fn share(pcm: &[i16], hz: f64, rate: u32) -> f64 {
    let energy: f64 = pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in pcm.iter().enumerate() {
        let angle = TAU * hz * n as f64 / f64::from(rate);
        re += f64::from(sample) * angle.cos();
        im += f64::from(sample) * angle.sin();
    }
    if energy < 1.0 { 0.0 } else { 2.0 * (re * re + im * im) / (energy * pcm.len() as f64) }
}
