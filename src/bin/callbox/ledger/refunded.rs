//! A refund that the operator has paid.

use anyhow::{Context, bail};
use callbox::{
    base::ClaimId,
    node::NodeConfig,
    pay::{audit, network::Network, svm::fate::is_name},
    store::{
        Store,
        claims::{Change, Claim, ClaimState, Refund},
    },
};
use chrono::Utc;

use super::{Report, describe, reconcile};

pub async fn book(
    config: &NodeConfig,
    store: &Store,
    id: ClaimId,
    transaction: &str,
) -> anyhow::Result<Report> {
    let claim = store.claim_by_id(id).await?.with_context(|| format!("{id} is not in the ledger"))?;
    let transaction = name(&claim, transaction)?;
    match claim.state {
        ClaimState::RefundDue => {}
        ClaimState::Refunding => bail!("the node is paying this refund; see `callbox ledger list`"),
        state => bail!("{id} is {state}: no refund is due"),
    }
    let checked = check(config, &claim, &transaction).await?;
    let refund = Some(Refund { transaction: transaction.clone(), signed: None });
    let change = Change { refund, detail: format!("paid by hand, {checked}"), ..Change::default() };
    let (from, to) = (ClaimState::RefundDue, ClaimState::Refunded);
    let booked = store.advance(id, from, to, change, Utc::now()).await;
    let claim = booked.context("is this transaction another payment's refund?")?;
    let claim = claim.context("the node has begun to pay this refund; see `callbox ledger list`")?;
    Ok(Report { text: format!("{id} is refunded, {checked}\n"), value: describe(&claim), agrees: true })
}

/// As the chain of the claim names its transactions.
fn name(claim: &Claim, transaction: &str) -> anyhow::Result<String> {
    if Network::find(&claim.offer.network).is_some_and(Network::is_solana) {
        return match is_name(transaction) {
            true => Ok(transaction.to_owned()),
            false => bail!("--transaction: must be a signature on Solana: 64 bytes in base58"),
        };
    }
    let transaction = transaction.to_ascii_lowercase();
    let digits = transaction.strip_prefix("0x").unwrap_or_default();
    match digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(transaction),
        false => bail!("--transaction: must be 0x and 64 hexadecimal digits"),
    }
}

/// # Errors
/// The chain answers, and the transaction does not pay the claim back.
async fn check(config: &NodeConfig, claim: &Claim, transaction: &str) -> anyhow::Result<&'static str> {
    const UNCHECKED: &str = "not compared with the chain";
    let chains = reconcile::chains(config)?;
    let Some(chain) = chains.get(claim.offer.network.as_str()) else { return Ok(UNCHECKED) };
    match chain.transfers(transaction).await {
        Ok(seen) => match audit::pays_back(claim, &seen) {
            Ok(()) => Ok("and the chain has it"),
            Err(why) => bail!("--transaction: {why}"),
        },
        Err(_) => Ok(UNCHECKED),
    }
}
