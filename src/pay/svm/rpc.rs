//! Solana's JSON-RPC (solana.com/docs/rpc), as far as payments need it. Everything is asked at `confirmed`, two
//! thirds of the stake, unless it says otherwise: what is confirmed has never been taken back.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::message::Transaction;
use super::{Key, TOKEN_PROGRAM, key, token_account, wallet};
use crate::base::{Pii, Wallet};
use crate::pay::evm::ChainError;
use crate::pay::network::Network;

/// A chain that does not answer a question by now does not answer.
const QUESTION: Duration = Duration::from_secs(15);
/// Transactions of an account that are listed at once, and how often.
const PAGE: usize = 1_000;
const PAGES: usize = 10;
const CONFIRMED: &str = "confirmed";
const FINALIZED: &str = "finalized";
/// `JSON_RPC_SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE`: it was tried out, failed, and was not sent on.
const PREFLIGHT: i64 = -32002;
/// The endpoint blames the transaction, not itself.
const SIGNATURE: i64 = -32003;
const PARAMS: i64 = -32602;

/// A cluster, by one of its nodes. Cheap to clone.
#[derive(Clone)]
pub struct Chain {
    pub(in crate::pay) network: &'static Network,
    url: Pii<String>,
    client: reqwest::Client,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Unanswered {
    /// The endpoint says no.
    Refused { code: i64, message: String, why: Value },
    /// Nobody knows whether the question arrived.
    Lost(String),
}

impl Unanswered {
    /// A transaction that was refused before anybody else has seen it, and why.
    pub(super) fn unsent(&self) -> Option<String> {
        match self {
            Unanswered::Refused { code: PREFLIGHT, why, .. } if *why != json!("AlreadyProcessed") => {
                Some(failure(why))
            }
            _ => None,
        }
    }
}

/// The reason as the published facilitators put it.
pub(super) fn failure(why: &Value) -> String {
    format!("invalid_exact_svm_transaction_simulation_failed: {why}")
}

/// A block height, and a hash that transactions may name until then.
pub(super) struct Lease {
    pub blockhash: Key,
    pub last_height: u64,
}

/// How a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// The chain does not have it.
    Absent,
    /// In a block that may still be dropped.
    Processed,
    Landed {
        succeeded: bool,
        finalized: bool,
    },
}

impl Chain {
    pub fn new(network: &'static Network, rpc: &Pii<String>) -> Result<Chain, ChainError> {
        let url = || ChainError::Url { network: network.name };
        reqwest::Url::parse(rpc.expose()).map_err(|_| url())?;
        let client = reqwest::Client::builder().user_agent("Callbox").build().map_err(|_| url())?;
        Ok(Chain { network, url: rpc.clone(), client })
    }

    pub fn mint(&self) -> Key {
        key(self.network.asset).expect("the table of networks holds addresses")
    }

    /// Compares the cluster with the network that this node offers, and looks for the recipient's account: a
    /// payment may not open it.
    pub async fn check(&self, pay_to: &Wallet) -> Result<(), ChainError> {
        let network = self.network.name;
        let genesis: String = self.ask("getGenesisHash", json!([])).await?;
        let (_, expected) = self.network.caip2.split_once(':').unwrap_or_default();
        if !genesis.starts_with(expected) {
            return Err(ChainError::OtherCluster { network, genesis });
        }
        if self.owner_of(self.network.asset).await?.as_deref() != Some(TOKEN_PROGRAM) {
            return Err(ChainError::OtherToken { network });
        }
        match self.has_token_account(pay_to).await? {
            true => Ok(()),
            false => Err(ChainError::NoTokenAccount { network, wallet: pay_to.clone() }),
        }
    }

    pub(super) async fn has_token_account(&self, wallet: &Wallet) -> Result<bool, ChainError> {
        Ok(self.owner_of(self.account_of(wallet).as_str()).await?.as_deref() == Some(TOKEN_PROGRAM))
    }

    fn account_of(&self, owner: &Wallet) -> Wallet {
        wallet(&token_account(&key(owner.as_str()).unwrap_or_default(), &self.mint()))
    }

    /// The program that an account belongs to; `None` where there is no such account.
    async fn owner_of(&self, account: &str) -> Result<Option<String>, ChainError> {
        let config = json!({ "encoding": "base64", "commitment": CONFIRMED });
        let found: Value = self.ask("getAccountInfo", json!([account, config])).await?;
        Ok(found["value"]["owner"].as_str().map(str::to_owned))
    }

