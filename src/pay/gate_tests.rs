use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::DateTime;
use futures_util::FutureExt;
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::pay::network::NETWORKS;
use crate::pay::settle::{Outcome, Rejection};
use crate::pay::x402::{Authorization, Payment, Requirement, offer};
use crate::store;

/// A chain that answers as it was told, and counts.
#[derive(Default)]
struct Chain {
    verdict: Option<Rejection>,
    settles: Mutex<Vec<Outcome>>,
    looks: Mutex<Vec<Outcome>>,
    settled: AtomicUsize,
    looked: AtomicUsize,
    prepaid: bool,
    under_way: bool,
}

impl Settler for Chain {
    fn verify<'a>(&'a self, _: &'a NewClaim) -> BoxFuture<'a, Result<(), Rejection>> {
        Box::pin(async { self.verdict.clone().map_or(Ok(()), Err) })
    }

    fn settle<'a>(&'a self, _: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        self.settled.fetch_add(1, Ordering::SeqCst);
        let outcome = self.settles.lock().pop();
        Box::pin(async { outcome.unwrap_or_else(paid) })
    }

    fn look_up<'a>(&'a self, _: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        self.looked.fetch_add(1, Ordering::SeqCst);
        let outcome = self.looks.lock().pop();
        Box::pin(async { outcome.unwrap_or_else(paid) })
    }

    fn is_prepaid(&self, _: &NewClaim) -> bool {
        self.prepaid
    }

    fn is_under_way<'a>(&'a self, _: &'a NewClaim) -> BoxFuture<'a, bool> {
        Box::pin(async { self.under_way })
    }
}

fn paid() -> Outcome {
    Outcome::Settled { transaction: "0xabc".into() }
}

/// What was done for a payment.
#[derive(Default)]
struct Done {
    reserved: AtomicUsize,
    delivered: AtomicUsize,
    cancelled: AtomicUsize,
}

impl Done {
    fn counts(&self) -> [usize; 3] {
        [&self.reserved, &self.delivered, &self.cancelled].map(|count| count.load(Ordering::SeqCst))
    }
}

#[derive(Clone, Default)]
struct Job {
    done: Arc<Done>,
    reserve_fails: bool,
    deliver_fails: bool,
    is_gone: bool,
}

impl Work for Job {
    fn reserve(&mut self, _: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        Box::pin(async {
            self.done.reserved.fetch_add(1, Ordering::SeqCst);
            let busy = Answer { status: 503, body: json!({ "error": "busy" }) };
            if self.reserve_fails { Err(busy) } else { Ok(json!({ "job": 1 })) }
        })
    }

    fn deliver<'a>(&'a mut self, transaction: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        assert_eq!(transaction, "0xabc");
        Box::pin(async {
            self.done.delivered.fetch_add(1, Ordering::SeqCst);
            let answer = Answer { status: 200, body: json!({ "success": true }) };
            if self.deliver_fails { Err(Answer { status: 500, ..answer }) } else { Ok(answer) }
        })
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.done.cancelled.fetch_add(1, Ordering::SeqCst);
        })
    }

    fn is_available(&self) -> bool {
        !self.is_gone
    }
}

fn requirement() -> Requirement {
    Requirement {
        network: &NETWORKS[0],
        pay_to: "0x2222222222222222222222222222222222222222".parse().unwrap(),
        amount: "0.54".parse().unwrap(),
        timeout_secs: 300,
        fee_payer: None,
    }
}

fn payment(nonce: u8) -> Payment {
    Payment {
        version: 2,
        network: "eip155:8453".into(),
        accepted: None,
        signature: "0x00".into(),
        authorization: Authorization {
            from: "0x1111111111111111111111111111111111111111".parse().unwrap(),
            to: requirement().pay_to,
            value: "540000".into(),
            valid_after: "0".into(),
            valid_before: "4000000000".into(),
            nonce: format!("0x{}", hex::encode([nonce; 32])),
        },
    }
}

const TICK: Duration = Duration::from_millis(1);

