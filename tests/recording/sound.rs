//! What is recorded, and what a file holds.

use std::{f64::consts::TAU, io::Cursor, path::Path};

pub fn tone(hz: f64, samples: usize, rate: u32) -> Vec<i16> {
    let wave = |n: usize| (TAU * hz * n as f64 / f64::from(rate)).sin();
    (0..samples).map(|n| (wave(n) * 8_000.0) as i16).collect()
}

pub fn both(left: Vec<i16>, right: Vec<i16>) -> Vec<[i16; 2]> {
    left.into_iter().zip(right).map(|(left, right)| [left, right]).collect()
}

/// Two people who take turns, at 8 kHz.
pub fn conversation(samples: usize) -> Vec<[i16; 2]> {
    let clip = include_bytes!("../speech/clips/complete.wav");
    let reader = hound::WavReader::new(Cursor::new(clip)).unwrap();
    let wide: Vec<i16> = reader.into_samples().map(Result::unwrap).collect();
    let spoken: Vec<i16> = wide.chunks_exact(2).map(|two| two[0] / 2 + two[1] / 2).collect();
    let turns = spoken.iter().map(|&sample| [sample, 0]).chain(spoken.iter().map(|&sample| [0, sample]));
    turns.collect::<Vec<_>>().into_iter().cycle().take(samples).collect()
}

/// The two channels of a WAV file.
pub fn sides(file: &Path) -> [Vec<i16>; 2] {
    let reader = hound::WavReader::open(file).unwrap();
    assert_eq!(reader.spec().channels, 2);
    let samples: Vec<i16> = reader.into_samples().map(Result::unwrap).collect();
    [0, 1].map(|side| samples.iter().skip(side).step_by(2).copied().collect())
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

pub fn loudness(pcm: &[i16]) -> f64 {
    let energy: f64 = pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    (energy / pcm.len().max(1) as f64).sqrt()
}
