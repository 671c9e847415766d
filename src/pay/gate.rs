//! The rule of spending: one authorisation buys one thing, once; nothing is charged that is not delivered.
//!
//! ```text
//!             verify, set aside        settle, hand over
//!  offered ──▶ Reserved ──────▶ Settling ──────▶ (Settled) ──▶ Delivered
//!                 │                 │                 └──▶ RefundDue ◀── the call failed by our fault
//!                 └─────────────────┴──▶ Released             │
//!                                                         Refunding ──▶ Refunded   (super::refund)
//! ```
//!
//! Each arrow that a claim rests behind is one transaction of the store: the claim itself, what is set aside
//! together with "the chain is about to be asked", and the settlement together with the answer (`Settled` is a
//! row of the ledger alone). More are not needed: what the chain knows survives a crash by itself. `recovery`
//! says what each crash leaves and what becomes of it. A settlement whose outcome is not known is looked up until
//! it is; meanwhile the client is told to wait and never asked to pay again.

mod hands;
mod recovery;
mod spending;
mod undone;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use self::hands::Hands;
use self::spending::Spending;
pub use self::undone::gone;
use super::settle::Settler;
use crate::base::ClaimId;
use crate::store::claims::{Change, Claim, ClaimState, Claimed, NewClaim};
use crate::store::{Store, StoreError};

/// How long a client waits for a settlement that is slow to be known.
const PATIENCE: Duration = Duration::from_secs(25);
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

    /// Whether it can still be had for money that moves late: what cannot is not settled again.
    fn is_available(&self) -> bool {
        true
    }
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
    hands: Hands,
    /// Told where a buyer asks for a payment that is in nobody's.
    left_lying: Arc<Notify>,
    tasks: TaskTracker,
    pace: Pace,
}

#[derive(Clone, Copy)]
struct Pace {
    /// First and last pause between two looks at the chain.
    look_again: (Duration, Duration),
    /// A settlement of which nothing is known is not sent again before.
    settle_again: Duration,
}

const PACE: Pace = Pace {
    look_again: (Duration::from_millis(500), Duration::from_secs(15)),
    settle_again: Duration::from_secs(20),
};

impl Gate {
    pub fn new(store: Store, settlers: HashMap<String, Arc<dyn Settler>>) -> Gate {
        Gate {
            store,
            settlers: Arc::new(settlers),
            changed: Arc::default(),
            hands: Hands::default(),
            left_lying: Arc::default(),
            tasks: TaskTracker::new(),
            pace: PACE,
        }
    }

    /// Spends a payment, which names the price exactly, on `work`. Goes on to its end where the client hangs
    /// up.
    pub async fn spend(&self, offer: NewClaim, work: Box<dyn Work>) -> Result<Spent, StoreError> {
        let task = self.tasks.spawn(self.clone().take(offer, work));
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(Ok(spent)) => spent,
            Ok(Err(panic)) => {
                tracing::error!(%panic, "a payment's task ended");
                Ok(Spent::Pending)
            }
            Err(_) => Ok(Spent::Pending),
        }
    }

    async fn take(self, offer: NewClaim, work: Box<dyn Work>) -> Result<Spent, StoreError> {
        let hold = self.hands.hold(&offer);
        let claim = match self.store.claim(&offer, Utc::now()).await? {
            Claimed::New(claim) => claim,
            Claimed::Again(claim) if is_same(&claim.offer.proof, &offer.proof) => {
                drop(hold);
                return self.wait_for(claim).await;
            }
            Claimed::Again(_) | Claimed::Foreign => return Ok(Spent::Foreign),
        };
        let Some(settler) = self.settlers.get(&claim.offer.network).cloned() else {
            self.release(&claim, ClaimState::Reserved, "no settler for this network").await?;
            return Ok(Spent::Unavailable { detail: "this network is not configured".into() });
        };
        Spending { gate: self, settler, claim, work, hold }.run().await
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

    /// Waits for payments that are under way; those that a chain keeps waiting are taken up at the next start.
    pub async fn close(&self, limit: Duration) {
        self.tasks.close();
        let _ = tokio::time::timeout(limit, self.tasks.wait()).await;
    }

    /// An equal request has the payment: what came of it, once that is known.
    async fn wait_for(&self, claim: Claim) -> Result<Spent, StoreError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut claim = claim;
        let is_known = known(&claim).is_some();
        if !is_known && !self.hands.ask(&claim.offer) {
            self.left_lying.notify_one();
        }
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
        self.advance(claim, from, &[ClaimState::Released], change).await.map(drop)
    }

    /// Through these states to the last of them.
    async fn advance(
        &self,
        claim: &Claim,
        from: ClaimState,
        through: &[ClaimState],
        change: Change,
    ) -> Result<Option<Claim>, StoreError> {
        let moved = self.store.advance_through(claim.id, from, through, change, Utc::now()).await?;
        if moved.is_some() {
            for state in through {
                metrics::counter!("callbox_payments_total", "state" => state.as_str()).increment(1);
            }
        }
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

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
