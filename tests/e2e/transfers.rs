//! Whom a live call may be handed to, by the rules of the node and as the trunk sees it.

use serde_json::{Value, json};

use crate::{
    NUMBER,
    node::{Node, SCRIPTED, turns},
    peers::Sipp,
};

const OTHER: &str = "+14155550124";
const OFFICE: &str = "+14155550142";

/// Hands every call over before a word is said.
const EAGER: &str = r#"llm = { engine = "scripted", model = "", options = { answers = [
    { text = "I'll put you through.", tool_call = { name = "transfer", arguments = {} } },
] } }"#;

/// A call to `number` that may be handed to the office.
async fn place(node: &Node, number: &str) -> String {
    let call = json!({ "phone_number": number, "task": "Ask.", "transfer_phone_number": OFFICE });
    let (status, answer) = node.post("/api/call", &call).await;
    assert!(status.is_success(), "{answer}");
    answer["call_id"].as_str().unwrap().to_owned()
}

async fn hang_up(node: &Node, id: &str) -> Value {
    let (status, answer) = node.post(&format!("/api/call/{id}/hangup"), &json!({})).await;
    assert!(status.is_success(), "{answer}");
    node.finished(id).await
}

fn invites(trunk: &Sipp, number: &str) -> usize {
    trunk.trace().matches(&format!("\nINVITE sip:{number}@")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn number_that_the_rules_refuse_by_now_is_not_dialled() {
    let trunk = Sipp::uas("uas_asked", 1_000, &[]).await;
    let llm = r#"llm = { engine = "scripted", model = "" }"#;
    assert!(SCRIPTED.contains(llm));
    // A number is called once an hour: when the second call is placed nobody has yet asked for the office again.
    let caps = [("destination = { hour = 0,", "destination = { hour = 1,")];
    let node = Node::changed(trunk.address, &SCRIPTED.replace(llm, EAGER), &caps).await;

    let first = place(&node, NUMBER).await;
    node.until(&first, "the office answers", |call| call["transfer"] == "answered").await;
    let first = hang_up(&node, &first).await;
    assert_eq!(first["status"], "completed", "{first}");
    let dialled = invites(&trunk, OFFICE);
    assert!(dialled > 0, "{}", trunk.trace());

    let second = place(&node, OTHER).await;
    let decided = |call: &Value| !call["transfer"].is_null() && call["transfer"] != "ringing";
    let call = node.until(&second, "the rules have answered", decided).await;
    assert_eq!(call["transfer"], "refused", "{call}");
    let sorry = |turn: &Value| turn["text"].as_str().is_some_and(|text| text.contains("could not reach"));
    let told = |call: &Value| turns(call, "assistant").any(sorry);
    let call = node.until(&second, "the agent says that it reached nobody", told).await;
    assert_eq!(call["status"], "in-progress", "{call}");
    let call = hang_up(&node, &second).await;
    assert_eq!((&call["status"], &call["ended_by"]), (&"completed".into(), &"client".into()), "{call}");
    assert!(invites(&trunk, OTHER) > 0, "{}", trunk.trace());
    assert_eq!(invites(&trunk, OFFICE), dialled, "{}", trunk.trace());
}
