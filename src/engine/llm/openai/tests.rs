use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::engine::{
    Role, Usage,
    http::peer::{PATIENCE, Peer, Script, Step, nobody},
};

const ONE: StreamId = StreamId(1);
const TWO: StreamId = StreamId(2);

fn engine(http: HttpConfig) -> OpenAiLlm {
    OpenAiLlm::new(OpenAiLlmConfig::new(http)).unwrap()
}

fn question(text: &str) -> Completion {
    Completion {
        messages: vec![ChatMessage::new(Role::User, text)],
        tools: Vec::new(),
        max_tokens: 20,
        temperature: 0.0,
    }
}

fn text_chunk(text: &str) -> String {
    json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}).to_string()
}

fn last_chunk() -> String {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).to_string()
}

/// A whole answer of `words`.
fn answer(words: &[&str]) -> Script {
    let chunks: Vec<_> = words.iter().map(|word| text_chunk(word)).chain([last_chunk()]).collect();
    Script::events(chunks.iter().map(String::as_str).chain(["[DONE]"]))
}

fn is_last(delta: &Delta) -> bool {
    matches!(delta, Delta::Done { .. } | Delta::Failed { .. })
}

/// Steps until `enough` says of what has come so far that it is.
fn step_until(llm: &mut OpenAiLlm, enough: impl Fn(&[(StreamId, Delta)]) -> bool) -> Vec<(StreamId, Delta)> {
    let (began, mut deltas) = (Instant::now(), Vec::new());
    while !enough(&deltas) {
        assert!(began.elapsed() < PATIENCE, "still waiting after {deltas:?}");
        deltas.extend(llm.step().unwrap());
    }
    deltas
}

fn whole_answer(llm: &mut OpenAiLlm) -> Vec<Delta> {
    let deltas = step_until(llm, |deltas| deltas.iter().any(|(_, delta)| is_last(delta)));
    deltas.into_iter().map(|(_, delta)| delta).collect()
}

/// Asks one question; what went wrong.
fn failure(http: HttpConfig) -> String {
    let mut llm = engine(http);
    llm.start(ONE, &question("Is anyone there, Rumpelstiltskin?")).unwrap();
    let Some(Delta::Failed { detail }) = whole_answer(&mut llm).pop() else { panic!("must fail") };
    assert!(!detail.contains("Rumpelstiltskin") && !detail.contains("sk-test"), "{detail}");
    assert!(llm.step().unwrap().is_empty(), "nothing follows a failure");
    detail
}

fn text(deltas: &[Delta]) -> String {
    deltas
        .iter()
        .filter_map(|d| if let Delta::Text { text } = d { Some(text.as_str()) } else { None })
        .collect()
}

#[test]
fn an_answer_streams_in_and_ends_with_its_usage() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2,
                       "prompt_tokens_details": {"cached_tokens": 4}}});
    let chunks = [text_chunk("Good "), text_chunk("day."), last_chunk(), usage.to_string(), "[DONE]".into()];
    let peer = Peer::scripted(Script::events(chunks.iter().map(String::as_str)));
    let mut llm = engine(peer.config());
    llm.start(ONE, &question("Hello")).unwrap();
    let deltas = whole_answer(&mut llm);
    assert_eq!(text(&deltas), "Good day.");
    let expected = Usage { prompt_tokens: 9, reused_tokens: 4, generated_tokens: 2 };
    assert_eq!(deltas.last(), Some(&Delta::Done { usage: expected }));

    let asked = peer.asked();
    assert_eq!(
        (asked.path.as_str(), asked.authorization.as_deref()),
        ("/v1/chat/completions", Some("Bearer sk-test"))
    );
    assert_eq!(asked.json()["messages"], json!([{"role": "user", "content": "Hello"}]));
    assert_eq!(asked.json()["stream"], true);
}

#[test]
fn a_token_is_given_before_the_answer_is_whole() {
    let peer = Peer::scripted(answer(&["first"]).held_before(1));
    let mut llm = engine(peer.config());
    llm.start(ONE, &question("Hello")).unwrap();
    let first = step_until(&mut llm, |deltas| !deltas.is_empty());
    assert_eq!(first, [(ONE, Delta::Text { text: "first".into() })]);
    peer.go_on();
    assert!(matches!(whole_answer(&mut llm)[..], [Delta::Done { .. }]));
}

