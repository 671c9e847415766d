//! What is recorded, and what a file holds.

use std::{io::Cursor, path::Path};

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

pub fn loudness(pcm: &[i16]) -> f64 {
    let energy: f64 = pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    (energy / pcm.len().max(1) as f64).sqrt()
}
