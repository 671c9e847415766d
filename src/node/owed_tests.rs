use serde_json::json;

use super::*;
use crate::{
    base::CallId,
    call::{
        event::{CallEvent, Ending},
        record::{CallDirection, EndedBy},
    },
    store::{
        claims::{Change, Claimed, tests::offer},
        tests::{memory, plan},
    },
};

async fn called(store: &Store) -> CallId {
    let (call, at) = (CallId::generate(), Utc::now());
    let change = CallChange::Created { direction: CallDirection::Outbound, plan: Box::new(plan()) };
    store.apply(&CallEvent { call, at, change }).await.unwrap();
    call
}

fn ended(status: CallStatus, fault: Option<Fault>) -> CallChange {
    let ending = Ending { status, ended_by: EndedBy::Node, fault, reason: "over".into(), length_secs: None };
    CallChange::Ended(Box::new(ending))
}

/// A payment for the call that has come as far as `state`.
async fn paid(store: &Store, call: CallId, state: ClaimState) -> crate::base::ClaimId {
    use ClaimState::*;
    let offer = offer(&call.to_string());
    let Claimed::New(claim) = store.claim(&offer, Utc::now()).await.unwrap() else { panic!("not new") };
    let mut now = claim.state;
    for step in [Reserved, Settling, Settled, Delivered].windows(2) {
        if now == state {
            break;
        }
        let work = Some(json!({ "kind": "call", "call": call, "family": "stablephone" }));
        let change = Change { work, settlement: Some("0xabc".into()), ..Change::default() };
        now = store.advance(claim.id, step[0], step[1], change, Utc::now()).await.unwrap().unwrap().state;
    }
    claim.id
}

async fn state(store: &Store, claim: crate::base::ClaimId) -> ClaimState {
    store.claim_by_id(claim).await.unwrap().unwrap().state
}

#[tokio::test]
async fn only_failures_of_this_node_and_its_carrier_are_owed_and_each_once() {
    let store = Store::open(&memory()).await.unwrap();
    for (status, fault, owed) in [
        (CallStatus::Failed, Some(Fault::Us), true),
        (CallStatus::Failed, Some(Fault::Carrier), true),
        (CallStatus::Failed, Some(Fault::Callee), false),
        (CallStatus::Failed, Some(Fault::Caller), false),
        (CallStatus::Failed, None, false),
        (CallStatus::Busy, Some(Fault::Carrier), false),
        (CallStatus::Completed, None, false),
    ] {
        let call = called(&store).await;
        let claim = paid(&store, call, ClaimState::Delivered).await;
        let change = ended(status, fault);
        assert_eq!(is_owed(&change), owed);
        store.apply(&CallEvent { call, at: Utc::now(), change }).await.unwrap();
        let expected = if owed { ClaimState::RefundDue } else { ClaimState::Delivered };
        assert_eq!(store.owe_failed_calls(Utc::now()).await.unwrap().len(), usize::from(owed));
        assert_eq!(state(&store, claim).await, expected, "{status} {fault:?}");
        assert_eq!(store.owe_failed_calls(Utc::now()).await.unwrap(), []);
    }
}

#[tokio::test]
async fn call_that_fails_before_its_payment_is_delivered_is_owed_after() {
    let store = Store::open(&memory()).await.unwrap();
    let call = called(&store).await;
    let claim = paid(&store, call, ClaimState::Settled).await;
    let change = ended(CallStatus::Failed, Some(Fault::Us));
    store.apply(&CallEvent { call, at: Utc::now(), change }).await.unwrap();
    assert_eq!(store.owe_failed_calls(Utc::now()).await.unwrap(), []);
    let (from, to) = (ClaimState::Settled, ClaimState::Delivered);
    store.advance(claim, from, to, Change::default(), Utc::now()).await.unwrap();
    assert_eq!(store.owe_failed_calls(Utc::now()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn call_that_a_crash_cut_short_is_owed() {
    let store = Store::open(&memory()).await.unwrap();
    let call = called(&store).await;
    let claim = paid(&store, call, ClaimState::Delivered).await;
    store.recover(Utc::now()).await.unwrap();
    book(&store).await.unwrap();
    assert_eq!(state(&store, claim).await, ClaimState::RefundDue);
}

#[tokio::test]
async fn listener_books_a_failure_when_it_hears_of_it() {
    let store = Store::open(&memory()).await.unwrap();
    let (events, feed, _recorder) = crate::store::recorder::spawn(store.clone());
    spawn(&feed, store.clone());
    let call = called(&store).await;
    let claim = paid(&store, call, ClaimState::Delivered).await;
    let change = ended(CallStatus::Failed, Some(Fault::Carrier));
    events.send(CallEvent { call, at: Utc::now(), change }).await.unwrap();
    let booked = async {
        while state(&store, claim).await != ClaimState::RefundDue {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), booked).await.unwrap();
}