#[test]
fn characters_cut_between_network_chunks_survive() {
    let whole = format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", text_chunk("grüße 🦜"), last_chunk());
    let steps = whole.as_bytes().chunks(3).map(|bytes| Step::Send(bytes.to_vec())).collect();
    let peer = Peer::scripted(Script { status: 200, content_type: "text/event-stream", steps });
    let mut llm = engine(peer.config());
    llm.start(ONE, &question("Hello")).unwrap();
    assert_eq!(text(&whole_answer(&mut llm)), "grüße 🦜");
}

#[test]
fn a_slow_conversation_does_not_hold_up_another() {
    let peer = Peer::answering(|asked| match asked.text().contains("slow") {
        true => answer(&["slow"]).held_before(0),
        false => answer(&["fast"]),
    });
    let mut llm = engine(peer.config());
    llm.start(ONE, &question("slow")).unwrap();
    llm.start(TWO, &question("fast")).unwrap();
    let fast = step_until(&mut llm, |deltas| deltas.iter().any(|(_, delta)| is_last(delta)));
    assert!(fast.iter().all(|(stream, _)| *stream == TWO), "{fast:?}");
    peer.go_on();
    assert_eq!(text(&whole_answer(&mut llm)), "slow");
}

#[test]
fn cancelling_hangs_up_on_the_server_and_silences_the_stream() {
    let peer = Peer::scripted(answer(&["one", "two"]).held_before(1));
    let mut llm = engine(peer.config());
    llm.start(ONE, &question("Hello")).unwrap();
    step_until(&mut llm, |deltas| !deltas.is_empty());
    llm.cancel(ONE);
    peer.wait_for_hang_up();
    assert!(llm.step().unwrap().is_empty());
}

#[test]
fn a_new_question_replaces_the_answer_under_way() {
    let peer = Peer::answering(|asked| match asked.text().contains("old") {
        true => answer(&["old ", "old"]).held_before(1),
        false => answer(&["new"]),
    });
    let mut llm = engine(peer.config());
    llm.start(ONE, &question("old")).unwrap();
    peer.asked();
    llm.start(ONE, &question("new")).unwrap();
    assert_eq!(text(&whole_answer(&mut llm)), "new");
    peer.wait_for_hang_up();
}

#[test]
fn dropping_the_engine_hangs_up() {
    let peer = Peer::scripted(answer(&["one"]).held_before(0));
    let mut llm = engine(peer.config());
    llm.start(ONE, &question("Hello")).unwrap();
    peer.asked();
    drop(llm);
    peer.wait_for_hang_up();
}

#[test]
fn tool_calls_arrive_whole() {
    let fragment = |arguments: &str, name: Value| {
        json!({"choices": [{"delta": {"tool_calls": [
            {"index": 0, "function": {"name": name, "arguments": arguments}}]}}]})
        .to_string()
    };
    let chunks = [fragment("{\"seats\"", json!("book")), fragment(": 2}", Value::Null), last_chunk()];
    let peer = Peer::scripted(Script::events(chunks.iter().map(String::as_str).chain(["[DONE]"])));
    let mut llm = engine(peer.config());
    llm.start(ONE, &question("Book a table for two")).unwrap();
    let expected = Delta::ToolCall { name: "book".into(), arguments: json!({"seats": 2}) };
    assert_eq!(whole_answer(&mut llm), [expected, Delta::Done { usage: Usage::default() }]);
}

#[test]
fn a_server_that_closes_without_done_has_still_answered() {
    let chunks = [text_chunk("Good day."), last_chunk()];
    let peer = Peer::scripted(Script::events(chunks.iter().map(String::as_str)));
    let mut llm = engine(peer.config());
    llm.start(ONE, &question("Hello")).unwrap();
    assert!(matches!(whole_answer(&mut llm)[..], [Delta::Text { .. }, Delta::Done { .. }]));
}

