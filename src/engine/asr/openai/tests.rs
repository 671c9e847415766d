use super::*;
use crate::engine::http::peer::{Asked, Peer, Script, Step, nobody};

const ONE: StreamId = StreamId(1);

fn engine(http: HttpConfig, partials: bool) -> OpenAiAsr {
    OpenAiAsr::new(OpenAiAsrConfig { partials, ..OpenAiAsrConfig::new(http) }).unwrap()
}

fn hears(text: &str) -> Script {
    Script::new(200, "application/json", serde_json::json!({ "text": text }).to_string())
}

/// The WAV file in a multipart request.
fn wav(asked: &Asked) -> Vec<i16> {
    let start = asked.body.windows(4).position(|w| w == b"RIFF").expect("there is a WAV file");
    let mut reader = hound::WavReader::new(&asked.body[start..]).unwrap();
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (16_000, 1));
    reader.samples().map(Result::unwrap).collect()
}

/// Speaks for a second; what went wrong.
fn failure(http: HttpConfig) -> String {
    let mut asr = engine(http, false);
    asr.start(ONE, &SpeechHint { language: None, vocabulary: vec!["Rumpelstiltskin".into()] }).unwrap();
    asr.push(ONE, &[5; 16_000]).unwrap();
    let Err(EngineError::Request(why)) = asr.finish(ONE) else { panic!("must fail the request") };
    assert!(!why.contains("Rumpelstiltskin") && !why.contains("sk-test"), "{why}");
    why
}

#[test]
fn an_utterance_goes_out_as_a_wav_file_and_comes_back_as_text() {
    let peer = Peer::scripted(hears(" Good day. "));
    let mut asr = engine(peer.config(), false);
    let hint =
        SpeechHint { language: Some("de".into()), vocabulary: vec!["Callbox".into(), "Kladow".into()] };
    asr.start(ONE, &hint).unwrap();
    asr.push(ONE, &[1; 4_000]).unwrap();
    asr.push(ONE, &[2; 4_000]).unwrap();
    assert_eq!(asr.finish(ONE).unwrap(), Transcript { text: "Good day.".into(), samples: 8_000 });

    let asked = peer.asked();
    assert_eq!(asked.path, "/v1/audio/transcriptions");
    assert_eq!(asked.authorization.as_deref(), Some("Bearer sk-test"));
    assert_eq!(wav(&asked), [[1i16; 4_000], [2; 4_000]].concat());
    for (field, value) in [("model", "parrot"), ("language", "de"), ("prompt", "Callbox, Kladow")] {
        assert!(asked.text().contains(&format!("name=\"{field}\"\r\n\r\n{value}\r\n")), "{field}");
    }
}

#[test]
fn a_partial_result_covers_what_there_is_and_is_not_asked_for_twice() {
    let peer = Peer::scripted(hears("Good"));
    let mut asr = engine(peer.config(), true);
    asr.start(ONE, &SpeechHint::default()).unwrap();
    asr.push(ONE, &[1; 4_000]).unwrap();
    let partial = asr.partial(ONE).unwrap();
    assert_eq!(partial, Transcript { text: "Good".into(), samples: 4_000 });
    assert_eq!(asr.partial(ONE).unwrap(), partial);
    peer.asked();
    assert!(peer.nothing_asked());
}

#[test]
fn without_partials_nothing_is_asked_before_the_end() {
    let peer = Peer::scripted(hears("Good"));
    let mut asr = engine(peer.config(), false);
    asr.start(ONE, &SpeechHint::default()).unwrap();
    asr.push(ONE, &[1; 4_000]).unwrap();
    assert_eq!(asr.partial(ONE).unwrap(), Transcript::default());
    assert!(peer.nothing_asked());
}

#[test]
fn a_click_is_not_worth_a_request() {
    let peer = Peer::scripted(hears("Thank you."));
    let mut asr = engine(peer.config(), false);
    asr.start(ONE, &SpeechHint::default()).unwrap();
    asr.push(ONE, &[1; 100]).unwrap();
    assert_eq!(asr.finish(ONE).unwrap(), Transcript { text: String::new(), samples: 100 });
    assert!(peer.nothing_asked());
}

#[test]
fn what_exceeds_the_longest_utterance_is_not_heard() {
    let peer = Peer::scripted(hears("Well"));
    let config = OpenAiAsrConfig { max_seconds: 1, ..OpenAiAsrConfig::new(peer.config()) };
    let mut asr = OpenAiAsr::new(config).unwrap();
    asr.start(ONE, &SpeechHint::default()).unwrap();
    asr.push(ONE, &[1; 20_000]).unwrap();
    asr.push(ONE, &[1; 20_000]).unwrap();
    assert_eq!(asr.finish(ONE).unwrap().samples, 16_000);
    assert_eq!(wav(&peer.asked()).len(), 16_000);
}

#[test]
fn callers_are_kept_apart_and_counted() {
    let peer = Peer::scripted(hears("yes"));
    let mut asr = engine(HttpConfig { max_concurrent: 1, ..peer.config() }, false);
    assert!(matches!(asr.push(ONE, &[1]), Err(EngineError::Request(_))));
    asr.start(ONE, &SpeechHint::default()).unwrap();
    asr.start(ONE, &SpeechHint::default()).unwrap();
    assert!(matches!(asr.start(StreamId(2), &SpeechHint::default()), Err(EngineError::Overloaded(1))));
    asr.cancel(ONE);
    assert!(matches!(asr.finish(ONE), Err(EngineError::Request(_))));
    asr.sibling().start(ONE, &SpeechHint::default()).unwrap();
}

#[test]
fn each_way_to_fail_says_what_to_do() {
    let with = |script: Script| {
        let peer = Peer::scripted(script);
        failure(peer.config())
    };
    assert!(failure(nobody()).contains("cannot connect to"));
    assert!(with(Script::new(401, "application/json", "{}")).contains("`api_key`"));
    assert!(with(Script::new(404, "application/json", "{}")).contains("`model`"));
    assert!(with(Script::new(500, "text/plain", "Rumpelstiltskin")).contains("failed (500"));
    assert!(with(Script::new(200, "application/json", "Rumpelstiltskin")).contains("no transcription"));
    assert!(with(Script::new(200, "application/json", "{\"te").then(Step::Break)).contains("broke off"));
    let peer = Peer::scripted(Script::new(200, "application/json", vec![b' '; 100_000]));
    assert!(failure(HttpConfig { max_response_bytes: 50_000, ..peer.config() }).contains("50000 bytes"));
    let peer = Peer::scripted(hears("never").held_before(0));
    assert!(failure(HttpConfig { timeout_ms: 50, ..peer.config() }).contains("did not answer in time"));
}

#[test]
fn configuration_is_flat_and_refuses_what_it_does_not_know() {
    let config: OpenAiAsrConfig =
        toml::from_str("base_url = 'http://h/v1'\nmodel = 'm'\npartials = true").unwrap();
    assert!(config.partials && config.language.is_none() && config.max_seconds == 60);
    let error = toml::from_str::<OpenAiAsrConfig>("base_url = 'http://h/v1'\nmodel = 'm'\npartial = true");
    assert!(error.unwrap_err().to_string().contains("partial"));
    let endless = OpenAiAsr::new(OpenAiAsrConfig { max_seconds: u32::MAX, ..config });
    assert!(matches!(endless, Err(EngineError::Start(why)) if why.contains("`max_seconds`")));
}
