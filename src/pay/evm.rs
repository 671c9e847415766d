//! Settlement on an EVM chain, in this process: the operator's key sends `transferWithAuthorization` and pays
//! its gas. Signatures of ordinary accounts and of smart wallets (EIP-1271, EIP-6492) are verified by
//! `x402-chain-eip155`; what became of a transfer is read from the token itself.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, b256};
use alloy::providers::{Provider, ProviderBuilder, RootProvider};
use alloy::rpc::types::Filter;
use alloy::sol;
use alloy::sol_types::{Eip712Domain, SolEvent};
use alloy::transports::RpcError;
use chrono::Utc;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use x402_chain_eip155::V2Eip155Exact;
use x402_chain_eip155::chain::config::{Eip155ChainConfig, Eip155ChainConfigInner};
use x402_chain_eip155::chain::{Eip155ChainProvider, Eip155ChainReference};
use x402_types::chain::FromConfig;
use x402_types::proto;
use x402_types::scheme::{X402SchemeFacilitator, X402SchemeFacilitatorBuilder, X402SchemeFacilitatorError};

use super::network::Network;
use super::purse::account;
use super::settle::{Outcome, Rejection, Settler};
use super::x402::{Authorization, Payment, Requirement, offered};
use crate::base::{Pii, Wallet};
use crate::store::claims::NewClaim;

sol! {
    /// What is asked of a USDC contract (Circle's FiatTokenV2_2).
    #[sol(rpc)]
    interface Token {
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event Transfer(address indexed from, address indexed to, uint256 value);
        function transfer(address to, uint256 value) external returns (bool);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function balanceOf(address account) external view returns (uint256);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
    }
}

/// Where Circle's proxy keeps its administrator: keccak256 of `org.zeppelinos.proxy.admin`.
const ADMIN_SLOT: B256 = b256!("10d6a54a4754c8869d6886b5f5d7fbfa5b4522237ea5c60d11bc4e7a1ff9390b");
/// Blocks searched for the transaction of an authorisation that is spent; providers limit the range.
const SEARCHED_BLOCKS: u64 = 9_000;
/// After an authorisation has expired, a block that still holds it may take this long to be seen.
const AFTER_EXPIRY: chrono::TimeDelta = chrono::TimeDelta::seconds(60);
/// A chain that does not answer a question by now does not answer.
const QUESTION: Duration = Duration::from_secs(15);
/// Longer than the thirty seconds for which the library waits for a receipt. A settlement that has said nothing
/// by now is looked for on the chain.
const SETTLEMENT: Duration = Duration::from_secs(45);

/// A claim that no payment of x402 made.
const NOT_X402: &str = "the payment is none of x402";

/// A chain's own word on authorisations and balances.
#[derive(Clone)]
pub struct Chain {
    pub(super) network: &'static Network,
    pub(super) provider: RootProvider,
}

