use std::time::Instant;

use super::*;
use crate::engine::http::{
    peer::{PATIENCE, Peer, Script, Step, nobody},
    wire_audio::wav_of,
};

const ONE: StreamId = StreamId(1);
const TWO: StreamId = StreamId(2);

fn engine(http: HttpConfig) -> OpenAiTts {
    let voice = Voice { name: "joe".into(), language: "en-US".into() };
    OpenAiTts::new(OpenAiTtsConfig::new(http, vec![voice])).unwrap()
}

fn utterance(text: &str) -> Utterance {
    Utterance { text: text.into(), voice: "joe".into(), speed: 1.0 }
}

fn bytes(pcm: &[i16]) -> Vec<u8> {
    pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Audio in two pieces of a tenth of a second.
fn speech() -> Script {
    Script::new(200, "audio/pcm", bytes(&[1; 2_400])).then(Step::Send(bytes(&[2; 2_400])))
}

/// The next chunk that holds samples.
fn next_sound(tts: &mut OpenAiTts, stream: StreamId) -> Result<Option<AudioChunk>, EngineError> {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "still waiting for audio");
        match tts.next(stream)? {
            Some(chunk) if chunk.pcm.is_empty() => {}
            next => return Ok(next),
        }
    }
}

/// All that is said on `stream`: its rate and its samples.
fn all(tts: &mut OpenAiTts, stream: StreamId) -> Result<(u32, Vec<i16>), EngineError> {
    let (mut rate, mut pcm) = (0, Vec::new());
    while let Some(chunk) = next_sound(tts, stream)? {
        rate = chunk.rate;
        pcm.extend(chunk.pcm);
    }
    Ok((rate, pcm))
}

/// Says something; what went wrong.
fn failure(http: HttpConfig) -> String {
    let mut tts = engine(http);
    tts.start(ONE, &utterance("Rumpelstiltskin")).unwrap();
    let Err(EngineError::Request(why)) = all(&mut tts, ONE) else { panic!("must fail the request") };
    assert!(!why.contains("Rumpelstiltskin") && !why.contains("sk-test"), "{why}");
    assert_eq!(tts.next(ONE).unwrap(), None, "the failure is told once");
    why
}

#[test]
fn audio_streams_in_at_the_configured_rate() {
    let peer = Peer::scripted(speech());
    let mut tts = engine(peer.config());
    tts.start(ONE, &Utterance { speed: 9.0, ..utterance("Hello") }).unwrap();
    assert_eq!(all(&mut tts, ONE).unwrap(), (24_000, [[1i16; 2_400], [2; 2_400]].concat()));
    let asked = peer.asked();
    assert_eq!(asked.path, "/v1/audio/speech");
    let expected = serde_json::json!({
        "model": "parrot", "input": "Hello", "voice": "joe", "response_format": "pcm", "speed": 4.0,
    });
    assert_eq!(asked.json(), expected);
}

#[test]
fn the_first_audio_is_given_before_the_rest_is_made() {
    let peer = Peer::scripted(speech().held_before(1));
    let mut tts = engine(peer.config());
    tts.start(ONE, &utterance("Hello")).unwrap();
    assert_eq!(next_sound(&mut tts, ONE).unwrap().unwrap().pcm[0], 1);
    assert!(tts.next(ONE).unwrap().unwrap().pcm.is_empty(), "nothing yet, but more to come");
    peer.go_on();
    assert_eq!(next_sound(&mut tts, ONE).unwrap().unwrap().pcm[0], 2);
    assert_eq!(next_sound(&mut tts, ONE).unwrap(), None);
}

#[test]
fn a_wav_file_says_its_own_rate() {
    let peer = Peer::scripted(Script::new(200, "audio/wav", wav_of(&[7; 5_000], 22_050)));
    let mut tts = engine(peer.config());
    tts.start(ONE, &utterance("Hello")).unwrap();
    assert_eq!(all(&mut tts, ONE).unwrap(), (22_050, vec![7; 5_000]));
}

#[test]
fn a_slow_utterance_does_not_hold_up_another() {
    let peer = Peer::answering(|asked| match asked.text().contains("slow") {
        true => speech().held_before(0),
        false => speech(),
    });
    let mut tts = engine(peer.config());
    tts.start(ONE, &utterance("slow")).unwrap();
    tts.start(TWO, &utterance("fast")).unwrap();
    assert_eq!(all(&mut tts, TWO).unwrap().1.len(), 4_800);
    assert!(tts.next(ONE).unwrap().unwrap().pcm.is_empty());
    peer.go_on();
    assert_eq!(all(&mut tts, ONE).unwrap().1.len(), 4_800);
}