    /// What an account can pay fees with, in lamports.
    pub async fn lamports(&self, wallet: &Wallet) -> Result<u64, ChainError> {
        let found: Value = self.ask("getBalance", json!([wallet, { "commitment": CONFIRMED }])).await?;
        Ok(found["value"].as_u64().unwrap_or_default())
    }

    /// Millionths of a dollar.
    pub async fn balance(&self, wallet: &Wallet) -> Result<u64, ChainError> {
        if !self.has_token_account(wallet).await? {
            return Ok(0);
        }
        let params = json!([self.account_of(wallet), { "commitment": CONFIRMED }]);
        let found: Value = self.ask("getTokenAccountBalance", params).await?;
        Ok(found["value"]["amount"].as_str().and_then(|amount| amount.parse().ok()).unwrap_or_default())
    }

    pub(super) async fn latest_blockhash(&self) -> Result<Lease, ChainError> {
        let found: Value = self.ask("getLatestBlockhash", json!([{ "commitment": CONFIRMED }])).await?;
        let blockhash = found["value"]["blockhash"].as_str().and_then(key);
        let last_height = found["value"]["lastValidBlockHeight"].as_u64();
        let lease =
            blockhash.zip(last_height).map(|(blockhash, last_height)| Lease { blockhash, last_height });
        lease.ok_or_else(|| self.unreadable())
    }

    /// Of the last block that is final.
    pub(super) async fn height(&self) -> Result<u64, ChainError> {
        self.ask("getBlockHeight", json!([{ "commitment": FINALIZED }])).await
    }

    /// Whether a transaction that names this blockhash may still land, by the last block that is final, and when
    /// that block was made, in seconds: an endpoint that lags does not know the blockhash yet.
    pub(super) async fn is_alive(&self, blockhash: &Key) -> Result<(bool, i64), ChainError> {
        let params = json!([wallet(blockhash), { "commitment": FINALIZED }]);
        let found: Value = self.ask("isBlockhashValid", params).await?;
        let read = found["value"].as_bool().zip(found["context"]["slot"].as_u64());
        let (is_alive, slot) = read.ok_or_else(|| self.unreadable())?;
        Ok((is_alive, self.ask("getBlockTime", json!([slot])).await?))
    }

    /// When the oldest block was made that the endpoint still has, in seconds.
    pub(super) async fn remembers_since(&self) -> Result<i64, ChainError> {
        let first: u64 = self.ask("getFirstAvailableBlock", json!([])).await?;
        self.ask("getBlockTime", json!([first])).await
    }

    /// Tries a transaction out, signatures included. `Err` within: why it would fail.
    pub(super) async fn simulate(&self, transaction: &Transaction) -> Result<Result<(), Value>, ChainError> {
        let config = json!({ "encoding": "base64", "commitment": CONFIRMED, "sigVerify": true });
        let params = json!([STANDARD.encode(transaction.encode()), config]);
        match self.call::<Value>("simulateTransaction", params).await {
            Ok(found) if found["value"]["err"].is_null() => Ok(Ok(())),
            Ok(found) => Ok(Err(found["value"]["err"].clone())),
            Err(Unanswered::Refused { code: SIGNATURE | PARAMS, message, .. }) => Ok(Err(message.into())),
            Err(unanswered) => Err(self.error(unanswered)),
        }
    }

    /// Hands a transaction to the chain; the endpoint sends it on again and again while it may land.
    pub(super) async fn send(&self, transaction: &str) -> Result<(), Unanswered> {
        let config = json!({ "encoding": "base64", "preflightCommitment": CONFIRMED });
        self.call::<Value>("sendTransaction", json!([transaction, config])).await.map(drop)
    }

    pub(super) async fn status(&self, transaction: &str) -> Result<Status, ChainError> {
        let params = json!([[transaction], { "searchTransactionHistory": true }]);
        let found: Value = self.ask("getSignatureStatuses", params).await?;
        let found = found["value"].get(0).ok_or_else(|| self.unreadable())?;
        Ok(standing(found))
    }

