//! Settlement by this node: its key pays the fees, and signs nothing but payments that keep all the rules.
//!
//! A transaction is named by the fee payer's signature, which this node can make at any time again. So it always
//! knows what to look for, whatever was lost on the way.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::exact::{Payment, check, offered};
use super::key::{Keypair, name};
use super::message::Transaction;
use super::rpc::{Chain, Status, failure};
use super::settle::NOT_SOLANA;
use crate::base::Wallet;
use crate::pay::settle::{Outcome, Rejection, Settler};
use crate::store::claims::NewClaim;

/// From one look at a transaction that was sent to the next, and for how long before the gate looks further,
/// less often.
const LOOK_AGAIN: Duration = Duration::from_millis(400);
const FOLLOW: Duration = Duration::from_secs(20);
/// Looks between two sendings.
const SEND_AGAIN: u32 = 5;

/// Settles with a key of the operator's.
pub struct InProcess {
    chain: Chain,
    key: Keypair,
}

impl InProcess {
    pub fn new(chain: Chain, key: Keypair) -> InProcess {
        InProcess { chain, key }
    }

    pub fn fee_payer(&self) -> Wallet {
        self.key.wallet()
    }

    /// Signs what keeps all the rules; nothing else ever gets this key's signature.
    fn signed(&self, offer: &NewClaim) -> Result<(Payment, Transaction), String> {
        let offered = offered(offer, Some(self.key.wallet()));
        let (payment, requirement) = offered.ok_or(NOT_SOLANA)?;
        let mut transaction = payment.transaction().ok_or(NOT_SOLANA)?;
        check(&transaction, &requirement, &self.key.public()).map_err(|broken| broken.to_string())?;
        self.key.sign(&mut transaction);
        Ok((payment, transaction))
    }

    async fn verify(&self, offer: &NewClaim) -> Result<(), Rejection> {
        let (_, transaction) = self.signed(offer).map_err(Rejection::Payment)?;
        let unavailable = |error: crate::pay::evm::ChainError| Rejection::Unavailable(error.to_string());
        if self.chain.status(&name(&transaction)).await.map_err(unavailable)? != Status::Absent {
            return Err(Rejection::Payment("invalid_exact_svm_payload_transaction_already_used".into()));
        }
        let simulated = self.chain.simulate(&transaction).await.map_err(unavailable)?;
        simulated.map_err(|why: Value| Rejection::Payment(failure(&why)))
    }

    async fn settle(&self, offer: &NewClaim) -> Outcome {
        let (payment, transaction) = match self.signed(offer) {
            Ok(signed) => signed,
            Err(reason) => return Outcome::Failed { reason },
        };
        let (name, bytes) = (name(&transaction), STANDARD.encode(transaction.encode()));
        match self.chain.send(&bytes).await {
            Ok(()) => self.follow_for_a_while(&name, &bytes).await,
            Err(unanswered) => match (unanswered.unsent(), self.chain.status(&name).await) {
                // Unless an earlier try got through all the same.
                (Some(reason), Ok(Status::Absent)) => return Outcome::Failed { reason },
                _ => {
                    tracing::warn!(?unanswered, "a transaction may not have been sent; looking for it");
                    self.follow_for_a_while(&name, &bytes).await;
                }
            },
        }
        self.chain.look_up(offer, &payment, Some(&name)).await
    }

    async fn follow_for_a_while(&self, name: &str, bytes: &str) {
        // What has not landed by then is looked for by the gate.
        let _ = tokio::time::timeout(FOLLOW, self.follow(name, bytes)).await;
    }

    /// Until it has landed. A cluster drops what it has no room for, and says nothing; sent twice, a
    /// transaction still lands once.
    async fn follow(&self, name: &str, bytes: &str) {
        for look in 1_u32.. {
            if let Ok(Status::Landed { .. }) = self.chain.status(name).await {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            if look.is_multiple_of(SEND_AGAIN)
                && let Err(unanswered) = self.chain.send(bytes).await
            {
                tracing::debug!(?unanswered, "a transaction was not sent again");
            }
        }
    }

    async fn look_up(&self, offer: &NewClaim) -> Outcome {
        match self.signed(offer) {
            Ok((payment, transaction)) => {
                self.chain.look_up(offer, &payment, Some(&name(&transaction))).await
            }
            // Another key settled it, or a facilitator did.
            Err(detail) => match offered(offer, None) {
                Some((payment, _)) => self.chain.look_up(offer, &payment, None).await,
                None => Outcome::Unknown { detail },
            },
        }
    }
}

impl Settler for InProcess {
    fn verify<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Result<(), Rejection>> {
        self.verify(offer).boxed()
    }

    fn settle<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        self.settle(offer).boxed()
    }

    fn look_up<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        self.look_up(offer).boxed()
    }
}
