//! The rule of spending: one authorisation buys one thing, once; nothing is charged that is not delivered.
//!
//! ```text
//!             verify      reserve       settle        deliver
//!  offered ──▶ Reserved ──▶ Worked ──▶ Settling ──▶ Settled ──▶ Delivered
//!                 │            │           │            └──▶ RefundDue
//!                 └────────────┴───────────┴──▶ Released
//! ```
//!
//! Each arrow is a transaction of the store, so that a node that dies finds in [`Gate::recover`] how far
//! each payment came. A settlement whose outcome is not known is looked up until it is; meanwhile the client
//! is told to wait and never asked to pay again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::network::Network;
use super::settle::{Outcome, Rejection, Settler};
use super::x402::{Authorization, Payment, Requirement};
use crate::base::ClaimId;
use crate::store::claims::{Change, Claim, ClaimState, Claimed, NewClaim};
use crate::store::{Store, StoreError};

/// How long a client waits for a settlement that is slow to be known.
const PATIENCE: Duration = Duration::from_secs(25);
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// A look at the store where its change was not heard of.
const GLANCE: Duration = Duration::from_millis(500);

/// What a payment buys. The methods are called in order; `cancel` instead of `deliver` where the money does
/// not move. A node that has restarted calls `deliver` or `cancel` on a work restored from what `reserve`
/// gave, so that both must be able to happen twice.
pub trait Work: Send {
    /// Sets aside what is bought and says how to find it again. An error charges nothing.
    fn reserve(&mut self, claim: ClaimId) -> BoxFuture<'_, Result<Value, Answer>>;

    /// Hands it over; the money has moved by this transaction. An error makes a refund due.
    fn deliver<'a>(&'a mut self, transaction: &'a str) -> BoxFuture<'a, Result<Answer, Answer>>;

    /// Gives it back; no money has moved.
    fn cancel(&mut self) -> BoxFuture<'_, ()>;
}

/// An HTTP answer in the family's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// What came of a request with a payment.
#[derive(Debug, Clone, PartialEq)]
pub enum Spent {
    /// Paid and delivered, now or before.
    Delivered { answer: Answer, transaction: String },
    /// The payment was not taken, for this reason; a fresh challenge goes with it.
    Refused { reason: String },
    /// The work could not be done; nothing was charged, or a refund is recorded.
    NotDone { answer: Answer },
    /// The authorisation belongs to a request for something else.
    Foreign,
    /// Nobody knows yet whether the money has moved. The same request asks again.
    Pending,
    /// The chain cannot be asked; nothing was charged.
    Unavailable { detail: String },
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    store: Store,
    /// By CAIP-2 network.
    settlers: Arc<HashMap<String, Arc<dyn Settler>>>,
    /// Told after each change of a claim.
    changed: Arc<Notify>,
    tasks: TaskTracker,
    /// First and last pause between two looks at the chain.
    look_again: (Duration, Duration),
}

impl Gate {
    pub fn new(store: Store, settlers: HashMap<String, Arc<dyn Settler>>) -> Gate {
        Gate {
            store,
            settlers: Arc::new(settlers),
            changed: Arc::default(),
            tasks: TaskTracker::new(),
            look_again: LOOK_AGAIN,
        }
    }

