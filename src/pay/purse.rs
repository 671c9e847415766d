//! The account on an EVM chain that refunds are paid from: a USDC `transfer` of its own, with its own gas.

use alloy::consensus::Transaction as _;
use alloy::eips::BlockId;
use alloy::eips::eip2718::Encodable2718;
use alloy::network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder};
use alloy::primitives::{B256, Bytes, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::evm::{Chain, ChainError, Token, address};
use super::refund::{Fate, Purse};
use super::x402::Payment;
use crate::base::{Pii, Usd, Wallet};
use crate::store::claims::{Claim, Refund, SignedRefund};

/// Over the estimate, in percent: a wallet that has never held the token costs more.
const GAS_MARGIN: u64 = 25;

pub struct EvmPurse {
    chain: Chain,
    signer: PrivateKeySigner,
    /// Blocks after which a number is used for good.
    confirmations: u64,
}

/// The account of a private key, in hexadecimal.
pub fn account(chain: &Chain, key: &Pii<String>) -> Result<Wallet, ChainError> {
    signer(chain, key).map(|signer| wallet(&signer))
}

fn signer(chain: &Chain, key: &Pii<String>) -> Result<PrivateKeySigner, ChainError> {
    let network = chain.network.name;
    let detail = "it must be 0x and 32 bytes in hexadecimal";
    key.expose().parse().map_err(|_| ChainError::Key { network, detail: detail.into() })
}

fn wallet(signer: &PrivateKeySigner) -> Wallet {
    signer.address().to_string().parse().expect("an address is 0x and 40 hexadecimal digits")
}

impl EvmPurse {
    pub fn new(chain: Chain, key: &Pii<String>, confirmations: u64) -> Result<EvmPurse, ChainError> {
        let signer = signer(&chain, key)?;
        Ok(EvmPurse { chain, signer, confirmations })
    }

    pub fn account(&self) -> Wallet {
        wallet(&self.signer)
    }

    async fn has(&self, claim: &Claim) -> Result<bool, ChainError> {
        match serde_json::from_value::<Payment>(claim.offer.proof.clone()) {
            Ok(payment) => self.chain.is_used(&payment.authorization).await,
            Err(_) => Ok(false),
        }
    }

    async fn sign(&self, to: &Wallet, amount: Usd) -> Result<Refund, ChainError> {
        let call = Token::transferCall { to: address(to), value: U256::from(amount.micros()) };
        let request = TransactionRequest::default()
            .with_from(self.signer.address())
            .with_to(self.chain.asset())
            .with_input(call.abi_encode())
            .with_chain_id(self.chain.network.chain_id);
        let request = self.complete(request).await?;
        let network = self.chain.network.name;
        let wallet = EthereumWallet::from(self.signer.clone());
        let signed = request.build(&wallet).await;
        let signed = signed.map_err(|error| ChainError::Key { network, detail: error.to_string() })?;
        let raw = Bytes::from(signed.encoded_2718()).to_string();
        let signed_refund = SignedRefund { raw, nonce: signed.nonce(), earlier: Vec::new() };
        Ok(Refund { transaction: signed.tx_hash().to_string(), signed: Some(signed_refund) })
    }

    /// Its number, its gas and what it offers for that. A transfer that would fail is refused here.
    async fn complete(&self, request: TransactionRequest) -> Result<TransactionRequest, ChainError> {
        let provider = &self.chain.provider;
        let account = self.signer.address();
        let question = async {
            let gas = provider.estimate_gas(request.clone()).await?;
            let fees = provider.estimate_eip1559_fees().await?;
            let number = provider.get_transaction_count(account).pending().await?;
            Ok((gas, fees, number))
        };
        let (gas, fees, number) = self.chain.ask(question).await?;
        Ok(request
            .with_nonce(number)
            .with_gas_limit(gas + gas * GAS_MARGIN / 100)
            .with_max_fee_per_gas(fees.max_fee_per_gas)
            .with_max_priority_fee_per_gas(fees.max_priority_fee_per_gas))
    }

    async fn send(&self, signed: &SignedRefund) -> Result<(), ChainError> {
        let raw: Bytes = signed.raw.parse().unwrap_or_default();
        self.chain.ask(async { Ok(self.chain.provider.send_raw_transaction(&raw).await?) }).await.map(drop)
    }

    async fn fate(&self, transaction: &str, signed: &SignedRefund) -> Result<Fate, ChainError> {
        let provider = &self.chain.provider;
        let hash: B256 = transaction.parse().unwrap_or_default();
        let account = self.signer.address();
        // The number before the receipt: one that was used between the two questions is not taken for lost.
        let (deep_count, receipt) = self
            .chain
            .ask(async {
                let latest = provider.get_block_number().await?;
                let deep = BlockId::number(latest.saturating_sub(self.confirmations));
                let count = provider.get_transaction_count(account).block_id(deep).await?;
                Ok((count, provider.get_transaction_receipt(hash).await?))
            })
            .await?;
        Ok(match receipt {
            Some(receipt) if receipt.status() => Fate::Paid,
            Some(_) => Fate::Reverted,
            None if deep_count > signed.nonce => Fate::Replaced,
            None => Fate::Waiting,
        })
    }
}

impl Purse for EvmPurse {
    fn has<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, ChainError>> {
        self.has(claim).boxed()
    }

    fn sign<'a>(&'a self, to: &'a Wallet, amount: Usd) -> BoxFuture<'a, Result<Refund, ChainError>> {
        self.sign(to, amount).boxed()
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
