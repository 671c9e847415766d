//! A chain on this machine: anvil, with Circle's USDC as it is deployed on public chains, at its address
//! there.
//!
//! In: the packages ([`Kit`]), and which token of which chain it shall be. Out: a JSON-RPC endpoint that a
//! node and its clients take for that chain; whoever holds the [`Chain`] makes money and reads balances. It
//! starts from nothing and ends with its owner.
//!
//! | file | what it is |
//! |---|---|
//! | [`anvil`] | the process and its JSON-RPC |
//! | [`kit`] | the packages: fetched, verified, kept |
//! | `usdc` | the token's contracts, put in their place |

pub mod anvil;
pub mod kit;
mod usdc;

use std::{path::PathBuf, time::Duration};

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

pub use self::{anvil::Anvil, kit::Kit};
use crate::base::{Usd, Wallet};

/// A coin's worth of gas: 1 ETH in wei.
const GAS: &str = "0xde0b6b3a7640000";
/// A transaction is mined as soon as it is sent.
const MINED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The token that stands for dollars, as its chain knows it. It has six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub chain_id: u64,
    pub contract: Address,
    /// Of its EIP-712 domain, such as "USD Coin".
    pub name: &'static str,
}

#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    #[error("{} does not start: {source}", program.display())]
    Start { program: PathBuf, source: std::io::Error },
    #[error("anvil does not say where it listens")]
    Silent,
    #[error("{} is no contract as a compiler leaves it: {detail}", path.display())]
    Artefact { path: PathBuf, detail: String },
    #[error("{method}: {detail}")]
    Rpc { method: String, detail: String },
    #[error("{what} was reverted")]
    Reverted { what: &'static str },
    #[error("transaction {0} is not mined")]
    NotMined(String),
    #[error("`{0}` is no address of this chain")]
    Foreign(Wallet),
}

/// A chain with its dollar.
pub struct Chain {
    anvil: Anvil,
    token: Token,
}

impl Chain {
    pub async fn start(kit: &Kit, token: Token) -> Result<Chain, ChainError> {
        let anvil = Anvil::start(&kit.anvil, &["--chain-id", &token.chain_id.to_string()]).await?;
        let chain = Chain { anvil, token };
        usdc::deploy(&chain, kit).await?;
        Ok(chain)
    }

    /// Its JSON-RPC endpoint.
    pub fn url(&self) -> &str {
        self.anvil.url()
    }

    pub async fn ask(&self, method: &str, params: Value) -> Result<Value, ChainError> {
        self.anvil.ask(method, params).await
    }

    /// Gives a wallet dollars.
    pub async fn mint(&self, to: &Wallet, amount: Usd) -> Result<(), ChainError> {
        usdc::mint(self, account(to)?, amount).await
    }

    /// Gives a wallet what it pays for transactions with.
    pub async fn give_gas(&self, to: &Wallet) -> Result<(), ChainError> {
        self.ask("anvil_setBalance", json!([account(to)?, GAS])).await.map(drop)
    }

    /// What a wallet has, in dollars.
    pub async fn balance(&self, wallet: &Wallet) -> Result<Usd, ChainError> {
        let call = json!({ "to": self.token.contract, "data": usdc::balance_of(account(wallet)?) });
        let word = self.ask("eth_call", json!([call, "latest"])).await?;
        let units: U256 = serde_json::from_value(word).map_err(|error| rpc("eth_call", error))?;
        let units = u64::try_from(units).map_err(|error| rpc("eth_call", error))?;
        Ok(Usd::from_micros(units))
    }

    /// Sends from an account of anvil's, or of one that it impersonates; the receipt.
    pub async fn send(&self, what: &'static str, transaction: Value) -> Result<Value, ChainError> {
        let hash = self.ask("eth_sendTransaction", json!([transaction])).await?;
        let receipt = self.receipt(hash.as_str().unwrap_or_default()).await?;
        if receipt["status"] == "0x1" { Ok(receipt) } else { Err(ChainError::Reverted { what }) }
    }

    /// The receipt of a transaction once it is mined; `status` is `0x1` where it was not reverted.
    pub async fn receipt(&self, transaction: &str) -> Result<Value, ChainError> {
        let mined = async {
            loop {
                let receipt = self.ask("eth_getTransactionReceipt", json!([transaction])).await?;
                if !receipt.is_null() {
                    return Ok(receipt);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let waited = tokio::time::timeout(MINED_WITHIN, mined).await;
        waited.unwrap_or_else(|_| Err(ChainError::NotMined(transaction.to_owned())))
    }
}

fn account(wallet: &Wallet) -> Result<Address, ChainError> {
    wallet.as_str().parse().map_err(|_| ChainError::Foreign(wallet.clone()))
}

fn rpc(method: &str, detail: impl ToString) -> ChainError {
    ChainError::Rpc { method: method.to_owned(), detail: detail.to_string() }
}