    /// Spends a payment that matches `requirement` on `work`. Goes on to its end where the client hangs up.
    pub async fn spend(
        &self,
        offer: NewClaim,
        payment: Payment,
        requirement: Requirement,
        work: Box<dyn Work>,
    ) -> Result<Spent, StoreError> {
        let claim = match self.store.claim(&offer, Utc::now()).await? {
            Claimed::Foreign => return Ok(Spent::Foreign),
            Claimed::Again(claim) => return self.wait_for(claim).await,
            Claimed::New(claim) => claim,
        };
        let Some(settler) = self.settlers.get(&claim.offer.network).cloned() else {
            self.release(&claim, ClaimState::Reserved, "no settler for this network").await?;
            return Ok(Spent::Unavailable { detail: "this network is not configured".into() });
        };
        let spending = Spending { gate: self.clone(), settler, payment, requirement, work };
        let task = self.tasks.spawn(spending.run(claim));
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(Ok(spent)) => spent,
            Ok(Err(panic)) => {
                tracing::error!(%panic, "a payment's task ended");
                Ok(Spent::Pending)
            }
            Err(_) => Ok(Spent::Pending),
        }
    }

    /// What came of this payment, where an equal request has had it before. It is asked before the request is
    /// checked: what was to be had then may be sold now, even by this payment.
    pub async fn earlier(
        &self,
        payment: &Payment,
        route: &str,
        body_sha256: &str,
    ) -> Result<Option<Spent>, StoreError> {
        let Some(network) = Network::find(&payment.network) else { return Ok(None) };
        let Authorization { from, nonce, .. } = &payment.authorization;
        let nonce = nonce.to_ascii_lowercase();
        let claim = self.store.claim_of(network.caip2, &network.asset_key(), from, &nonce).await?;
        let Some(claim) = claim.filter(|claim| claim.state != ClaimState::Released) else { return Ok(None) };
        // Payer and nonce are public once they are on the chain; the signature says who asks.
        let signature = claim.offer.proof["signature"].as_str().unwrap_or_default();
        let is_equal = claim.offer.route == route && claim.offer.body_sha256 == body_sha256;
        if !is_equal || !signature.eq_ignore_ascii_case(&payment.signature) {
            return Ok(Some(Spent::Foreign));
        }
        self.wait_for(claim).await.map(Some)
    }

    /// Takes up what an earlier run of the node left. `restore` makes a work from what its `reserve` gave.
    pub async fn recover(
        &self,
        restore: impl Fn(&Claim) -> Option<Box<dyn Work>>,
    ) -> Result<usize, StoreError> {
        let open = self.store.open_claims().await?;
        for claim in &open {
            let work = restore(claim).unwrap_or_else(|| Box::new(Gone));
            let settler = self.settlers.get(&claim.offer.network).cloned();
            match claim.state {
                ClaimState::Reserved | ClaimState::Worked => {
                    let mut work = work;
                    work.cancel().await;
                    self.release(claim, claim.state, "the node stopped before the settlement").await?;
                }
                ClaimState::Settling | ClaimState::Settled => {
                    let Ok(payment) = serde_json::from_value(claim.offer.proof.clone()) else {
                        tracing::error!(claim = %claim.id, "the payment of a claim cannot be read");
                        continue;
                    };
                    let gate = self.clone();
                    let claim = claim.clone();
                    self.tasks.spawn(async move { resume(gate, settler, claim, payment, work).await });
                }
                _ => {}
            }
        }
        Ok(open.len())
    }

    /// Waits for payments that are under way; those that a chain keeps waiting are recovered at the next
    /// start.
    pub async fn close(&self, limit: Duration) {
        self.tasks.close();
        let _ = tokio::time::timeout(limit, self.tasks.wait()).await;
    }

    /// An equal request has the payment: what came of it, once that is known.
    async fn wait_for(&self, claim: Claim) -> Result<Spent, StoreError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut claim = claim;
        loop {
            if let Some(spent) = known(&claim) {
                return Ok(spent);
            }
            let changed = self.changed.notified();
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(GLANCE) => {}
                () = tokio::time::sleep_until(deadline) => return Ok(Spent::Pending),
            }
            match self.store.claim_by_id(claim.id).await? {
                Some(now) => claim = now,
                None => return Ok(Spent::Pending),
            }
        }
    }

    async fn release(&self, claim: &Claim, from: ClaimState, why: &str) -> Result<(), StoreError> {
        let change = Change { detail: why.to_owned(), ..Change::default() };
        self.advance(claim, from, ClaimState::Released, change).await.map(drop)
    }

    /// Notes what is set aside, and that the chain is about to be asked; `false` where the claim is not this
    /// task's any more.
    async fn note(&self, claim: &Claim, work: Value) -> Result<bool, StoreError> {
        let change = Change { work: Some(work), detail: "set aside".into(), ..Change::default() };
        let worked = self.advance(claim, ClaimState::Reserved, ClaimState::Worked, change).await?;
        if worked.is_none() {
            return Ok(false);
        }
        let change = Change { detail: "sent to the chain".into(), ..Change::default() };
        let settling = self.advance(claim, ClaimState::Worked, ClaimState::Settling, change).await?;
        Ok(settling.is_some())
    }

    async fn advance(
        &self,
        claim: &Claim,
        from: ClaimState,
        to: ClaimState,
        change: Change,
    ) -> Result<Option<Claim>, StoreError> {
        let moved = self.store.advance(claim.id, from, to, change, Utc::now()).await?;
        metrics::counter!("callbox_payments_total", "state" => to.as_str()).increment(1);
        self.changed.notify_waiters();
        Ok(moved)
    }
}

/// What a finished claim means to whoever asks again.
fn known(claim: &Claim) -> Option<Spent> {
    match claim.state {
        ClaimState::Delivered | ClaimState::RefundDue | ClaimState::Refunding | ClaimState::Refunded => {
            let (status, body) = claim.answer.clone()?;
            let body = serde_json::from_str(&body).unwrap_or_default();
            let answer = Answer { status, body };
            let transaction = claim.settlement.clone().unwrap_or_default();
            Some(Spent::Delivered { answer, transaction })
        }
        ClaimState::Released => {
            Some(Spent::Unavailable { detail: "the payment was not taken; send it again".into() })
        }
        _ => None,
    }
}

/// One payment on its way.
struct Spending {
    gate: Gate,
    settler: Arc<dyn Settler>,
    payment: Payment,
    requirement: Requirement,
    work: Box<dyn Work>,
}

