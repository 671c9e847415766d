//! Workers around scripted engines.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc as std_mpsc,
    },
    time::Duration,
};

use super::*;
use crate::engine::{
    Asr, AudioChunk, ChatMessage, Completion, Delta, Llm, Role, SpeechHint, StreamId, Transcript, Tts,
    Utterance,
    asr::{
        ScriptedAsr,
        scripted::{AsrScript, Cue},
    },
    llm::{
        ScriptedLlm,
        scripted::{Answer, LlmScript},
    },
    scripted::Trapdoor,
    tts::{ScriptedTts, scripted::TtsScript},
};

const SOON: Duration = Duration::from_secs(10);

/// An ear whose every computation waits for the test to let it go, and says what it was.
struct Gated {
    gate: std_mpsc::Receiver<()>,
    log: std_mpsc::Sender<&'static str>,
}

impl Gated {
    fn compute(&mut self, what: &'static str) -> Result<Transcript, EngineError> {
        self.log.send(what).unwrap();
        self.gate.recv().unwrap();
        Ok(Transcript { text: what.to_owned(), samples: 0 })
    }
}

impl Asr for Gated {
    fn start(&mut self, _: StreamId, _: &SpeechHint) -> Result<(), EngineError> {
        Ok(())
    }
    fn push(&mut self, _: StreamId, _: &[i16]) -> Result<(), EngineError> {
        Ok(())
    }
    fn partial(&mut self, _: StreamId) -> Result<Transcript, EngineError> {
        self.compute("partial")
    }
    fn finish(&mut self, _: StreamId) -> Result<Transcript, EngineError> {
        self.compute("final")
    }
    fn cancel(&mut self, _: StreamId) {}
}

fn gated(queue: usize) -> (AsrHandle, std_mpsc::Sender<()>, std_mpsc::Receiver<&'static str>) {
    let (open, gate) = std_mpsc::channel();
    let (log, computed) = std_mpsc::channel();
    let parts = parking_lot::Mutex::new(Some((gate, log)));
    let factory: Factory<dyn Asr> = Arc::new(move || {
        let (gate, log) = parts.lock().take().expect("built once");
        Ok(Box::new(Gated { gate, log }))
    });
    (AsrHandle::spawn(&WorkerConfig { queue, ..WorkerConfig::new("asr") }, factory), open, computed)
}

fn scripted_asr(script: AsrScript, trapdoor: &Trapdoor) -> (AsrHandle, Arc<AtomicUsize>) {
    let (script, trapdoor, built) = (Arc::new(script), trapdoor.clone(), Arc::new(AtomicUsize::new(0)));
    let count = built.clone();
    let factory: Factory<dyn Asr> = Arc::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(ScriptedAsr::new(script.clone()).over(&trapdoor)))
    });
    (AsrHandle::spawn(&WorkerConfig::new("asr"), factory), built)
}

fn says(text: &str) -> AsrScript {
    AsrScript { utterances: vec![Cue::Say(text.to_owned())], delay_ms: 0 }
}

#[tokio::test]
async fn a_final_overtakes_the_partials_of_others() {
    let (asr, open, computed) = gated(8);
    let (first, second) = (asr.stream(SpeechHint::default()), asr.stream(SpeechHint::default()));
    let running = first.partial();
    assert_eq!(computed.recv_timeout(SOON), Ok("partial"));
    let waiting = first.partial();
    let urgent = second.finish();
    open.send(()).unwrap();
    assert!(running.await.is_ok());
    assert_eq!(computed.recv_timeout(SOON), Ok("final"));
    open.send(()).unwrap();
    assert_eq!(urgent.await.unwrap().value.text, "final");
    open.send(()).unwrap();
    assert!(waiting.await.is_ok());
}

