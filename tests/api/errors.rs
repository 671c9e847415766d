use std::sync::atomic::Ordering;

use axum::{
    body::Body,
    http::{StatusCode, header},
};
use callbox::service::PlaceError;
use serde_json::{Value, json};

use crate::support::{Answer, Node, keyed, least};

fn with(key: &str, value: Value) -> Value {
    let mut body = least();
    body[key] = value;
    body
}

#[tokio::test]
async fn an_unknown_field_is_named_with_the_nearest() {
    let answer = Node::new().await.post("/api/call", with("max_duraton", json!(5))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let expected = json!({
        "success": false,
        "error": {
            "code": "invalid_field",
            "message": "`max_duraton` is not a field of this request",
            "field": "max_duraton",
            "fix": "did you mean `max_duration`?",
        },
    });
    assert_eq!(answer.json, expected);
}

#[tokio::test]
async fn wrong_types_and_values_name_their_field() {
    let node = Node::new().await;
    let table = [
        ("phone_number", json!(14155550123_i64), "text"),
        ("task", json!(["call"]), "text"),
        ("max_duration", json!("5"), "whole number"),
        ("max_duration", json!(2.5), "whole number"),
        ("max_duration", json!(1e30), "whole number"),
        ("record", json!("yes"), "true or false"),
        ("task", json!(null), "add it"),
        ("max_duration", json!(31), "1 to 30"),
        ("voice", json!("jsoh"), "`josh`"),
        ("metadata", json!("x"), "keys and values"),
    ];
    for (field, value, fix) in table {
        let answer = node.post("/api/call", with(field, value)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}");
        assert_eq!(answer.json["error"]["field"], field);
        let told = answer.json["error"]["fix"].as_str().unwrap();
        assert!(told.contains(fix), "{field}: {told}");
    }
    assert!(node.calls.plans.lock().is_empty());
}

#[tokio::test]
async fn several_wrong_fields_are_all_listed_and_a_refusal_leads() {
    let body = json!({ "task": "", "phone_number": "+1911", "model": "x" });
    let answer = Node::new().await.post("/api/call", body).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.json["error"]["code"], "refused");
    assert_eq!(answer.json["error"]["message"], "`phone_number` is an emergency service");
    let fields: Vec<_> =
        answer.json["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
    assert_eq!(fields, ["phone_number", "task", "model"]);
}

#[tokio::test]
async fn numbers_that_are_not_called_are_forbidden() {
    let node = Node::new().await;
    for number in ["911", "+1988", "+19005550123", "+18765550123", "+442079460123"] {
        let answer = node.post("/api/call", with("phone_number", json!(number))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{number}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_object_say_so_and_quote_nothing() {
    let node = Node::new().await;
    for body in ["", "[]", "{\"task\": \"secret", "\"secret\"", "\u{0}secret"] {
        let request = keyed("POST", "/api/call").body(Body::from(body)).unwrap();
        let answer = Answer::of(node.send(request).await).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json["error"]["code"], "invalid_body");
        assert!(!String::from_utf8_lossy(&answer.bytes).contains("secret"));
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let node = Node::with(&[("http.body_limit", "500")]).await;
    let answer = node.post("/api/call", with("task", json!("x".repeat(600)))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json["error"]["message"], "the body is larger than 500 bytes");
}

#[tokio::test]
async fn a_node_that_cannot_take_the_call_says_when_to_come_back() {
    let node = Node::new().await;
    for (refusal, code) in [
        (PlaceError::AtCapacity { limit: 4 }, "at_capacity"),
        (PlaceError::NoTrunk("not registered".into()), "no_trunk"),
        (PlaceError::NoEngine("llm".into()), "no_engine"),
        (PlaceError::Stopping, "stopping"),
    ] {
        *node.calls.refusal.lock() = Some(refusal);
        let answer = node.post("/api/call", least()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json["error"]["code"], code);
        assert!(answer.headers.contains_key(header::RETRY_AFTER));
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_that_tells_nothing() {
    let node = Node::new().await;
    node.calls.panics.store(true, Ordering::Relaxed);
    let answer = node.post("/api/call", least()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json["error"]["code"], "internal");
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("4155550123"));
}

#[tokio::test]
async fn unknown_paths_methods_and_calls_are_json_too() {
    let node = Node::new().await;
    let unknown = "/api/call/call_00000000000070008000000000000000";
    for (path, status, code) in [
        ("/api/cals", StatusCode::NOT_FOUND, "not_found"),
        ("/api/call", StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        (unknown, StatusCode::NOT_FOUND, "not_found"),
        ("/api/call/nonsense", StatusCode::NOT_FOUND, "not_found"),
        ("/api/call/nonsense/events", StatusCode::NOT_FOUND, "not_found"),
    ] {
        let answer = node.get(path).await;
        assert_eq!((answer.status, &answer.json["error"]["code"]), (status, &json!(code)), "{path}");
    }
}

#[tokio::test]
async fn a_request_without_an_answer_ends() {
    let node = Node::with(&[("http.timeout_secs", "0")]).await;
    node.health.add("trunk", std::future::pending);
    let answer = node.get("/health").await;
    assert_eq!(
        (answer.status, &answer.json["error"]["code"]),
        (StatusCode::GATEWAY_TIMEOUT, &json!("timeout"))
    );
}
