use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use callbox::base::CallId;
use callbox::call::event::CallChange;
use callbox::call::record::{CallDirection, CallPlan};

use crate::support::{Answer, Node, keyed};

async fn with_recording() -> (Node, String) {
    let node = Node::new().await;
    let call = node.place().await;
    let file = format!("{call}.wav");
    std::fs::write(node.recordings.join(&file), b"RIFF0123456789").unwrap();
    node.happen(call, vec![CallChange::Recording { file: file.clone() }]).await;
    (node, format!("/recordings/{file}"))
}

#[tokio::test]
async fn a_recording_is_served_whole() {
    let (node, path) = with_recording().await;
    let answer = node.get(&path).await;
    assert_eq!((answer.status, answer.bytes.as_slice()), (StatusCode::OK, b"RIFF0123456789".as_slice()));
    assert_eq!(answer.headers[header::CONTENT_TYPE], "audio/wav");
    assert_eq!(answer.headers[header::ACCEPT_RANGES], "bytes");
}

#[tokio::test]
async fn a_part_is_served_by_range() {
    let (node, path) = with_recording().await;
    let request = keyed("GET", &path).header(header::RANGE, "bytes=4-7").body(Body::empty()).unwrap();
    let answer = Answer::of(node.send(request).await).await;
    assert_eq!((answer.status, answer.bytes.as_slice()), (StatusCode::PARTIAL_CONTENT, b"0123".as_slice()));
    assert_eq!(answer.headers[header::CONTENT_RANGE], "bytes 4-7/14");
}

#[tokio::test]
async fn a_range_outside_the_file_is_not_satisfiable() {
    let (node, path) = with_recording().await;
    let request = keyed("GET", &path).header(header::RANGE, "bytes=99-").body(Body::empty()).unwrap();
    assert_eq!(node.send(request).await.status(), StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn only_recordings_of_calls_are_served() {
    let (node, _) = with_recording().await;
    std::fs::write(node.recordings.join("stray.wav"), b"RIFF").unwrap();
    for path in [
        "/recordings/stray.wav",
        "/recordings/..%2Fcallbox.db",
        "/recordings/%2e%2e%2fapi_key",
        "/recordings/../callbox.db",
        "/recordings/.hidden",
        "/recordings/%00",
    ] {
        let answer = node.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json["error"]["code"], "not_found", "{path}");
    }
}

#[tokio::test]
async fn a_recording_that_is_gone_from_disk_is_not_found() {
    let node = Node::new().await;
    let call = node.place().await;
    node.happen(call, vec![CallChange::Recording { file: "gone.wav".into() }]).await;
    assert_eq!(node.get("/recordings/gone.wav").await.json["error"]["code"], "not_found");
}

#[tokio::test]
async fn recording_of_a_sold_call_is_open_to_whoever_knows_its_name() {
    let (node, path) = with_recording().await;
    let unkeyed = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        node.send(request).await.status()
    };
    assert_eq!(unkeyed(&path).await, StatusCode::UNAUTHORIZED);
    let own = node.calls.plans.lock()[0].clone();
    let owner = Some("0x1111111111111111111111111111111111111111".parse().unwrap());
    let plan = Box::new(CallPlan { owner, ..own });
    let (sold, direction) = (CallId::generate(), CallDirection::Outbound);
    let file = format!("{sold}.wav");
    std::fs::write(node.recordings.join(&file), b"RIFF0123456789").unwrap();
    let made = CallChange::Created { direction, plan };
    node.happen(sold, vec![made, CallChange::Recording { file: file.clone() }]).await;
    assert_eq!(unkeyed(&format!("/recordings/{file}")).await, StatusCode::OK);
}
