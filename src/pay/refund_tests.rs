use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::store;
use crate::store::claims::tests::offer;
use crate::store::claims::{Claimed, NewClaim};

pub const NETWORK: &str = "eip155:8453";

pub async fn books() -> Store {
    let memory = store::Config { data_dir: "/nowhere".into(), url: "sqlite::memory:".into() };
    Store::open(&memory).await.unwrap()
}

/// A claim that has come as far as `state`.
pub async fn claim(store: &Store, nonce: u8, state: ClaimState) -> Claim {
    use ClaimState::*;
    let payer = "0x1111111111111111111111111111111111111111";
    let pay_to = "0x2222222222222222222222222222222222222222";
    let nonce = format!("0x{}", hex::encode([nonce; 32]));
    let offer = NewClaim {
        nonce: nonce.clone(),
        proof: json!({
            "version": 2, "network": NETWORK, "signature": "0x00",
            "authorization": {
                "from": payer, "to": pay_to, "value": "540000",
                "validAfter": "0", "validBefore": "4000000000", "nonce": nonce,
            },
        }),
        ..offer("")
    };
    let Claimed::New(mut claim) = store.claim(&offer, Utc::now()).await.unwrap() else { panic!("not new") };
    for step in [Reserved, Settling, Settled, Delivered, RefundDue].windows(2) {
        if claim.state == state {
            break;
        }
        let settlement = (step[1] == Settled).then(|| "0xabc".to_owned());
        let change = Change { settlement, ..Change::default() };
        claim = store.advance(claim.id, step[0], step[1], change, Utc::now()).await.unwrap().unwrap();
    }
    claim
}

/// A chain on which nothing happens unless it is told.
#[derive(Default)]
struct Account {
    fates: Mutex<HashMap<String, Fate>>,
    signed: Mutex<u64>,
    sent: Mutex<Vec<String>>,
    empty: Mutex<bool>,
    /// Whether the chain asks for more than was offered, and how often more was offered.
    is_dear: bool,
    dearer: Mutex<usize>,
    reorganised: bool,
}

impl Account {
    fn decide(&self, transaction: &str, fate: Fate) {
        self.fates.lock().insert(transaction.to_owned(), fate);
    }

    fn sent(&self) -> Vec<String> {
        self.sent.lock().clone()
    }
}

impl Purse for Account {
    fn has<'a>(&'a self, _: &'a Claim) -> BoxFuture<'a, Result<bool, ChainError>> {
        Box::pin(async { Ok(!self.reorganised) })
    }

    fn sign<'a>(&'a self, _: &'a Wallet, _: Usd) -> BoxFuture<'a, Result<Refund, ChainError>> {
        Box::pin(async {
            if *self.empty.lock() {
                return Err(ChainError::Refused { network: "base", detail: "exceeds balance".into() });
            }
            let mut nonce = self.signed.lock();
            *nonce += 1;
            let signed = SignedRefund { raw: format!("raw{nonce}"), nonce: *nonce, earlier: Vec::new() };
            Ok(Refund { transaction: format!("tx{nonce}"), signed: Some(signed) })
        })
    }

    fn reprice<'a>(&'a self, _: &'a SignedRefund) -> BoxFuture<'a, Result<Option<Refund>, ChainError>> {
        Box::pin(async {
            let mut dearer = self.dearer.lock();
            if !self.is_dear {
                return Ok(None);
            }
            *dearer += 1;
            let signed = SignedRefund { raw: format!("dearer{dearer}"), nonce: 1, earlier: Vec::new() };
            Ok(Some(Refund { transaction: format!("dearer{dearer}"), signed: Some(signed) }))
        })
    }

    fn send<'a>(&'a self, signed: &'a SignedRefund) -> BoxFuture<'a, Result<(), ChainError>> {
        self.sent.lock().push(signed.raw.clone());
        Box::pin(async { Err(ChainError::Refused { network: "base", detail: "already known".into() }) })
    }

    fn fate<'a>(
        &'a self,
        transaction: &'a str,
        _: &'a SignedRefund,
    ) -> BoxFuture<'a, Result<Fate, ChainError>> {
        let fate = self.fates.lock().get(transaction).copied().unwrap_or(Fate::Waiting);
        Box::pin(async move { Ok(fate) })
    }
}

fn refunds(store: &Store, account: &Arc<Account>) -> Refunds {
    Refunds::new(store.clone(), NETWORK, account.clone())
}

async fn state(store: &Store, claim: &Claim) -> ClaimState {
    store.claim_by_id(claim.id).await.unwrap().unwrap().state
}

#[tokio::test]
async fn refunds_are_paid_one_after_another() {
    let (store, account) = (books().await, Arc::new(Account::default()));
    let refunds = refunds(&store, &account);
    let first = claim(&store, 1, ClaimState::RefundDue).await;
    let second = claim(&store, 2, ClaimState::RefundDue).await;
    assert_eq!(refunds.step(Utc::now()).await.unwrap(), Step::UnderWay);
    assert_eq!(refunds.step(Utc::now()).await.unwrap(), Step::UnderWay);
    assert_eq!(account.sent(), ["raw1", "raw1"], "the same bytes again, and no second transaction");
    assert_eq!(state(&store, &second).await, ClaimState::RefundDue);
    account.decide("tx1", Fate::Paid);
    assert_eq!(refunds.step(Utc::now()).await.unwrap(), Step::Ended);
    assert_eq!(state(&store, &first).await, ClaimState::Refunded);
    account.decide("tx2", Fate::Paid);
    refunds.step(Utc::now()).await.unwrap();
    refunds.step(Utc::now()).await.unwrap();
    assert_eq!(state(&store, &second).await, ClaimState::Refunded);
    assert_eq!(refunds.step(Utc::now()).await.unwrap(), Step::Idle);
    let moved: i64 =
        store.ledger(DateTime::UNIX_EPOCH).await.unwrap().iter().map(|entry| entry.moved_micros).sum();
    assert_eq!((moved, *account.signed.lock()), (0, 2));
}

