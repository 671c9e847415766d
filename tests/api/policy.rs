//! Who may be called, as a client of the API sees it.

use axum::http::StatusCode;
use callbox::call::record::{CallStatus, Speaker};
use chrono::Utc;
use serde_json::Value;

use crate::support::{Node, answered, ended, least, turn};

async fn code(node: &Node) -> (StatusCode, Value) {
    let answer = node.post("/api/call", least()).await;
    (answer.status, answer.json["error"]["code"].clone())
}

#[tokio::test]
async fn a_number_on_the_do_not_call_list_is_forbidden() {
    let node = Node::new().await;
    let number = "+14155550123".parse().unwrap();
    node.books.store.add_do_not_call(&number, "asked", Utc::now()).await.unwrap();
    assert_eq!(code(&node).await, (StatusCode::FORBIDDEN, "do_not_call".into()));
    node.books.store.remove_do_not_call(&number).await.unwrap();
    assert_eq!(code(&node).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_callee_who_asks_not_to_be_called_again_is_not() {
    let node = Node::new().await;
    let call = node.place().await;
    let wish = turn(Speaker::Caller, 1_000, "No, thank you. Please don't call me again.");
    let ending = ended(CallStatus::Completed, "the callee hung up");
    node.happen(call, answered().into_iter().chain([wish, ending]).collect()).await;
    // The wish is kept by a listener of its own, soon after the store has the words.
    let kept = async {
        while code(&node).await != (StatusCode::FORBIDDEN, "do_not_call".into()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), kept).await.expect("the wish is kept");
    let listed = node.books.store.do_not_call_list(None, 9).await.unwrap();
    assert_eq!(listed[0].reason, format!("asked on {call}"));
}

#[tokio::test]
async fn a_callee_has_one_call_at_a_time() {
    let node = Node::with(&[("policy.caps.live_per_callee", "1")]).await;
    let call = node.place().await;
    assert_eq!(code(&node).await, (StatusCode::CONFLICT, "on_a_call".into()));
    node.happen(call, vec![ended(CallStatus::Busy, "busy here (486)")]).await;
    assert_eq!(code(&node).await.0, StatusCode::OK);
}

#[tokio::test]
async fn calls_over_a_cap_are_too_many() {
    let node = Node::with(&[("policy.caps.destination.hour", "2")]).await;
    node.place().await;
    node.place().await;
    assert_eq!(code(&node).await, (StatusCode::TOO_MANY_REQUESTS, "too_often".into()));
}

/// Seconds, in the header and in the body.
async fn retry_after(node: &Node) -> u64 {
    let answer = node.post("/api/call", least()).await;
    let told = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(answer.json["retry_after"], told);
    told
}

#[tokio::test]
async fn what_may_be_later_says_when() {
    let node = Node::with(&[("policy.caps.destination.hour", "1")]).await;
    node.place().await;
    // The call that is counted was placed a moment ago.
    assert!((3590..=3600).contains(&retry_after(&node).await));

    let node = Node::with(&[("policy.caps.live_per_callee", "1")]).await;
    let call = node.place().await;
    let ringing = retry_after(&node).await;
    assert!((350..=360).contains(&ringing), "five minutes, and a minute to answer: {ringing}");
    node.happen(call, vec![ended(CallStatus::Busy, "busy here (486)")]).await;
    assert_eq!(code(&node).await.0, StatusCode::OK);

    let mut body = least();
    body["phone_number"] = "+1911".into();
    let never = node.post("/api/call", body).await;
    assert!(!never.headers.contains_key("retry-after"), "later is as wrong as now");
    assert_eq!(never.json.get("retry_after"), None);
}

#[tokio::test]
async fn a_request_outside_the_hours_says_when_they_begin() {
    // One minute of the day that is not now, nor soon.
    let far = Utc::now() + chrono::TimeDelta::hours(6);
    let hours = format!("{}-{}", far.format("%H:00"), far.format("%H:01"));
    let node = Node::with(&[("policy.hours", &hours), ("policy.allowed_prefixes", r#"["+44"]"#)]).await;
    let mut body = least();
    body["phone_number"] = "+442079460123".into();
    let answer = node.post("/api/call", body).await;
    assert_eq!(answer.json["error"]["code"], "outside_hours", "{}", answer.json);
    let seconds = answer.json["retry_after"].as_i64().unwrap();
    let next = Utc::now() + chrono::TimeDelta::seconds(seconds);
    let told = answer.json["error"]["fix"].as_str().unwrap().to_owned();
    let shown = next.format("%Y-%m-%dT%H:%M").to_string();
    assert!(told.contains(&shown), "{told} and {shown}");
}

#[tokio::test]
async fn calls_outside_the_hours_are_forbidden_until_then() {
    let node = Node::with(&[("policy.hours", "03:00-03:01")]).await;
    let mut body = least();
    // Area code 850 has two clocks: it is never three o'clock at both.
    body["phone_number"] = "+18505550123".into();
    let answer = node.post("/api/call", body).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.json["error"]["code"], "outside_hours");
}
