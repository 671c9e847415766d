//! The softphone on real sockets: two phones with each other, and a bare SIP node with a phone. The
//! voices hum; no model is needed. And the bench, as it is run.

#![allow(clippy::unwrap_used)] // a test may panic

mod bench;

use std::time::Duration;

use callbox::{
    base::E164,
    engine::registry::{self, EngineConfig, Surroundings},
    engine::{EngineError, worker::TtsHandle},
    eval::phone::{Answering, CallReport, Config, HungUpBy, Phone, PhoneError, Step, speak_lines, turns},
    sip::SipEnd,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A voice that hums 20 ms for each character.
async fn humming() -> TtsHandle {
    let mut config = EngineConfig::new("scripted", "");
    config.options.insert("ms_a_character".into(), 20.into());
    let nowhere = Surroundings::new(|name| Err(EngineError::Start(format!("no model `{name}` here"))));
    let tts = registry::start_tts(&config, &nowhere).unwrap();
    tts.ready(PATIENCE).await.unwrap();
    tts
}

async fn lines(texts: &[&str]) -> Vec<Step> {
    let texts: Vec<String> = texts.iter().map(|text| text.to_string()).collect();
    speak_lines(&humming().await, "tone-0", &texts).await.unwrap().into_iter().map(Step::Say).collect()
}

/// Someone who does not wait long.
fn pace() -> turns::Config {
    turns::Config {
        patience: Duration::from_millis(300),
        fallback: Duration::from_secs(3),
        ..turns::Config::default()
    }
}

async fn start(config: Config) -> Phone {
    Phone::start(config, None).await.unwrap()
}

/// A phone that is called, and the one that calls it.
async fn pair(callee: Config, caller: Config) -> (Phone, Phone) {
    let callee = start(callee).await;
    let caller = start(Config { dial: Some(callee.address()), ..caller }).await;
    caller.dial(number());
    (callee, caller)
}

fn number() -> E164 {
    "+14155550123".parse().unwrap()
}

async fn report(phone: &mut Phone) -> CallReport {
    let report = tokio::time::timeout(PATIENCE, phone.next_call()).await.expect("a call ends");
    assert_eq!(report.problem, None);
    report
}

fn texts(report: &CallReport) -> Vec<&str> {
    report.said.iter().map(|said| said.text.expose().as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_spoken_in_turn_and_every_answer_is_timed() {
    let asks = ["What is your name, please?", "And your address?"];
    let answers = ["My name is Anna Miller.", "I live in Berlin."];
    let recording = tempfile::tempdir().unwrap();
    let file = recording.path().join("call.wav");
    let caller = Config {
        script: lines(&asks).await,
        pace: turns::Config { greet: true, ..pace() },
        ..Config::default()
    };
    let callee = Config {
        script: lines(&answers).await,
        pace: pace(),
        record: Some(file.clone()),
        ..Config::default()
    };
    let (mut callee, mut caller) = pair(callee, caller).await;
    let (called, calling) = (report(&mut callee).await, report(&mut caller).await);
    assert_eq!((texts(&calling), texts(&called)), (asks.to_vec(), answers.to_vec()));
    assert_eq!((called.heard.len(), calling.heard.len()), (2, 2));
    assert_eq!(calling.hung_up_by(), Some(HungUpBy::Phone));
    assert_eq!(called.hung_up_by(), Some(HungUpBy::Other));
    for latency in calling.latencies() {
        let latency = latency.expect("every line is answered");
        assert!(latency >= pace().patience, "{latency:?} is less than the other side's patience");
    }
    let summary = called.recording.expect("the call was recorded");
    assert_eq!(summary.path, file);
    assert!(file.is_file() && summary.duration > Duration::from_secs(2));
    assert!(called.audio.len() > 2 * 8_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_arrive_as_they_were_pressed() {
    let mut script = lines(&["Please hold the line."]).await;
    script.push(Step::Press("4711#".into()));
    let caller = Config { script, pace: turns::Config { greet: true, ..pace() }, ..Config::default() };
    let callee = Config { script: lines(&["Enter your number."]).await, pace: pace(), ..Config::default() };
    let (mut callee, mut caller) = pair(callee, caller).await;
    assert_eq!(report(&mut callee).await.dtmf, "4711#");
    report(&mut caller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_call_ends_at_the_set_time() {
    let at = Duration::from_millis(800);
    let callee = Config { pace: turns::Config { hang_up_at: Some(at), ..pace() }, ..Config::default() };
    let (mut callee, mut caller) = pair(callee, Config::default()).await;
    let report_of_callee = report(&mut callee).await;
    assert_eq!(report_of_callee.hung_up_by(), Some(HungUpBy::Phone));
    assert!(report_of_callee.talked.expect("it was answered") >= at);
    assert_eq!((report_of_callee.said.len(), report_of_callee.heard.len()), (0, 0));
    assert_eq!(report(&mut caller).await.hung_up_by(), Some(HungUpBy::Other));
}

#[tokio::test(flavor = "multi_thread")]
async fn barging_in_is_heard_and_the_other_voice_is_timed() {
    let long = "A very long story that nobody wants to hear to its end, and that goes on and on and on all the same.";
    let talker = Config {
        script: lines(&[long]).await,
        pace: turns::Config { greet: true, ..pace() },
        ..Config::default()
    };
    let barge = turns::Config {
        barge_in: Some(0),
        barge_in_after: Duration::from_millis(300),
        hang_up_after_last: true,
        ..pace()
    };
    let callee = Config { script: lines(&["Stop, please."]).await, pace: barge, ..Config::default() };
    let (mut callee, mut caller) = pair(callee, talker).await;
    let report_of_callee = report(&mut callee).await;
    assert_eq!(texts(&report_of_callee), ["Stop, please."]);
    assert_eq!(
        report_of_callee.yields().len(),
        1,
        "the other side was speaking: {:?}",
        report_of_callee.heard
    );
    assert_eq!(report(&mut caller).await.hung_up_by(), Some(HungUpBy::Other));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_the_caller_with_its_status() {
    let callee = Config { answer: Answering::Reject(486), ..Config::default() };
    let (mut callee, mut caller) = pair(callee, Config::default()).await;
    assert!(matches!(report(&mut caller).await.end, SipEnd::Rejected { status: 486, .. }));
    let refused = report(&mut callee).await;
    assert_eq!((refused.talked, refused.hung_up_by()), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_phone_rings_before_it_answers() {
    let ring = Duration::from_millis(500);
    let callee = Config {
        answer: Answering::After(ring),
        script: lines(&["Hello?"]).await,
        pace: turns::Config { greet: true, hang_up_after_last: true, ..pace() },
        ..Config::default()
    };
    let began = std::time::Instant::now();
    let (mut callee, mut caller) = pair(callee, Config::default()).await;
    let calling = report(&mut caller).await;
    assert!(began.elapsed() >= ring);
    assert_eq!(calling.heard.len(), 1);
    assert_eq!(report(&mut callee).await.hung_up_by(), Some(HungUpBy::Phone));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_one_after_the_other_each_have_a_report() {
    let callee = Config {
        script: lines(&["Hello?"]).await,
        pace: turns::Config { greet: true, hang_up_after_last: true, ..pace() },
        ..Config::default()
    };
    let (mut callee, mut caller) = pair(callee, Config::default()).await;
    report(&mut callee).await;
    report(&mut caller).await;
    caller.dial(number());
    assert_eq!(texts(&report(&mut callee).await), ["Hello?"]);
    report(&mut caller).await;
    callee.shutdown().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let first = start(Config::default()).await;
    let error =
        Phone::start(Config { listen: first.address(), ..Config::default() }, None).await.err().unwrap();
    assert!(
        matches!(&error, PhoneError::Sip(_)) && error.to_string().contains(&first.address().to_string()),
        "{error}"
    );
}
