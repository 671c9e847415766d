//! Base on this machine, and what tests do to it. A step that fails fails the test.

use alloy::{
    primitives::{Address, U256, address},
    sol,
    sol_types::SolCall,
};
use callbox::{
    base::{Usd, Wallet},
    eval::chain::{self, Token},
    pay::network::NETWORKS,
};
use serde_json::{Value, json};

#[path = "../support/chain.rs"]
mod support;

sol! {
    function transfer(address to, uint256 amount);
}

/// The last of anvil's accounts sends settlements.
pub const SETTLER_KEY: &str = "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6";
/// Where money goes that is taken from a wallet.
const ELSEWHERE: Address = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");

pub struct Chain {
    chain: chain::Chain,
    pub url: String,
}

impl Chain {
    pub async fn new() -> Chain {
        let [base, ..] = NETWORKS;
        let contract = base.asset.parse().unwrap();
        let token = Token { chain_id: base.chain_id, contract, name: base.asset_name };
        let chain = chain::Chain::start(support::kit().await, token).await.unwrap();
        Chain { url: chain.url().to_owned(), chain }
    }

    /// Gives a wallet dollars.
    pub async fn mint(&self, to: &Wallet, amount: Usd) {
        self.chain.mint(to, amount).await.unwrap();
    }

    /// Takes all that a wallet has, without its signature.
    pub async fn empty(&self, wallet: &Wallet) {
        let amount = U256::from(self.balance(wallet).await.micros());
        let data = format!("0x{}", hex::encode(transferCall { to: ELSEWHERE, amount }.abi_encode()));
        self.ask("anvil_impersonateAccount", json!([wallet])).await;
        self.chain.give_gas(wallet).await.unwrap();
        let transfer = json!({ "from": wallet, "to": NETWORKS[0].asset, "data": data });
        self.chain.send("emptying a wallet", transfer).await.unwrap();
    }

    pub async fn balance(&self, wallet: &Wallet) -> Usd {
        self.chain.balance(wallet).await.unwrap()
    }

    /// With `false`, what is sent waits until [`Chain::mine`].
    pub async fn automine(&self, on: bool) {
        self.ask("evm_setAutomine", json!([on])).await;
    }

    pub async fn mine(&self) {
        self.ask("evm_mine", json!([])).await;
    }

    /// Transactions that wait to be mined.
    pub async fn waiting(&self) -> usize {
        let status = self.ask("txpool_status", json!([])).await;
        usize::from_str_radix(status["pending"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// The receipt of a transaction once it is mined; `status` is `0x1` where it was not reverted.
    pub async fn receipt(&self, transaction: &Value) -> Value {
        self.chain.receipt(transaction.as_str().unwrap()).await.unwrap()
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        self.chain.ask(method, params).await.unwrap()
    }
}
