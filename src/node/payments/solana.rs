//! Solana among `[[payments.networks]]`: what settles there, who pays the fees, and what is looked after.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::base::Wallet;
use crate::node::health::HealthBoard;
use crate::pay::NetworkConfig;
use crate::pay::facilitator::Facilitator;
use crate::pay::network::Network;
use crate::pay::refund::Purse;
use crate::pay::reorg::Watch;
use crate::pay::settle::Settler;
use crate::pay::svm::rpc::Chain;
use crate::pay::svm::settle::Hosted;
use crate::pay::svm::{self, FeePayer};
use crate::pay::x402::Receiver;
use crate::store::Store;

/// From one question to a facilitator who pays the fees to the next: until it is known, and after.
const ASK_SOON: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// An entry that is to be taken.
pub struct Taken {
    pub receiver: Receiver,
    pub settler: Arc<dyn Settler>,
}

/// # Errors
/// A key of the entry that is missing or wrong, by its name.
pub fn taken(entry: &NetworkConfig, health: &HealthBoard) -> anyhow::Result<Taken> {
    let (network, chain) = chain(entry)?;
    let pay_to = pay_to(entry)?;
    watch(health, &chain, network, &pay_to);
    let fee_payer = FeePayer::default();
    let settler = match entry.facilitator.as_str() {
        "" => own::settler(entry, chain, &fee_payer)?,
        url => hosted(url, chain, network, &fee_payer)?,
    };
    Ok(Taken { receiver: Receiver { network, pay_to, fee_payer: Some(fee_payer) }, settler })
}

/// The chain of an entry.
///
/// # Errors
/// An endpoint that is missing or no URL.
pub fn chain(entry: &NetworkConfig) -> anyhow::Result<(&'static Network, Chain)> {
    let network = Network::find(&entry.network).context("network: is none of Solana")?;
    if entry.rpc.expose().is_empty() {
        bail!("rpc: is missing; name a JSON-RPC endpoint of {}", network.name);
    }
    Ok((network, Chain::new(network, &entry.rpc)?))
}

/// Whom payments go to.
pub fn pay_to(entry: &NetworkConfig) -> anyhow::Result<Wallet> {
    match entry.pay_to.parse::<Wallet>() {
        Ok(wallet) if svm::key(wallet.as_str()).is_some() => Ok(wallet),
        _ => bail!("pay_to: must be the address of a wallet on Solana: 32 bytes in base58"),
    }
}

/// Begins to pay refunds and to look at settlements a second time.
///
/// # Errors
/// A refund key that cannot be used.
pub fn look_after(entry: &NetworkConfig, store: &Store, confirmations: u64) -> anyhow::Result<()> {
    let (network, chain) = chain(entry)?;
    if let Some((_, purse)) = purse(entry, &chain)? {
        own::pay_refunds(store.clone(), network, purse);
    }
    let (store, network) = (store.clone(), network.caip2);
    tokio::spawn(Watch { store, network, chain: Arc::new(chain), confirmations }.drive());
    Ok(())
}

/// The account that refunds are paid from, and its wallet; `None` where the operator pays them by hand.
pub fn purse(entry: &NetworkConfig, chain: &Chain) -> anyhow::Result<Option<(Wallet, Arc<dyn Purse>)>> {
    match entry.refund_key.expose().is_empty() {
        true => Ok(None),
        false => own::purse(entry, chain).map(Some),
    }
}

/// Whose key settles; `None` where a facilitator does.
pub fn fee_payer(entry: &NetworkConfig) -> anyhow::Result<Option<Wallet>> {
    match entry.facilitator.is_empty() {
        true => own::fee_payer(entry).map(Some),
        false => Ok(None),
    }
}

fn hosted(
    url: &str,
    chain: Chain,
    network: &'static Network,
    fee_payer: &FeePayer,
) -> anyhow::Result<Arc<dyn Settler>> {
    let client = reqwest::Client::builder().user_agent("Callbox").build()?;
    let asked = Facilitator::new(client.clone(), url, ());
    tokio::spawn(keep_asking(asked, network, fee_payer.clone()));
    let facilitator = Facilitator::new(client, url, chain);
    Ok(Arc::new(Hosted { facilitator, fee_payer: fee_payer.clone() }))
}

/// A facilitator may change who pays. Until it has said who does, this network is not offered.
async fn keep_asking(facilitator: Facilitator<()>, network: &'static Network, fee_payer: FeePayer) {
    loop {
        match facilitator.fee_payer(network.caip2).await {
            Ok(Some(wallet)) => fee_payer.set(wallet),
            Ok(None) => tracing::warn!(network = network.name, "the facilitator does not serve this network"),
            Err(error) => {
                let error = error.without_url();
                tracing::warn!(network = network.name, %error, "the facilitator does not say who pays the fees");
            }
        }
        let pause = if fee_payer.get().is_some() { ASK_AGAIN } else { ASK_SOON };
        tokio::time::sleep(pause).await;
    }
}

