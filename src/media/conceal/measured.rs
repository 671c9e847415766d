//! What concealment is worth on speech, beside silence in the place of lost frames.
//!
//! Two figures over the frames that were lost and hold speech. Segmental SNR says how near the wave is,
//! which a repeated period can hardly be for 60 ms; log-spectral distance says how near the sound is,
//! which is what a listener has of it.

use std::f32::consts::TAU;

use super::*;
use crate::media::{netem::Rng, resample::Resampler};

const BANDS: usize = 32;

fn clips(rate: u32) -> Vec<i16> {
    let clips: [&[u8]; 2] = [
        include_bytes!("../../../tests/speech/clips/complete.wav"),
        include_bytes!("../../../tests/speech/clips/incomplete.wav"),
    ];
    let mut speech = Vec::new();
    for clip in clips {
        let mut wav = hound::WavReader::new(clip).unwrap();
        let pcm: Vec<i16> = wav.samples().map(Result::unwrap).collect();
        let mut resampler = Resampler::new(wav.spec().sample_rate, rate).unwrap();
        resampler.process(&pcm, &mut speech);
        resampler.flush(&mut speech);
    }
    speech
}

/// Which frames are lost: `share` of all, in runs of `burst` on average (Gilbert).
fn losses(frames: usize, share: f64, burst: f64, seed: u64) -> Vec<bool> {
    let mut rng = Rng(seed);
    let (leave, enter) = (1.0 / burst, share / (burst * (1.0 - share)));
    let mut lost = false;
    let mut draw = |n: usize| {
        let unit = rng.unit();
        lost = if lost { unit >= leave } else { unit < enter };
        // The first tenth of a second is the past that concealment needs.
        lost && n > 5
    };
    (0..frames).map(&mut draw).collect()
}

/// What is heard with concealment.
fn concealed(speech: &[i16], lost: &[bool], rate: u32) -> Vec<i16> {
    let mut concealer = Concealer::new(rate);
    let mut heard = Vec::with_capacity(speech.len());
    for (frame, lost) in speech.chunks_exact(rate as usize / 50).zip(lost) {
        let mut out = frame.to_vec();
        if *lost {
            concealer.conceal(&mut out);
        } else {
            concealer.received(&mut out);
        }
        heard.extend(out);
    }
    heard
}

/// Power in [`BANDS`] even bands up to half the rate, in dB over a quiet room's.
fn spectrum(frame: &[i16]) -> [f32; BANDS] {
    let samples = frame.len();
    std::array::from_fn(|band| {
        let of_bin = |bin: usize| {
            let step = TAU * bin as f32 / samples as f32;
            let (mut re, mut im) = (0.0f32, 0.0f32);
            for (n, &sample) in frame.iter().enumerate() {
                re += f32::from(sample) * (step * n as f32).cos();
                im += f32::from(sample) * (step * n as f32).sin();
            }
            (re * re + im * im) / samples as f32
        };
        let bins = band * samples / 2 / BANDS..((band + 1) * samples / 2 / BANDS).max(1);
        let power: f32 = bins.clone().map(of_bin).sum::<f32>() / bins.len().max(1) as f32;
        10.0 * (power + 400.0).log10()
    })
}

/// Segmental SNR and log-spectral distance over the lost frames that hold speech, in dB.
fn figures(speech: &[i16], heard: &[i16], lost: &[bool], rate: u32) -> (f64, f64) {
    let length = rate as usize / 50;
    let (mut snr, mut distance, mut count) = (0.0, 0.0, 0);
    let frames = speech.chunks_exact(length).zip(heard.chunks_exact(length)).zip(lost);
    for ((said, heard), _) in frames.filter(|((said, _), lost)| **lost && signals::rms(said) > 300.0) {
        snr += signals::snr(said, heard).clamp(-10.0, 35.0);
        let squares =
            spectrum(said).iter().zip(spectrum(heard)).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        distance += (squares / BANDS as f64).sqrt();
        count += 1;
    }
    let count = f64::from(count.max(1));
    (snr / count, distance / count)
}

#[test]
fn concealment_is_nearer_to_speech_than_silence_is() {
    println!(
        "rate  loss  burst | segmental SNR: concealed, silence | log-spectral distance: concealed, silence"
    );
    for rate in [8_000, 16_000] {
        let speech = clips(rate);
        for (share, burst) in
            [0.01, 0.05, 0.10, 0.20].into_iter().flat_map(|share| [(share, 1.0), (share, 3.0)])
        {
            // One per cent of a few seconds is a handful of frames: several runs make one row.
            let (mut ours, mut none) = ((0.0, 0.0), (0.0, 0.0));
            let runs = 6;
            for seed in 0..runs {
                let lost = losses(speech.len() / (rate as usize / 50), share, burst, 7 + seed);
                let silenced: Vec<i16> = speech
                    .chunks_exact(rate as usize / 50)
                    .zip(&lost)
                    .flat_map(|(frame, lost)| if *lost { vec![0; frame.len()] } else { frame.to_vec() })
                    .collect();
                let with = figures(&speech, &concealed(&speech, &lost, rate), &lost, rate);
                let without = figures(&speech, &silenced, &lost, rate);
                ours = (ours.0 + with.0 / runs as f64, ours.1 + with.1 / runs as f64);
                none = (none.0 + without.0 / runs as f64, none.1 + without.1 / runs as f64);
            }
            println!(
                "{rate:5} {:4.0} % {burst:4} | {:5.1} {:5.1} dB | {:5.1} {:5.1} dB",
                share * 100.0,
                ours.0,
                none.0,
                ours.1,
                none.1
            );
            assert!(ours.1 < 0.75 * none.1, "{rate} Hz, {share} {burst}: {} {}", ours.1, none.1);
            assert!(ours.0 > none.0 - 1.0, "{rate} Hz, {share} {burst}: {} {}", ours.0, none.0);
        }
    }
}
