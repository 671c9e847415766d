//! Settlement of MPP charges on a Tempo chain. The payer's own transaction moves the money and pays its gas;
//! this node only sends it (`pull`), or is told that it was sent (`push`). What a transaction pays, to whom
//! and for which challenge is verified by the crate `mpp`, before it is sent by its calls and afterwards by
//! its receipt.

use std::sync::Arc;
use std::time::Duration;

use alloy::consensus::Transaction;
use alloy::eips::Decodable2718;
use alloy::network::Network;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::providers::Provider;
use alloy::sol;
use alloy::transports::{RpcError, TransportErrorKind};
use chrono::{TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mpp::protocol::core::{PaymentCredential, PaymentPayload};
use mpp::protocol::intents::ChargeRequest;
use mpp::protocol::methods::tempo::ChargeMethod;
use mpp::protocol::methods::tempo::transaction::TempoTransactionRequest;
use mpp::protocol::traits::{ChargeMethod as _, ErrorCode, VerificationError};
use mpp::server::{TempoProvider, tempo_provider};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::mpp::{Credential, Terms};
use super::settle::{Outcome, Rejection, Settler};
use crate::base::Pii;
use crate::store::claims::NewClaim;

sol! {
    /// What is asked of a TIP-20 token.
    #[sol(rpc)]
    interface Token {
        function decimals() external view returns (uint8);
    }
}

/// Six: one unit is one millionth of a dollar.
const DECIMALS: u8 = 6;
/// A chain that does not answer a question by now does not answer.
const QUESTION: Duration = Duration::from_secs(15);
/// A node that sends a transaction answers when it is in a block.
const SEND: Duration = Duration::from_secs(20);
/// After a transaction's last second, a block that holds it may take this long to be seen.
const AFTER_EXPIRY: TimeDelta = TimeDelta::seconds(60);
/// EIP-7966: sent, and not in a block yet.
const NOT_MINED_YET: i64 = 4;

/// Cheap to clone.
#[derive(Clone)]
pub struct Tempo {
    pub(super) terms: Terms,
    pub(super) provider: TempoProvider,
    charges: ChargeMethod<TempoProvider>,
    /// Done at the first payment: a node starts without its chain.
    checked: Arc<OnceCell<()>>,
}

/// Why a chain cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TempoError {
    #[error("the RPC endpoint of tempo is no URL")]
    Url,
    // What a provider says may quote its URL, which may hold a key.
    #[error("the RPC endpoint of tempo does not answer")]
    Unreachable,
    #[error("the RPC endpoint configured for tempo serves chain {found}, not {expected}")]
    OtherChain { expected: u64, found: u64 },
    #[error("the currency configured for tempo is no token with {DECIMALS} decimals")]
    Currency,
}

/// A transaction that is to be sent.
struct Signed {
    raw: Bytes,
    hash: B256,
    request: TempoTransactionRequest,
    nonce: u64,
    nonce_key: U256,
    /// Seconds since 1970.
    valid_before: Option<u64>,
}

