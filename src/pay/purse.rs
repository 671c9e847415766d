//! The account that refunds are paid from: a `transfer` of the token, signed by its own key and with its own
//! gas. On an EVM chain of x402 the token is USDC and gas is paid in the chain's coin; on Tempo it is a TIP-20
//! dollar, which pays the gas, too. What both have in common is a [`Coin`].

use alloy::consensus::Transaction as _;
use alloy::eips::BlockId;
use alloy::eips::eip2718::{Decodable2718, Encodable2718};
use alloy::network::{
    Ethereum, EthereumWallet, Network, NetworkTransactionBuilder, NetworkWallet, ReceiptResponse,
    TransactionBuilder,
};
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempo_alloy::TempoNetwork;
use tempo_alloy::rpc::TempoTransactionRequest;

use super::evm::{Chain, ChainError, Token, address, ask};
use super::refund::{Fate, Purse};
use super::tempo::Tempo;
use super::x402::Payment;
use crate::base::{Pii, Usd, Wallet};
use crate::store::claims::{Claim, Refund, SignedRefund};

/// Over the estimate, in percent: a wallet that has never held the token costs more.
const GAS_MARGIN: u64 = 25;
/// What a transaction offers more for its gas than the one whose place it takes, in percent; nodes ask for ten.
const BUMP: u128 = 25;

/// A token on a chain, as far as paying with it goes.
pub trait Coin: Send + Sync + 'static {
    type Network: Network;

    fn provider(&self) -> &(impl Provider<Self::Network> + 'static);

    /// As the configuration calls it.
    fn name(&self) -> &'static str;

    fn chain_id(&self) -> u64;

    fn token(&self) -> Address;

    /// In the chain's own form.
    fn request(&self, transfer: TransactionRequest) -> <Self::Network as Network>::TransactionRequest;

    /// Whether what a claim has paid is still here.
    fn has(&self, claim: &Claim) -> impl Future<Output = Result<bool, ChainError>> + Send;

    /// The transaction that moved a claim's money; empty where it is not known.
    fn settlement(&self, claim: &Claim) -> impl Future<Output = String> + Send {
        std::future::ready(claim.settlement.clone().unwrap_or_default())
    }
}

impl Coin for Chain {
    type Network = Ethereum;

    fn provider(&self) -> &(impl Provider<Ethereum> + 'static) {
        &self.provider
    }

    fn name(&self) -> &'static str {
        self.network.name
    }

    fn chain_id(&self) -> u64 {
        self.network.chain_id
    }

    fn token(&self) -> Address {
        self.asset()
    }

    fn request(&self, transfer: TransactionRequest) -> TransactionRequest {
        transfer
    }

    async fn has(&self, claim: &Claim) -> Result<bool, ChainError> {
        match serde_json::from_value::<Payment>(claim.offer.proof.clone()) {
            Ok(payment) => self.is_used(&payment.authorization).await,
            Err(_) => Ok(false),
        }
    }

    async fn settlement(&self, claim: &Claim) -> String {
        match (claim.settlement.as_deref(), serde_json::from_value::<Payment>(claim.offer.proof.clone())) {
            (None | Some(""), Ok(payment)) => self.transaction(&payment.authorization).await,
            (known, _) => known.unwrap_or_default().to_owned(),
        }
    }
}

impl Coin for Tempo {
    type Network = TempoNetwork;

    fn provider(&self) -> &(impl Provider<TempoNetwork> + 'static) {
        &self.provider
    }

    fn name(&self) -> &'static str {
        super::TEMPO
    }

    fn chain_id(&self) -> u64 {
        self.terms.chain_id
    }

    fn token(&self) -> Address {
        address(&self.terms.currency)
    }

    fn request(&self, transfer: TransactionRequest) -> TempoTransactionRequest {
        TempoTransactionRequest { inner: transfer, ..Default::default() }.with_fee_token(self.token())
    }

    async fn has(&self, claim: &Claim) -> Result<bool, ChainError> {
        let Some(hash) = claim.settlement.as_deref().and_then(|hash| hash.parse().ok()) else {
            return Ok(false);
        };
        let question = async { Ok(self.provider.get_transaction_receipt(hash).await?) };
        Ok(ask(Coin::name(self), question).await?.is_some_and(|receipt| receipt.status()))
    }
}

pub struct TokenPurse<C> {
    coin: C,
    signer: PrivateKeySigner,
    /// Blocks after which a number is used for good.
    confirmations: u64,
}

/// The account of a private key, in hexadecimal.
pub fn account(chain: &impl Coin, key: &Pii<String>) -> Result<Wallet, ChainError> {
    signer(chain.name(), key).map(|signer| wallet(&signer))
}

fn signer(network: &'static str, key: &Pii<String>) -> Result<PrivateKeySigner, ChainError> {
    let detail = "it must be 0x and 32 bytes in hexadecimal";
    key.expose().parse().map_err(|_| ChainError::Key { network, detail: detail.into() })
}

fn wallet(signer: &PrivateKeySigner) -> Wallet {
    signer.address().to_string().parse().expect("an address is 0x and 40 hexadecimal digits")
}

/// What a transaction offers for a unit of gas.
struct Fees {
    most: u128,
    priority: u128,
}