#[test]
fn cancelling_hangs_up_on_the_server_and_ends_the_utterance() {
    let peer = Peer::scripted(speech().held_before(1));
    let mut tts = engine(peer.config());
    tts.start(ONE, &utterance("Hello")).unwrap();
    next_sound(&mut tts, ONE).unwrap();
    tts.cancel(ONE);
    peer.wait_for_hang_up();
    assert_eq!(tts.next(ONE).unwrap(), None);
}

#[test]
fn a_new_utterance_replaces_the_one_under_way() {
    let peer = Peer::answering(|asked| match asked.text().contains("old") {
        true => speech().held_before(1),
        false => Script::new(200, "audio/pcm", bytes(&[9; 2_400])),
    });
    let mut tts = engine(peer.config());
    tts.start(ONE, &utterance("old")).unwrap();
    peer.asked();
    tts.start(ONE, &utterance("new")).unwrap();
    assert_eq!(all(&mut tts, ONE).unwrap().1, [9; 2_400]);
}

#[test]
fn what_cannot_be_said_is_refused_at_once() {
    let mut tts = engine(nobody());
    let error = tts.start(ONE, &Utterance { voice: "eve".into(), ..utterance("Hello") }).unwrap_err();
    assert!(error.to_string().contains("no voice `eve`; there are: joe"), "{error}");
    tts.start(ONE, &utterance(" ")).unwrap();
    assert_eq!(tts.next(ONE).unwrap(), None);
    let none = OpenAiTts::new(OpenAiTtsConfig::new(nobody(), Vec::new()));
    assert!(matches!(none, Err(EngineError::Start(why)) if why.contains("`voices`")));
}

#[test]
fn more_utterances_than_allowed_are_refused() {
    let peer = Peer::scripted(speech().held_before(0));
    let mut tts = engine(HttpConfig { max_concurrent: 1, ..peer.config() });
    tts.start(ONE, &utterance("Hello")).unwrap();
    assert!(matches!(tts.start(TWO, &utterance("Hello")), Err(EngineError::Overloaded(1))));
    tts.start(ONE, &utterance("Hello again")).unwrap();
}

#[test]
fn each_way_to_fail_says_what_to_do() {
    let with = |script: Script| {
        let peer = Peer::scripted(script);
        failure(peer.config())
    };
    assert!(failure(nobody()).contains("cannot connect to"));
    assert!(with(Script::new(401, "application/json", "{}")).contains("`api_key`"));
    assert!(with(Script::new(500, "text/plain", "Rumpelstiltskin")).contains("failed (500"));
    assert!(with(Script::new(200, "audio/mpeg", "ID3")).contains("set `format`"));
    assert!(with(Script::new(200, "application/json", "{}")).contains("application/json"));
    assert!(with(Script::new(200, "audio/pcm", "")).contains("no audio"));
    assert!(with(Script::new(200, "audio/wav", "RIFF____JUNKfmt ")).contains("WAV header"));
    assert!(with(speech().then(Step::Break)).contains("broke off"));
    let peer = Peer::scripted(Script::new(200, "audio/pcm", vec![0; 100_000]));
    assert!(failure(HttpConfig { max_response_bytes: 50_000, ..peer.config() }).contains("50000 bytes"));
}

#[test]
fn what_came_before_a_failure_is_still_given() {
    let peer = Peer::scripted(speech().then(Step::Hold).then(Step::Break));
    let mut tts = engine(peer.config());
    tts.start(ONE, &utterance("Hello")).unwrap();
    let mut heard = 0;
    while heard < 4_800 {
        heard += next_sound(&mut tts, ONE).unwrap().unwrap().pcm.len();
    }
    peer.go_on();
    assert!(next_sound(&mut tts, ONE).is_err());
}

#[test]
fn configuration_is_flat_and_refuses_what_it_does_not_know() {
    let toml =
        "base_url = 'http://h/v1'\nmodel = 'm'\nformat = 'wav'\nvoices = [{ name = 'joe', language = 'en' }]";
    let config: OpenAiTtsConfig = toml::from_str(toml).unwrap();
    assert_eq!((config.format, config.pcm_rate), (SpeechFormat::Wav, 24_000));
    let error = toml::from_str::<OpenAiTtsConfig>(&format!("rate = 5\n{toml}"));
    assert!(error.unwrap_err().to_string().contains("rate"));
}