    /// The transactions that touched an account between two moments (in seconds), the newest first: their names,
    /// and how they stand. An error where there are more than can be looked through.
    pub(super) async fn history(
        &self,
        account: &Wallet,
        (from, until): (i64, i64),
    ) -> Result<Vec<(String, Status)>, ChainError> {
        let mut within = Vec::new();
        let mut config = json!({ "limit": PAGE, "commitment": CONFIRMED });
        for _ in 0..PAGES {
            let page: Vec<Value> = self.ask("getSignaturesForAddress", json!([account, config])).await?;
            for entry in &page {
                let name = entry["signature"].as_str().ok_or_else(|| self.unreadable())?;
                config["before"] = name.into();
                // A block whose time is not known may be any.
                match entry["blockTime"].as_i64() {
                    Some(made) if made < from => return Ok(within),
                    Some(made) if made > until => {}
                    _ => within.push((name.to_owned(), standing(entry))),
                }
            }
            if page.len() < PAGE {
                return Ok(within);
            }
        }
        let detail = "too many transactions touched the payer's account to look through".into();
        Err(ChainError::Refused { network: self.network.name, detail })
    }

    /// A transaction and what it has changed; `null` where the chain does not have it.
    pub(super) async fn transaction(&self, name: &str) -> Result<Value, ChainError> {
        let config = json!({
            "encoding": "base64",
            "commitment": CONFIRMED,
            "maxSupportedTransactionVersion": 0,
        });
        self.ask("getTransaction", json!([name, config])).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, ChainError> {
        self.call(method, params).await.map_err(|unanswered| self.error(unanswered))
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, Unanswered> {
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        // Its URL may hold a key.
        let lost = |error: reqwest::Error| Unanswered::Lost(error.without_url().to_string());
        let request = self.client.post(self.url.expose()).timeout(QUESTION).json(&question);
        let mut answer: Value = request.send().await.map_err(lost)?.json().await.map_err(lost)?;
        if let Some(error) = answer.get("error") {
            return Err(Unanswered::Refused {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                why: error["data"]["err"].clone(),
            });
        }
        serde_json::from_value(answer["result"].take())
            .map_err(|_| Unanswered::Lost(format!("its answer to {method} cannot be read")))
    }

    fn error(&self, unanswered: Unanswered) -> ChainError {
        let network = self.network.name;
        match unanswered {
            Unanswered::Refused { message, .. } => ChainError::Refused { network, detail: message },
            Unanswered::Lost(detail) => ChainError::Unreachable { network, detail },
        }
    }

    fn unreadable(&self) -> ChainError {
        self.error(Unanswered::Lost("its answer cannot be read".into()))
    }
}

/// From an entry of `getSignatureStatuses` or `getSignaturesForAddress`.
fn standing(entry: &Value) -> Status {
    let succeeded = entry["err"].is_null();
    match entry["confirmationStatus"].as_str() {
        None if entry.is_null() => Status::Absent,
        Some(CONFIRMED) => Status::Landed { succeeded, finalized: false },
        Some(FINALIZED) => Status::Landed { succeeded, finalized: true },
        _ => Status::Processed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_two_thirds_have_confirmed_has_landed() {
        let entry = |status: &str, err: Value| json!({ "confirmationStatus": status, "err": err });
        assert_eq!(standing(&Value::Null), Status::Absent);
        assert_eq!(standing(&entry("processed", Value::Null)), Status::Processed);
        let landed = |succeeded, finalized| Status::Landed { succeeded, finalized };
        assert_eq!(standing(&entry("confirmed", Value::Null)), landed(true, false));
        assert_eq!(standing(&entry("finalized", Value::Null)), landed(true, true));
        assert_eq!(
            standing(&entry("confirmed", json!({ "InstructionError": [2, {}] }))),
            landed(false, false)
        );
    }

    #[test]
    fn what_may_have_been_sent_before_is_not_called_unsent() {
        let refused = |code, why: Value| Unanswered::Refused { code, message: String::new(), why };
        assert!(refused(PREFLIGHT, json!("BlockhashNotFound")).unsent().is_some());
        assert_eq!(refused(PREFLIGHT, json!("AlreadyProcessed")).unsent(), None);
        assert_eq!(refused(-32005, Value::Null).unsent(), None);
        assert_eq!(Unanswered::Lost("no answer in time".into()).unsent(), None);
    }
}
