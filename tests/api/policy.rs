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