impl Spending {
    async fn run(mut self, claim: Claim) -> Result<Spent, StoreError> {
        if let Err(rejection) = self.settler.verify(&self.payment, &self.requirement).await {
            self.gate.release(&claim, ClaimState::Reserved, &rejection.to_string()).await?;
            return Ok(match rejection {
                Rejection::Payment(reason) => Spent::Refused { reason },
                Rejection::Unavailable(detail) => Spent::Unavailable { detail },
            });
        }
        let work = match self.work.reserve(claim.id).await {
            Ok(work) => work,
            Err(answer) => {
                let why = format!("the work could not be done ({})", answer.status);
                self.gate.release(&claim, ClaimState::Reserved, &why).await?;
                return Ok(Spent::NotDone { answer });
            }
        };
        if !self.gate.note(&claim, work).await? {
            // Whoever moved the claim decides what becomes of it; without the note no money may move.
            self.work.cancel().await;
            return self.gate.wait_for(claim).await;
        }
        let outcome = self.settler.settle(&self.payment, &self.requirement).await;
        let Spending { gate, settler, payment, work, .. } = self;
        conclude(gate, settler, claim, payment, work, outcome).await
    }
}

/// After a restart.
async fn resume(
    gate: Gate,
    settler: Option<Arc<dyn Settler>>,
    claim: Claim,
    payment: Payment,
    work: Box<dyn Work>,
) {
    let resumed = match (claim.state, settler) {
        (ClaimState::Settled, _) => hand_over(gate, claim, work).await,
        (_, Some(settler)) => {
            let outcome = settler.look_up(&payment).await;
            conclude(gate, settler, claim, payment, work, outcome).await
        }
        (_, None) => {
            tracing::error!(claim = %claim.id, network = claim.offer.network, "a payment waits for a network that is not configured any more");
            return;
        }
    };
    if let Err(error) = resumed {
        tracing::error!(%error, "a payment of an earlier run could not be taken up");
    }
}

/// From the chain's first word to the end.
async fn conclude(
    gate: Gate,
    settler: Arc<dyn Settler>,
    claim: Claim,
    payment: Payment,
    mut work: Box<dyn Work>,
    mut outcome: Outcome,
) -> Result<Spent, StoreError> {
    let (mut pause, longest) = gate.look_again;
    loop {
        match outcome {
            Outcome::Settled { transaction } => {
                let change =
                    Change { settlement: Some(transaction), detail: "settled".into(), ..Change::default() };
                let settled = gate.advance(&claim, ClaimState::Settling, ClaimState::Settled, change).await?;
                return match settled {
                    Some(claim) => hand_over(gate, claim, work).await,
                    None => gate.wait_for(claim).await,
                };
            }
            Outcome::Failed { reason } => {
                work.cancel().await;
                gate.release(&claim, ClaimState::Settling, &reason).await?;
                return Ok(Spent::Refused { reason });
            }
            Outcome::Unknown { detail } => {
                tracing::warn!(claim = %claim.id, detail, "the outcome of a settlement is not known; looking again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
                outcome = settler.look_up(&payment).await;
            }
        }
    }
}

async fn hand_over(gate: Gate, claim: Claim, mut work: Box<dyn Work>) -> Result<Spent, StoreError> {
    let transaction = claim.settlement.clone().unwrap_or_default();
    let (answer, to, detail) = match work.deliver(&transaction).await {
        Ok(answer) => (answer, ClaimState::Delivered, "delivered"),
        Err(answer) => (answer, ClaimState::RefundDue, "paid and could not be delivered"),
    };
    let stored = (answer.status, answer.body.to_string());
    let change = Change { answer: Some(stored), detail: detail.into(), ..Change::default() };
    gate.advance(&claim, ClaimState::Settled, to, change).await?;
    Ok(match to {
        ClaimState::Delivered => Spent::Delivered { answer, transaction },
        _ => Spent::NotDone { answer },
    })
}

/// A work that cannot be found again: it was never reserved, or this version does not know it.
struct Gone;

impl Work for Gone {
    fn reserve(&mut self, _: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        Box::pin(async { Err(gone()) })
    }

    fn deliver<'a>(&'a mut self, _: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        Box::pin(async { Err(gone()) })
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn gone() -> Answer {
    let body =
        serde_json::json!({ "success": false, "error": "what was paid for is gone; a refund is recorded" });
    Answer { status: 500, body }
}

/// The claim of a payment: what is bound together.
pub fn offer(payment: &Payment, requirement: &Requirement, route: String, body_sha256: String) -> NewClaim {
    let valid_before: DateTime<Utc> = payment.valid_before();
    NewClaim {
        scheme: "x402".into(),
        network: requirement.network.caip2.into(),
        asset: requirement.network.asset_key(),
        payer: payment.authorization.from.clone(),
        nonce: payment.authorization.nonce.to_ascii_lowercase(),
        amount: requirement.amount,
        pay_to: requirement.pay_to.clone(),
        valid_before,
        route,
        body_sha256,
        proof: serde_json::to_value(payment).expect("a payment is plain data with text keys"),
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
