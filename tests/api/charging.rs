//! When a call that is bought is charged: scripted calls that wait, leave, ring, and come to nothing.

use axum::http::StatusCode;
use callbox::{
    base::{CallId, Fault},
    call::{
        event::{CallChange, Ending},
        record::{CallStatus, EndedBy},
    },
    store::claims::ClaimState,
};

use crate::{
    support::{Answer, Node, least},
    till::{Wallet, buy, selling_unrung},
};

fn line(trunk: &str) -> CallChange {
    CallChange::Line { trunk: trunk.into(), redirected_from: None, verification: None }
}

fn status(status: CallStatus) -> CallChange {
    CallChange::Status { status }
}

fn failed(ended_by: EndedBy, fault: Fault) -> CallChange {
    let (status, reason) = (CallStatus::Failed, "it came to nothing".into());
    CallChange::Ended(Box::new(Ending { status, ended_by, fault: Some(fault), reason, length_secs: None }))
}

/// Somebody buys a call; `happens` to it what the test wants.
async fn bought(node: &Node, happens: impl AsyncFnOnce(CallId)) -> Answer {
    let mut placed = node.calls.placed.subscribe();
    let (wallet, body) = (Wallet::new(), least());
    let story = async {
        placed.changed().await.unwrap();
        let call = placed.borrow().expect("it was placed");
        // The record is written by whoever placed it.
        while node.books.store.call(call).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        happens(call).await;
    };
    tokio::join!(buy(node, &wallet, "/api/x402/call", &body), story).0
}

async fn nothing_is_charged(node: &Node, answer: &Answer) {
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{:?}", answer.json);
    assert!(answer.json.to_string().contains("it came to nothing"), "{:?}", answer.json);
    assert!(node.books.store.settled_claims().await.unwrap().is_empty());
    assert_eq!(node.books.store.claims_in(ClaimState::Released).await.unwrap().len(), 1);
}

async fn is_undecided(node: &Node) {
    assert_eq!(node.books.store.claims_in(ClaimState::Reserved).await.unwrap().len(), 1);
}

#[tokio::test]
async fn call_that_gives_up_in_the_queue_costs_nothing() {
    let node = selling_unrung(&[]).await;
    let answer = bought(&node, async |call| {
        node.happen(call, vec![status(CallStatus::Queued)]).await;
        is_undecided(&node).await;
        node.happen(call, vec![failed(EndedBy::Node, Fault::Us)]).await;
    })
    .await;
    nothing_is_charged(&node, &answer).await;
}

#[tokio::test]
async fn call_that_waits_and_leaves_is_charged_when_it_rings() {
    let node = selling_unrung(&[]).await;
    let answer = bought(&node, async |call| {
        node.happen(call, vec![status(CallStatus::Queued), line("a"), status(CallStatus::Started)]).await;
        is_undecided(&node).await;
        node.happen(call, vec![status(CallStatus::Ringing)]).await;
    })
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    assert_eq!(node.books.store.settled_claims().await.unwrap().len(), 1);
}

#[tokio::test]
async fn call_that_every_trunk_refuses_or_ignores_costs_nothing() {
    let node = selling_unrung(&[]).await;
    let answer = bought(&node, async |call| {
        let hunt = vec![line("full"), status(CallStatus::Started), line("mute"), status(CallStatus::Queued)];
        node.happen(call, hunt).await;
        is_undecided(&node).await;
        node.happen(call, vec![failed(EndedBy::Carrier, Fault::Carrier)]).await;
    })
    .await;
    nothing_is_charged(&node, &answer).await;
}

#[tokio::test]
async fn call_that_its_buyer_takes_back_before_it_rings_costs_nothing() {
    let node = selling_unrung(&[]).await;
    let answer = bought(&node, async |call| {
        node.happen(call, vec![line("a"), failed(EndedBy::Client, Fault::Caller)]).await;
    })
    .await;
    nothing_is_charged(&node, &answer).await;
}
