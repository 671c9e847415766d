//! Can this node be paid, and can it pay back?

mod solana;

use std::time::Duration;

use chrono::Utc;
use reqwest::Client;
use serde_json::Value;

use super::Check;
use crate::base::{Usd, Wallet};
use crate::node::NodeConfig;
use crate::node::payments::{chain, purse};
use crate::pay::evm::Chain;
use crate::pay::network::Network;
use crate::pay::{Mode, NetworkConfig, purse::account};
use crate::store::claims::{Claim, ClaimState};
use crate::store::{Numbers, Store};

/// Some hundred settlements on Base at its usual price of gas, in wei.
const GAS_LEAST: u128 = 200_000_000_000_000;
const FACILITATOR: Duration = Duration::from_secs(10);

pub async fn payments(config: &NodeConfig) -> Vec<Check> {
    let payments = &config.payments;
    if payments.mode == Mode::Off {
        return vec![Check::ok("payments", "off: nothing is sold")];
    }
    let mut checks = vec![public_url(config)];
    // Solana's wallet stands in its own entry.
    if payments.networks.is_empty() || payments.networks.iter().any(|entry| !entry.is_solana()) {
        checks.insert(0, pay_to(&payments.pay_to));
    }
    if payments.networks.is_empty() {
        checks.push(Check::fail("payments", "no network to be paid on", "add one to [[payments.networks]]"));
    }
    for entry in payments.networks.iter().filter(|entry| !entry.is_tempo()) {
        checks.extend(match entry.is_solana() {
            true => solana::network(entry).await,
            false => network(entry, u64::from(payments.confirmations.get())).await,
        });
    }
    checks.extend(books(config).await);
    checks
}

fn pay_to(text: &str) -> Check {
    match text.parse::<Wallet>() {
        Ok(wallet) if wallet.is_evm() => Check::ok("payments.pay_to", wallet.as_str()),
        _ => Check::fail(
            "payments.pay_to",
            "is no EVM address",
            "set payments.pay_to to 0x and 40 hexadecimal digits",
        ),
    }
}

/// Clients sign in for, and pay for, the URL that they use.
fn public_url(config: &NodeConfig) -> Check {
    let (http, name) = (&config.http, "public URL");
    if http.public_url.is_empty() && !http.bind.ip().is_loopback() {
        let detail = format!("none, and the API is bound to {}", http.bind);
        let fix = "set http.public_url to what clients write: they sign its name, and a wrong one is refused";
        return Check::fail(name, detail, fix);
    }
    Check::ok(name, http.base_url())
}

async fn network(entry: &NetworkConfig, confirmations: u64) -> Vec<Check> {
    let name = format!("chain {}", entry.network);
    let (network, chain) = match chain(entry) {
        Ok(known) => known,
        Err(error) => return vec![Check::fail(&name, format!("{error:#}"), "correct [[payments.networks]]")],
    };
    if let Err(error) = chain.check().await {
        let fix = "check the entry's rpc: its address, its key, and whether it serves this chain";
        return vec![Check::fail(&name, error.to_string(), fix)];
    }
    let mut checks = vec![Check::ok(&name, "answers, and its token signs as expected")];
    checks.push(match entry.facilitator.is_empty() {
        true => settler(entry, &chain).await,
        false => facilitator(&entry.facilitator, network).await,
    });
    checks.push(refunds(entry, &chain, confirmations).await);
    checks
}

async fn settler(entry: &NetworkConfig, chain: &Chain) -> Check {
    let name = format!("settler {}", entry.network);
    let fix = "set settler_key to 0x and 64 hexadecimal digits, or name a facilitator";
    let account = match account(chain, &entry.settler_key) {
        Ok(account) => account,
        Err(error) => return Check::fail(&name, error.to_string(), fix),
    };
    match tokio::try_join!(chain.gas_money(&account), chain.proxy_admin()) {
        Ok((_, Some(admin))) if admin == account => Check::fail(
            &name,
            format!("{account} is the administrator of the token, which the token never serves"),
            "use another settler_key",
        ),
        Ok((wei, _)) => gas(&name, &account, wei),
        Err(error) => Check::warn(&name, error.to_string(), "run this again when the chain answers"),
    }
}

fn gas(name: &str, account: &Wallet, wei: u128) -> Check {
    let detail = format!("{account} has {:.6} ETH for gas", wei as f64 / 1e18);
    match wei {
        0 => Check::fail(name, detail, "send it some ETH on this chain: nothing can be sent without"),
        1..GAS_LEAST => Check::warn(name, detail, "send it some ETH on this chain"),
        _ => Check::ok(name, detail),
    }
}

async fn refunds(entry: &NetworkConfig, chain: &Chain, confirmations: u64) -> Check {
    let name = format!("refunds {}", entry.network);
    let account = match purse(entry, chain, confirmations) {
        Ok(Some(purse)) => purse.account(),
        Ok(None) => return Check::ok(&name, "by hand: `callbox ledger` shows what is due"),
        Err(error) => return Check::fail(&name, format!("{error:#}"), "correct refund_key, or leave it out"),
    };
    match tokio::try_join!(chain.gas_money(&account), chain.balance(&account)) {
        Ok((_, 0)) => Check::warn(&name, format!("{account} holds no USDC"), "send it some"),
        Ok((wei, micros)) => {
            let mut check = gas(&name, &account, wei);
            check.detail += &format!(" and {} USDC", Usd::from_micros(micros));
            check
        }
        Err(error) => Check::warn(&name, error.to_string(), "run this again when the chain answers"),
    }
}

