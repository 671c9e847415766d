//! Whole calls, out and in, with a real agent.

use serde_json::Value;

use crate::{
    NUMBER, alone,
    node::{KEY, Node, REAL, turns},
    peers::{Sipp, free_port},
    sound::{self, Part},
    telephone::Telephone,
};

#[tokio::test(flavor = "multi_thread")]
async fn agent_calls_a_telephone_and_keeps_what_was_said() {
    let _alone = alone().await;
    let telephone = Telephone::answering(&[
        Part::Silence(9.0),
        Part::Says("Yes, we are open on Friday from nine to five."),
        Part::Silence(9.0),
        Part::Says("Can I help you with anything else?"),
        Part::Silence(9.0),
    ])
    .await;
    let node = Node::real(telephone.address).await;
    let id = node.place().await;
    let call = node.finished(&id).await;

    assert_eq!(call["status"], "completed", "{call}");
    let heard: Vec<String> = texts(&call, "user").map(str::to_lowercase).collect();
    let expected = ["open", "friday", "nine", "five", "help"];
    assert!(heard.iter().any(|text| expected.iter().any(|word| text.contains(word))), "{call}");
    assert!(texts(&call, "assistant").count() >= 2, "{call}");
    assert!(call["summary"].as_str().is_some_and(|text| !text.is_empty()), "{call}");
    assert!(turns(&call, "assistant").any(|turn| turn["latency"]["total_ms"].is_u64()), "{call}");

    let channels = sound::heard_seconds(&node.recording(&call).await);
    assert!(channels.len() == 2 && channels.iter().all(|seconds| *seconds > 1.0), "{channels:?}");
    assert!(telephone.heard_seconds() > 2.0, "the telephone heard {} s", telephone.heard_seconds());
    log_keeps_the_secrets_of(&node, &call);
}

#[tokio::test(flavor = "multi_thread")]
async fn receptionist_answers_a_caller_whose_packets_hold_30_ms() {
    let _alone = alone().await;
    let port = free_port();
    let more = format!("[call]\ninbound_persona = \"receptionist\"\n{REAL}");
    let node = Node::with(([127, 0, 0, 1], port).into(), &more).await;
    // The scenario lies beside this file; it needs a raw socket to play a capture.
    let sipp = Sipp::uac("../../e2e/uac_audio", node.sip, port, 1, &[]);
    let id = node.only_call().await["call_id"].as_str().unwrap().to_owned();
    sipp.succeeds().await;
    let call = node.finished(&id).await;

    assert_eq!((&call["status"], &call["ended_by"]), (&"completed".into(), &"caller".into()), "{call}");
    let channels = sound::heard_seconds(&node.recording(&call).await);
    assert!(channels.len() == 2 && channels.iter().all(|seconds| *seconds > 1.0), "{channels:?}");
}

fn texts<'a>(call: &'a Value, user: &'static str) -> impl Iterator<Item = &'a str> {
    turns(call, user).filter_map(|turn| turn["text"].as_str())
}

fn log_keeps_the_secrets_of(node: &Node, call: &Value) {
    let log = node.log().to_lowercase();
    assert!(log.contains(" debug "), "the log is not at level debug");
    let said = texts(call, "user").chain(texts(call, "assistant"));
    let asked = ["dentist", "opening hours", "friday"];
    for secret in said.chain([&NUMBER[2..], KEY]).chain(asked) {
        let line = log.lines().find(|line| line.contains(&secret.to_lowercase()));
        assert_eq!(line, None, "`{secret}` is in the log");
    }
}