/// Why a chain cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("the RPC endpoint of {network} is no URL")]
    Url { network: &'static str },
    #[error("the RPC endpoint of {network} does not answer: {detail}")]
    Unreachable { network: &'static str, detail: String },
    #[error("{network} refuses: {detail}")]
    Refused { network: &'static str, detail: String },
    #[error("the RPC endpoint configured for {network} serves chain {found}, not {expected}")]
    OtherChain { network: &'static str, expected: u64, found: u64 },
    #[error(
        "the token of {network} signs under another domain than expected: payments could not be verified"
    )]
    OtherToken { network: &'static str },
    #[error("the RPC endpoint configured for {network} serves another cluster: its genesis is {genesis}")]
    OtherCluster { network: &'static str, genesis: String },
    #[error("{wallet} has no USDC account on {network} yet: send it any amount of USDC, once")]
    NoTokenAccount { network: &'static str, wallet: Wallet },
    #[error("a key for {network} cannot be used: {detail}")]
    Key { network: &'static str, detail: String },
}

impl Chain {
    pub fn new(network: &'static Network, rpc: &str) -> Result<Chain, ChainError> {
        let url = rpc.parse().map_err(|_| ChainError::Url { network: network.name })?;
        Ok(Chain { network, provider: ProviderBuilder::default().connect_http(url) })
    }

    /// Compares the chain's id and the token's signing domain with what this node offers.
    pub async fn check(&self) -> Result<(), ChainError> {
        let name = self.network.name;
        let found = self.ask(async { Ok(self.provider.get_chain_id().await?) }).await?;
        if found != self.network.chain_id {
            return Err(ChainError::OtherChain { network: name, expected: self.network.chain_id, found });
        }
        let separator = self.ask(async { self.token().DOMAIN_SEPARATOR().call().await }).await?;
        if separator != self.domain().separator() {
            return Err(ChainError::OtherToken { network: name });
        }
        Ok(())
    }

    /// Millionths of a dollar.
    pub async fn balance(&self, wallet: &Wallet) -> Result<u64, ChainError> {
        let account = address(wallet);
        let balance = self.ask(async { self.token().balanceOf(account).call().await }).await?;
        Ok(balance.saturating_to())
    }

    /// What an account can pay gas with, in wei.
    pub async fn gas_money(&self, wallet: &Wallet) -> Result<u128, ChainError> {
        let account = address(wallet);
        let wei = self.ask(async { Ok(self.provider.get_balance(account).await?) }).await?;
        Ok(wei.saturating_to())
    }

    /// The administrator of the token's proxy, whom the token serves no call.
    pub async fn proxy_admin(&self) -> Result<Option<Wallet>, ChainError> {
        let slot =
            self.ask(async { Ok(self.provider.get_storage_at(self.asset(), ADMIN_SLOT.into()).await?) });
        let admin = Address::from_word(slot.await?.into());
        Ok(admin.to_string().parse().ok())
    }

    /// What became of an authorisation. Once it has expired unused it never will be used.
    pub async fn look_up(&self, authorization: &Authorization, expires: chrono::DateTime<Utc>) -> Outcome {
        // Before the question, so that a transfer between the two is not taken for one that cannot come.
        let expired = Utc::now() > expires + AFTER_EXPIRY;
        match self.is_used(authorization).await {
            Ok(true) => Outcome::Settled { transaction: self.transaction(authorization).await },
            Ok(false) if expired => Outcome::Failed { reason: "the authorization expired unused".into() },
            Ok(false) => Outcome::Unknown { detail: "not on the chain yet".into() },
            Err(error) => Outcome::Unknown { detail: error.to_string() },
        }
    }

    async fn look_up_offer(&self, offer: &NewClaim) -> Outcome {
        match offered(offer) {
            Some((payment, _)) => self.look_up(&payment.authorization, payment.valid_before()).await,
            None => Outcome::Unknown { detail: NOT_X402.into() },
        }
    }

    pub(super) async fn is_used(&self, authorization: &Authorization) -> Result<bool, ChainError> {
        let (payer, nonce) = (address(&authorization.from), nonce(authorization));
        self.ask(async { self.token().authorizationState(payer, nonce).call().await }).await
    }

    /// The transaction that spent an authorisation; empty where it is not found.
    pub(super) async fn transaction(&self, authorization: &Authorization) -> String {
        let found = self.ask(async {
            let latest = self.provider.get_block_number().await?;
            let filter = Filter::new()
                .address(self.asset())
                .event_signature(Token::AuthorizationUsed::SIGNATURE_HASH)
                .topic1(address(&authorization.from).into_word())
                .topic2(nonce(authorization))
                .from_block(latest.saturating_sub(SEARCHED_BLOCKS));
            Ok(self.provider.get_logs(&filter).await?)
        });
        let logs = found.await.unwrap_or_default();
        logs.first().and_then(|log| log.transaction_hash).map(|hash| hash.to_string()).unwrap_or_default()
    }

    pub(super) fn token(&self) -> Token::TokenInstance<&RootProvider> {
        Token::new(self.asset(), &self.provider)
    }

    pub(super) fn asset(&self) -> Address {
        self.network.asset.parse().expect("the table of networks holds addresses")
    }

    fn domain(&self) -> Eip712Domain {
        alloy::sol_types::eip712_domain! {
            name: self.network.asset_name,
            version: self.network.asset_version,
            chain_id: self.network.chain_id,
            verifying_contract: self.asset(),
        }
    }

    pub(super) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, alloy::contract::Error>>,
    ) -> Result<T, ChainError> {
        ask(self.network.name, question).await
    }
}

pub(super) async fn ask<T>(
    network: &'static str,
    question: impl Future<Output = Result<T, alloy::contract::Error>>,
) -> Result<T, ChainError> {
    match tokio::time::timeout(QUESTION, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(alloy::contract::Error::TransportError(RpcError::ErrorResp(answer)))) => {
            Err(ChainError::Refused { network, detail: answer.message.into_owned() })
        }
        // What else a transport says may quote its URL, which may hold a key.
        Ok(Err(alloy::contract::Error::TransportError(_))) => {
            Err(ChainError::Unreachable { network, detail: "the request failed".into() })
        }
        Ok(Err(error)) => Err(ChainError::Unreachable { network, detail: error.to_string() }),
        Err(_) => Err(ChainError::Unreachable { network, detail: "no answer in time".into() }),
    }
}

pub(super) fn address(wallet: &Wallet) -> Address {
    wallet.as_str().parse().unwrap_or_default()
}

pub(super) fn nonce(authorization: &Authorization) -> B256 {
    authorization.nonce.parse().unwrap_or_default()
}

/// A way to verify and settle x402's scheme `exact` on an EVM chain. What became of a payment is the chain's to
/// say, whoever settled it.
pub(super) trait ExactEvm: Send + Sync + 'static {
    fn chain(&self) -> &Chain;

    fn verify(
        &self,
        payment: &Payment,
        requirement: &Requirement,
    ) -> impl Future<Output = Result<(), Rejection>> + Send;

    fn settle(&self, payment: &Payment, requirement: &Requirement) -> impl Future<Output = Outcome> + Send;

    /// Whether anything that was sent before waits for a block.
    fn has_waiting(&self) -> impl Future<Output = Result<bool, ChainError>> + Send;
}

impl<E: ExactEvm> Settler for E {
    fn verify<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Result<(), Rejection>> {
        async move {
            let (payment, requirement) = offered(offer).ok_or_else(|| Rejection::Payment(NOT_X402.into()))?;
            ExactEvm::verify(self, &payment, &requirement).await
        }
        .boxed()
    }

    fn settle<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        async move {
            match offered(offer) {
                Some((payment, requirement)) => ExactEvm::settle(self, &payment, &requirement).await,
                None => Outcome::Failed { reason: NOT_X402.into() },
            }
        }
        .boxed()
    }

    fn look_up<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        self.chain().look_up_offer(offer).boxed()
    }

    /// An authorisation that has expired is not sent again either, nor one to a chain that does not answer.
    fn is_under_way<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, bool> {
        async move { offer.valid_before <= Utc::now() || self.has_waiting().await.unwrap_or(true) }.boxed()
    }
}