/// The node dies after the transaction is in the store and before it is sent.
#[tokio::test]
async fn node_that_died_sends_the_bytes_it_had_signed() {
    let (store, account) = (books().await, Arc::new(Account::default()));
    let owed = claim(&store, 1, ClaimState::RefundDue).await;
    let signed = SignedRefund { raw: "kept".into(), nonce: 7, earlier: Vec::new() };
    let refund = Some(Refund { transaction: "tx".into(), signed: Some(signed) });
    let change = Change { refund: refund.clone(), ..Change::default() };
    let (from, to) = (ClaimState::RefundDue, ClaimState::Refunding);
    let kept = store.advance(owed.id, from, to, change, Utc::now()).await.unwrap().unwrap();
    assert_eq!(kept.refund, refund);
    refunds(&store, &account).step(Utc::now()).await.unwrap();
    assert_eq!((account.sent(), *account.signed.lock()), (vec!["kept".to_owned()], 0));
}

#[tokio::test]
async fn reverted_or_replaced_refund_is_due_again_and_not_signed_at_once() {
    for fate in [Fate::Reverted, Fate::Replaced] {
        let (store, account) = (books().await, Arc::new(Account::default()));
        let refunds = refunds(&store, &account);
        let owed = claim(&store, 1, ClaimState::RefundDue).await;
        refunds.step(Utc::now()).await.unwrap();
        account.decide("tx1", fate);
        refunds.step(Utc::now()).await.unwrap();
        assert_eq!(state(&store, &owed).await, ClaimState::RefundDue, "{fate:?}");
        assert_eq!(refunds.step(Utc::now()).await.unwrap(), Step::Idle);
        let later = Utc::now() + TRY_AGAIN + TimeDelta::seconds(1);
        assert_eq!(refunds.step(later).await.unwrap(), Step::UnderWay);
        assert_eq!(*account.signed.lock(), 2);
    }
}

#[tokio::test]
async fn account_without_money_leaves_the_refund_due() {
    let (store, account) = (books().await, Arc::new(Account::default()));
    *account.empty.lock() = true;
    let owed = claim(&store, 1, ClaimState::RefundDue).await;
    let refunds = refunds(&store, &account);
    assert_eq!(refunds.step(Utc::now()).await.unwrap(), Step::Idle);
    assert_eq!(state(&store, &owed).await, ClaimState::RefundDue);
    *account.empty.lock() = false;
    assert_eq!(refunds.step(Utc::now()).await.unwrap(), Step::UnderWay);
}

#[tokio::test]
async fn money_that_a_reorganisation_took_is_not_paid_back() {
    let (store, account) = (books().await, Arc::new(Account { reorganised: true, ..Account::default() }));
    claim(&store, 1, ClaimState::RefundDue).await;
    assert_eq!(refunds(&store, &account).step(Utc::now()).await.unwrap(), Step::Idle);
    assert_eq!(*account.signed.lock(), 0);
}

#[tokio::test]
async fn no_transaction_pays_two_claims_back() {
    let store = books().await;
    for (nonce, booked) in [(1, true), (2, false)] {
        let owed = claim(&store, nonce, ClaimState::RefundDue).await;
        let refund = Some(Refund { transaction: "0xbeef".into(), signed: None });
        let change = Change { refund, ..Change::default() };
        let done =
            store.advance(owed.id, ClaimState::RefundDue, ClaimState::Refunded, change, Utc::now()).await;
        assert_eq!(done.is_ok(), booked);
    }
}

#[tokio::test]
async fn refund_that_offers_too_little_offers_more_and_one_of_all_pays() {
    for mined in ["tx1", "dearer1", "dearer2"] {
        let (store, account) = (books().await, Arc::new(Account { is_dear: true, ..Account::default() }));
        let refunds = refunds(&store, &account);
        let owed = claim(&store, 1, ClaimState::RefundDue).await;
        refunds.step(Utc::now()).await.unwrap();
        refunds.step(Utc::now()).await.unwrap();
        assert_eq!(account.sent(), ["raw1", "raw1"], "it has time");
        let mut later = Utc::now();
        for _ in 0..2 {
            later += REPRICE + TimeDelta::seconds(1);
            refunds.step(later).await.unwrap();
            refunds.step(later).await.unwrap();
        }
        assert_eq!(account.sent()[2..], ["dearer1", "dearer1", "dearer2", "dearer2"]);
        // The two others cannot come any more.
        for hash in ["tx1", "dearer1", "dearer2"] {
            account.decide(hash, if hash == mined { Fate::Paid } else { Fate::Replaced });
        }
        refunds.step(later).await.unwrap();
        let paid = store.claim_by_id(owed.id).await.unwrap().unwrap();
        assert_eq!((paid.state, paid.refund.unwrap().transaction.as_str()), (ClaimState::Refunded, mined));
        assert_eq!(*account.signed.lock(), 1, "no second number");
    }
}

#[tokio::test]
async fn refund_does_not_offer_more_for_ever() {
    let (store, account) = (books().await, Arc::new(Account { is_dear: true, ..Account::default() }));
    let refunds = refunds(&store, &account);
    claim(&store, 1, ClaimState::RefundDue).await;
    let mut now = Utc::now();
    for _ in 0..2 * REPRICINGS {
        refunds.step(now).await.unwrap();
        now += REPRICE + TimeDelta::seconds(1);
    }
    assert_eq!(*account.dearer.lock(), REPRICINGS);
}
