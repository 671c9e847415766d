//! Refunds: what is owed is paid back, once.
//!
//! ```text
//!  RefundDue ──sign──▶ Refunding ──receipt: success──▶ Refunded
//!      ▲                 │ send, again and again
//!      └─────────────────┘ receipt: reverted, or another transaction took its number
//! ```
//!
//! The signed transaction is in the store before anybody else sees it, so that a node that dies sends the same
//! bytes again and never signs twice for one debt. One refund is under way for a key at a time: its
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

/// The account that refunds are paid from.
pub trait Purse: Send + Sync + 'static {
    /// Whether the money of this claim is still here: what a re-organisation took is not paid back.
    fn has<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, ChainError>>;

    /// A transaction that pays `to`; it is not sent.
    fn sign<'a>(&'a self, to: &'a Wallet, amount: Usd) -> BoxFuture<'a, Result<Refund, ChainError>>;

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
    network: &'static str,
    purse: Arc<dyn Purse>,
}

impl Refunds {
    pub fn new(store: Store, network: &'static str, purse: Arc<dyn Purse>) -> Refunds {
        Refunds { store, network, purse }
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
        claims.retain(|claim| claim.offer.network == self.network && claim.offer.scheme == "x402");
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
        let Some(Refund { transaction, signed: Some(signed) }) = &claim.refund else {
            tracing::error!(claim = %claim.id, "a refund is under way and its transaction is not known");
            return Ok(Step::UnderWay);
        };
        let fate = match self.purse.fate(transaction, signed).await {
            Ok(fate) => fate,
            Err(error) => {
                tracing::warn!(claim = %claim.id, %error, "what became of a refund is not known; looking again");
                return Ok(Step::UnderWay);
            }
        };
        let (to, detail) = match fate {
            Fate::Paid => (ClaimState::Refunded, format!("paid by {transaction}")),
            Fate::Reverted => (ClaimState::RefundDue, format!("{transaction} was reverted")),
            Fate::Replaced => {
                (ClaimState::RefundDue, format!("{transaction} cannot come: its number was used by another"))
            }
            Fate::Waiting => {
                self.send(claim, &Refund { transaction: transaction.clone(), signed: Some(signed.clone()) })
                    .await;
                return Ok(Step::UnderWay);
            }
        };
        let change = Change { detail, ..Change::default() };
        self.store.advance(claim.id, ClaimState::Refunding, to, change, now).await?;
        metrics::counter!("callbox_refunds_total", "fate" => to.as_str()).increment(1);
        Ok(Step::Ended)
    }
}

#[cfg(test)]
#[path = "refund_tests.rs"]
pub(super) mod tests;