#[test]
fn one_failed_answer_leaves_the_engine_working() {
    let peer = Peer::answering(|asked| match asked.text().contains("bad") {
        true => Script::new(500, "text/plain", "oops"),
        false => answer(&["fine"]),
    });
    let mut llm = engine(peer.config());
    llm.start(ONE, &question("bad")).unwrap();
    llm.start(TWO, &question("good")).unwrap();
    let both = step_until(&mut llm, |deltas| deltas.iter().filter(|(_, delta)| is_last(delta)).count() == 2);
    assert!(both.iter().any(|(stream, delta)| *stream == ONE && matches!(delta, Delta::Failed { .. })));
    assert!(both.contains(&(TWO, Delta::Text { text: "fine".into() })));
}

#[test]
fn each_way_to_fail_says_what_to_do() {
    let with = |script: Script| {
        let peer = Peer::scripted(script);
        failure(peer.config())
    };
    assert!(failure(nobody()).contains("cannot connect to http://127.0.0.1:"));
    assert!(with(Script::new(401, "application/json", "{}")).contains("`api_key`"));
    assert!(with(Script::new(404, "text/plain", "")).contains("`parrot`"));
    assert!(with(Script::new(500, "text/plain", "Rumpelstiltskin")).contains("failed (500"));
    assert!(with(Script::new(302, "text/plain", "")).contains("redirects"));
    assert!(with(Script::new(200, "text/html", "<html>")).contains("text/html instead of an event stream"));
    assert!(with(Script::events(["Rumpelstiltskin"])).contains("no chat completion chunk"));
    assert!(with(Script::events([r#"{"error":{"message":"Rumpelstiltskin"}}"#])).contains("in the middle"));
    let chunk = text_chunk("one");
    assert!(with(Script::events([chunk.as_str()])).contains("broke off"), "ends too early");
    assert!(with(Script::events([chunk.as_str()]).then(Step::Break)).contains("broke off"), "breaks");
}

#[test]
fn a_huge_answer_is_cut_off() {
    let peer = Peer::scripted(Script::events([text_chunk(&"x".repeat(100_000)).as_str()]).then(Step::Hold));
    let config = HttpConfig { max_response_bytes: 50_000, ..peer.config() };
    assert!(failure(config).contains("more than 50000 bytes"));
}

#[test]
fn an_endless_event_is_cut_off() {
    let endless = Script::new(200, "text/event-stream", vec![b'x'; 3 << 20]).then(Step::Hold);
    assert!(failure(Peer::scripted(endless).config()).contains("longer than"));
}

#[test]
fn a_silent_server_is_given_up() {
    let peer = Peer::scripted(answer(&["never"]).held_before(0));
    let config = HttpConfig { idle_timeout_ms: 50, ..peer.config() };
    assert!(failure(config).contains("did not answer in time"));
}

#[test]
fn more_conversations_than_allowed_are_refused() {
    let peer = Peer::scripted(answer(&["one"]).held_before(0));
    let mut llm = engine(HttpConfig { max_concurrent: 1, ..peer.config() });
    llm.start(ONE, &question("Hello")).unwrap();
    assert!(matches!(llm.start(TWO, &question("Hello")), Err(EngineError::Overloaded(1))));
    llm.cancel(ONE);
    llm.start(TWO, &question("Hello")).unwrap();
}

#[test]
fn warming_asks_for_one_token_and_says_nothing() {
    let peer = Peer::scripted(Script::new(200, "application/json", "{}"));
    let mut llm = engine(peer.config());
    llm.warm(ONE, &[ChatMessage::new(Role::System, "Be brief.")], &[]).unwrap();
    assert_eq!(peer.asked().json()["max_tokens"], 1);
    assert!(llm.step().unwrap().is_empty());
    let mut config = OpenAiLlmConfig::new(peer.config());
    config.warm = false;
    OpenAiLlm::new(config).unwrap().warm(ONE, &[], &[]).unwrap();
    assert!(peer.nothing_asked());
}

#[test]
fn configuration_is_flat_and_refuses_what_it_does_not_know() {
    let toml = "base_url = 'http://h/v1'\nmodel = 'm'\nwarm = false\n[extra_body]\ntop_k = 1";
    let config: OpenAiLlmConfig = toml::from_str(toml).unwrap();
    assert_eq!((config.http.model.as_str(), config.warm, config.http.max_concurrent), ("m", false, 64));
    let error = toml::from_str::<OpenAiLlmConfig>("base_url = 'http://h/v1'\nmodel = 'm'\nmodle = 'x'");
    assert!(error.unwrap_err().to_string().contains("modle"));
}
