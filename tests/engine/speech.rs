//! Piper speaks, Whisper reads it back.

use std::time::Instant;

use callbox::engine::{EngineError, SpeechHint, Utterance, worker::TtsHandle};

use super::{asr, piper, tts, whisper};

const SENTENCE: &str = "My name is Martin and I would like to order three large pizzas.";

const STORY: &[&str] = &[
    "There was a river in the north, and over the river there was a bridge.",
    "An old man lived beside the bridge with his two dogs and a very small horse.",
    "Every morning he walked to the village to buy bread, milk and the newspaper.",
    "One day in winter the bridge was gone, and nobody knew where it was.",
    "The teacher said that the water had taken it, but the children did not believe her.",
    "So they built a boat out of the doors of the school and crossed the river.",
    "On the other side they found the bridge in pieces, and the horse asleep under a tree.",
    "They carried everything home before dinner, and the mayor gave them a party.",
];

fn joe(text: &str) -> Utterance {
    Utterance { text: text.to_owned(), voice: "joe".to_owned(), speed: 1.0 }
}

/// What the voice says, at 16 kHz, with a little silence before and after.
pub async fn spoken(tts: &TtsHandle, text: &str) -> Vec<i16> {
    let mut speech = tts.speak(joe(text));
    let mut pcm = vec![0; 3_200];
    while let Some(chunk) = speech.recv().await {
        let chunk = chunk.unwrap();
        pcm.extend(at_16_khz(&chunk.pcm, chunk.rate));
    }
    pcm.extend([0; 3_200]);
    pcm
}

/// Linear interpolation: good enough for a recogniser in a test.
fn at_16_khz(pcm: &[i16], rate: u32) -> Vec<i16> {
    let length = pcm.len() * 16_000 / rate as usize;
    let at = |i: usize| {
        let position = i as f64 * f64::from(rate) / 16_000.0;
        let (index, part) = (position as usize, position.fract());
        let next = pcm[(index + 1).min(pcm.len() - 1)];
        (f64::from(pcm[index]) * (1.0 - part) + f64::from(next) * part) as i16
    };
    (0..length).map(at).collect()
}

#[tokio::test]
async fn whisper_reads_what_piper_says_and_partials_grow_into_it() {
    let (tts, asr) = (tts(piper()).await, asr(whisper("ggml-base.bin")).await);
    assert_eq!(tts.voices()[0].language, "en-US");
    let pcm = spoken(&tts, SENTENCE).await;
    let hint = SpeechHint { language: Some("en".to_owned()), vocabulary: vec!["Martin".to_owned()] };
    let stream = asr.stream(hint);
    stream.push(&pcm[..pcm.len() / 2]).unwrap();
    let partial = stream.partial().await.unwrap();
    assert!(partial.value.text.contains("Martin"), "{partial:?}");
    assert!(!partial.value.text.contains("pizza"), "{partial:?}");
    stream.push(&pcm[pcm.len() / 2..]).unwrap();
    let last = stream.finish().await.unwrap();
    for word in ["Martin", "order", "pizza"] {
        assert!(last.value.text.contains(word), "{last:?}");
    }
    assert_eq!(last.value.samples, pcm.len() as u64);
    println!(
        "{:.1} s of speech: partial {:?}, final {:?}",
        pcm.len() as f32 / 16e3,
        partial.timing,
        last.timing
    );
}

#[tokio::test]
async fn a_final_over_audio_already_read_costs_nothing() {
    let (tts, asr) = (tts(piper()).await, asr(whisper("ggml-tiny.en.bin")).await);
    let stream = asr.stream(SpeechHint::default());
    stream.push(spoken(&tts, SENTENCE).await).unwrap();
    let partial = stream.partial().await.unwrap();
    stream.push([0i16; 8_000]).unwrap();
    let last = stream.finish().await.unwrap();
    assert_eq!(last.value.text, partial.value.text);
    assert!(last.timing.inference < partial.timing.inference / 4, "{partial:?} {last:?}");
}

#[tokio::test]
async fn an_utterance_longer_than_whispers_window_is_read_to_its_end() {
    let (tts, asr) = (tts(piper()).await, asr(whisper("ggml-tiny.en.bin")).await);
    let mut pcm = spoken(&tts, "We begin with apples.").await;
    for sentence in STORY.iter().cycle() {
        if pcm.len() > 36 * 16_000 {
            break;
        }
        pcm.extend(spoken(&tts, sentence).await);
    }
    pcm.extend(spoken(&tts, "And in the end there were oranges for everybody.").await);
    let stream = asr.stream(SpeechHint::default());
    stream.push(&pcm).unwrap();
    let text = stream.finish().await.unwrap().value.text.to_lowercase();
    assert!(text.contains("apples") && text.contains("oranges"), "{text}");
}

#[tokio::test]
async fn nobody_speaks_in_silence_and_noise() {
    let asr = asr(whisper("ggml-tiny.en.bin")).await;
    let stream = asr.stream(SpeechHint::default());
    stream.push([0i16; 16_000]).unwrap();
    assert_eq!(stream.finish().await.unwrap().value.text, "");
    let mut seed = 1u32;
    let hiss: Vec<i16> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((seed >> 16) as i16) / 256
    })
    .take(32_000)
    .collect();
    stream.push(&hiss).unwrap();
    assert_eq!(stream.finish().await.unwrap().value.text, "");
}

#[tokio::test]
async fn a_language_the_model_does_not_know_is_refused() {
    let asr = asr(whisper("ggml-tiny.en.bin")).await;
    let german = SpeechHint { language: Some("de".to_owned()), vocabulary: Vec::new() };
    let refused = asr.stream(german).finish().await;
    assert!(
        matches!(&refused, Err(EngineError::Request(detail)) if detail.contains("English")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_first_clause_is_heard_before_the_text_is_spoken() {
    let tts = tts(piper()).await;
    let text = "Thank you very much for calling, let me look that up for you. It will take a moment. Please hold the line.";
    let begun = Instant::now();
    let mut speech = tts.speak(joe(text));
    let first = speech.recv().await.unwrap().unwrap();
    let to_first = begun.elapsed();
    let mut pieces = vec![first];
    while let Some(chunk) = speech.recv().await {
        pieces.push(chunk.unwrap());
    }
    assert!(pieces.len() >= 3);
    assert!(to_first < begun.elapsed() / 2);
    let seconds: f32 = pieces.iter().map(|c| c.pcm.len() as f32 / c.rate as f32).sum();
    println!("{} pieces, {seconds:.1} s; first audio {to_first:?}, all {:?}", pieces.len(), begun.elapsed());
}

#[tokio::test]
async fn a_faster_voice_takes_less_time_and_odd_texts_are_no_trouble() {
    let tts = tts(piper()).await;
    let mut lengths = Vec::new();
    for speed in [0.8, 1.6] {
        let mut speech = tts.speak(Utterance { speed, ..joe(SENTENCE) });
        let mut samples = 0;
        while let Some(chunk) = speech.recv().await {
            samples += chunk.unwrap().pcm.len();
        }
        lengths.push(samples);
    }
    assert!(lengths[0] > lengths[1] * 3 / 2, "{lengths:?}");
    for odd in ["", "…", "🙂", "\0\u{7}", "3.5% of €1,200 (approx.) — “really”?\n\nYes"] {
        let mut speech = tts.speak(joe(odd));
        while let Some(chunk) = speech.recv().await {
            chunk.unwrap();
        }
    }
    let too_fast = tts.speak(Utterance { speed: f32::NAN, ..joe("x") }).recv().await;
    assert!(matches!(too_fast, Some(Err(EngineError::Request(_)))));
}
