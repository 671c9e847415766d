//! Settlement on Solana by a facilitator. Its signature names the transaction, so that one whose answer is lost is
//! found by what it moved from.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::FeePayer;
use super::exact::{Payment, offered};
use super::fate::is_name;
use super::rpc::Chain;
use crate::pay::facilitator::Facilitator;
use crate::pay::settle::{Outcome, Rejection, Settler};
use crate::pay::x402::Requirement;
use crate::store::claims::NewClaim;

/// A claim that no payment of x402 on Solana made.
pub(super) const NOT_SOLANA: &str = "the payment is none of x402 on Solana";

/// A facilitator, and whom it has named to pay the fees.
pub struct Hosted {
    pub facilitator: Facilitator<Chain>,
    pub fee_payer: FeePayer,
}

impl Hosted {
    fn offered(&self, offer: &NewClaim) -> Option<(Payment, Requirement)> {
        offered(offer, self.fee_payer.get())
    }
}

impl Settler for Hosted {
    fn verify<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Result<(), Rejection>> {
        async move {
            let offered = self.offered(offer);
            let (payment, requirement) = offered.ok_or_else(|| Rejection::Payment(NOT_SOLANA.into()))?;
            self.facilitator.ask_verify(&payment.request(&requirement)).await
        }
        .boxed()
    }

    fn settle<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        async move {
            match self.offered(offer) {
                Some((payment, requirement)) => {
                    match self.facilitator.ask_settle(&payment.request(&requirement)).await {
                        // It does not say by which transaction.
                        Outcome::Settled { transaction } if !is_name(&transaction) => {
                            self.facilitator.chain.look_up(offer, &payment, None).await
                        }
                        outcome => outcome,
                    }
                }
                None => Outcome::Failed { reason: NOT_SOLANA.into() },
            }
        }
        .boxed()
    }

    fn look_up<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        async move {
            match self.offered(offer) {
                Some((payment, _)) => self.facilitator.chain.look_up(offer, &payment, None).await,
                None => Outcome::Unknown { detail: NOT_SOLANA.into() },
            }
        }
        .boxed()
    }
}
