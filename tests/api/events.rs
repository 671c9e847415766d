use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{StatusCode, header},
};
use callbox::{
    base::{CallId, Pii},
    call::{
        event::CallChange,
        record::{CallStatus, Speaker},
    },
};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{Node, answered, ended, keyed, turn};

/// Long beside anything these tests wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A live view: the events of one call as they come.
struct View {
    body: BodyDataStream,
    text: String,
}

impl View {
    async fn open(node: &Node, call: CallId) -> View {
        let request = keyed("GET", &format!("/api/call/{call}/events")).body(Body::empty()).unwrap();
        let response = node.send(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        View { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event's name and data; `None` at the stream's end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                let found =
                    (line("event").unwrap().to_owned(), serde_json::from_str(line("data").unwrap()).unwrap());
                self.text = rest.to_owned();
                return Some(found);
            }
            let bytes = tokio::time::timeout(PATIENCE, self.body.next()).await.unwrap()?.unwrap();
            self.text += std::str::from_utf8(&bytes).unwrap();
        }
    }

    /// The types of all changes until the end.
    async fn changes(&mut self) -> Vec<String> {
        let mut types = Vec::new();
        while let Some((name, data)) = self.next().await {
            assert_eq!(name, "change");
            types.push(data["type"].as_str().unwrap().to_owned());
        }
        types
    }
}

#[tokio::test]
async fn the_state_comes_first_then_each_change_then_the_end() {
    let node = Node::new().await;
    let call = node.place().await;
    node.happen(call, answered()).await;
    let mut view = View::open(&node, call).await;
    let (name, state) = view.next().await.unwrap();
    assert_eq!((name.as_str(), &state["status"]), ("call", &json!("in-progress")));

    let other = node.place().await;
    node.happen(other, vec![ended(CallStatus::Busy, "busy")]).await;
    let live = CallChange::Live { speaker: Speaker::Caller, text: Pii::new("hel".into()) };
    node.happen(call, vec![live, turn(Speaker::Caller, 100, "hello?")]).await;
    let (_, live) = view.next().await.unwrap();
    assert_eq!((&live["type"], &live["text"]), (&json!("live"), &json!("hel")));
    let (_, said) = view.next().await.unwrap();
    assert_eq!(said["turn"]["text"], "hello?");
    assert_eq!(said["at"], "2026-01-02T03:04:01Z");

    let summary = CallChange::Summary { text: Pii::new("Nothing.".into()) };
    node.happen(call, vec![ended(CallStatus::Completed, "hung up"), summary, CallChange::Closed]).await;
    let (_, end) = view.next().await.unwrap();
    assert_eq!((&end["type"], &end["reason"]), (&json!("ended"), &json!("hung up")));
    assert_eq!(view.changes().await, ["summary", "closed"]);
}

#[tokio::test]
async fn a_call_that_is_over_is_told_and_the_view_ends() {
    let node = Node::new().await;
    let call = node.place().await;
    node.happen(call, vec![ended(CallStatus::NoAnswer, "no answer"), CallChange::Closed]).await;
    let mut view = View::open(&node, call).await;
    assert_eq!(view.next().await.unwrap().1["status"], "no_answer");
    assert_eq!(view.next().await, None);
}

#[tokio::test]
async fn a_view_that_falls_behind_is_told_the_state_again() {
    let node = Node::new().await;
    let call = node.place().await;
    let mut view = View::open(&node, call).await;
    view.next().await.unwrap();
    let flood = (0..callbox::store::recorder::FEED as u64 + 10).map(|i| turn(Speaker::Agent, i, "x"));
    let mut batch: Vec<_> = flood.collect();
    let rest = batch.split_off(50);
    node.happen(call, batch).await;
    for chunk in rest.chunks(50) {
        node.happen(call, chunk.to_vec()).await;
    }
    let (name, state) = view.next().await.unwrap();
    assert_eq!(name, "call");
    assert_eq!(state["transcripts"].as_array().unwrap().len(), callbox::store::recorder::FEED + 10);

    node.happen(call, vec![CallChange::Closed]).await;
    assert_eq!(view.changes().await, ["closed"], "what the state holds is not told again");
}
