//! The operator's own calls name their language; agents that pay use the schemas as they are published.

use axum::http::StatusCode;
use serde_json::json;

use crate::{
    support::Node,
    till::{post_with, selling},
};

#[tokio::test]
async fn the_operators_calls_name_their_language() {
    let node = Node::new().await;
    for (path, code, to) in [("/api/call", "de", "+14155550123"), ("/api/x402/call", "fr", "+14165550123")] {
        let body = json!({ "phone_number": to, "task": "Ask.", "language": code });
        let placed = node.post(path, body).await;
        assert_eq!(placed.status, StatusCode::OK, "{}", placed.json);
        assert_eq!(node.calls.plans.lock().pop().unwrap().language, code);
        let body = json!({ "phone_number": to, "task": "Ask.", "language": "English" });
        let refused = node.post(path, body).await;
        assert_eq!(refused.json["error"]["field"], "language", "{}", refused.json);
    }
}

#[tokio::test]
async fn who_pays_cannot_name_one() {
    let node = selling(&[]).await;
    let body = json!({ "phone_number": "+14155550123", "task": "Ask.", "language": "de" });
    let refused = post_with(&node, "/api/call", &body, None).await;
    assert_eq!(refused.json["error"]["field"], "language", "{}", refused.json);
}
