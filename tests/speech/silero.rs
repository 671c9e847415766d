//! Silero VAD 6.2.3 against the same weights on onnxruntime, driven as the package's own wrapper does.

use std::time::Instant;

use callbox::engine::{
    StreamId, Vad,
    vad::{
        energy::EnergyGateConfig,
        gated::Gated,
        silero::{SileroConfig, SileroVad},
    },
};

use crate::{sounds, weights};

fn vad() -> SileroVad {
    let config = SileroConfig { path: weights::path("silero_vad.onnx"), max_streams: 4 };
    SileroVad::load(&config).expect("the weights load")
}

fn probabilities(vad: &mut impl Vad, stream: u64, pcm: &[i16]) -> Vec<f32> {
    let frames = pcm.chunks_exact(vad.frame_samples());
    frames.map(|frame| vad.probability(StreamId(stream), frame).expect("a frame of the right size")).collect()
}

#[track_caller]
fn assert_close(heard: &[f32], expected: &[f32]) {
    assert_eq!(heard.len(), expected.len());
    for (n, (heard, expected)) in heard.iter().zip(expected).enumerate() {
        assert!((heard - expected).abs() < 1e-3, "frame {n}: {heard}, expected {expected}");
    }
}

#[test]
fn speech_has_the_reference_probabilities() {
    assert_close(&probabilities(&mut vad(), 1, &sounds::complete()), &COMPLETE);
    assert_close(&probabilities(&mut vad(), 1, &sounds::incomplete()), &INCOMPLETE);
}

#[test]
fn silence_noise_and_tone_have_the_reference_probabilities() {
    assert_close(&probabilities(&mut vad(), 1, &sounds::silence(8 * 512)), &SILENCE);
    assert_close(&probabilities(&mut vad(), 1, &sounds::noise(8 * 512, 3_000)), &NOISE);
    assert_close(&probabilities(&mut vad(), 1, &sounds::tone(8 * 512)), &TONE);
}

#[test]
fn callers_do_not_hear_each_other() {
    let (mut vad, one, two) = (vad(), sounds::complete(), sounds::noise(75 * 512, 3_000));
    let mut heard = Vec::new();
    for (one, two) in one.chunks_exact(512).zip(two.chunks_exact(512)) {
        heard.push(vad.probability(StreamId(1), one).unwrap());
        vad.probability(StreamId(2), two).unwrap();
    }
    assert_close(&heard, &COMPLETE);
}

#[test]
fn a_forgotten_caller_starts_afresh() {
    let mut vad = vad();
    probabilities(&mut vad, 1, &sounds::incomplete());
    vad.forget(StreamId(1));
    assert_close(&probabilities(&mut vad, 1, &sounds::complete()), &COMPLETE);
    assert_close(&probabilities(&mut vad.sibling(), 1, &sounds::complete()), &COMPLETE);
}

#[test]
fn the_gate_neither_loses_nor_delays_speech() {
    let mut gated = Gated::new(vad(), EnergyGateConfig::default());
    let pcm = [sounds::silence(64 * 512), sounds::complete(), sounds::silence(64 * 512)].concat();
    let speech = |probabilities: &[f32]| {
        let frames = probabilities.iter().enumerate().filter(|(_, p)| **p > 0.5);
        frames.map(|(n, _)| n).collect::<Vec<_>>()
    };
    let (all, some) = (probabilities(&mut vad(), 1, &pcm), probabilities(&mut gated, 1, &pcm));
    assert_eq!(speech(&some), speech(&all));
}

#[test]
fn cost_of_a_frame_is_printed() {
    let (mut vad, pcm) = (vad(), sounds::complete());
    probabilities(&mut vad, 1, &pcm);
    let mut costs: Vec<_> = pcm
        .chunks_exact(512)
        .map(|frame| {
            let began = Instant::now();
            vad.probability(StreamId(1), frame).unwrap();
            began.elapsed()
        })
        .collect();
    costs.sort();
    println!("a frame of 32 ms: median {:?}, worst {:?}", costs[costs.len() / 2], costs[costs.len() - 1]);
}

#[rustfmt::skip]
const COMPLETE: [f32; 75] = [
    0.01041, 0.01027, 0.00536, 0.00475, 0.00443, 0.00487, 0.00847, 0.08904, 0.34723, 0.59858,
    0.97128, 0.95499, 0.99662, 0.99760, 0.99590, 0.99860, 0.99951, 0.99995, 0.99998, 0.99995,
    0.99997, 0.99992, 0.99993, 0.99989, 0.99997, 0.99992, 0.99981, 0.99851, 0.99140, 0.99956,
    0.99997, 0.99999, 0.99999, 0.99998, 0.99992, 0.99993, 0.99998, 0.99999, 1.00000, 1.00000,
    0.99999, 0.99997, 0.99993, 0.99993, 0.99978, 0.99986, 0.99994, 0.99995, 0.99945, 0.99813,
    0.91475, 0.96646, 0.99980, 0.99997, 0.99998, 0.99997, 0.99997, 0.99997, 0.99997, 0.99999,
    0.99991, 0.99918, 0.99990, 0.99999, 1.00000, 0.99999, 0.99998, 0.99987, 0.99950, 0.94915,
    0.20492, 0.03796, 0.01485, 0.01439, 0.01472,
];

#[rustfmt::skip]
const INCOMPLETE: [f32; 53] = [
    0.01114, 0.01490, 0.00782, 0.00582, 0.00601, 0.15885, 0.48035, 0.74059, 0.99682, 0.99962,
    0.99876, 0.99370, 0.99269, 0.99331, 0.99353, 0.99127, 0.98483, 0.99147, 0.99451, 0.99777,
    0.99905, 0.99987, 0.99983, 0.99933, 0.99995, 0.99996, 0.99999, 0.99990, 0.99986, 0.99996,
    0.99995, 0.99998, 0.99997, 0.99998, 0.99996, 0.99994, 0.99986, 0.99988, 0.99989, 0.99985,
    0.99989, 0.99987, 0.99991, 0.99994, 0.99993, 0.99987, 0.99929, 0.99720, 0.97057, 0.98045,
    0.96192, 0.48834, 0.08521,
];

#[rustfmt::skip]
const SILENCE: [f32; 8] = [
    0.00167, 0.00688, 0.00891, 0.00786, 0.00591, 0.00596, 0.00585, 0.00564,
];

#[rustfmt::skip]
const NOISE: [f32; 8] = [
    0.04076, 0.03432, 0.02736, 0.01837, 0.01855, 0.01295, 0.01479, 0.01624,
];

#[rustfmt::skip]
const TONE: [f32; 8] = [
    0.00707, 0.00119, 0.00047, 0.00040, 0.00058, 0.00072, 0.00080, 0.00074,
];
