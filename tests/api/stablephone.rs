use axum::http::StatusCode;
use callbox::{
    base::Pii,
    call::{
        event::CallChange,
        record::{CallStatus, Speaker},
    },
};
use serde_json::{Value, json};

use crate::support::{Node, answered, ended, least, turn};

#[tokio::test]
async fn a_call_is_placed_and_can_be_polled_at_once() {
    let node = Node::new().await;
    let answer = node.post("/api/call", least()).await;
    assert_eq!(answer.status, StatusCode::OK);
    let id = answer.json["call_id"].as_str().unwrap();
    assert_eq!(answer.json, json!({ "success": true, "call_id": id, "message": "Call initiated" }));

    let polled = node.get(&format!("/api/call/{id}")).await;
    assert_eq!((polled.status, &polled.json["status"]), (StatusCode::OK, &json!("queued")));
    assert_eq!(polled.json["completed"], false);
}

#[tokio::test]
async fn every_field_of_the_contract_reaches_the_plan() {
    let node = Node::new().await;
    let full = json!({
        "phone_number": "+14155550123", "task": "Ask.", "from": "+14155550100",
        "first_sentence": "Hello!", "voice": "josh", "max_duration": 3.0, "wait_for_greeting": true,
        "record": false, "model": "turbo", "transfer_phone_number": "+14155550142",
        "voicemail_action": "leave_message", "voicemail_message": "Call back.", "metadata": { "a": [1] },
    });
    assert_eq!(node.post("/api/call", full).await.status, StatusCode::OK);
    let plan = node.calls.plans.lock().pop().unwrap();
    let expected = json!({
        "to": "+14155550123", "from": "+14155550100", "task": "Ask.", "first_sentence": "Hello!",
        "voice": "josh", "model": "turbo", "language": "en", "max_duration_secs": 180,
        "wait_for_greeting": true, "record": false, "interruption_threshold_ms": null,
        "transfer_to": "+14155550142", "voicemail_action": "leave_message",
        "voicemail_message": "Call back.", "metadata": { "a": [1] },
    });
    assert_eq!(serde_json::to_value(plan).unwrap(), expected);
}

#[tokio::test]
async fn a_finished_call_is_told_whole() {
    let node = Node::new().await;
    let call = node.place().await;
    let mut changes = answered();
    changes.push(CallChange::Voice { name: "amy".into() });
    changes.push(turn(Speaker::Caller, 100, "hello?"));
    changes.push(turn(Speaker::Agent, 1_700, "When do you open?"));
    changes.push(ended(CallStatus::Completed, "the callee hung up"));
    changes.push(CallChange::Summary { text: Pii::new("They open at nine.".into()) });
    changes.push(CallChange::Recording { file: format!("{call}.wav") });
    node.happen(call, changes).await;

    let told = node.get(&format!("/api/call/{call}")).await.json;
    let expect = |key: &str, value: Value| assert_eq!(told[key], value, "{key}");
    expect("status", json!("completed"));
    expect("completed", json!(true));
    expect("answered_by", json!("human"));
    expect("call_length", json!(1.42));
    expect("ended_by", json!("callee"));
    expect("end_reason", json!("the callee hung up"));
    expect("error_message", json!(null));
    expect("to", json!("+14155550123"));
    expect("concatenated_transcript", json!("caller: hello?\nagent: When do you open?"));
    expect("transcript", told["concatenated_transcript"].clone());
    expect("summary", json!("They open at nine."));
    expect("recording_url", json!(format!("http://127.0.0.1:8402/recordings/{call}.wav")));
    expect("voice", json!("nat"));
    expect("voice_used", json!("amy"));
    expect("price", json!(null));
    let line = &told["transcripts"][1];
    assert_eq!((&line["id"], &line["user"]), (&json!(2), &json!("assistant")));
    assert_eq!(line["created_at"], json!("2026-01-02T03:04:02.700Z"), "the answer's time and 1.7 s");
    assert_eq!(line["latency"]["total_ms"], 640);
}

#[tokio::test]
async fn a_call_that_failed_says_why() {
    let node = Node::new().await;
    let call = node.place().await;
    node.happen(call, vec![ended(CallStatus::Busy, "busy here (486)")]).await;
    let told = node.get(&format!("/api/call/{call}")).await.json;
    assert_eq!((&told["status"], &told["completed"]), (&json!("busy"), &json!(true)));
    assert_eq!(told["error_message"], "busy here (486)");
    assert_eq!(told["call_length"], json!(null));
}

#[tokio::test]
async fn links_begin_with_the_public_url() {
    let node = Node::with(&[("http.public_url", "https://phone.example.com/")]).await;
    let call = node.place().await;
    node.happen(call, vec![CallChange::Recording { file: "a.wav".into() }]).await;
    let told = node.get(&format!("/api/call/{call}")).await.json;
    assert_eq!(told["recording_url"], "https://phone.example.com/recordings/a.wav");
}
