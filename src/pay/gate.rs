//! The rule of spending: one authorisation buys one thing, once; nothing is charged that is not delivered.
//!
//! ```text
//!             verify      reserve       settle        deliver
//!  offered ──▶ Reserved ──▶ Worked ──▶ Settling ──▶ Settled ──▶ Delivered
//!                 │            │           │            └──▶ RefundDue ◀── the call failed by our fault
//!                 └────────────┴───────────┴──▶ Released         │
//!                                                            Refunding ──▶ Refunded   (super::refund)
//! ```
//!
//! Each arrow is a transaction of the store, so that a node that dies finds in [`Gate::recover`] how far
//! each payment came. A settlement whose outcome is not known is looked up until it is; meanwhile the client
//! is told to wait and never asked to pay again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::settle::{Outcome, Rejection, Settler};
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

    /// Spends a payment, which names the price exactly, on `work`. Goes on to its end where the client hangs
    /// up.
    pub async fn spend(&self, offer: NewClaim, work: Box<dyn Work>) -> Result<Spent, StoreError> {
        let claim = match self.store.claim(&offer, Utc::now()).await? {
            Claimed::Foreign => return Ok(Spent::Foreign),
            Claimed::Again(claim) => return self.wait_for(claim).await,
            Claimed::New(claim) => claim,
        };
        let Some(settler) = self.settlers.get(&claim.offer.network).cloned() else {
            self.release(&claim, ClaimState::Reserved, "no settler for this network").await?;
            return Ok(Spent::Unavailable { detail: "this network is not configured".into() });
        };
        let spending = Spending { gate: self.clone(), settler, work };
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
    pub async fn earlier(&self, offer: &NewClaim) -> Result<Option<Spent>, StoreError> {
        let claim = self.store.claim_of(offer).await?;
        let Some(claim) = claim.filter(|claim| claim.state != ClaimState::Released) else { return Ok(None) };
        let is_equal = claim.offer.route == offer.route && claim.offer.body_sha256 == offer.body_sha256;
        if !is_equal || !is_same(&claim.offer.proof, &offer.proof) {
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
            let work = restore(claim).unwrap_or_else(|| Box::new(Undone(gone())));
            let settler = self.settlers.get(&claim.offer.network).cloned();
            match claim.state {
                ClaimState::Reserved | ClaimState::Worked => self.give_up(claim, settler, work).await?,
                ClaimState::Settling | ClaimState::Settled => {
                    self.tasks.spawn(resume(self.clone(), settler, claim.clone(), work));
                }
                _ => {}
            }
        }
        Ok(open.len())
    }

    /// What was set aside before a restart is given back, and so is money that its payer moved alone.
    async fn give_up(
        &self,
        claim: &Claim,
        settler: Option<Arc<dyn Settler>>,
        mut work: Box<dyn Work>,
    ) -> Result<(), StoreError> {
        work.cancel().await;
        let why = "the node stopped before the settlement";
        match settler {
            Some(settler) if settler.is_prepaid(&claim.offer) => {
                let change = Change { detail: why.into(), ..Change::default() };
                let moved = self.advance(claim, claim.state, ClaimState::Settling, change).await?;
                if let Some(claim) = moved {
                    let owed = Box::new(Undone(gone()));
                    self.tasks.spawn(resume(self.clone(), Some(settler), claim, owed));
                }
                Ok(())
            }
            _ => self.release(claim, claim.state, why).await,
        }
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
    async fn note(&self, claim: &Claim, work: Value, detail: &str) -> Result<bool, StoreError> {
        let change = Change { work: Some(work), detail: detail.into(), ..Change::default() };
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

/// Payer and nonce are public once they are on the chain; the signature says who asks.
fn is_same(first: &Value, again: &Value) -> bool {
    match (first["signature"].as_str(), again["signature"].as_str()) {
        (Some(first), Some(again)) => first.eq_ignore_ascii_case(again),
        _ => first == again,
    }
}

/// What a finished claim means to whoever asks again.
fn known(claim: &Claim) -> Option<Spent> {
    match claim.state {
        ClaimState::Delivered
        | ClaimState::RefundDue
        | ClaimState::Refunding
        | ClaimState::Refunded
        | ClaimState::Disputed => {
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
    work: Box<dyn Work>,
}

impl Spending {
    async fn run(mut self, claim: Claim) -> Result<Spent, StoreError> {
        if let Err(rejection) = self.settler.verify(&claim.offer).await {
            self.gate.release(&claim, ClaimState::Reserved, &rejection.to_string()).await?;
            return Ok(match rejection {
                Rejection::Payment(reason) => Spent::Refused { reason },
                Rejection::Unavailable(detail) => Spent::Unavailable { detail },
            });
        }
        let (work, detail) = match self.work.reserve(claim.id).await {
            Ok(work) => (work, "set aside"),
            Err(answer) if self.settler.is_prepaid(&claim.offer) => {
                self.work = Box::new(Undone(owed(answer)));
                (Value::Null, "could not be done, and its payer has moved the money alone")
            }
            Err(answer) => {
                let why = format!("the work could not be done ({})", answer.status);
                self.gate.release(&claim, ClaimState::Reserved, &why).await?;
                return Ok(Spent::NotDone { answer });
            }
        };
        if !self.gate.note(&claim, work, detail).await? {
            // Whoever moved the claim decides what becomes of it; without the note no money may move.
            self.work.cancel().await;
            return self.gate.wait_for(claim).await;
        }
        let outcome = self.settler.settle(&claim.offer).await;
        let Spending { gate, settler, work } = self;
        conclude(gate, settler, claim, work, outcome).await
    }
}

/// After a restart.
async fn resume(gate: Gate, settler: Option<Arc<dyn Settler>>, claim: Claim, work: Box<dyn Work>) {
    let resumed = match (claim.state, settler) {
        (ClaimState::Settled, _) => hand_over(gate, claim, work).await,
        (_, Some(settler)) => {
            let outcome = settler.look_up(&claim.offer).await;
            conclude(gate, settler, claim, work, outcome).await
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
                outcome = settler.look_up(&claim.offer).await;
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

/// A work that is not done, for this reason: it cannot be found again, or it was refused after its payer
/// had moved the money alone.
struct Undone(Answer);

impl Work for Undone {
    fn reserve(&mut self, _: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        Box::pin(async { Err(self.0.clone()) })
    }

    fn deliver<'a>(&'a mut self, _: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        Box::pin(async { Err(self.0.clone()) })
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// An answer that may say that nothing was charged, where something was.
fn owed(mut answer: Answer) -> Answer {
    if let Some(body) = answer.body.as_object_mut() {
        body.insert("refund".into(), "due".into());
    }
    answer
}

fn gone() -> Answer {
    let body =
        serde_json::json!({ "success": false, "error": "what was paid for is gone; a refund is recorded" });
    Answer { status: 500, body }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
