//! The ledger beside the chain: what a claim says has moved, and what the token's own log says.

use alloy::primitives::{B256, U64};
use alloy::providers::Provider;
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use serde::Deserialize;

use super::evm::{ChainError, Token, ask};
use super::purse::Coin;
use crate::base::{Usd, Wallet, words::text_enum};
use crate::store::claims::{Claim, ClaimState};

/// A transaction, as far as the token is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The chain has no such transaction.
    Absent,
    /// It was reverted.
    Failed,
    Moved(Vec<Transfer>),
}

/// One `Transfer` of the token's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub from: Wallet,
    pub to: Wallet,
    pub amount: Usd,
}

/// What a chain says about a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Whether the authorisation is spent.
    pub used: bool,
    /// The transaction that the claim names; for one that names none, the one that was found.
    pub settlement: Seen,
    /// Of a claim that was paid back.
    pub refund: Option<Seen>,
}

text_enum! {
    Verdict {
        Agrees = "agrees",
        /// The chain does not have the transaction.
        Missing = "missing",
        /// The chain has it, and it moved something else.
        Differs = "differs",
        /// The authorisation is unspent again.
        Reorganised = "re-organised",
        /// Nobody could be asked.
        Unchecked = "unchecked",
    }
}

/// What came of comparing a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    pub detail: String,
    /// What the chain says the operator has of it, in millionths of a dollar.
    pub on_chain: i64,
}

impl Finding {
    fn new(verdict: Verdict, detail: impl Into<String>, on_chain: i64) -> Finding {
        Finding { verdict, detail: detail.into(), on_chain }
    }

    pub fn unchecked(detail: impl Into<String>) -> Finding {
        Finding::new(Verdict::Unchecked, detail, 0)
    }
}

/// Compares a settled claim with what its chain says.
pub fn judge(claim: &Claim, evidence: &Evidence) -> Finding {
    let offer = &claim.offer;
    if !evidence.used {
        return Finding::new(Verdict::Reorganised, "the authorisation is unspent", 0);
    }
    let paid = match &evidence.settlement {
        Seen::Absent => {
            let detail = "the authorisation is spent, and the chain does not have the transaction";
            return Finding::new(Verdict::Missing, detail, 0);
        }
        Seen::Failed => return Finding::new(Verdict::Differs, "the transaction was reverted", 0),
        Seen::Moved(transfers) => amount(transfers, Some(&offer.payer), &offer.pay_to),
    };
    if paid != offer.amount {
        return Finding::new(
            Verdict::Differs,
            format!("it moved {paid}, not {}", offer.amount),
            micros(paid),
        );
    }
    if claim.state == ClaimState::Disputed {
        return Finding::new(Verdict::Differs, "disputed here, and on the chain", micros(paid));
    }
    match &evidence.refund {
        None => Finding::new(Verdict::Agrees, "", micros(paid)),
        Some(refund) => judge_refund(claim, refund, paid),
    }
}

fn judge_refund(claim: &Claim, refund: &Seen, paid: Usd) -> Finding {
    let back = match refund {
        Seen::Absent => {
            return Finding::new(Verdict::Missing, "the chain does not have the refund", micros(paid));
        }
        Seen::Failed => return Finding::new(Verdict::Differs, "the refund was reverted", micros(paid)),
        Seen::Moved(transfers) => amount(transfers, None, &claim.offer.payer),
    };
    let left = micros(paid).saturating_sub(micros(back));
    match back == claim.offer.amount {
        true => Finding::new(Verdict::Agrees, "", left),
        false => {
            let detail = format!("the refund moved {back}, not {}", claim.offer.amount);
            Finding::new(Verdict::Differs, detail, left)
        }
    }
}

/// Whether a transaction pays the claim back.
pub fn pays_back(claim: &Claim, seen: &Seen) -> Result<(), String> {
    match judge_refund(claim, seen, claim.offer.amount) {
        Finding { verdict: Verdict::Agrees, .. } => Ok(()),
        finding => Err(finding.detail),
    }
}

fn amount(transfers: &[Transfer], from: Option<&Wallet>, to: &Wallet) -> Usd {
    let counts = |transfer: &&Transfer| transfer.to == *to && from.is_none_or(|from| transfer.from == *from);
    transfers.iter().filter(counts).map(|transfer| transfer.amount).sum()
}

/// Amounts are prices, far below where this would saturate.
fn micros(amount: Usd) -> i64 {
    i64::try_from(amount.micros()).unwrap_or(i64::MAX)
}

/// Gathers what [`judge`] needs.
pub async fn evidence(coin: &impl Coin, claim: &Claim) -> Result<Evidence, ChainError> {
    let used = coin.has(claim).await?;
    let settlement = transfers(coin, &coin.settlement(claim).await).await?;
    let refund = match (&claim.state, &claim.refund) {
        (ClaimState::Refunded, Some(refund)) => Some(transfers(coin, &refund.transaction).await?),
        _ => None,
    };
    Ok(Evidence { used, settlement, refund })
}

/// What is read of a receipt, whatever else its chain writes there.
#[derive(Debug, Deserialize)]
struct Receipt {
    /// Zero where the transaction was reverted.
    status: U64,
    logs: Vec<Log>,
}

/// What a transaction moved of the token.
pub async fn transfers(coin: &impl Coin, transaction: &str) -> Result<Seen, ChainError> {
    let Ok(hash) = transaction.parse::<B256>() else { return Ok(Seen::Absent) };
    let question = async {
        Ok(coin.provider().raw_request("eth_getTransactionReceipt".into(), [hash.to_string()]).await?)
    };
    let receipt: Option<Receipt> = ask(coin.name(), question).await?;
    let Some(receipt) = receipt else { return Ok(Seen::Absent) };
    if receipt.status.is_zero() {
        return Ok(Seen::Failed);
    }
    let logs = receipt.logs.iter().filter(|log| log.address() == coin.token());
    let transfers = logs.filter_map(|log| Token::Transfer::decode_log(&log.inner).ok());
    let wallet = |address: alloy::primitives::Address| {
        address.to_string().parse().expect("an address is 0x and 40 hexadecimal digits")
    };
    let transfer = |log: alloy::primitives::Log<Token::Transfer>| Transfer {
        from: wallet(log.from),
        to: wallet(log.to),
        amount: Usd::from_micros(log.value.saturating_to()),
    };
    Ok(Seen::Moved(transfers.map(transfer).collect()))
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
