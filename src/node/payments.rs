//! From `[payments]` to a till: the chains, what settles on them, what an earlier run left open, and what is
//! looked after once it is paid.

pub mod solana;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alloy::network::{EthereumWallet, NetworkWallet};
use anyhow::{Context, bail};

use super::{NodeConfig, health::HealthBoard, secret};
use crate::api::{Api, paid::Till, wares};
use crate::base::{Pii, Wallet};
use crate::pay::evm::{Chain, InProcess};
use crate::pay::facilitator::Facilitator;
use crate::pay::mpp::{Charges, Terms};
use crate::pay::network::{NETWORKS, Network};
use crate::pay::purse::{Coin, TokenPurse};
use crate::pay::refund::Refunds;
use crate::pay::reorg::Watch;
use crate::pay::settle::Settler;
use crate::pay::siwx::SignIn;
use crate::pay::tempo::Tempo;
use crate::pay::x402::Receiver;
use crate::pay::{Gate, Mode, NetworkConfig, TEMPO};
use crate::store::Store;

/// The file of the secret that MPP's challenges are authenticated with. It outlives a restart: a client may
/// have paid for a challenge that is out.
const MPP_SECRET: &str = "mpp_secret";

/// Payments that were left lying are taken up so often, and no more often than with this pause.
const EVERY: Duration = Duration::from_secs(15);
const BETWEEN: Duration = Duration::from_secs(2);

/// `None` where nothing is sold.
///
/// # Errors
/// A key of `[payments]` that is missing or wrong, by its name.
pub fn till(config: &NodeConfig, store: Store, health: &HealthBoard) -> anyhow::Result<Option<Till>> {
    let payments = &config.payments;
    if payments.mode == Mode::Off {
        return Ok(None);
    }
    if payments.networks.is_empty() {
        bail!("payments.networks: is empty; add the chain to be paid on, or set payments.mode to \"off\"");
    }
    let mut taken = Taken::default();
    for (index, entry) in payments.networks.iter().enumerate() {
        let added = match entry.network.as_str() {
            TEMPO => taken.add_tempo(config, entry, health),
            _ if entry.is_solana() => taken.add_solana(entry, health),
            _ => taken.add_x402(config, entry, health),
        };
        added.with_context(|| format!("payments.networks.{index}"))?;
    }
    Ok(Some(Till {
        gate: Gate::new(store, taken.settlers),
        // A new secret voids the challenges that are out: clients ask again.
        sign_in: SignIn::new(&config.http.base_url(), rand::random::<[u8; 32]>().to_vec().into()),
        receivers: taken.receivers,
        mpp: taken.mpp,
        timeout_secs: payments.timeout_secs,
    }))
}

/// Where payments are taken, as entry after entry of the configuration says it.
#[derive(Default)]
struct Taken {
    receivers: Vec<Receiver>,
    mpp: Option<Charges>,
    /// By CAIP-2 network.
    settlers: HashMap<String, Arc<dyn Settler>>,
}

impl Taken {
    fn add_x402(
        &mut self,
        config: &NodeConfig,
        entry: &NetworkConfig,
        health: &HealthBoard,
    ) -> anyhow::Result<()> {
        let pay_to = pay_to(config)?;
        let (network, chain) = chain(entry)?;
        watch(health, network, &chain);
        self.receivers.push(Receiver::evm(network, pay_to));
        self.add_settler(network.caip2.to_owned(), settler(entry, chain)?)
    }

    fn add_solana(&mut self, entry: &NetworkConfig, health: &HealthBoard) -> anyhow::Result<()> {
        let solana::Taken { receiver, settler } = solana::taken(entry, health)?;
        let network = receiver.network.caip2.to_owned();
        self.receivers.push(receiver);
        self.add_settler(network, settler)
    }

    fn add_tempo(
        &mut self,
        config: &NodeConfig,
        entry: &NetworkConfig,
        health: &HealthBoard,
    ) -> anyhow::Result<()> {
        if self.mpp.is_some() {
            bail!("network: there are two entries `{TEMPO}`; one can be offered");
        }
        let tempo = tempo(config, entry)?;
        let secret = secret::load_or_create(&config.store.data_dir, MPP_SECRET)?;
        let charges = Charges::new(&config.http.base_url(), secret, tempo.terms().clone());
        self.mpp = Some(charges.context("http.public_url")?);
        let network = tempo.network();
        watch_tempo(health, &tempo);
        self.add_settler(network, Arc::new(tempo))
    }

    fn add_settler(&mut self, network: String, settler: Arc<dyn Settler>) -> anyhow::Result<()> {
        if self.settlers.insert(network, settler).is_some() {
            bail!("network: another entry is of the same chain");
        }
        Ok(())
    }
}

/// The wallet on all EVM chains.
fn pay_to(config: &NodeConfig) -> anyhow::Result<Wallet> {
    match config.payments.pay_to.parse::<Wallet>() {
        Ok(wallet) if wallet.is_evm() => Ok(wallet),
        _ => bail!("payments.pay_to: must be an EVM address: 0x and 40 hexadecimal digits"),
    }
}