async fn rig(chain: Chain) -> (Gate, Arc<Chain>, Store) {
    let memory = store::Config { data_dir: "/nowhere".into(), url: "sqlite::memory:".into() };
    rig_over(Store::open(&memory).await.unwrap(), chain)
}

fn rig_over(store: Store, chain: Chain) -> (Gate, Arc<Chain>, Store) {
    let chain = Arc::new(chain);
    let settler: Arc<dyn Settler> = chain.clone();
    let mut gate = Gate::new(store.clone(), HashMap::from([("eip155:8453".into(), settler)]));
    gate.pace = Pace { look_again: (TICK, 2 * TICK), settle_again: TICK };
    (gate, chain, store)
}

fn offered(nonce: u8, body: &str) -> NewClaim {
    offer(&payment(nonce), &requirement(), "POST /api/call".into(), body.into())
}

async fn spend(gate: &Gate, nonce: u8, body: &str, job: &Job) -> Spent {
    gate.spend(offered(nonce, body), Box::new(job.clone())).await.unwrap()
}

async fn states(store: &Store) -> Vec<ClaimState> {
    let all = store.ledger(DateTime::UNIX_EPOCH).await.unwrap();
    all.into_iter().map(|entry| entry.state).collect()
}

fn delivered() -> Spent {
    let answer = Answer { status: 200, body: json!({ "success": true }) };
    Spent::Delivered { answer, transaction: "0xabc".into() }
}

#[tokio::test]
async fn payment_is_settled_between_reserving_and_delivering() {
    let (gate, chain, store) = rig(Chain::default()).await;
    let job = Job::default();
    assert_eq!(spend(&gate, 1, "a", &job).await, delivered());
    assert_eq!((job.done.counts(), chain.settled.load(Ordering::SeqCst)), ([1, 1, 0], 1));
    use ClaimState::*;
    assert_eq!(states(&store).await, [Reserved, Settling, Settled, Delivered]);
}

#[tokio::test]
async fn one_payment_sent_fifty_times_at_once_buys_one_thing() {
    let (gate, chain, _) = rig(Chain::default()).await;
    let job = Job::default();
    let all = futures_util::future::join_all((0..50).map(|_| spend(&gate, 1, "a", &job))).await;
    assert!(all.iter().all(|spent| *spent == delivered()), "{all:?}");
    assert_eq!((job.done.counts(), chain.settled.load(Ordering::SeqCst)), ([1, 1, 0], 1));
}

#[tokio::test]
async fn payment_buys_nothing_else() {
    let (gate, chain, _) = rig(Chain::default()).await;
    let job = Job::default();
    spend(&gate, 1, "a", &job).await;
    assert_eq!(spend(&gate, 1, "another body", &job).await, Spent::Foreign);
    assert_eq!((job.done.counts(), chain.settled.load(Ordering::SeqCst)), ([1, 1, 0], 1));
}

/// At the same time as the payer's own, before either is known.
#[tokio::test]
async fn copy_with_another_signature_gets_nothing() {
    let (gate, _, store) = rig(Chain::default()).await;
    store.claim(&offered(1, "a"), Utc::now()).await.unwrap();
    let copied = Payment { signature: "0x01".into(), ..payment(1) };
    let copied = offer(&copied, &requirement(), "POST /api/call".into(), "a".into());
    assert_eq!(gate.spend(copied, Box::new(Job::default())).await.unwrap(), Spent::Foreign);
}

#[tokio::test]
async fn client_that_hangs_up_at_once_leaves_nothing_half_done() {
    let (gate, _, store) = rig(Chain::default()).await;
    let job = Job::default();
    assert!(spend(&gate, 1, "a", &job).now_or_never().is_none());
    gate.close(Duration::from_secs(60)).await;
    assert_eq!(states(&store).await.last(), Some(&ClaimState::Delivered));
}

