use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};

use crate::support::{Answer, Node};

async fn with_header(node: &Node, path: &str, value: Option<&str>) -> Answer {
    let mut request = Request::builder().uri(path);
    if let Some(value) = value {
        request = request.header(header::AUTHORIZATION, value);
    }
    Answer::of(node.send(request.body(Body::empty()).unwrap()).await).await
}

#[tokio::test]
async fn without_the_key_nothing_is_told() {
    let node = Node::new().await;
    let call = node.place().await;
    for path in [
        "/api/calls".to_owned(),
        format!("/api/call/{call}"),
        format!("/api/call/{call}/events"),
        "/recordings/a.wav".to_owned(),
    ] {
        for header in [None, Some("Bearer wrong"), Some("Bearer"), Some("Basic cbx_test"), Some("cbx_test")] {
            let answer = with_header(&node, &path, header).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {header:?}");
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer realm=\"callbox\"");
            assert_eq!(answer.json["error"]["code"], "unauthorized");
        }
    }
}

#[tokio::test]
async fn posts_without_the_key_do_nothing() {
    let node = Node::new().await;
    for path in ["/api/call", "/admin/reload", "/admin/models/use"] {
        let request = Request::builder().method("POST").uri(path).body(Body::from("{}")).unwrap();
        assert_eq!(node.send(request).await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert!(node.calls.plans.lock().is_empty());
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let node = Node::new().await;
    assert_eq!(with_header(&node, "/api/calls", Some("bearer cbx_test")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn health_needs_no_key_and_tells_each_part() {
    let node = Node::new().await;
    let well = with_header(&node, "/health", None).await;
    assert_eq!((well.status, well.json["status"].as_str()), (StatusCode::OK, Some("ok")));

    node.health.add("trunk", async || Err("not registered".to_owned()));
    let ill = with_header(&node, "/health", None).await;
    assert_eq!(
        (ill.status, ill.json["status"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("degraded"))
    );
    assert_eq!(ill.json["parts"][1]["detail"], "not registered");
}

#[tokio::test]
async fn metrics_are_open_on_loopback_alone() {
    for (bind, access, open) in [
        ("127.0.0.1:8402", "auto", true),
        ("[::1]:8080", "auto", true),
        ("0.0.0.0:8080", "auto", false),
        ("0.0.0.0:8080", "open", true),
        ("127.0.0.1:8402", "key", false),
    ] {
        let node = Node::with(&[("http.bind", bind), ("http.metrics", access)]).await;
        let answer = with_header(&node, "/metrics", None).await;
        let expected = if open { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(answer.status, expected, "{bind} {access}");
        assert_eq!(node.get("/metrics").await.bytes, b"callbox_build_info 1\n");
    }
}
