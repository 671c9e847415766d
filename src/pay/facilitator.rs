//! Settlement by a facilitator: a service that verifies and settles for others (x402 specification,
//! "Facilitator Interface"). What became of a payment is asked of the chain all the same: an answer that is
//! lost on the way says nothing.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::evm::{Chain, ChainError, ExactEvm, request};
use super::settle::{Outcome, Rejection};
use super::x402::{Payment, Requirement};
use crate::base::Wallet;

const VERIFY: Duration = Duration::from_secs(15);
/// A facilitator answers when the transaction is in a block.
const SETTLE: Duration = Duration::from_secs(60);

/// One that serves this chain.
pub struct Facilitator<C> {
    client: reqwest::Client,
    url: String,
    pub(super) chain: C,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    is_valid: bool,
    invalid_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settled {
    success: bool,
    error_reason: Option<String>,
    transaction: Option<String>,
}

#[derive(Deserialize)]
struct Supported {
    kinds: Vec<Value>,
}

impl<C> Facilitator<C> {
    /// `url` is what `/verify`, `/settle` and `/supported` are appended to.
    pub fn new(client: reqwest::Client, url: &str, chain: C) -> Facilitator<C> {
        Facilitator { client, url: url.trim_end_matches('/').to_owned(), chain }
    }

    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<T, reqwest::Error> {
        let response =
            self.client.post(format!("{}{path}", self.url)).timeout(limit).json(body).send().await?;
        // A refusal is told with a status of 400 and the same body.
        response.json().await
    }

    pub(super) async fn ask_verify(&self, request: &Value) -> Result<(), Rejection> {
        match self.post::<Verified>("/verify", request, VERIFY).await {
            Ok(Verified { is_valid: true, .. }) => Ok(()),
            Ok(Verified { invalid_reason, .. }) => {
                Err(Rejection::Payment(invalid_reason.unwrap_or_else(|| "invalid_payment".into())))
            }
            Err(error) => Err(Rejection::Unavailable(error.without_url().to_string())),
        }
    }

    pub(super) async fn ask_settle(&self, request: &Value) -> Outcome {
        match self.post::<Settled>("/settle", request, SETTLE).await {
            Ok(Settled { success: true, transaction, .. }) => {
                Outcome::Settled { transaction: transaction.unwrap_or_default() }
            }
            // "No" may mean "not yet", or that another try got through: the chain decides.
            Ok(Settled { error_reason, .. }) => {
                Outcome::Unknown { detail: error_reason.unwrap_or_else(|| "no reason given".into()) }
            }
            Err(error) => Outcome::Unknown { detail: error.without_url().to_string() },
        }
    }

    /// Whose signature pays for settlements on a network (CAIP-2), where it names one.
    pub async fn fee_payer(&self, network: &str) -> Result<Option<Wallet>, reqwest::Error> {
        let answer = self.client.get(format!("{}/supported", self.url)).timeout(VERIFY).send().await?;
        let Supported { kinds } = answer.error_for_status()?.json().await?;
        let is_it = |kind: &&Value| {
            kind["x402Version"] == 2 && kind["scheme"] == "exact" && kind["network"] == network
        };
        let named = kinds.iter().find(is_it).and_then(|kind| kind["extra"]["feePayer"].as_str());
        Ok(named.and_then(|address| address.parse().ok()))
    }
}

impl ExactEvm for Facilitator<Chain> {
    fn chain(&self) -> &Chain {
        &self.chain
    }

    async fn verify(&self, payment: &Payment, requirement: &Requirement) -> Result<(), Rejection> {
        self.ask_verify(&request(payment, requirement)).await
    }

    async fn settle(&self, payment: &Payment, requirement: &Requirement) -> Outcome {
        self.ask_settle(&request(payment, requirement)).await
    }

    /// It sends from an account of its own, and knows what it has sent.
    async fn has_waiting(&self) -> Result<bool, ChainError> {
        Ok(false)
    }
}
