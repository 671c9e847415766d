//! Processes are killed in the middle of a call.

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    alone, awaited, eventually,
    node::{Node, turns},
    process,
    sound::Part,
    telephone::Telephone,
};

/// A callee who says something every few seconds.
async fn talkative() -> Telephone {
    let mut parts = vec![Part::Silence(6.0)];
    for _ in 0..2 {
        parts.extend([Part::Says("We are open on Friday from nine to five."), Part::Silence(5.0)]);
    }
    Telephone::answering(&parts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn call_goes_on_while_a_killed_language_model_comes_back() {
    engine_is_killed("llm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn call_goes_on_while_a_killed_recogniser_comes_back() {
    engine_is_killed("asr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn call_goes_on_while_a_killed_voice_comes_back() {
    engine_is_killed("tts").await;
}

async fn engine_is_killed(kind: &str) {
    let _alone = alone().await;
    let telephone = talkative().await;
    let node = Node::real(telephone.address).await;
    let (node_pid, old) = (node.pid(), node.engine(kind));
    let id = node.place().await;
    node.talks(&id).await;

    process::signal(old, Signal::KILL);
    awaited("health names the dead engine", async || {
        let (status, health) = node.health().await?;
        (status == StatusCode::SERVICE_UNAVAILABLE && !part_is_well(&health, &format!("engine {kind}")))
            .then_some(())
    })
    .await;
    node.is_well().await;
    assert_ne!(node.engine(kind), old);

    let call = node.finished(&id).await;
    ended_cleanly(&call);
    assert!(turns(&call, "user").next().is_some(), "nothing was heard: {call}");
    assert!(turns(&call, "assistant").count() >= 2, "the agent fell silent: {call}");

    let second = node.place_short().await;
    assert_eq!(second["status"], "completed", "{second}");
    assert_eq!(node.pid(), node_pid);
}

fn part_is_well(health: &Value, name: &str) -> bool {
    let part = health["parts"].as_array().unwrap().iter().find(|part| part["name"] == name);
    part.expect("health has the part")["ok"] == true
}

fn ended_cleanly(call: &Value) {
    assert_eq!(call["status"], "completed", "{call}");
    assert!(call["ended_by"].is_string() && call["end_reason"].is_string(), "{call}");
    assert!(call["summary"].is_string() && call["recording_url"].is_string(), "{call}");
}

#[tokio::test(flavor = "multi_thread")]
async fn call_of_a_killed_node_is_a_failed_one_after_the_restart() {
    let _alone = alone().await;
    let telephone = talkative().await;
    let mut node = Node::real(telephone.address).await;
    let engines: Vec<u32> = ["asr", "llm", "tts"].map(|kind| node.engine(kind)).into();
    let id = node.place().await;
    node.talks(&id).await;
    node.crash_and_restart().await;

    let call = node.call(&id).await;
    assert_eq!((&call["status"], &call["ended_by"]), (&"failed".into(), &"node".into()), "{call}");
    assert_eq!(call["end_reason"], "the node stopped during the call");
    assert!(turns(&call, "assistant").next().is_some(), "what was said is lost: {call}");
    eventually("the engines ended with their node", || engines.iter().all(|pid| !process::exists(*pid)))
        .await;
}