fn watch(health: &HealthBoard, chain: &Chain, network: &'static Network, pay_to: &Wallet) {
    let (chain, pay_to) = (chain.clone(), pay_to.clone());
    health.add(&format!("chain {}", network.name), move || {
        let (chain, pay_to) = (chain.clone(), pay_to.clone());
        async move {
            let checked = chain.check(&pay_to).await;
            checked.map(|()| "answers, and can pay this node".to_owned()).map_err(|error| error.to_string())
        }
    });
}

/// With keys of this node's own.
#[cfg(feature = "solana")]
mod own {
    use super::*;
    use crate::base::Pii;
    use crate::pay::refund::Refunds;
    use crate::pay::svm::key::Keypair;
    use crate::pay::svm::own::InProcess;
    use crate::pay::svm::purse::SvmPurse;

    pub fn settler(
        entry: &NetworkConfig,
        chain: Chain,
        fee_payer: &FeePayer,
    ) -> anyhow::Result<Arc<dyn Settler>> {
        let settler = InProcess::new(chain, key(&entry.settler_key).context("settler_key")?);
        if settler.fee_payer() == pay_to(entry)? {
            bail!("settler_key: must be another key than that of pay_to, which can stay offline");
        }
        fee_payer.set(settler.fee_payer());
        Ok(Arc::new(settler))
    }

    pub fn fee_payer(entry: &NetworkConfig) -> anyhow::Result<Wallet> {
        Ok(key(&entry.settler_key).context("settler_key")?.wallet())
    }

    pub fn purse(entry: &NetworkConfig, chain: &Chain) -> anyhow::Result<(Wallet, Arc<dyn Purse>)> {
        let purse = SvmPurse::new(chain.clone(), key(&entry.refund_key).context("refund_key")?);
        Ok((purse.account(), Arc::new(purse)))
    }

    pub fn pay_refunds(store: Store, network: &'static Network, purse: Arc<dyn Purse>) {
        tokio::spawn(Refunds::new(store, network.caip2, purse).drive());
    }

    fn key(text: &Pii<String>) -> anyhow::Result<Keypair> {
        Ok(Keypair::read(text)?)
    }
}

/// What a program that cannot sign on Solana says instead.
#[cfg(not(feature = "solana"))]
mod own {
    use super::*;

    pub fn settler(_: &NetworkConfig, _: Chain, _: &FeePayer) -> anyhow::Result<Arc<dyn Settler>> {
        bail!("settler_key: {}, or name a facilitator", BUILD)
    }

    pub fn fee_payer(_: &NetworkConfig) -> anyhow::Result<Wallet> {
        bail!("settler_key: {}, or name a facilitator", BUILD)
    }

    pub fn purse(_: &NetworkConfig, _: &Chain) -> anyhow::Result<(Wallet, Arc<dyn Purse>)> {
        bail!("refund_key: {}, or leave it out and pay refunds by hand", BUILD)
    }

    pub fn pay_refunds(_: Store, _: &'static Network, _: Arc<dyn Purse>) {}

    const BUILD: &str = "this program was built without keys on Solana; build it with `--features solana`";
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: &str = "2wmVCSfPxGPjrnMMn7rchp4uaeoTqN39mXFC2zhPdri9";

    fn entry(keys: &str) -> NetworkConfig {
        let text = format!("network = \"solana\"\nrpc = \"http://127.0.0.1:9\"\n{keys}");
        toml::from_str(&text).unwrap()
    }

    fn refused(keys: &str) -> String {
        let taken = taken(&entry(keys), &HealthBoard::default());
        format!("{:#}", taken.map(drop).unwrap_err())
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        assert!(refused("").starts_with("pay_to: "));
        assert!(refused("pay_to = \"0x2222222222222222222222222222222222222222\"").starts_with("pay_to: "));
        let keys = format!("pay_to = \"{WALLET}\"\nsettler_key = \"0x12\"");
        let refused = refused(&keys);
        assert!(refused.starts_with("settler_key: "), "{refused}");
        let says = if cfg!(feature = "solana") { "64 bytes in base58" } else { "--features solana" };
        assert!(refused.contains(says), "{refused}");
    }

    #[tokio::test]
    async fn facilitator_needs_no_key_and_is_offered_once_it_has_named_the_fee_payer() {
        let keys = format!("pay_to = \"{WALLET}\"\nfacilitator = \"http://127.0.0.1:9\"");
        let Taken { receiver, .. } = taken(&entry(&keys), &HealthBoard::default()).unwrap();
        let price = "0.54".parse().unwrap();
        assert_eq!(receiver.requirement(price, 300), None);
        receiver.fee_payer.as_ref().unwrap().set(WALLET.parse().unwrap());
        assert_eq!(
            receiver.requirement(price, 300).unwrap().v2()["extra"],
            serde_json::json!({ "feePayer": WALLET })
        );
    }
}