impl Tempo {
    pub fn new(rpc: &Pii<String>, terms: Terms) -> Result<Tempo, TempoError> {
        let provider = tempo_provider(rpc.expose()).map_err(|_| TempoError::Url)?;
        // Single use is the store's rule, so that the crate needs no store of its own.
        let charges = ChargeMethod::new(provider.clone());
        Ok(Tempo { terms, charges, provider, checked: Arc::default() })
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// CAIP-2.
    pub fn network(&self) -> String {
        self.terms.network()
    }

    /// Compares the chain's id and the token's decimals with what this node offers.
    pub async fn check(&self) -> Result<(), TempoError> {
        let found = ask(self.provider.get_chain_id()).await?;
        if found != self.terms.chain_id {
            return Err(TempoError::OtherChain { expected: self.terms.chain_id, found });
        }
        let currency: Address = self.terms.currency.as_str().parse().map_err(|_| TempoError::Currency)?;
        let token = Token::new(currency, &self.provider);
        let decimals = tokio::time::timeout(QUESTION, token.decimals().call().into_future()).await;
        match decimals.map_err(|_| TempoError::Unreachable)? {
            Ok(DECIMALS) => Ok(()),
            Err(alloy::contract::Error::TransportError(RpcError::Transport(_))) => {
                Err(TempoError::Unreachable)
            }
            Ok(_) | Err(_) => Err(TempoError::Currency),
        }
    }

    async fn verify(&self, offer: &NewClaim) -> Result<(), Rejection> {
        let credential = Credential::offered(offer).ok_or_else(|| refused("the payment is none of mpp"))?;
        if credential.expires <= Utc::now() {
            return Err(refused("the challenge has expired"));
        }
        self.checked.get_or_try_init(|| self.check()).await.map_err(unavailable)?;
        self.validate(&credential.sent).await.map_err(rejection)?;
        match credential.payload.signed_tx() {
            Some(raw) => self.can_be_sent(&credential, &self.decode(raw)?).await,
            None => Ok(()),
        }
    }

    /// What the crate verifies without moving anything: of a transaction its calls, of a hash its receipt.
    async fn validate(&self, credential: &PaymentCredential) -> Result<(), VerificationError> {
        let request: ChargeRequest =
            credential.challenge.request.decode().map_err(|_| {
                VerificationError::invalid_challenge("the challenge's request cannot be read")
            })?;
        let validation = self.charges.validate(credential, &request);
        match tokio::time::timeout(QUESTION, validation).await {
            Ok(validation) => validation.map(drop),
            Err(_) => Err(VerificationError::network_error("no answer in time")),
        }
    }

    fn decode(&self, raw: &str) -> Result<Signed, Rejection> {
        let no_transaction = || refused("the transaction cannot be read");
        let raw: Bytes = raw.parse().map_err(|_| no_transaction())?;
        let envelope = envelope_of(&self.provider, &raw).ok_or_else(no_transaction)?;
        let nonce_key = envelope.nonce_key().ok_or_else(no_transaction)?;
        Ok(Signed {
            hash: keccak256(&raw),
            nonce: envelope.nonce(),
            nonce_key,
            valid_before: envelope.valid_before(),
            request: envelope.into(),
            raw,
        })
    }

    /// Whether a transaction would go through now, and whether it will be known if it never does.
    async fn can_be_sent(&self, credential: &Credential, signed: &Signed) -> Result<(), Rejection> {
        let account = address(credential);
        if ask(self.provider.get_transaction_receipt(signed.hash)).await.map_err(unavailable)?.is_some() {
            return Ok(());
        }
        if signed.valid_before.is_none() && !signed.nonce_key.is_zero() {
            return Err(refused("the transaction needs valid_before, or the nonce key 0"));
        }
        let now = u64::try_from(Utc::now().timestamp()).unwrap_or_default();
        if signed.valid_before.is_some_and(|last| last <= now) {
            return Err(refused("the transaction has expired"));
        }
        if signed.nonce_key.is_zero() {
            let next = ask(self.provider.get_transaction_count(account)).await.map_err(unavailable)?;
            if next != signed.nonce {
                return Err(refused("the transaction has another nonce than the account's next"));
            }
        }
        self.simulate(account, signed).await
    }

    /// A transfer that fails is refused here, before the work is set aside.
    async fn simulate(&self, payer: Address, signed: &Signed) -> Result<(), Rejection> {
        let mut request = TempoTransactionRequest::default();
        request.inner.from = Some(payer);
        match signed.request.calls.as_slice() {
            // As any chain takes it; some read `calls` only where a transaction is sent.
            [call] => {
                request.inner.to = Some(call.to);
                request.inner.input = call.input.clone().into();
            }
            calls => request.calls = calls.to_vec(),
        }
        match tokio::time::timeout(QUESTION, self.provider.call(request).into_future()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RpcError::ErrorResp(error))) => {
                Err(refused(&format!("the transfer fails: {}", error.message)))
            }
            Ok(Err(_)) | Err(_) => Err(unavailable(TempoError::Unreachable)),
        }
    }

    async fn settle(&self, offer: &NewClaim) -> Outcome {
        let Some(credential) = Credential::offered(offer) else { return unreadable() };
        let Some(raw) = credential.payload.signed_tx() else { return self.look_up(offer).await };
        let Ok(signed) = self.decode(raw) else { return unreadable() };
        let answer = tokio::time::timeout(SEND, self.send(&signed)).await;
        let known = self.look_up(offer).await;
        match (known, answer) {
            (Outcome::Unknown { .. }, Ok(Err(RpcError::ErrorResp(error))))
                if is_refusal(error.code, &error.message) =>
            {
                Outcome::Failed { reason: format!("the chain refused the transaction: {}", error.message) }
            }
            (known, _) => known,
        }
    }

    async fn send(&self, signed: &Signed) -> Result<Value, RpcError<TransportErrorKind>> {
        self.provider.raw_request("eth_sendRawTransactionSync".into(), [signed.raw.to_string()]).await
    }

    /// By the receipt, which is verified like that of a transaction which the payer has sent.
    async fn look_up(&self, offer: &NewClaim) -> Outcome {
        let Some(credential) = Credential::offered(offer) else { return unreadable() };
        // Before the question, so that a transfer between the two is not taken for one that cannot come.
        let (hash, over) = match credential.payload.signed_tx() {
            Some(raw) => match self.decode(raw) {
                Ok(signed) => (signed.hash.to_string(), self.is_over(&credential, &signed).await),
                Err(_) => return unreadable(),
            },
            None => (credential.payload.data().to_owned(), credential.expires + AFTER_EXPIRY < Utc::now()),
        };
        let payload = serde_json::to_value(PaymentPayload::hash(&hash)).unwrap_or_default();
        let sent = PaymentCredential { payload, ..credential.sent };
        match self.validate(&sent).await {
            Ok(()) => Outcome::Settled { transaction: hash },
            Err(error) if error.code == Some(ErrorCode::NotFound) && over => {
                Outcome::Failed { reason: "the transaction expired unused".into() }
            }
            Err(error) if error.code == Some(ErrorCode::NotFound) => {
                Outcome::Unknown { detail: "not on the chain yet".into() }
            }
            Err(error) if is_the_chains_fault(&error) => {
                Outcome::Unknown { detail: TempoError::Unreachable.to_string() }
            }
            Err(error) => Outcome::Failed { reason: error.message },
        }
    }

    /// Whether a transaction that is in no block never will be: its time or its nonce has passed.
    async fn is_over(&self, credential: &Credential, signed: &Signed) -> bool {
        let last = signed.valid_before.and_then(|seconds| i64::try_from(seconds).ok());
        if last.is_some_and(|last| Utc::now().timestamp() > last.saturating_add(AFTER_EXPIRY.num_seconds())) {
            return true;
        }
        let next = ask(self.provider.get_transaction_count(address(credential))).await;
        signed.nonce_key.is_zero() && next.is_ok_and(|next| next > signed.nonce)
    }
}

