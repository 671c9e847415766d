use chrono::{TimeDelta, TimeZone};
use serde_json::json;

use super::*;
use crate::store::tests::memory;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 9, 0, 0).unwrap()
}

/// Of 0.54 dollars for a call.
pub fn offer(nonce: &str) -> NewClaim {
    NewClaim {
        scheme: "x402".into(),
        network: "eip155:8453".into(),
        asset: "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913".into(),
        payer: "0x1111111111111111111111111111111111111111".parse().unwrap(),
        nonce: nonce.into(),
        amount: "0.54".parse().unwrap(),
        pay_to: "0x2222222222222222222222222222222222222222".parse().unwrap(),
        valid_before: now() + TimeDelta::minutes(5),
        route: "POST /api/call".into(),
        body_sha256: "aa".into(),
        proof: json!({ "signature": "0x00" }),
    }
}

async fn store() -> Store {
    Store::open(&memory()).await.unwrap()
}

fn new(claimed: Claimed) -> Claim {
    match claimed {
        Claimed::New(claim) => claim,
        other => panic!("not new: {other:?}"),
    }
}

fn detail(text: &str) -> Change {
    Change { detail: text.into(), ..Change::default() }
}

#[tokio::test]
async fn one_authorisation_buys_one_thing() {
    let store = store().await;
    let claim = new(store.claim(&offer("0x01"), now()).await.unwrap());
    assert_eq!(store.claim(&offer("0x01"), now()).await.unwrap(), Claimed::Again(claim));
    let other = NewClaim { body_sha256: "bb".into(), ..offer("0x01") };
    assert_eq!(store.claim(&other, now()).await.unwrap(), Claimed::Foreign);
    let other = NewClaim { route: "POST /api/number".into(), ..offer("0x01") };
    assert_eq!(store.claim(&other, now()).await.unwrap(), Claimed::Foreign);
    new(store.claim(&offer("0x02"), now()).await.unwrap());
}

#[tokio::test]
async fn of_fifty_claims_at_once_one_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(&crate::store::Config { data_dir: dir.path().into(), url: String::new() }).await.unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.claim(&offer("0x01"), now()).await.unwrap() })
        })
        .collect();
    let mut fresh = 0;
    for task in tasks {
        fresh += usize::from(matches!(task.await.unwrap(), Claimed::New(_)));
    }
    assert_eq!(fresh, 1);
}

#[tokio::test]
async fn claim_moves_on_only_from_the_state_it_is_in() {
    let store = store().await;
    let claim = new(store.claim(&offer("0x01"), now()).await.unwrap());
    let work = Change { work: Some(json!({"call": "x"})), ..detail("reserved") };
    let noted =
        store.advance(claim.id, ClaimState::Reserved, ClaimState::Settling, work, now()).await.unwrap();
    assert_eq!(noted.unwrap().work, Some(json!({"call": "x"})));
    let late =
        store.advance(claim.id, ClaimState::Reserved, ClaimState::Released, detail("late"), now()).await;
    assert_eq!(late.unwrap(), None);
    assert_eq!(store.claim_by_id(claim.id).await.unwrap().unwrap().state, ClaimState::Settling);
}

#[tokio::test]
async fn released_claim_is_taken_up_again_by_one() {
    let store = store().await;
    let claim = new(store.claim(&offer("0x01"), now()).await.unwrap());
    store
        .advance(claim.id, ClaimState::Reserved, ClaimState::Released, detail("no line"), now())
        .await
        .unwrap();
    assert_eq!(new(store.claim(&offer("0x01"), now()).await.unwrap()).id, claim.id);
    assert!(matches!(store.claim(&offer("0x01"), now()).await.unwrap(), Claimed::Again(_)));
}

#[tokio::test]
async fn ledger_has_a_row_for_every_change_and_sums_to_what_was_kept() {
    let store = store().await;
    let claim = new(store.claim(&offer("0x01"), now()).await.unwrap());
    use ClaimState::*;
    for (from, to) in [
        (Reserved, vec![Settling]),
        (Settling, vec![Settled, Delivered]),
        (Delivered, vec![RefundDue]),
        (RefundDue, vec![Refunding]),
        (Refunding, vec![Refunded]),
    ] {
        let change = Change { settlement: Some("0xabc".into()), ..detail("on") };
        let moved = store.advance_through(claim.id, from, &to, change, now()).await.unwrap();
        assert_eq!(moved.unwrap().state, *to.last().unwrap());
    }
    let ledger = store.ledger(now() - TimeDelta::hours(1)).await.unwrap();
    let moved: Vec<i64> = ledger.iter().map(|entry| entry.moved_micros).filter(|m| *m != 0).collect();
    assert_eq!((ledger.len(), moved), (7, vec![540_000, -540_000]));
    assert!(store.open_claims().await.unwrap().is_empty());
    assert_eq!(store.settled_claims().await.unwrap().len(), 1);
}

#[tokio::test]
async fn delivered_answer_is_kept() {
    let store = store().await;
    let claim = new(store.claim(&offer("0x01"), now()).await.unwrap());
    let answer = Change { answer: Some((200, "{}".into())), ..detail("done") };
    let delivered =
        store.advance(claim.id, ClaimState::Reserved, ClaimState::Delivered, answer, now()).await.unwrap();
    assert_eq!(delivered.unwrap().answer, Some((200, "{}".into())));
}

#[tokio::test]
async fn nonce_is_used_once_and_forgotten_later() {
    let store = store().await;
    assert!(store.use_nonce("n", now()).await.unwrap());
    assert!(!store.use_nonce("n", now()).await.unwrap());
    assert_eq!(store.forget_nonces(now() + TimeDelta::seconds(1)).await.unwrap(), 1);
}
