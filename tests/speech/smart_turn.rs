//! Smart-Turn v3.2 against the same weights on onnxruntime, with the features of pipecat 1.14.0.
//!
//! The features agree closely. The probabilities cannot: the network is quantised to 8 bits, and a
//! value that rounds the other way moves the answer. onnxruntime alone gives 0.911 or 0.957 for one clip
//! at two of its optimisation levels, and noise of 1e-4 on the features moves that by 0.03. The expected
//! values are those without optimisation, which follow the graph to the letter.

use callbox::engine::{
    EngineError, Turn,
    turn::{
        mel::{BANDS, FRAMES, LogMel},
        smart_turn::{SmartTurn, SmartTurnConfig},
    },
};

use crate::{sounds, weights};

fn turn() -> SmartTurn {
    let config = SmartTurnConfig { path: weights::path("smart-turn-v3.2-cpu.onnx"), threads: 1 };
    SmartTurn::load(&config).expect("the weights load")
}

/// Two complete sentences and an incomplete one, more than eight seconds in all.
fn long() -> Vec<i16> {
    let (complete, incomplete) = (sounds::complete(), sounds::incomplete());
    [&complete[..], &incomplete, &complete, &incomplete, &complete].concat()
}

#[test]
fn probabilities_are_those_of_the_reference() {
    let mut turn = turn();
    let pause = sounds::silence(3_200);
    for (what, pcm, expected) in [
        ("a complete sentence", sounds::complete(), 0.95737),
        ("the same and a pause", [sounds::complete(), pause.clone()].concat(), 0.95737),
        ("an incomplete sentence", sounds::incomplete(), 0.01109),
        ("the same and a pause", [sounds::incomplete(), pause].concat(), 0.0111),
        ("a tone", sounds::tone(64_000), 0.01701),
        ("noise", sounds::noise(144_000, 3_000), 0.95737),
        ("more than eight seconds", long(), 0.03147),
    ] {
        let probability = turn.probability(&pcm).expect("the model answers");
        assert!((probability - expected).abs() < 1e-2, "{what}: {probability}, expected {expected}");
    }
}

#[test]
fn features_of_speech_are_those_of_the_reference() {
    let expected = [
        (0, 799, 0.369235),
        (5, 780, 0.641298),
        (20, 700, 1.132984),
        (40, 650, 0.481948),
        (60, 790, -0.041737),
        (30, 0, -0.041737),
    ];
    let mut mel = LogMel::new();
    let features = mel.features(&sounds::complete()).to_vec();
    for (band, frame, expected) in expected {
        let value = features[band * FRAMES + frame];
        assert!((value - expected).abs() < 1e-3, "[{band}][{frame}] is {value}, expected {expected}");
    }
    let n = (BANDS * FRAMES) as f64;
    let mean = features.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let deviation = (features.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n).sqrt();
    assert!((mean - 0.118197).abs() < 1e-4 && (deviation - 0.354262).abs() < 1e-4, "{mean} {deviation}");
}

#[test]
fn no_audio_is_refused_and_the_next_call_works() {
    let mut turn = turn();
    assert!(matches!(turn.probability(&[]), Err(EngineError::Request(_))));
    assert!(turn.sibling().probability(&sounds::complete()).expect("the model answers") > 0.5);
}

#[test]
fn cost_of_a_judgement_is_printed() {
    let (mut turn, pcm) = (turn(), long());
    turn.probability(&pcm).expect("the model answers");
    let mut costs: Vec<_> = (0..15)
        .map(|_| {
            turn.probability(&pcm).expect("the model answers");
            turn.last_cost()
        })
        .collect();
    costs.sort_by_key(|cost| cost.features + cost.network);
    println!("eight seconds: median {:?}, worst {:?}", costs[7], costs[14]);
}