/// Verifies and settles with the operator's key.
pub struct InProcess {
    chain: Chain,
    rpc: Pii<String>,
    key: Pii<String>,
    /// Connected at the first payment: a node starts without its chain. It counts the transactions that it
    /// sends, so that one that nobody answered for takes the connection with it: where it was never sent, those
    /// after it would wait for it.
    exact: Mutex<Option<Arc<dyn X402SchemeFacilitator>>>,
}

impl InProcess {
    pub fn new(chain: Chain, rpc: Pii<String>, key: Pii<String>) -> InProcess {
        InProcess { chain, rpc, key, exact: Mutex::default() }
    }

    async fn exact(&self) -> Result<Arc<dyn X402SchemeFacilitator>, ChainError> {
        let mut connected = self.exact.lock().await;
        if let Some(exact) = connected.as_ref() {
            return Ok(exact.clone());
        }
        self.chain.check().await?;
        let exact: Arc<dyn X402SchemeFacilitator> = self.connect().await?.into();
        *connected = Some(exact.clone());
        Ok(exact)
    }

    async fn connect(&self) -> Result<Box<dyn X402SchemeFacilitator>, ChainError> {
        let network = self.chain.network.name;
        let config = json!({
            "signers": [self.key.expose()],
            "rpc": [{ "http": self.rpc.expose() }],
            "eip1559": true,
        });
        let inner: Eip155ChainConfigInner = serde_json::from_value(config).map_err(|_| ChainError::Key {
            network,
            detail: "it must be 0x and 32 bytes in hexadecimal".into(),
        })?;
        let config = Eip155ChainConfig {
            chain_reference: Eip155ChainReference::new(self.chain.network.chain_id),
            inner,
        };
        let provider = Eip155ChainProvider::from_config(&config)
            .await
            .map_err(|error| ChainError::Unreachable { network, detail: without_urls(&error.to_string()) })?;
        V2Eip155Exact
            .build(Arc::new(provider), None)
            .map_err(|error| ChainError::Unreachable { network, detail: without_urls(&error.to_string()) })
    }

    /// A refusal is final only where the chain agrees: an earlier try may have got through.
    async fn refused(&self, payment: &Payment, reason: String) -> Outcome {
        match self.chain.is_used(&payment.authorization).await {
            Ok(false) => Outcome::Failed { reason },
            _ => self.chain.look_up(&payment.authorization, payment.valid_before()).await,
        }
    }
}

