//! Payments: what a thing costs, how an agent is told, what it sends, and the rule of spending.
//!
//! A paid request passes here twice. Without a payment it gets a [`challenge`]: one 402 that names every way
//! to pay. With one, [`gate`] takes the authorisation for this request alone ([`Claimed`]), has it verified,
//! lets the work be set aside, settles, and hands the work over. Work and money meet only in
//! [`api`](crate::api), which gives the gate a [`gate::Work`].
//!
//! | file | phenomenon |
//! |---|---|
//! | [`price`] | what each endpoint of each family costs |
//! | [`network`] | the chains and their stablecoins |
//! | [`x402`] | x402 versions 1 and 2 as they are on the wire |
//! | [`mpp`] | MPP as it is on the wire |
//! | [`tender`] | a payment of either |
//! | [`challenge`] | the 402 with all its offers |
//! | [`gate`] | the rule of spending |
//! | [`svm`] | x402 on Solana: its transactions, its rules, its chain |
//! | [`settle`] | what verifies and settles: x402 by [`evm`] or [`svm`] in process or [`facilitator`] by HTTP, MPP by [`tempo`] |
//! | [`refund`] | what is owed is paid back, once: [`purse`] signs and sends |
//! | [`reorg`] | a second look at settlements |
//! | [`audit`] | the ledger beside the chain |
//! | [`siwx`] | proof of a wallet without a payment |
//!
//! [`Claimed`]: crate::store::claims::Claimed

pub mod audit;
pub mod challenge;
pub mod evm;
pub mod facilitator;
pub mod gate;
pub mod mpp;
pub mod network;
pub mod price;
pub mod purse;
pub mod refund;
pub mod reorg;
pub mod settle;
pub mod siwx;
pub mod svm;
pub mod tempo;
pub mod tender;
pub mod x402;

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

pub use gate::Gate;
pub use price::{Price, Prices};

use crate::base::Pii;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub mode: Mode,
    /// The wallet that payments go to; empty while nothing is sold.
    pub pay_to: String,
    /// Where payments are taken, in the order in which they are offered.
    pub networks: Vec<NetworkConfig>,
    /// Seconds an authorisation must be valid for; a client signs for this long.
    pub timeout_secs: u64,
    /// Blocks after which a settlement is looked at again.
    pub confirmations: NonZeroU32,
    pub prices: Prices,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The operator's own agents call with API keys; nothing is sold.
    Off,
    On,
}

/// One chain on which payments are taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// `base`, `base-sepolia`, `solana` or `solana-devnet` for x402, `tempo` for MPP.
    pub network: String,
    /// Of Solana: the wallet that payments go to.
    #[serde(default)]
    pub pay_to: String,
    /// JSON-RPC endpoint of the chain; its URL often holds a key.
    #[serde(default)]
    pub rpc: Pii<String>,
    /// Private key of the account that sends settlements and pays their gas; hexadecimal, on Solana base58 or
    /// the bytes in a file of `solana-keygen`.
    #[serde(default)]
    pub settler_key: Pii<String>,
    /// Private key of the account that refunds are paid from; empty: the operator pays them by hand.
    #[serde(default)]
    pub refund_key: Pii<String>,
    /// Base URL of a facilitator that verifies and settles instead of this node.
    #[serde(default)]
    pub facilitator: String,
    /// Of `tempo`: contract of the TIP-20 dollar that is charged.
    #[serde(default = "bridged_usdc")]
    pub currency: String,
    /// Of `tempo`.
    #[serde(default = "tempo_mainnet")]
    pub chain_id: u64,
}

fn bridged_usdc() -> String {
    "0x20c000000000000000000000b9537d11c60e8b50".into()
}

fn tempo_mainnet() -> u64 {
    4217
}

/// The name of a Tempo chain in the configuration.
pub const TEMPO: &str = "tempo";

impl NetworkConfig {
    /// Paid by MPP; every other network by x402.
    pub fn is_tempo(&self) -> bool {
        self.network == TEMPO
    }

    pub fn is_solana(&self) -> bool {
        network::Network::find(&self.network).is_some_and(network::Network::is_solana)
    }
}
