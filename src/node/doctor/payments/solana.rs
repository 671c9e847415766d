//! The same on Solana.

use super::{Check, facilitator};
use crate::base::{Usd, Wallet};
use crate::node::payments::solana::{chain, fee_payer, pay_to, purse};
use crate::pay::NetworkConfig;
use crate::pay::svm::rpc::Chain;

/// A thousand settlements at 10,000 lamports, two signatures each.
const LAMPORTS_LEAST: u64 = 10_000_000;
/// One settlement.
const LAMPORTS_NEEDED: u64 = 10_000;

pub async fn network(entry: &NetworkConfig) -> Vec<Check> {
    let name = format!("chain {}", entry.network);
    let known = chain(entry).and_then(|(network, chain)| Ok((network, chain, pay_to(entry)?)));
    let (network, chain, pay_to) = match known {
        Ok(known) => known,
        Err(error) => return vec![Check::fail(&name, format!("{error:#}"), "correct [[payments.networks]]")],
    };
    if let Err(error) = chain.check(&pay_to).await {
        let fix = "check the entry's rpc and pay_to: whether it serves this cluster, and who is paid";
        return vec![Check::fail(&name, error.to_string(), fix)];
    }
    let mut checks = vec![Check::ok(&name, format!("answers, and can pay {pay_to}"))];
    checks.push(match entry.facilitator.is_empty() {
        true => settler(entry, &chain).await,
        false => facilitator(&entry.facilitator, network).await,
    });
    checks.push(refunds(entry, &chain).await);
    checks
}

async fn settler(entry: &NetworkConfig, chain: &Chain) -> Check {
    let name = format!("settler {}", entry.network);
    let account = match fee_payer(entry) {
        Ok(Some(account)) => account,
        Ok(None) => return Check::ok(&name, "a facilitator"),
        Err(error) => return Check::fail(&name, format!("{error:#}"), "correct [[payments.networks]]"),
    };
    match chain.lamports(&account).await {
        Ok(lamports) => fees(&name, &account, lamports),
        Err(error) => Check::warn(&name, error.to_string(), "run this again when the chain answers"),
    }
}

fn fees(name: &str, account: &Wallet, lamports: u64) -> Check {
    let detail = format!("{account} has {:.6} SOL for fees", lamports as f64 / 1e9);
    match lamports {
        0..LAMPORTS_NEEDED => Check::fail(name, detail, "send it some SOL: nothing can be sent without"),
        LAMPORTS_NEEDED..LAMPORTS_LEAST => Check::warn(name, detail, "send it some SOL"),
        _ => Check::ok(name, detail),
    }
}

async fn refunds(entry: &NetworkConfig, chain: &Chain) -> Check {
    let name = format!("refunds {}", entry.network);
    let account = match purse(entry, chain) {
        Ok(Some((account, _))) => account,
        Ok(None) => return Check::ok(&name, "by hand: `callbox ledger` shows what is due"),
        Err(error) => return Check::fail(&name, format!("{error:#}"), "correct refund_key, or leave it out"),
    };
    match tokio::try_join!(chain.lamports(&account), chain.balance(&account)) {
        Ok((_, 0)) => Check::warn(&name, format!("{account} holds no USDC"), "send it some"),
        Ok((lamports, micros)) => {
            let mut check = fees(&name, &account, lamports);
            check.detail += &format!(" and {} USDC", Usd::from_micros(micros));
            check
        }
        Err(error) => Check::warn(&name, error.to_string(), "run this again when the chain answers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::Outcome;

    #[test]
    fn fee_payer_without_a_settlements_fee_fails_and_with_little_is_warned_of() {
        let outcome = |lamports| fees("settler solana", &Wallet::nobody(), lamports).outcome;
        assert_eq!(
            [outcome(LAMPORTS_NEEDED - 1), outcome(LAMPORTS_NEEDED), outcome(LAMPORTS_LEAST)],
            [Outcome::Fail, Outcome::Warn, Outcome::Ok]
        );
    }
}