#[tokio::test]
async fn a_partial_overtaken_by_the_final_is_not_computed() {
    let (asr, open, computed) = gated(8);
    let (other, stream) = (asr.stream(SpeechHint::default()), asr.stream(SpeechHint::default()));
    let running = other.partial();
    computed.recv_timeout(SOON).unwrap();
    let (older, newer, last) = (stream.partial(), stream.partial(), stream.finish());
    open.send(()).unwrap();
    open.send(()).unwrap();
    assert!(running.await.is_ok());
    assert!(last.await.is_ok());
    for void in [older.await, newer.await] {
        assert!(matches!(void, Err(EngineError::Request(_))), "{void:?}");
    }
}

#[tokio::test]
async fn a_full_queue_answers_at_once() {
    let (asr, open, computed) = gated(1);
    let streams: Vec<_> = (0..3).map(|_| asr.stream(SpeechHint::default())).collect();
    let running = streams[0].partial();
    computed.recv_timeout(SOON).unwrap();
    let waiting = streams[1].partial();
    let refused = streams[2].partial().await;
    assert!(matches!(refused, Err(EngineError::Overloaded(1))), "{refused:?}");
    open.send(()).unwrap();
    open.send(()).unwrap();
    assert!(running.await.is_ok() && waiting.await.is_ok());
}