#[tokio::test]
async fn bad_payment_starts_no_work() {
    let refused = Rejection::Payment("invalid signature".into());
    let (gate, chain, store) = rig(Chain { verdict: Some(refused), ..Chain::default() }).await;
    let job = Job::default();
    assert_eq!(spend(&gate, 1, "a", &job).await, Spent::Refused { reason: "invalid signature".into() });
    assert_eq!((job.done.counts(), chain.settled.load(Ordering::SeqCst)), ([0, 0, 0], 0));
    assert_eq!(states(&store).await.last(), Some(&ClaimState::Released));
}

#[tokio::test]
async fn work_that_fails_is_not_charged_and_may_be_tried_again_with_the_same_payment() {
    let (gate, chain, _) = rig(Chain::default()).await;
    let failing = Job { reserve_fails: true, ..Job::default() };
    assert!(
        matches!(spend(&gate, 1, "a", &failing).await, Spent::NotDone { answer } if answer.status == 503)
    );
    assert_eq!(chain.settled.load(Ordering::SeqCst), 0);
    assert_eq!(spend(&gate, 1, "a", &Job::default()).await, delivered());
}

#[tokio::test]
async fn settlement_that_fails_gives_the_work_back() {
    let failed = Outcome::Failed { reason: "reverted".into() };
    let (gate, _, _) = rig(Chain { settles: vec![failed].into(), ..Chain::default() }).await;
    let job = Job::default();
    assert_eq!(spend(&gate, 1, "a", &job).await, Spent::Refused { reason: "reverted".into() });
    assert_eq!(job.done.counts(), [1, 0, 1]);
}

#[tokio::test]
async fn unknown_settlement_is_looked_up_until_it_is_known() {
    let unknown = || Outcome::Unknown { detail: "no receipt".into() };
    let chain = Chain {
        settles: vec![unknown()].into(),
        looks: vec![unknown(), unknown()].into(),
        ..Chain::default()
    };
    let (gate, chain, _) = rig(chain).await;
    let job = Job::default();
    assert_eq!(spend(&gate, 1, "a", &job).await, delivered());
    let asked = (chain.settled.load(Ordering::SeqCst), chain.looked.load(Ordering::SeqCst));
    assert_eq!((job.done.counts(), asked), ([1, 1, 0], (1, 3)));
}

#[tokio::test]
async fn paid_work_that_cannot_be_delivered_is_owed() {
    let (gate, _, store) = rig(Chain::default()).await;
    let job = Job { deliver_fails: true, ..Job::default() };
    assert!(matches!(spend(&gate, 1, "a", &job).await, Spent::NotDone { answer } if answer.status == 500));
    assert_eq!(states(&store).await.last(), Some(&ClaimState::RefundDue));
}

#[tokio::test]
async fn prepaid_work_that_fails_is_owed_back_and_not_released() {
    let (gate, chain, store) = rig(Chain { prepaid: true, ..Chain::default() }).await;
    let job = Job { reserve_fails: true, ..Job::default() };
    let spent = spend(&gate, 1, "a", &job).await;
    assert!(matches!(spent, Spent::NotDone { answer } if answer.body["refund"] == "due"));
    assert_eq!(states(&store).await.last(), Some(&ClaimState::RefundDue));
    assert_eq!(chain.settled.load(Ordering::SeqCst), 1);
    let again = spend(&gate, 1, "a", &Job::default()).await;
    assert!(matches!(again, Spent::Delivered { answer, .. } if answer.status == 503), "the same answer");
}

#[tokio::test]
async fn payment_offered_again_is_taken_as_it_is_now() {
    let (gate, _, store) = rig(Chain::default()).await;
    let refused = Job { reserve_fails: true, ..Job::default() };
    spend(&gate, 1, "a", &refused).await;
    let signed_anew = Payment { signature: "0x01".into(), ..payment(1) };
    let again = offer(&signed_anew, &requirement(), "POST /api/call".into(), "a".into());
    let spent = gate.spend(again, Box::new(Job::default())).await.unwrap();
    assert!(matches!(spent, Spent::Delivered { .. }));
    let claims = store.settled_claims().await.unwrap();
    assert_eq!(claims[0].offer.proof["signature"], "0x01");
}

#[path = "gate/recovery_tests.rs"]
mod recovery;
