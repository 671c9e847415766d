//! Numbers that a node never dials, as the trunk sees it.

use serde_json::json;

use crate::{
    NUMBER,
    node::{Node, SCRIPTED},
    peers::Sipp,
};

#[tokio::test(flavor = "multi_thread")]
async fn emergency_numbers_are_never_dialled() {
    let trunk = Sipp::uas("uas_asked", 1_000, &[]).await;
    let node = Node::with(trunk.address, SCRIPTED).await;
    for number in ["911", "+911", "+1911", "112", "+112", "+988", "+15559", "+19005550123"] {
        let (status, answer) =
            node.post("/api/call", &json!({ "phone_number": number, "task": "Ask." })).await;
        assert!(status.is_client_error(), "{number}: {status} {answer}");
    }
    let call = json!({ "phone_number": NUMBER, "task": "Ask." });
    let (status, answer) = node.post("/api/call", &call).await;
    assert!(status.is_success(), "{answer}");
    let id = answer["call_id"].as_str().unwrap().to_owned();
    node.until(&id, "an answer", |call| call["status"] == "in-progress").await;
    let (status, _) = node.post(&format!("/api/call/{id}/hangup"), &json!({})).await;
    assert!(status.is_success());
    let trace = trunk.trace();
    let mut invites = trace.lines().filter(|line| line.starts_with("INVITE ")).peekable();
    assert!(invites.peek().is_some(), "{trace}");
    let callee = format!("INVITE sip:{NUMBER}@");
    assert!(invites.all(|invite| invite.starts_with(&callee)), "{trace}");
}