impl ExactEvm for InProcess {
    fn chain(&self) -> &Chain {
        &self.chain
    }

    async fn verify(&self, payment: &Payment, requirement: &Requirement) -> Result<(), Rejection> {
        let exact = self.exact().await.map_err(|error| Rejection::Unavailable(error.to_string()))?;
        let used = self.chain.is_used(&payment.authorization).await;
        match used {
            Ok(true) => return Err(Rejection::Payment("the authorization is used or canceled".into())),
            Ok(false) => {}
            Err(error) => return Err(Rejection::Unavailable(error.to_string())),
        }
        let request = proto::VerifyRequest::from(raw(&request(payment, requirement)));
        let verified = tokio::time::timeout(QUESTION, exact.verify(&request)).await;
        match verified {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(X402SchemeFacilitatorError::PaymentVerification(error))) => {
                Err(Rejection::Payment(without_urls(&error.to_string())))
            }
            Ok(Err(X402SchemeFacilitatorError::OnchainFailure(detail))) => simulated(without_urls(&detail)),
            Err(_) => Err(Rejection::Unavailable("the chain does not answer in time".into())),
        }
    }

    async fn settle(&self, payment: &Payment, requirement: &Requirement) -> Outcome {
        let exact = match self.exact().await {
            Ok(exact) => exact,
            Err(error) => return Outcome::Unknown { detail: error.to_string() },
        };
        let request = proto::SettleRequest::from(raw(&request(payment, requirement)));
        let Ok(answer) = tokio::time::timeout(SETTLEMENT, exact.settle(&request)).await else {
            self.exact.lock().await.take_if(|connected| Arc::ptr_eq(connected, &exact));
            return Outcome::Unknown { detail: "no answer in time".into() };
        };
        match answer {
            Ok(response) => settled(&response),
            // Refused before anything was sent.
            Err(X402SchemeFacilitatorError::PaymentVerification(error)) => {
                self.refused(payment, without_urls(&error.to_string())).await
            }
            Err(X402SchemeFacilitatorError::OnchainFailure(detail)) if detail.contains("reverted") => {
                self.refused(payment, without_urls(&detail)).await
            }
            Err(X402SchemeFacilitatorError::OnchainFailure(detail)) => {
                Outcome::Unknown { detail: without_urls(&detail) }
            }
        }
    }

    async fn has_waiting(&self) -> Result<bool, ChainError> {
        let settler = address(&account(&self.chain, &self.key)?);
        let provider = &self.chain.provider;
        let question = async {
            let mined = provider.get_transaction_count(settler).await?;
            Ok(provider.get_transaction_count(settler).pending().await? > mined)
        };
        self.chain.ask(question).await
    }
}

/// What a library says of a request that failed may quote its URL, which may hold a key.
fn without_urls(detail: &str) -> String {
    let words = detail.split(' ').map(|word| if word.contains("://") { "(a URL)" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// A transfer that fails when it is simulated fails by the payment; anything else by the chain.
fn simulated(detail: String) -> Result<(), Rejection> {
    if detail.contains("revert") {
        return Err(Rejection::Payment(detail));
    }
    Err(Rejection::Unavailable(detail))
}

fn settled(response: &proto::SettleResponse) -> Outcome {
    let response = serde_json::to_value(response).unwrap_or_default();
    match (response["success"].as_bool(), response["transaction"].as_str()) {
        (Some(true), Some(transaction)) => Outcome::Settled { transaction: transaction.to_owned() },
        _ => Outcome::Unknown { detail: "the settlement's answer cannot be read".into() },
    }
}

/// What a facilitator takes, with this node's own requirement on both sides: the client's copy was compared
/// before, by the fields that count.
pub(super) fn request(payment: &Payment, requirement: &Requirement) -> Value {
    let accepted = requirement.v2();
    json!({
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2,
            "accepted": accepted,
            "payload": { "signature": payment.signature, "authorization": payment.authorization },
        },
        "paymentRequirements": accepted,
    })
}

fn raw(value: &Value) -> Box<serde_json::value::RawValue> {
    serde_json::value::to_raw_value(value).expect("a JSON value is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_and_its_key_stay_out_of_what_is_told() {
        let said = "error sending request for url (https://rpc.example.com/v2/SECRET): connection closed";
        let told = "error sending request for url (a URL) connection closed";
        assert_eq!(without_urls(said), told);
        assert_eq!(without_urls("execution reverted: invalid"), "execution reverted: invalid");
    }
}
