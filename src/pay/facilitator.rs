//! Settlement by a facilitator: a service that verifies and settles for others (x402 specification,
//! "Facilitator Interface"). What became of a payment is asked of the chain all the same: an answer that is
//! lost on the way says nothing.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::evm::{Chain, ChainError, ExactEvm, request};
use super::settle::{Outcome, Rejection};
use super::x402::{Payment, Requirement};

const VERIFY: Duration = Duration::from_secs(15);
/// A facilitator answers when the transaction is in a block.
const SETTLE: Duration = Duration::from_secs(60);

pub struct Facilitator {
    client: reqwest::Client,
    url: String,
    chain: Chain,
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

impl Facilitator {
    /// `url` is what `/verify` and `/settle` are appended to.
    pub fn new(client: reqwest::Client, url: &str, chain: Chain) -> Facilitator {
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
}

impl ExactEvm for Facilitator {
    fn chain(&self) -> &Chain {
        &self.chain
    }

    async fn verify(&self, payment: &Payment, requirement: &Requirement) -> Result<(), Rejection> {
        let answer: Result<Verified, _> = self.post("/verify", &request(payment, requirement), VERIFY).await;
        match answer {
            Ok(Verified { is_valid: true, .. }) => Ok(()),
            Ok(Verified { invalid_reason, .. }) => {
                Err(Rejection::Payment(invalid_reason.unwrap_or_else(|| "invalid_payment".into())))
            }
            Err(error) => Err(Rejection::Unavailable(error.without_url().to_string())),
        }
    }

    async fn settle(&self, payment: &Payment, requirement: &Requirement) -> Outcome {
        let answer: Result<Settled, _> = self.post("/settle", &request(payment, requirement), SETTLE).await;
        match answer {
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

    /// It sends from an account of its own, and knows what it has sent.
    async fn has_waiting(&self) -> Result<bool, ChainError> {
        Ok(false)
    }
}
