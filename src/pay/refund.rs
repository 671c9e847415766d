//! Refunds: what is owed is paid back, once.
//!
//! ```text
//!  RefundDue ──sign──▶ Refunding ──receipt: success──▶ Refunded
//!      ▲                 │ send, again and again; sign it again with the same number and more for its gas
//!      └─────────────────┘ receipt: reverted, or another transaction took its number
//! ```
//!
//! The signed transaction is in the store before anybody else sees it, so that a node that dies sends the same
//! bytes again and never pays twice for one debt: what is signed again has the same number, of which a chain
//! takes one, and the hashes of all are kept until one of them is mined. One refund is under way for a key at a time: its
//! transactions are numbered, and one that hangs holds back those behind it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;

use super::evm::ChainError;
use crate::base::{Usd, Wallet};
use crate::store::claims::{Change, Claim, ClaimState, Refund, SignedRefund};
use crate::store::{Store, StoreError};

/// Pauses between two looks: while a refund is under way, and while none is.
const UNDER_WAY: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(10);
/// What failed on the chain and cost gas is not tried again before.
const TRY_AGAIN: TimeDelta = TimeDelta::minutes(10);
/// What is in no block by now may offer too little for its gas.
const REPRICE: TimeDelta = TimeDelta::seconds(20);
/// How often one refund offers more; then it waits for the chain to become cheaper.
const REPRICINGS: usize = 8;

/// The account that refunds are paid from.
pub trait Purse: Send + Sync + 'static {
    /// Whether the money of this claim is still here: what a re-organisation took is not paid back.
    fn has<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, ChainError>>;

    /// A transaction that pays `to`; it is not sent.
    fn sign<'a>(&'a self, to: &'a Wallet, amount: Usd) -> BoxFuture<'a, Result<Refund, ChainError>>;

    /// The same payment with the same number and more for its gas, not sent; `None` where it offers what the
    /// chain asks for.
    fn reprice<'a>(&'a self, signed: &'a SignedRefund) -> BoxFuture<'a, Result<Option<Refund>, ChainError>>;

    /// Sends it, for the first time or again.
    fn send<'a>(&'a self, signed: &'a SignedRefund) -> BoxFuture<'a, Result<(), ChainError>>;

    /// What became of it.
    fn fate<'a>(
        &'a self,
        transaction: &'a str,
        signed: &'a SignedRefund,
    ) -> BoxFuture<'a, Result<Fate, ChainError>>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Paid,
    /// In a block, and nothing moved.
    Reverted,
    /// It can never be in a block: its number belongs to another transaction.
    Replaced,
    /// It may still come.
    Waiting,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing is owed that can be paid now.
    Idle,
    /// A refund is with the chain.
    UnderWay,
    /// One has ended; there may be another.
    Ended,
}

/// The refunds of one key.
pub struct Refunds {
    store: Store,
    /// CAIP-2.
    network: String,
    purse: Arc<dyn Purse>,
}

impl Refunds {
    pub fn new(store: Store, network: &str, purse: Arc<dyn Purse>) -> Refunds {
        Refunds { store, network: network.to_owned(), purse }
    }

