//! What became of a transaction, by the chain's own word: of a payment while it is settled, later of one that a
//! fork may have dropped, and in the ledger of what it moved.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::exact::{LIFETIME, Payment, source};
use super::message::Transaction;
use super::rpc::{Chain, Status};
use crate::base::{Usd, Wallet};
use crate::pay::audit::{Evidence, Seen, Transfer};
use crate::pay::evm::ChainError;
use crate::pay::reorg::{Standing, Witness};
use crate::pay::settle::Outcome;
use crate::store::claims::{Claim, ClaimState, NewClaim};

impl Chain {
    /// What became of a payment. `name` is its transaction's, where that is known: the fee payer's signature.
    /// What has not landed before its blockhash has aged never will.
    pub(super) async fn look_up(&self, offer: &NewClaim, payment: &Payment, name: Option<&str>) -> Outcome {
        let unknown = |error: ChainError| Outcome::Unknown { detail: error.to_string() };
        let Some(transaction) = payment.transaction() else {
            return Outcome::Unknown { detail: "the claim holds no transaction".into() };
        };
        // Before the look, so that what lands between the two is not taken for what cannot land.
        let is_dead = match self.is_dead(offer, &transaction).await {
            Ok(is_dead) => is_dead,
            Err(error) => return unknown(error),
        };
        let found = match name {
            Some(name) => self.status(name).await.map(|status| (name.to_owned(), status)),
            None => self.find(offer, &transaction, payment).await,
        };
        match found {
            Ok((transaction, Status::Landed { succeeded: true, .. })) => Outcome::Settled { transaction },
            Ok((transaction, Status::Landed { .. })) => {
                Outcome::Failed { reason: format!("the transaction {transaction} has failed") }
            }
            Ok((_, Status::Absent)) if is_dead => {
                Outcome::Failed { reason: "the transaction expired and has not landed".into() }
            }
            Ok(_) => Outcome::Unknown { detail: "not on the chain yet".into() },
            Err(error) => unknown(error),
        }
    }

    /// Whether a transaction that the chain does not have can never come. An endpoint that has forgotten the
    /// time of the payment cannot say so.
    async fn is_dead(&self, offer: &NewClaim, transaction: &Transaction) -> Result<bool, ChainError> {
        if Utc::now() < offer.valid_before {
            return Ok(false);
        }
        let (is_alive, known_until) = self.is_alive(&transaction.message.blockhash).await?;
        if is_alive || known_until < offer.valid_before.timestamp() {
            return Ok(false);
        }
        Ok(self.remembers_since().await? < (offer.valid_before - LIFETIME).timestamp())
    }

    /// A facilitator's transaction: by the payer's signature, among those that touched what it takes from.
    async fn find(
        &self,
        offer: &NewClaim,
        transaction: &Transaction,
        payment: &Payment,
    ) -> Result<(String, Status), ChainError> {
        let account = source(transaction).unwrap_or_else(|| payment.payer.clone());
        // As long before as after: clocks differ.
        let around = [-2, 1].map(|lives| (offer.valid_before + LIFETIME * lives).timestamp());
        for (name, status) in self.history(&account, around.into()).await? {
            let found = self.transaction(&name).await?;
            if decode(&found).is_some_and(|found| found.signed() == transaction.signed()) {
                return Ok((name, status));
            }
        }
        Ok((String::new(), Status::Absent))
    }

    /// Gathers what [`crate::pay::audit::judge`] needs.
    pub async fn evidence(&self, claim: &Claim) -> Result<Evidence, ChainError> {
        let name = claim.settlement.as_deref().unwrap_or_default();
        let settlement = self.transfers(name).await?;
        let refund = match (&claim.state, &claim.refund) {
            (ClaimState::Refunded, Some(refund)) => Some(self.transfers(&refund.transaction).await?),
            _ => None,
        };
        Ok(Evidence { used: settlement != Seen::Absent, settlement, refund })
    }

    /// What a transaction moved of the token.
    pub async fn transfers(&self, name: &str) -> Result<Seen, ChainError> {
        if !is_name(name) {
            return Ok(Seen::Absent);
        }
        let found = self.transaction(name).await?;
        Ok(match &found["meta"] {
            Value::Null => Seen::Absent,
            meta if !meta["err"].is_null() => Seen::Failed,
            meta => Seen::Moved(moved(meta, self.network.asset)),
        })
    }
}

