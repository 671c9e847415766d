//! One payment on its way.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::hands::Hold;
use super::undone::Undone;
use super::{Gate, Spent, Work};
use crate::pay::settle::{Outcome, Rejection, Settler};
use crate::store::StoreError;
use crate::store::claims::{Change, Claim, ClaimState};

pub(super) struct Spending {
    pub gate: Gate,
    pub settler: Arc<dyn Settler>,
    pub claim: Claim,
    pub work: Box<dyn Work>,
    /// Nobody else takes it up meanwhile.
    pub hold: Hold,
}

impl Spending {
    /// From the claim to its end.
    pub async fn run(mut self) -> Result<Spent, StoreError> {
        if let Err(rejection) = self.settler.verify(&self.claim.offer).await {
            self.gate.release(&self.claim, ClaimState::Reserved, &rejection.to_string()).await?;
            return Ok(match rejection {
                Rejection::Payment(reason) => Spent::Refused { reason },
                Rejection::Unavailable(detail) => Spent::Unavailable { detail },
            });
        }
        let (work, detail) = match self.work.reserve(self.claim.id).await {
            Ok(work) => (work, "set aside, and sent to the chain"),
            Err(answer) if self.settler.is_prepaid(&self.claim.offer) => {
                self.work.cancel().await;
                self.work = Undone::owed(answer);
                (Value::Null, "could not be done, and its payer has moved the money alone")
            }
            Err(answer) => {
                // Some of it may have been done.
                self.work.cancel().await;
                let why = format!("the work could not be done ({})", answer.status);
                self.gate.release(&self.claim, ClaimState::Reserved, &why).await?;
                return Ok(Spent::NotDone { answer });
            }
        };
        match self.note(work, detail).await {
            Ok(true) => {}
            // Whoever moved the claim decides what becomes of it; without the note no money may move.
            Ok(false) => {
                self.work.cancel().await;
                return self.gate.wait_for(self.claim).await;
            }
            Err(error) => {
                self.work.cancel().await;
                return Err(error);
            }
        }
        let outcome = self.settler.settle(&self.claim.offer).await;
        self.conclude(outcome).await
    }

    /// Notes what is set aside, and that the chain is about to be asked; `false` where the claim is not this
    /// task's any more.
    async fn note(&mut self, work: Value, detail: &str) -> Result<bool, StoreError> {
        let change = Change { work: Some(work), detail: detail.into(), ..Change::default() };
        let (from, to) = (ClaimState::Reserved, [ClaimState::Settling]);
        Ok(self.gate.advance(&self.claim, from, &to, change).await?.is_some())
    }

    /// From the chain's first word to the end.
    async fn conclude(mut self, mut outcome: Outcome) -> Result<Spent, StoreError> {
        let (mut pause, longest) = self.gate.pace.look_again;
        let mut sent = Instant::now();
        while let Outcome::Unknown { detail } = outcome {
            tracing::warn!(claim = %self.claim.id, detail, "the outcome of a settlement is not known; looking again");
            outcome = self.look_again(pause, &mut sent).await;
            pause = (pause * 2).min(longest);
        }
        self.end(outcome).await
    }

    /// A buyer who asks again after a while has it settled again: it may never have been sent.
    async fn look_again(&mut self, pause: Duration, sent: &mut Instant) -> Outcome {
        let offer = &self.claim.offer;
        let asked_late = async {
            tokio::time::sleep_until(*sent + self.gate.pace.settle_again).await;
            self.hold.asked().await;
        };
        tokio::select! {
            () = asked_late, if self.work.is_available() => {
                *sent = Instant::now();
                self.settler.settle_again(offer).await
            }
            () = tokio::time::sleep(pause) => self.settler.look_up(offer).await,
        }
    }

    /// What the outcome means for the work.
    pub async fn end(mut self, outcome: Outcome) -> Result<Spent, StoreError> {
        match outcome {
            Outcome::Settled { transaction } => self.hand_over(transaction).await,
            Outcome::Failed { reason } => {
                self.work.cancel().await;
                self.gate.release(&self.claim, ClaimState::Settling, &reason).await?;
                Ok(Spent::Refused { reason })
            }
            Outcome::Unknown { .. } => Ok(Spent::Pending),
        }
    }

    /// The money has moved by this transaction.
    async fn hand_over(mut self, transaction: String) -> Result<Spent, StoreError> {
        let (answer, last, detail) = match self.work.deliver(&transaction).await {
            Ok(answer) => (answer, ClaimState::Delivered, "delivered"),
            Err(answer) => (answer, ClaimState::RefundDue, "paid and could not be delivered"),
        };
        let change = Change {
            settlement: Some(transaction.clone()),
            answer: Some((answer.status, answer.body.to_string())),
            detail: detail.into(),
            ..Change::default()
        };
        let through = [ClaimState::Settled, last];
        if self.gate.advance(&self.claim, ClaimState::Settling, &through, change).await?.is_none() {
            return self.gate.wait_for(self.claim).await;
        }
        Ok(match last {
            ClaimState::Delivered => Spent::Delivered { answer, transaction },
            _ => Spent::NotDone { answer },
        })
    }
}
