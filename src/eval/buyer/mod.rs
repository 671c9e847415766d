//! An agent with a wallet that buys over HTTP, as x402's published clients do: it asks, reads the price in
//! the 402, signs, and asks again with the payment.
//!
//! In: a URL, a body, a limit. Out: what was bought, and the transaction that paid it. It knows of a node
//! what any stranger does: x402 version 2 as it is on the wire (github.com/coinbase/x402, specs/
//! x402-specification-v2.md).

mod offer;

use std::time::Duration;

use alloy::{
    primitives::{Address, B256},
    signers::local::PrivateKeySigner,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;

pub use self::offer::{NotUnderstood, Offer};
use crate::base::{Usd, Wallet};

/// Headers of the 402, of the payment, and of its receipt.
const REQUIRED: &str = "payment-required";
const SIGNATURE: &str = "payment-signature";
const RESPONSE: &str = "payment-response";

/// A paid request is answered once the money has moved.
const PATIENCE: Duration = Duration::from_secs(120);
/// An authorisation is valid from so many seconds ago: clocks differ.
const BACKDATED_SECS: i64 = 600;

pub struct Buyer {
    key: PrivateKeySigner,
    pub wallet: Wallet,
    /// The most that it pays for one thing.
    limit: Usd,
    http: reqwest::Client,
}

/// What was paid for.
#[derive(Debug, Clone, PartialEq)]
pub struct Bought {
    pub answer: Value,
    /// The hash of the transaction that moved the money.
    pub transaction: String,
}

#[derive(Debug, thiserror::Error)]
pub enum BuyError {
    #[error("the seller cannot be asked")]
    Http(#[from] reqwest::Error),
    #[error("the seller answers {status} where it should name a price: {answer}")]
    NotForSale { status: StatusCode, answer: Value },
    #[error(transparent)]
    NotUnderstood(#[from] NotUnderstood),
    #[error("it costs {price} dollars, and at most {limit} are paid for one thing")]
    TooDear { price: Usd, limit: Usd },
    #[error("the seller answers {status} to the payment: {answer}")]
    Refused { status: StatusCode, answer: Value },
    #[error("the seller hands over without a receipt of the payment")]
    NoReceipt,
}

impl Buyer {
    /// With a new wallet, which has nothing yet.
    pub fn new(limit: Usd) -> Result<Buyer, BuyError> {
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let key = PrivateKeySigner::random();
        Ok(Buyer { wallet: wallet_of(&key), key, limit, http })
    }

    /// What a request costs. It is sent without a payment.
    pub async fn ask(&self, url: &str, body: &Value) -> Result<Offer, BuyError> {
        let response = self.request(url, body).send().await?;
        if response.status() != StatusCode::PAYMENT_REQUIRED {
            let status = response.status();
            return Err(BuyError::NotForSale { status, answer: response.json().await.unwrap_or_default() });
        }
        let challenge = decoded(&response, REQUIRED).ok_or(NotUnderstood::Header(REQUIRED))?;
        Ok(Offer::among(&challenge)?)
    }

    /// Sends the request with a payment of what was offered.
    pub async fn pay(&self, offer: &Offer, url: &str, body: &Value) -> Result<Bought, BuyError> {
        if offer.price() > self.limit {
            return Err(BuyError::TooDear { price: offer.price(), limit: self.limit });
        }
        let now = Utc::now().timestamp();
        let valid = now - BACKDATED_SECS..now.saturating_add_unsigned(offer.timeout_secs());
        let payment = offer.pay(&self.key, valid, B256::from(rand::random::<[u8; 32]>()));
        let payment = STANDARD.encode(payment.to_string());
        let response = self.request(url, body).header(SIGNATURE, payment).send().await?;
        let (status, receipt) = (response.status(), decoded(&response, RESPONSE));
        let answer = response.json().await.unwrap_or_default();
        if !status.is_success() {
            return Err(BuyError::Refused { status, answer });
        }
        let receipt = receipt.ok_or(BuyError::NoReceipt)?;
        let transaction = receipt["transaction"].as_str().ok_or(BuyError::NoReceipt)?.to_owned();
        Ok(Bought { answer, transaction })
    }

    fn request(&self, url: &str, body: &Value) -> RequestBuilder {
        self.http.post(url).json(body)
    }
}

/// The address of a key.
pub fn wallet_of(key: &PrivateKeySigner) -> Wallet {
    wallet(key.address())
}

fn wallet(address: Address) -> Wallet {
    address.to_string().parse().expect("an address is a wallet")
}

fn decoded(response: &reqwest::Response, header: &str) -> Option<Value> {
    let bytes = STANDARD.decode(response.headers().get(header)?.as_bytes()).ok()?;
    serde_json::from_slice(&bytes).ok()
}