/// Takes up the payments that an earlier run of the node left under way, and from then on those whose next
/// state could not be written down.
pub fn recover(api: &Api) {
    let Some(till) = api.till.clone() else { return };
    let api = api.clone();
    tokio::spawn(async move {
        loop {
            match till.gate.recover(|claim| wares::restore(&api, claim)).await {
                Ok(0) => {}
                Ok(left) => tracing::warn!(left, "payments that nobody had in hand were taken up"),
                Err(error) if error.is_closed() => return,
                Err(error) => tracing::error!(%error, "payments that were left cannot be taken up now"),
            }
            // However many buyers ask.
            tokio::time::sleep(BETWEEN).await;
            till.gate.until_wanted(EVERY).await;
        }
    });
}

/// Begins to pay refunds, and to look at settlements of x402 a second time, on each chain.
///
/// # Errors
/// A refund key that cannot be used.
pub fn look_after(config: &NodeConfig, store: &Store) -> anyhow::Result<()> {
    let payments = &config.payments;
    if payments.mode == Mode::Off {
        return Ok(());
    }
    for (index, entry) in payments.networks.iter().enumerate() {
        let looked_after = match entry.network.as_str() {
            TEMPO => look_after_tempo(config, entry, store),
            _ if entry.is_solana() => {
                solana::look_after(entry, store, u64::from(payments.confirmations.get()))
            }
            _ => look_after_evm(config, entry, store),
        };
        looked_after.with_context(|| format!("payments.networks.{index}"))?;
    }
    Ok(())
}

fn look_after_evm(config: &NodeConfig, entry: &NetworkConfig, store: &Store) -> anyhow::Result<()> {
    let confirmations = u64::from(config.payments.confirmations.get());
    let (network, chain) = chain(entry)?;
    let (store, network) = (store.clone(), network.caip2);
    if let Some(purse) = purse(entry, &chain, confirmations)? {
        tokio::spawn(Refunds::new(store.clone(), network, Arc::new(purse)).drive());
    }
    tokio::spawn(Watch { store, network, chain: Arc::new(chain), confirmations }.drive());
    Ok(())
}

fn look_after_tempo(config: &NodeConfig, entry: &NetworkConfig, store: &Store) -> anyhow::Result<()> {
    let tempo = tempo(config, entry)?;
    let network = tempo.network();
    if let Some(purse) = purse(entry, &tempo, u64::from(config.payments.confirmations.get()))? {
        tokio::spawn(Refunds::new(store.clone(), &network, Arc::new(purse)).drive());
    }
    Ok(())
}

/// `None` where the operator pays refunds by hand.
pub fn purse<C>(entry: &NetworkConfig, coin: &C, confirmations: u64) -> anyhow::Result<Option<TokenPurse<C>>>
where
    C: Coin + Clone,
    EthereumWallet: NetworkWallet<C::Network>,
{
    if entry.refund_key.expose().is_empty() {
        return Ok(None);
    }
    let bare = |key: &Pii<String>| key.expose().trim_start_matches("0x").to_ascii_lowercase();
    if bare(&entry.refund_key) == bare(&entry.settler_key) {
        bail!("refund_key: must be another key than settler_key; they would take each other's numbers");
    }
    TokenPurse::new(coin.clone(), &entry.refund_key, confirmations).context("refund_key").map(Some)
}

/// The Tempo chain of an entry.
///
/// # Errors
/// An endpoint that is missing or no URL, or a currency or recipient that is no address.
pub fn tempo(config: &NodeConfig, entry: &NetworkConfig) -> anyhow::Result<Tempo> {
    let pay_to = pay_to(config)?;
    if entry.rpc.expose().is_empty() {
        bail!("rpc: is missing; name a JSON-RPC endpoint of {TEMPO}");
    }
    let currency: Wallet = entry.currency.parse().context("currency")?;
    if !currency.is_evm() {
        bail!("currency: must be the address of a TIP-20 token: 0x and 40 hexadecimal digits");
    }
    let lifetime_secs = config.payments.timeout_secs;
    let terms = Terms { chain_id: entry.chain_id, currency, pay_to, lifetime_secs };
    Ok(Tempo::new(&entry.rpc, terms)?)
}

/// The chain of an entry.
///
/// # Errors
/// A network that is not known, or an endpoint that is missing or no URL.
pub fn chain(entry: &NetworkConfig) -> anyhow::Result<(&'static Network, Chain)> {
    let known = || format!("{}, {TEMPO}", NETWORKS.map(|network| network.name).join(", "));
    let network = Network::find(&entry.network)
        .filter(|network| !network.is_solana())
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

fn watch_tempo(health: &HealthBoard, tempo: &Tempo) {
    let tempo = tempo.clone();
    health.add("chain tempo", move || {
        let tempo = tempo.clone();
        async move {
            let checked = tempo.check().await;
            checked.map(|()| "answers, and its token is as expected".to_owned()).map_err(|e| e.to_string())
        }
    });
}
