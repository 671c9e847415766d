//! Recordings as Opus are served as WAV ones are, by what their names say.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use callbox::call::event::CallChange;

use crate::support::{Answer, Node, keyed};

const OGG: &[u8] = b"OggS0123456789";

#[tokio::test]
async fn an_ogg_recording_is_served_whole_and_in_part_to_whoever_has_the_key() {
    let node = Node::new().await;
    let call = node.place().await;
    let file = format!("{call}.ogg");
    std::fs::write(node.recordings.join(&file), OGG).unwrap();
    node.happen(call, vec![CallChange::Recording { file: file.clone() }]).await;
    let told = node.get(&format!("/api/call/{call}")).await.json["recording_url"].clone();
    let path = format!("/recordings/{file}");
    assert!(told.as_str().is_some_and(|url| url.ends_with(&path)), "{told}");
    let whole = node.get(&path).await;
    assert_eq!((whole.status, whole.bytes.as_slice()), (StatusCode::OK, OGG));
    assert_eq!(whole.headers[header::CONTENT_TYPE], "audio/ogg");
    let range = keyed("GET", &path).header(header::RANGE, "bytes=4-7").body(Body::empty()).unwrap();
    let part = Answer::of(node.send(range).await).await;
    assert_eq!((part.status, part.bytes.as_slice()), (StatusCode::PARTIAL_CONTENT, b"0123".as_slice()));
    assert_eq!(part.headers[header::CONTENT_TYPE], "audio/ogg");
    let unkeyed = Request::get(&path).body(Body::empty()).unwrap();
    assert_eq!(node.send(unkeyed).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_recording_under_way_is_not_served() {
    let node = Node::new().await;
    let call = node.place().await;
    std::fs::write(node.recordings.join(format!("{call}.ogg.part")), OGG).unwrap();
    assert_eq!(node.get(&format!("/recordings/{call}.ogg.part")).await.status, StatusCode::NOT_FOUND);
}
