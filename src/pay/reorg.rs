//! A second look at settlements. Payments are taken one block deep; a re-organisation of the chain may drop
//! that block, and the money is with the payer again.

use std::sync::Arc;
use std::time::Duration;

use alloy::eips::BlockId;
use alloy::providers::Provider;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::evm::{Chain, ChainError, address, nonce};
use super::x402::{Authorization, Payment};
use crate::store::claims::{Change, Claim, ClaimState};
use crate::store::{Store, StoreError};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(20);
/// Claims older than this are looked at by `callbox ledger reconcile` alone.
const WINDOW: TimeDelta = TimeDelta::hours(6);
/// An endpoint may be this far behind the one that told of the settlement.
const LAG: TimeDelta = TimeDelta::seconds(60);

/// How an authorisation stands on its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Spent, deep enough to stay.
    Final,
    /// Spent in one of the last blocks.
    Recent,
    Unspent,
}

pub trait Witness: Send + Sync + 'static {
    fn standing<'a>(
        &'a self,
        claim: &'a Claim,
        confirmations: u64,
    ) -> BoxFuture<'a, Result<Standing, ChainError>>;
}

/// The settlements of one chain.
pub struct Watch {
    pub store: Store,
    /// CAIP-2.
    pub network: &'static str,
    pub chain: Arc<dyn Witness>,
    /// Blocks that make a settlement final.
    pub confirmations: u64,
}

impl Watch {
    /// Looks again and again for as long as the store is open.
    pub async fn drive(self) {
        loop {
            match self.look(Utc::now()).await {
                Ok(()) => {}
                Err(error) if error.is_closed() => return,
                Err(error) => tracing::error!(%error, "settlements were not looked at again"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// One look at all that are not final yet.
    pub async fn look(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let since = now.checked_sub_signed(WINDOW).unwrap_or(DateTime::<Utc>::MIN_UTC);
        for claim in self.store.unconfirmed_claims(since).await? {
            if claim.offer.network != self.network {
                continue;
            }
            match self.chain.standing(&claim, self.confirmations).await {
                Ok(standing) => self.judge(&claim, standing, now).await?,
                // Neither will the others be answered.
                Err(error) => {
                    tracing::warn!(%error, "settlements cannot be looked at again now");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn judge(&self, claim: &Claim, standing: Standing, now: DateTime<Utc>) -> Result<(), StoreError> {
        let is_disputed = claim.state == ClaimState::Disputed;
        match standing {
            Standing::Final if is_disputed => self.reinstate(claim, now).await,
            Standing::Final => self.store.confirm_claim(claim.id, now).await,
            Standing::Unspent if !is_disputed && now - claim.updated_at > LAG => {
                self.dispute(claim, now).await
            }
            Standing::Recent | Standing::Unspent => Ok(()),
        }
    }

    async fn dispute(&self, claim: &Claim, now: DateTime<Utc>) -> Result<(), StoreError> {
        let change = Change { detail: "the settlement has left the chain".into(), ..Change::default() };
        if self.store.advance(claim.id, claim.state, ClaimState::Disputed, change, now).await?.is_some() {
            metrics::counter!("callbox_payments_disputed_total").increment(1);
            tracing::error!(claim = %claim.id, network = self.network, "a settlement has left the chain");
        }
        Ok(())
    }

    /// Another block has taken the transaction up again.
    async fn reinstate(&self, claim: &Claim, now: DateTime<Utc>) -> Result<(), StoreError> {
        let before = self.store.state_before_dispute(claim.id).await?.unwrap_or(ClaimState::Delivered);
        let change = Change { detail: "the settlement is on the chain again".into(), ..Change::default() };
        self.store.advance(claim.id, ClaimState::Disputed, before, change, now).await?;
        self.store.confirm_claim(claim.id, now).await
    }
}

impl Chain {
    async fn standing(&self, authorization: &Authorization, depth: u64) -> Result<Standing, ChainError> {
        let (payer, nonce) = (address(&authorization.from), nonce(authorization));
        let latest = self.ask(async { Ok(self.provider.get_block_number().await?) }).await?;
        if let Some(deep) = latest.checked_sub(depth) {
            let question = async {
                let token = self.token();
                token.authorizationState(payer, nonce).block(BlockId::number(deep)).call().await
            };
            if self.ask(question).await? {
                return Ok(Standing::Final);
            }
        }
        Ok(if self.is_used(authorization).await? { Standing::Recent } else { Standing::Unspent })
    }
}

impl Witness for Chain {
    fn standing<'a>(
        &'a self,
        claim: &'a Claim,
        confirmations: u64,
    ) -> BoxFuture<'a, Result<Standing, ChainError>> {
        async move {
            match serde_json::from_value::<Payment>(claim.offer.proof.clone()) {
                Ok(payment) => self.standing(&payment.authorization, confirmations).await,
                // The ledger shows what it is; nothing can be said of it.
                Err(_) => Ok(Standing::Recent),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
#[path = "reorg_tests.rs"]
mod tests;
