use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use serde_json::json;

use crate::support::Node;

#[tokio::test]
async fn the_list_is_paged_from_new_to_old() {
    let node = Node::new().await;
    let mut placed = Vec::new();
    for _ in 0..3 {
        placed.insert(0, json!(node.place().await));
    }
    let first = node.get("/api/calls?limit=2").await.json;
    let next = first["next_before"].as_str().unwrap();
    let second = node.get(&format!("/api/calls?limit=2&before={next}")).await.json;
    let ids = |page: &serde_json::Value| {
        page["calls"].as_array().unwrap().iter().map(|call| call["call_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!([ids(&first), ids(&second)].concat(), placed);
    assert_eq!(second["next_before"], json!(null));
}

#[tokio::test]
async fn the_list_names_a_wrong_parameter() {
    let node = Node::new().await;
    for (query, field) in
        [("limit=0", "limit"), ("limit=x", "limit"), ("before=x", "before"), ("page=2", "page")]
    {
        let answer = node.get(&format!("/api/calls?{query}")).await;
        assert_eq!((answer.status, &answer.json["error"]["field"]), (StatusCode::BAD_REQUEST, &json!(field)));
    }
}

#[tokio::test]
async fn hanging_up_reaches_the_call_once_it_is_live() {
    let node = Node::new().await;
    let call = node.place().await;
    assert_eq!(node.post(&format!("/api/call/{call}/hangup"), json!({})).await.status, StatusCode::OK);
    assert_eq!(*node.calls.hung_up.lock(), [call]);

    node.calls.over.store(true, Ordering::Relaxed);
    let late = node.post(&format!("/api/call/{call}/hangup"), json!({})).await;
    assert_eq!((late.status, &late.json["error"]["code"]), (StatusCode::CONFLICT, &json!("not_live")));

    let unknown = "/api/call/call_00000000000070008000000000000000/hangup";
    assert_eq!(node.post(unknown, json!({})).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn models_are_changed_and_what_is_missing_is_named() {
    let node = Node::new().await;
    let path = "/admin/models/use";
    let done = node.post(path, json!({ "kind": "llm", "name": "small" })).await;
    assert_eq!(done.json, json!({ "success": true, "kind": "llm", "name": "small" }));
    let missing = node.post(path, json!({ "kind": "llm", "name": "huge" })).await;
    assert_eq!((missing.status, &missing.json["error"]["field"]), (StatusCode::BAD_REQUEST, &json!("name")));
    let typo = node.post(path, json!({ "kind": "llm", "nmae": "small" })).await;
    assert_eq!(typo.json["error"]["fix"], "did you mean `name`?");
}

#[tokio::test]
async fn reload_tells_what_changed() {
    let answer = Node::new().await.post("/admin/reload", json!({})).await;
    assert_eq!(answer.json, json!({ "success": true, "changed": ["log.level"] }));
}