/// Whether a text can name a transaction: 64 bytes in base58.
pub fn is_name(text: &str) -> bool {
    bs58::decode(text).into_vec().is_ok_and(|bytes| bytes.len() == 64)
}

/// From the answer of `getTransaction`.
fn decode(found: &Value) -> Option<Transaction> {
    let bytes = STANDARD.decode(found["transaction"][0].as_str()?).ok()?;
    Transaction::decode(&bytes).ok()
}

/// The owners' balances before and after, as transfers from the one who has less to all who have more. A
/// transaction that takes from several wallets says of none where its money went.
fn moved(meta: &Value, asset: &str) -> Vec<Transfer> {
    let (before, after) =
        (balances(&meta["preTokenBalances"], asset), balances(&meta["postTokenBalances"], asset));
    let of = |balances: &[(Wallet, u64)], owner: &Wallet| -> u64 {
        balances.iter().filter(|(of, _)| of == owner).map(|(_, amount)| amount).sum()
    };
    let mut owners: Vec<&Wallet> = before.iter().chain(&after).map(|(owner, _)| owner).collect();
    owners.sort();
    owners.dedup();
    let losers: Vec<&&Wallet> = owners.iter().filter(|o| of(&after, o) < of(&before, o)).collect();
    let [from] = losers[..] else { return Vec::new() };
    let gain = |to: &&Wallet| of(&after, to).saturating_sub(of(&before, to));
    let transfer = |to: &&Wallet| Transfer {
        from: (*from).clone(),
        to: (*to).clone(),
        amount: Usd::from_micros(gain(to)),
    };
    owners.iter().filter(|to| gain(to) > 0).map(transfer).collect()
}

fn balances(list: &Value, asset: &str) -> Vec<(Wallet, u64)> {
    let read = |entry: &Value| {
        let amount = entry["uiTokenAmount"]["amount"].as_str()?.parse().ok()?;
        Some((entry["owner"].as_str()?.parse().ok()?, amount))
    };
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter(|entry| entry["mint"] == asset).filter_map(read).collect()
}

impl Witness for Chain {
    /// Depth is counted by the chain itself: what is final stays.
    fn standing<'a>(&'a self, claim: &'a Claim, _: u64) -> BoxFuture<'a, Result<Standing, ChainError>> {
        async move {
            let status = self.status(claim.settlement.as_deref().unwrap_or_default()).await?;
            Ok(match status {
                Status::Landed { succeeded: true, finalized: true } => Standing::Final,
                Status::Landed { succeeded: true, .. } | Status::Processed => Standing::Recent,
                Status::Landed { .. } | Status::Absent => Standing::Unspent,
            })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PAYER: &str = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin";
    const TILL: &str = "2wmVCSfPxGPjrnMMn7rchp4uaeoTqN39mXFC2zhPdri9";

    fn balance(owner: &str, mint: &str, amount: u64) -> Value {
        json!({ "owner": owner, "mint": mint, "uiTokenAmount": { "amount": amount.to_string() } })
    }

    #[test]
    fn what_moved_is_the_difference_of_balances_of_the_one_token() {
        let meta = json!({
            "preTokenBalances": [balance(PAYER, "usdc", 100), balance(TILL, "usdc", 7), balance(TILL, "other", 1)],
            "postTokenBalances": [balance(PAYER, "usdc", 60), balance(TILL, "usdc", 47), balance(TILL, "other", 9)],
        });
        let transfer = Transfer {
            from: PAYER.parse().unwrap(),
            to: TILL.parse().unwrap(),
            amount: Usd::from_micros(40),
        };
        assert_eq!(moved(&meta, "usdc"), [transfer]);
    }

    #[test]
    fn account_that_was_opened_has_gained_all_it_holds() {
        let meta = json!({
            "preTokenBalances": [balance(PAYER, "usdc", 100)],
            "postTokenBalances": [balance(PAYER, "usdc", 60), balance(TILL, "usdc", 40)],
        });
        assert_eq!(moved(&meta, "usdc")[0].amount, Usd::from_micros(40));
    }

    #[test]
    fn transaction_is_named_by_64_bytes_of_base58() {
        assert!(is_name(&bs58::encode([7; 64]).into_string()));
        assert!(!is_name(TILL));
        assert!(!is_name("0x12"));
    }
}
