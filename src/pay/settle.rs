//! What verifies and settles a payment.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use crate::store::claims::NewClaim;

/// A chain and a payment protocol on it, as the gate sees them. The offer holds the payment in the
/// protocol's own form (`proof`), as the store keeps it, so that a settlement goes on after a restart with
/// exactly what it began with.
pub trait Settler: Send + Sync + 'static {
    /// Whether the payment is good now: signature, balance, authorisation unused. Moves nothing.
    fn verify<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Result<(), Rejection>>;

    /// Moves the money. What it calls failed was never sent, or cannot come any more.
    fn settle<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome>;

    /// What became of an authorisation, by what the chain says now.
    fn look_up<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome>;

    /// Whether a settlement that was begun may be on its way still, as far as the chain can tell. Another try
    /// moves nothing twice, since an authorisation is spent once, but may cost gas.
    fn is_under_way<'a>(&'a self, _: &'a NewClaim) -> BoxFuture<'a, bool> {
        ready(false).boxed()
    }

    /// Moves the money where an earlier try may have moved it or not: after a crash, or a lost answer. What is
    /// refused now may still come by the earlier try, so that only [`Settler::look_up`] calls it failed.
    fn settle_again<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        async move {
            let known = self.look_up(offer).await;
            if !matches!(known, Outcome::Unknown { .. }) || self.is_under_way(offer).await {
                return known;
            }
            match self.settle(offer).await {
                Outcome::Failed { reason } => Outcome::Unknown { detail: reason },
                outcome => outcome,
            }
        }
        .boxed()
    }

    /// Whether the payer has moved the money already. What then cannot be done is owed back.
    fn is_prepaid(&self, _: &NewClaim) -> bool {
        false
    }
}

/// Why a payment is not taken. Nothing was charged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The payment is at fault; another one may do.
    #[error("{0}")]
    Payment(String),
    /// The chain or the facilitator cannot be asked; the same payment may do later.
    #[error("payments cannot be verified now: {0}")]
    Unavailable(String),
}

/// What is known about a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Settled {
        /// Hash of the transaction; empty where the chain says "spent" and does not say where.
        transaction: String,
    },
    /// It has not happened and cannot happen any more.
    Failed { reason: String },
    /// It may still happen, or has.
    Unknown { detail: String },
}