impl<C: Coin> TokenPurse<C>
where
    EthereumWallet: NetworkWallet<C::Network>,
{
    pub fn new(coin: C, key: &Pii<String>, confirmations: u64) -> Result<TokenPurse<C>, ChainError> {
        let signer = signer(coin.name(), key)?;
        Ok(TokenPurse { coin, signer, confirmations })
    }

    pub fn account(&self) -> Wallet {
        wallet(&self.signer)
    }

    /// A transfer that would fail is refused here.
    async fn sign(&self, to: &Wallet, amount: Usd) -> Result<Refund, ChainError> {
        let call = Token::transferCall { to: address(to), value: U256::from(amount.micros()) };
        let transfer = TransactionRequest::default()
            .with_from(self.signer.address())
            .with_to(self.coin.token())
            .with_input(call.abi_encode())
            .with_chain_id(self.coin.chain_id());
        let mut request = self.coin.request(transfer);
        let (provider, account) = (self.coin.provider(), self.signer.address());
        let question = async {
            let gas = provider.estimate_gas(request.clone()).await?;
            Ok((gas, provider.get_transaction_count(account).pending().await?))
        };
        let (gas, number) = ask(self.coin.name(), question).await?;
        request.set_nonce(number);
        request.set_gas_limit(gas + gas * GAS_MARGIN / 100);
        self.signed(request, &self.asked().await?, number).await
    }

    /// The same transfer with the same number, and more for its gas.
    async fn reprice(&self, signed: &SignedRefund) -> Result<Option<Refund>, ChainError> {
        let raw: Bytes = signed.raw.parse().unwrap_or_default();
        let Ok(sent) = <C::Network as Network>::TxEnvelope::decode_2718(&mut raw.as_ref()) else {
            return Ok(None);
        };
        let offered = Fees {
            most: sent.max_fee_per_gas(),
            priority: sent.max_priority_fee_per_gas().unwrap_or_default(),
        };
        let asked = self.asked().await?;
        if asked.most <= offered.most && asked.priority <= offered.priority {
            return Ok(None);
        }
        let raised = |offered: u128, asked: u128| asked.max(offered + offered.div_ceil(100) * BUMP);
        let fees = Fees {
            most: raised(offered.most, asked.most),
            priority: raised(offered.priority, asked.priority),
        };
        let mut request: <C::Network as Network>::TransactionRequest = sent.into();
        request.set_from(self.signer.address());
        self.signed(request, &fees, signed.nonce).await.map(Some)
    }

    /// What the chain asks for now.
    async fn asked(&self) -> Result<Fees, ChainError> {
        let question = async { Ok(self.coin.provider().estimate_eip1559_fees().await?) };
        let fees = ask(self.coin.name(), question).await?;
        Ok(Fees { most: fees.max_fee_per_gas, priority: fees.max_priority_fee_per_gas })
    }

    async fn signed(
        &self,
        mut request: <C::Network as Network>::TransactionRequest,
        fees: &Fees,
        nonce: u64,
    ) -> Result<Refund, ChainError> {
        request.set_max_fee_per_gas(fees.most);
        request.set_max_priority_fee_per_gas(fees.priority);
        let network = self.coin.name();
        let wallet = EthereumWallet::from(self.signer.clone());
        let signed = request.build(&wallet).await;
        let signed = signed.map_err(|error| ChainError::Key { network, detail: error.to_string() })?;
        let raw = Bytes::from(signed.encoded_2718());
        let transaction = keccak256(&raw).to_string();
        let signed = SignedRefund { raw: raw.to_string(), nonce, earlier: Vec::new() };
        Ok(Refund { transaction, signed: Some(signed) })
    }

    async fn send(&self, signed: &SignedRefund) -> Result<(), ChainError> {
        let raw: Bytes = signed.raw.parse().unwrap_or_default();
        let question = async { Ok(self.coin.provider().send_raw_transaction(&raw).await?) };
        ask(self.coin.name(), question).await.map(drop)
    }

    async fn fate(&self, transaction: &str, signed: &SignedRefund) -> Result<Fate, ChainError> {
        let (provider, account) = (self.coin.provider(), self.signer.address());
        let hash: B256 = transaction.parse().unwrap_or_default();
        // The number before the receipt: one that was used between the two questions is not taken for lost.
        let question = async {
            let latest = provider.get_block_number().await?;
            let deep = BlockId::number(latest.saturating_sub(self.confirmations));
            let count = provider.get_transaction_count(account).block_id(deep).await?;
            Ok((count, provider.get_transaction_receipt(hash).await?))
        };
        let (deep_count, receipt) = ask(self.coin.name(), question).await?;
        Ok(match receipt {
            Some(receipt) if receipt.status() => Fate::Paid,
            Some(_) => Fate::Reverted,
            None if deep_count > signed.nonce => Fate::Replaced,
            None => Fate::Waiting,
        })
    }
}

impl<C: Coin> Purse for TokenPurse<C>
where
    EthereumWallet: NetworkWallet<C::Network>,
{
    fn has<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, ChainError>> {
        self.coin.has(claim).boxed()
    }

    fn sign<'a>(&'a self, to: &'a Wallet, amount: Usd) -> BoxFuture<'a, Result<Refund, ChainError>> {
        self.sign(to, amount).boxed()
    }

    fn reprice<'a>(&'a self, signed: &'a SignedRefund) -> BoxFuture<'a, Result<Option<Refund>, ChainError>> {
        self.reprice(signed).boxed()
    }

    fn send<'a>(&'a self, signed: &'a SignedRefund) -> BoxFuture<'a, Result<(), ChainError>> {
        self.send(signed).boxed()
    }

    fn fate<'a>(
        &'a self,
        transaction: &'a str,
        signed: &'a SignedRefund,
    ) -> BoxFuture<'a, Result<Fate, ChainError>> {
        self.fate(transaction, signed).boxed()
    }
}
