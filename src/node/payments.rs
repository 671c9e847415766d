//! From `[payments]` to a till: the chains, what settles on them, and what an earlier run left open.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::{NodeConfig, health::HealthBoard};
use crate::api::{Api, paid::Till, wares};
use crate::base::Wallet;
use crate::pay::evm::{Chain, InProcess};
use crate::pay::facilitator::Facilitator;
use crate::pay::network::{NETWORKS, Network};
use crate::pay::settle::Settler;
use crate::pay::siwx::SignIn;
use crate::pay::{Gate, Mode, NetworkConfig};
use crate::store::Store;

/// `None` where nothing is sold.
///
/// # Errors
/// A key of `[payments]` that is missing or wrong, by its name.
pub fn till(config: &NodeConfig, store: Store, health: &HealthBoard) -> anyhow::Result<Option<Till>> {
    let payments = &config.payments;
    if payments.mode == Mode::Off {
        return Ok(None);
    }
    let pay_to: Wallet = payments.pay_to.parse().context("payments.pay_to")?;
    if !pay_to.is_evm() {
        bail!("payments.pay_to: must be an EVM address: 0x and 40 hexadecimal digits");
    }
    if payments.networks.is_empty() {
        bail!("payments.networks: is empty; add the chain to be paid on, or set payments.mode to \"off\"");
    }
    let (mut networks, mut settlers) = (Vec::new(), HashMap::new());
    for (index, entry) in payments.networks.iter().enumerate() {
        let key = format!("payments.networks.{index}");
        let (network, chain) = chain(entry).with_context(|| key.clone())?;
        watch(health, network, &chain);
        settlers.insert(network.caip2.to_owned(), settler(entry, chain).with_context(|| key)?);
        networks.push(network);
    }
    let base_url = config.http.base_url();
    Ok(Some(Till {
        gate: Gate::new(store, settlers),
        // A new secret voids the challenges that are out: clients ask again.
        sign_in: SignIn::new(&base_url, rand::random::<[u8; 32]>().to_vec().into()),
        networks,
        pay_to,
        timeout_secs: payments.timeout_secs,
    }))
}

/// Takes up the payments that an earlier run of the node left under way.
pub fn recover(api: &Api) {
    let Some(till) = api.till.clone() else { return };
    let api = api.clone();
    tokio::spawn(async move {
        match till.gate.recover(|claim| wares::restore(&api, claim)).await {
            Ok(0) => {}
            Ok(open) => tracing::warn!(open, "payments were under way when this node last stopped"),
            Err(error) => tracing::error!(%error, "payments of an earlier run could not be taken up"),
        }
    });
}

fn chain(entry: &NetworkConfig) -> anyhow::Result<(&'static Network, Chain)> {
    let known = || NETWORKS.map(|network| network.name).join(", ");
    let network = Network::find(&entry.network)
        .with_context(|| format!("network: `{}` is not one of {}", entry.network, known()))?;
    if entry.rpc.expose().is_empty() {
        bail!("rpc: is missing; name a JSON-RPC endpoint of {}", network.name);
    }
    Ok((network, Chain::new(network, entry.rpc.expose())?))
}

fn settler(entry: &NetworkConfig, chain: Chain) -> anyhow::Result<Arc<dyn Settler>> {
    if !entry.facilitator.is_empty() {
        let client = reqwest::Client::builder().user_agent("Callbox").build()?;
        return Ok(Arc::new(Facilitator::new(client, &entry.facilitator, chain)));
    }
    let key = entry.settler_key.expose();
    let digits = key.strip_prefix("0x").unwrap_or(key);
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        bail!("settler_key: must be 0x and 64 hexadecimal digits, or name a facilitator");
    }
    Ok(Arc::new(InProcess::new(chain, entry.rpc.clone(), entry.settler_key.clone())))
}

fn watch(health: &HealthBoard, network: &'static Network, chain: &Chain) {
    let chain = chain.clone();
    health.add(&format!("chain {}", network.name), move || {
        let chain = chain.clone();
        async move {
            match chain.check().await {
                Ok(()) => Ok("answers, and its token signs as expected".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }
    });
}