async fn facilitator(url: &str, network: &Network) -> Check {
    let name = format!("facilitator {}", network.name);
    let asked = async {
        let url = format!("{}/supported", url.trim_end_matches('/'));
        let answer = Client::new().get(url).timeout(FACILITATOR).send().await?;
        answer.error_for_status()?.json::<Value>().await
    };
    match asked.await {
        Ok(supported) if serves(&supported, network) => Check::ok(&name, "serves this network"),
        Ok(_) => Check::fail(
            &name,
            format!("does not list the scheme `exact` on {}", network.caip2),
            "name another facilitator, or set settler_key",
        ),
        Err(error) => Check::fail(&name, error.without_url().to_string(), "check the entry's facilitator"),
    }
}

/// The second version of x402 is what this node sends.
fn serves(supported: &Value, network: &Network) -> bool {
    let kinds = supported["kinds"].as_array().map(Vec::as_slice).unwrap_or_default();
    // A facilitator may serve a family of chains: `eip155:*`.
    let all = format!("{}:*", network.caip2.split(':').next().unwrap_or_default());
    kinds.iter().any(|kind| {
        let chain = kind["network"].as_str().unwrap_or_default();
        kind["x402Version"] == 2 && kind["scheme"] == "exact" && (chain == network.caip2 || chain == all)
    })
}

/// What the database says. A node that has never run has none.
async fn books(config: &NodeConfig) -> Vec<Check> {
    if config.store.url.is_empty() && !config.store.data_dir.join("callbox.db").exists() {
        return vec![Check::ok("ledger", "empty")];
    }
    let store = match Store::open(&config.store).await {
        Ok(store) => store,
        Err(error) => return vec![Check::fail("ledger", error.to_string(), "check [store]")],
    };
    let asked = async {
        let free: u64 = Numbers::new(store.clone(), config.numbers)
            .offers(Utc::now())
            .await?
            .iter()
            .map(|o| o.free)
            .sum();
        let due = store.claims_in(ClaimState::RefundDue).await?;
        anyhow::Ok((free, due, store.claims_in(ClaimState::Disputed).await?))
    };
    let checks = match asked.await {
        Ok((free, due, disputed)) => vec![numbers(free), owed(&due), gone(&disputed)],
        Err(error) => vec![Check::fail("ledger", error.to_string(), "check [store]")],
    };
    store.close().await;
    checks
}

fn numbers(free: u64) -> Check {
    match free {
        0 => Check::warn("numbers for sale", "none is free", "add some by `callbox numbers import FILE.csv`"),
        free => Check::ok("numbers for sale", format!("{free} are free")),
    }
}

fn owed(due: &[Claim]) -> Check {
    let sum: Usd = due.iter().map(|claim| claim.offer.amount).sum();
    match due.len() {
        0 => Check::ok("refunds due", "none"),
        count => Check::warn(
            "refunds due",
            format!("{count}, {sum} dollars together"),
            "see `callbox ledger list`; pay them and book each by `callbox ledger refunded`, or set refund_key \
             and see that its account has USDC and gas",
        ),
    }
}

fn gone(disputed: &[Claim]) -> Check {
    match disputed.len() {
        0 => Check::ok("settlements", "all stand"),
        count => Check::warn(
            "settlements",
            format!("{count} have left their chain"),
            "see `callbox ledger reconcile`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::node::config::Sources;
    use crate::node::doctor::Outcome;
    use crate::pay::network::NETWORKS;

    fn config(set: &[(&str, &str)]) -> NodeConfig {
        let set = set.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Sources { set, ..Sources::default() }.load().unwrap().config
    }

    #[tokio::test]
    async fn node_that_sells_nothing_needs_nothing() {
        let checks = payments(&config(&[])).await;
        assert_eq!((checks.len(), checks[0].outcome), (1, Outcome::Ok));
    }

    #[tokio::test]
    async fn what_is_missing_to_be_paid_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().display().to_string();
        let config = config(&[
            ("payments.mode", "on"),
            ("http.bind", "0.0.0.0:8402"),
            ("store.data_dir", &data),
            ("payments.networks", r#"[{ network = "base", rpc = "http://127.0.0.1:1" }]"#),
        ]);
        let checks = payments(&config).await;
        let failed: Vec<&str> =
            checks.iter().filter(|c| c.outcome == Outcome::Fail).map(|c| c.name.as_str()).collect();
        assert_eq!(failed, ["payments.pay_to", "public URL", "chain base"]);
        assert!(!data.is_empty() && !dir.path().join("callbox.db").exists(), "asking makes no database");
    }

    #[test]
    fn facilitator_must_list_scheme_and_network() {
        let kind = |network: &str, version: u8| json!({ "kinds": [{ "x402Version": version, "scheme": "exact", "network": network }] });
        assert!(serves(&kind("eip155:8453", 2), &NETWORKS[0]));
        assert!(serves(&kind("eip155:*", 2), &NETWORKS[0]));
        assert!(!serves(&kind("base", 1), &NETWORKS[0]));
        assert!(!serves(&kind("eip155:84532", 2), &NETWORKS[0]));
        assert!(!serves(&json!({}), &NETWORKS[0]));
    }

    #[test]
    fn settler_without_gas_fails_and_with_little_is_warned_of() {
        let account = Wallet::nobody();
        let outcome = |wei| gas("settler base", &account, wei).outcome;
        assert_eq!([outcome(0), outcome(1), outcome(GAS_LEAST)], [Outcome::Fail, Outcome::Warn, Outcome::Ok]);
    }
}