impl Settler for Tempo {
    fn verify<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Result<(), Rejection>> {
        self.verify(offer).boxed()
    }

    fn settle<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        self.settle(offer).boxed()
    }

    fn look_up<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        self.look_up(offer).boxed()
    }

    fn is_prepaid(&self, offer: &NewClaim) -> bool {
        Credential::offered(offer).is_some_and(|credential| credential.payload.is_hash())
    }
}

/// The transaction in the chain's own form, whose type only the provider can name.
fn envelope_of<N: Network, P: Provider<N>>(_: &P, mut raw: &[u8]) -> Option<N::TxEnvelope> {
    N::TxEnvelope::decode_2718(&mut raw).ok().filter(|_| raw.is_empty())
}

async fn ask<T, E>(question: impl IntoFuture<Output = Result<T, E>>) -> Result<T, TempoError> {
    match tokio::time::timeout(QUESTION, question.into_future()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(TempoError::Unreachable),
    }
}

fn address(credential: &Credential) -> Address {
    credential.payer.as_str().parse().unwrap_or_default()
}

fn refused(reason: &str) -> Rejection {
    Rejection::Payment(reason.to_owned())
}

fn unavailable(error: TempoError) -> Rejection {
    Rejection::Unavailable(error.to_string())
}

fn rejection(error: VerificationError) -> Rejection {
    if error.code == Some(ErrorCode::NotFound) {
        return Rejection::Unavailable("the transaction is not on the chain yet".into());
    }
    if is_the_chains_fault(&error) {
        return unavailable(TempoError::Unreachable);
    }
    Rejection::Payment(error.message)
}

fn is_the_chains_fault(error: &VerificationError) -> bool {
    let code = [ErrorCode::NetworkError, ErrorCode::Internal, ErrorCode::ChainIdMismatch];
    error.retryable || error.code.is_some_and(|found| code.contains(&found))
}

/// Whether the chain has said that it will not take a transaction, rather than that it has it already.
fn is_refusal(code: i64, message: &str) -> bool {
    code != NOT_MINED_YET && !message.contains("already")
}

fn unreadable() -> Outcome {
    Outcome::Unknown { detail: "the payment of a claim cannot be read".into() }
}

#[cfg(test)]
#[path = "tempo_tests.rs"]
mod tests;