#[tokio::test]
async fn a_death_fails_what_was_open_and_the_engine_comes_back() {
    let trapdoor = Trapdoor::default();
    let (asr, built) = scripted_asr(says("hello"), &trapdoor);
    asr.ready(SOON).await.unwrap();
    trapdoor.open();
    let stream = asr.stream(SpeechHint::default());
    let died = stream.finish().await;
    assert!(matches!(died, Err(EngineError::Died(_))), "{died:?}");
    assert!(matches!(&*asr.health().borrow(), Health::Down { .. }));
    let refused = stream.partial().await;
    assert!(matches!(refused, Err(EngineError::Died(_))), "{refused:?}");
    asr.ready(SOON).await.unwrap();
    assert_eq!(stream.finish().await.unwrap().value.text, "hello");
    assert_eq!(built.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_panic_is_a_death() {
    let panics = Arc::new(AtomicUsize::new(0));
    let count = panics.clone();
    let factory: Factory<dyn Asr> = Arc::new(move || match count.fetch_add(1, Ordering::Relaxed) {
        0 => panic!("cannot load"),
        _ => Ok(Box::new(ScriptedAsr::new(says("hello")))),
    });
    let asr = AsrHandle::spawn(&WorkerConfig::new("asr"), factory);
    let mut health = asr.health();
    let down = health.wait_for(|h| matches!(h, Health::Down { .. })).await.unwrap().clone();
    assert!(matches!(down, Health::Down { detail } if detail.contains("cannot load")));
    asr.ready(SOON).await.unwrap();
    assert_eq!(asr.stream(SpeechHint::default()).finish().await.unwrap().value.text, "hello");
    assert_eq!(panics.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn audio_after_a_final_belongs_to_the_next_utterance() {
    let (asr, _) = scripted_asr(
        AsrScript { utterances: vec![Cue::Say("a".to_owned()), Cue::Say("b".to_owned())], delay_ms: 0 },
        &Trapdoor::default(),
    );
    let stream = asr.stream(SpeechHint::default());
    stream.push(vec![0; 300]).unwrap();
    let first = stream.finish();
    stream.push([0i16; 200]).unwrap();
    let second = stream.finish();
    assert_eq!(first.await.unwrap().value, Transcript { text: "a".to_owned(), samples: 300 });
    assert_eq!(second.await.unwrap().value, Transcript { text: "b".to_owned(), samples: 200 });
}

#[tokio::test]
async fn streams_are_spread_over_the_instances() {
    let threads = Arc::new(parking_lot::Mutex::new(std::collections::HashSet::new()));
    struct Named(Arc<parking_lot::Mutex<std::collections::HashSet<std::thread::ThreadId>>>, ScriptedAsr);
    impl Asr for Named {
        fn start(&mut self, s: StreamId, h: &SpeechHint) -> Result<(), EngineError> {
            self.0.lock().insert(std::thread::current().id());
            self.1.start(s, h)
        }
        fn push(&mut self, s: StreamId, pcm: &[i16]) -> Result<(), EngineError> {
            self.1.push(s, pcm)
        }
        fn partial(&mut self, s: StreamId) -> Result<Transcript, EngineError> {
            self.1.partial(s)
        }
        fn finish(&mut self, s: StreamId) -> Result<Transcript, EngineError> {
            self.1.finish(s)
        }
        fn cancel(&mut self, s: StreamId) {
            self.1.cancel(s);
        }
    }
    let seen = threads.clone();
    let factory: Factory<dyn Asr> =
        Arc::new(move || Ok(Box::new(Named(seen.clone(), ScriptedAsr::new(says("x"))))));
    let asr = AsrHandle::spawn(&WorkerConfig { instances: 3, ..WorkerConfig::new("asr") }, factory);
    let streams: Vec<_> = (0..3).map(|_| asr.stream(SpeechHint::default())).collect();
    for stream in &streams {
        stream.finish().await.unwrap();
    }
    assert_eq!(threads.lock().len(), 3);
}

#[tokio::test]
async fn the_engine_ends_with_its_last_stream() {
    struct Bell(tokio::sync::mpsc::UnboundedSender<()>, ScriptedTts);
    impl Drop for Bell {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    impl Tts for Bell {
        fn voices(&self) -> Vec<crate::engine::Voice> {
            self.1.voices()
        }
        fn start(&mut self, s: StreamId, r: &Utterance) -> Result<(), EngineError> {
            self.1.start(s, r)
        }
        fn next(&mut self, s: StreamId) -> Result<Option<AudioChunk>, EngineError> {
            self.1.next(s)
        }
        fn cancel(&mut self, s: StreamId) {
            self.1.cancel(s);
        }
    }
    let (ring, mut bell) = tokio::sync::mpsc::unbounded_channel();
    let factory: Factory<dyn Tts> =
        Arc::new(move || Ok(Box::new(Bell(ring.clone(), ScriptedTts::new(TtsScript::default())))));
    let tts = TtsHandle::spawn(&WorkerConfig::new("tts"), factory);
    let of_a_call = tts.clone();
    drop(tts);
    let mut speech = of_a_call.speak(utterance("a swap leaves a call with its engine"));
    drop(of_a_call);
    let mut samples = 0;
    while let Some(chunk) = speech.recv().await {
        samples += chunk.unwrap().pcm.len();
    }
    assert!(samples > 22_050);
    tokio::time::timeout(SOON, bell.recv()).await.unwrap().unwrap();
}

fn utterance(text: &str) -> Utterance {
    Utterance { text: text.to_owned(), voice: "tone-0".to_owned(), speed: 1.0 }
}

fn scripted_tts(script: TtsScript, trapdoor: &Trapdoor) -> TtsHandle {
    let (script, trapdoor) = (Arc::new(script), trapdoor.clone());
    let factory: Factory<dyn Tts> =
        Arc::new(move || Ok(Box::new(ScriptedTts::new(script.clone()).over(&trapdoor))));
    TtsHandle::spawn(&WorkerConfig::new("tts"), factory)
}

#[tokio::test]
async fn a_listener_who_does_not_listen_holds_up_only_itself() {
    let tts = scripted_tts(TtsScript { piece_ms: 50, ..TtsScript::default() }, &Trapdoor::default());
    let mut deaf = tts.speak(utterance("this goes on for much longer than anybody has room for"));
    let mut keen = tts.speak(utterance("and this is heard to its end all the same, as it should be"));
    let mut heard = 0;
    while let Some(chunk) = tokio::time::timeout(SOON, keen.recv()).await.unwrap() {
        heard += chunk.unwrap().pcm.len();
    }
    assert!(heard > 3 * 22_050);
    let mut rest = 0;
    while let Some(chunk) = tokio::time::timeout(SOON, deaf.recv()).await.unwrap() {
        rest += chunk.unwrap().pcm.len();
    }
    assert!(rest > 3 * 22_050);
    assert_eq!(tts.voices()[0].name, "tone-0");
}

#[tokio::test]
async fn an_unknown_voice_fails_its_speech_alone() {
    let tts = scripted_tts(TtsScript::default(), &Trapdoor::default());
    let mut speech = tts.speak(Utterance { voice: "nobody".to_owned(), ..utterance("hello") });
    assert!(matches!(speech.recv().await, Some(Err(EngineError::Request(_)))));
    assert!(tts.speak(utterance("hello")).recv().await.unwrap().is_ok());
}

fn scripted_llm(answers: Vec<Answer>, token_ms: u64, trapdoor: &Trapdoor) -> LlmHandle {
    let (script, trapdoor) = (Arc::new(LlmScript { answers, token_ms }), trapdoor.clone());
    let factory: Factory<dyn Llm> =
        Arc::new(move || Ok(Box::new(ScriptedLlm::new(script.clone()).over(&trapdoor))));
    LlmHandle::spawn(&WorkerConfig::new("llm"), factory)
}

fn question(text: &str) -> Completion {
    let messages = vec![ChatMessage::new(Role::User, text)];
    Completion { messages, tools: Vec::new(), max_tokens: 1_000, temperature: 0.0 }
}

async fn end_of(events: &mut tokio::sync::mpsc::Receiver<LlmEvent>) -> (String, Option<Delta>) {
    let (mut text, mut end) = (String::new(), None);
    while let Some(event) = tokio::time::timeout(SOON, events.recv()).await.unwrap() {
        match event.delta {
            Delta::Text { text: piece } => text.push_str(&piece),
            other => end = Some(other),
        }
    }
    (text, end)
}

#[tokio::test]
async fn two_conversations_are_answered_together() {
    let llm = scripted_llm(vec![Answer::says("one two three four")], 1, &Trapdoor::default());
    let (first, second) = (llm.conversation(), llm.conversation());
    let (mut a, mut b) = (first.start(question("?")), second.start(question("?")));
    assert_eq!(end_of(&mut a).await.0, "one two three four");
    let (text, end) = end_of(&mut b).await;
    assert_eq!(text, "one two three four");
    assert!(matches!(end, Some(Delta::Done { usage }) if usage.generated_tokens == 4));
}

#[tokio::test]
async fn a_cancelled_or_dropped_answer_stops_and_the_next_one_comes() {
    let endless = "word ".repeat(900);
    let llm = scripted_llm(vec![Answer::says(endless), Answer::says("short")], 1, &Trapdoor::default());
    let conversation = llm.conversation();
    let mut events = conversation.start(question("?"));
    events.recv().await.unwrap();
    conversation.cancel().unwrap();
    let (text, end) = end_of(&mut events).await;
    assert!(text.len() < 4_000 && end.is_none());
    assert_eq!(end_of(&mut conversation.start(question("?"))).await.0, "short");
}

#[tokio::test]
async fn a_death_ends_every_answer_with_the_reason() {
    let trapdoor = Trapdoor::default();
    let llm = scripted_llm(vec![Answer::says("word ".repeat(900))], 1, &trapdoor);
    let conversation = llm.conversation();
    let mut events = conversation.start(question("?"));
    events.recv().await.unwrap();
    trapdoor.open();
    let (_, end) = end_of(&mut events).await;
    assert!(matches!(end, Some(Delta::Failed { detail }) if detail.contains("died")));
    let mut refused = conversation.start(question("?"));
    assert!(matches!(
        refused.recv().await.map(|e| e.delta),
        Some(Delta::Failed { .. }) | Some(Delta::Text { .. })
    ));
}