    /// Pays for as long as the store is open.
    pub async fn drive(self) {
        loop {
            let pause = match self.step(Utc::now()).await {
                Ok(Step::Ended) => continue,
                Ok(Step::UnderWay) => UNDER_WAY,
                Ok(Step::Idle) => IDLE,
                Err(error) if error.is_closed() => return,
                Err(error) => {
                    tracing::error!(%error, "refunds wait for the store");
                    IDLE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks after the refund that is under way, else begins the oldest that can be.
    pub async fn step(&self, now: DateTime<Utc>) -> Result<Step, StoreError> {
        match self.mine(ClaimState::Refunding).await?.into_iter().next() {
            Some(claim) => self.follow(&claim, now).await,
            None => self.begin(now).await,
        }
    }

    async fn mine(&self, state: ClaimState) -> Result<Vec<Claim>, StoreError> {
        let mut claims = self.store.claims_in(state).await?;
        claims.retain(|claim| claim.offer.network == self.network);
        Ok(claims)
    }

    async fn begin(&self, now: DateTime<Utc>) -> Result<Step, StoreError> {
        for claim in self.mine(ClaimState::RefundDue).await? {
            if claim.refund.is_some() && now - claim.updated_at < TRY_AGAIN {
                continue;
            }
            let refund = match self.sign(&claim).await {
                Ok(Some(refund)) => refund,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(claim = %claim.id, %error, "a refund cannot be paid now");
                    continue;
                }
            };
            let detail = format!("to be paid by {}", refund.transaction);
            let change = Change { refund: Some(refund.clone()), detail, ..Change::default() };
            let (from, to) = (ClaimState::RefundDue, ClaimState::Refunding);
            // The operator may have paid it by hand meanwhile.
            if self.store.advance(claim.id, from, to, change, now).await?.is_some() {
                self.send(&claim, &refund).await;
                return Ok(Step::UnderWay);
            }
        }
        Ok(Step::Idle)
    }

    async fn sign(&self, claim: &Claim) -> Result<Option<Refund>, ChainError> {
        if !self.purse.has(claim).await? {
            return Ok(None);
        }
        self.purse.sign(&claim.offer.payer, claim.offer.amount).await.map(Some)
    }

    async fn send(&self, claim: &Claim, refund: &Refund) {
        let Some(signed) = &refund.signed else { return };
        // "Already known" is among the errors; what counts is the receipt.
        if let Err(error) = self.purse.send(signed).await {
            tracing::debug!(claim = %claim.id, %error, "a refund was not taken by the chain's endpoint");
        }
    }

    async fn follow(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Step, StoreError> {
        let Some(refund @ Refund { transaction, signed: Some(signed) }) = &claim.refund else {
            tracing::error!(claim = %claim.id, "a refund is under way and its transaction is not known");
            return Ok(Step::UnderWay);
        };
        let (mined, fate) = match self.fate(transaction, signed).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(claim = %claim.id, %error, "what became of a refund is not known; looking again");
                return Ok(Step::UnderWay);
            }
        };
        let (to, detail) = match fate {
            Fate::Paid => (ClaimState::Refunded, format!("paid by {mined}")),
            Fate::Reverted => (ClaimState::RefundDue, format!("{mined} was reverted")),
            Fate::Replaced => {
                (ClaimState::RefundDue, format!("{mined} cannot come: its number was used by another"))
            }
            Fate::Waiting => return self.press(claim, refund, signed, now).await,
        };
        let refund = Refund { transaction: mined.to_owned(), signed: Some(signed.clone()) };
        let change = Change { refund: Some(refund), detail, ..Change::default() };
        self.store.advance(claim.id, ClaimState::Refunding, to, change, now).await?;
        metrics::counter!("callbox_refunds_total", "fate" => to.as_str()).increment(1);
        Ok(Step::Ended)
    }

    /// Of all that have its number: the one that is mined, or else the last.
    async fn fate<'a>(
        &self,
        transaction: &'a str,
        signed: &'a SignedRefund,
    ) -> Result<(&'a str, Fate), ChainError> {
        let mut fate = Fate::Replaced;
        for hash in signed.earlier.iter().map(String::as_str).chain([transaction]) {
            match self.purse.fate(hash, signed).await? {
                known @ (Fate::Paid | Fate::Reverted) => return Ok((hash, known)),
                Fate::Waiting => fate = Fate::Waiting,
                Fate::Replaced => {}
            }
        }
        Ok((transaction, fate))
    }

    /// Sends it again, with more for its gas where that is what it lacks.
    async fn press(
        &self,
        claim: &Claim,
        refund: &Refund,
        signed: &SignedRefund,
        now: DateTime<Utc>,
    ) -> Result<Step, StoreError> {
        let mut dearer = None;
        if now - claim.updated_at > REPRICE && signed.earlier.len() < REPRICINGS {
            dearer = self.dearer(claim, refund, signed, now).await?;
        }
        self.send(claim, dearer.as_ref().unwrap_or(refund)).await;
        Ok(Step::UnderWay)
    }

    /// In the store, as the first was, before anybody sees it.
    async fn dearer(
        &self,
        claim: &Claim,
        refund: &Refund,
        signed: &SignedRefund,
        now: DateTime<Utc>,
    ) -> Result<Option<Refund>, StoreError> {
        let mut dearer = match self.purse.reprice(signed).await {
            Ok(Some(dearer)) => dearer,
            Ok(None) => return Ok(None),
            Err(error) => {
                tracing::warn!(claim = %claim.id, %error, "what a refund's gas costs now is not known");
                return Ok(None);
            }
        };
        if let Some(again) = &mut dearer.signed {
            again.earlier.clone_from(&signed.earlier);
            again.earlier.push(refund.transaction.clone());
        }
        let detail = format!("to be paid by {}, which offers more for its gas", dearer.transaction);
        let change = Change { refund: Some(dearer.clone()), detail, ..Change::default() };
        let state = ClaimState::Refunding;
        let moved = self.store.advance(claim.id, state, state, change, now).await?;
        metrics::counter!("callbox_refunds_repriced_total").increment(1);
        Ok(moved.map(|_| dearer))
    }
}

#[cfg(test)]
#[path = "refund_tests.rs"]
pub(super) mod tests;
