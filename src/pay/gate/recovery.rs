//! What is left lying: payments that an earlier run of the node had in hand, or whose next state could not be
//! written down.
//!
//! | it stopped | the claim is | what is done |
//! |---|---|---|
//! | before the work was noted | `Reserved` | the work is given back; a prepaid one goes on to `Settling` and is owed |
//! | before the transaction was sent | `Settling`, unused on the chain | settled again; a work that is gone waits until the authorisation has expired |
//! | before the chain's answer was heard | `Settling` | looked up, and settled again where nothing is under way |
//! | after the money moved, before or after the work was handed over | `Settling`, used on the chain | handed over; handing over twice is handing over once |
//! | after a refund was signed | `Refunding` | [`refund`](crate::pay::refund) sends the same bytes |
//!
//! No other state is met: what is set aside is noted together with the question to the chain, and the
//! settlement together with the answer, each in one transaction.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::spending::Spending;
use super::undone::Undone;
use super::{Gate, Work, hands::Hold};
use crate::pay::settle::Settler;
use crate::store::StoreError;
use crate::store::claims::{Change, Claim, ClaimState};

/// Payments that are taken up at once; the others wait for their turn.
const AT_ONCE: usize = 16;

impl Gate {
    /// Takes up what is in nobody's hands, each once: what a chain cannot tell now is left for the next time.
    /// `restore` makes a work from what its `reserve` gave. Gives how many there were.
    pub async fn recover(
        &self,
        restore: impl Fn(&Claim) -> Option<Box<dyn Work>>,
    ) -> Result<usize, StoreError> {
        let mut taken = 0;
        let mut tasks = stream::iter(self.store.open_claims().await?)
            .filter_map(|claim| {
                let taken_up = self.hands.hold_alone(&claim.offer).map(|hold| {
                    taken += 1;
                    let work = restore(&claim).unwrap_or_else(Undone::gone);
                    self.tasks.spawn(self.clone().take_up(claim, work, hold))
                });
                std::future::ready(taken_up)
            })
            .buffer_unordered(AT_ONCE);
        while let Some(ended) = tasks.next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) if error.is_closed() => return Err(error),
                Ok(Err(error)) => tracing::error!(%error, "a payment was not taken up; trying again"),
                Err(panic) => tracing::error!(%panic, "taking a payment up ended"),
            }
        }
        drop(tasks);
        Ok(taken)
    }

    /// Until a buyer asks for a payment that nobody has in hand, or this long.
    pub async fn until_wanted(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.left_lying.notified()).await;
    }

    async fn take_up(self, claim: Claim, work: Box<dyn Work>, hold: Hold) -> Result<(), StoreError> {
        // Whoever had it may have brought it on since the list was made: `work` is none of the new state's.
        let now = self.store.claim_by_id(claim.id).await?;
        let Some(claim) = now.filter(|now| now.state == claim.state) else { return Ok(()) };
        let Some(settler) = self.settlers.get(&claim.offer.network).cloned() else {
            return self.without_settler(claim, work).await;
        };
        match claim.state {
            ClaimState::Reserved => self.give_up(claim, settler, work, hold).await,
            ClaimState::Settling => self.go_on(claim, settler, work, hold).await,
            _ => Ok(()),
        }
    }

    async fn go_on(
        self,
        claim: Claim,
        settler: Arc<dyn Settler>,
        work: Box<dyn Work>,
        hold: Hold,
    ) -> Result<(), StoreError> {
        let outcome = match work.is_available() {
            true => settler.settle_again(&claim.offer).await,
            false => settler.look_up(&claim.offer).await,
        };
        Spending { gate: self, settler, claim, work, hold }.end(outcome).await.map(drop)
    }

    /// What was set aside is given back, and so is money that its payer moved alone.
    async fn give_up(
        self,
        claim: Claim,
        settler: Arc<dyn Settler>,
        mut work: Box<dyn Work>,
        hold: Hold,
    ) -> Result<(), StoreError> {
        work.cancel().await;
        let why = "given up before the settlement";
        if !settler.is_prepaid(&claim.offer) {
            return self.release(&claim, claim.state, why).await;
        }
        let change = Change { detail: why.into(), ..Change::default() };
        match self.advance(&claim, claim.state, &[ClaimState::Settling], change).await? {
            Some(claim) => self.go_on(claim, settler, Undone::gone(), hold).await,
            None => Ok(()),
        }
    }

    async fn without_settler(self, claim: Claim, mut work: Box<dyn Work>) -> Result<(), StoreError> {
        let network = &claim.offer.network;
        if claim.state == ClaimState::Reserved {
            work.cancel().await;
            return self.release(&claim, claim.state, "no settler for this network").await;
        }
        tracing::error!(claim = %claim.id, network, "a payment waits for a network that is not configured any more");
        Ok(())
    }
}
