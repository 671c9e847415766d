//! Who knows which carrier has a number now, and whether its SIM was swapped or its calls are forwarded:
//! databases of carriers, which cost money. An operator names a program that asks one of them.
//!
//! The program answers `POST {"phone_number": "+1…", "signals": ["carrier", "sim_swap", "call_forwarding"]}`
//! with `{"carrier": {"name", "type", "mobile_country_code", "mobile_network_code"}, "sim_swap": {"last_at",
//! "in_period", "period"}, "call_forwarding"}`. What it does not know it leaves out or says is null.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{FutureExt, future::BoxFuture};
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reachability::{ConfigProblem, ReachError, unreachable};
use crate::base::{E164, Pii};

/// The `[lookup.carrier]` section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to post to; empty: nobody is asked.
    pub url: String,
    /// Sent as a bearer token; empty: none is.
    pub token: Pii<String>,
    /// Seconds until a question that has no answer counts as failed.
    pub timeout_secs: u64,
}

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Carrier,
    /// The signs of fraud as well.
    Fraud,
}

impl Depth {
    fn signals(self) -> &'static [&'static str] {
        match self {
            Depth::Carrier => &["carrier"],
            Depth::Fraud => &["carrier", "sim_swap", "call_forwarding"],
        }
    }
}

/// What is known; what is none nobody could say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Known {
    pub carrier: Option<Carrier>,
    pub sim_swap: Option<SimSwap>,
    /// Whether calls to the number go to another one.
    pub call_forwarding: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carrier {
    pub name: Option<String>,
    /// `mobile`, `landline`, `voip` and what else the database calls it.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub mobile_country_code: Option<String>,
    pub mobile_network_code: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimSwap {
    pub last_at: Option<DateTime<Utc>>,
    /// Whether that was within the period that the database looks at.
    pub in_period: Option<bool>,
    /// ISO 8601, such as `PT24H`.
    pub period: Option<String>,
}

/// Asks somebody about a number's carrier.
pub trait Carriers: Send + Sync + 'static {
    fn ask<'a>(&'a self, number: &'a E164, depth: Depth) -> BoxFuture<'a, Result<Known, ReachError>>;

    /// Whether it can ever say anything.
    fn knows(&self) -> bool {
        true
    }
}

/// Knows nothing.
pub struct NoCarriers;

impl Carriers for NoCarriers {
    fn ask<'a>(&'a self, _: &'a E164, _: Depth) -> BoxFuture<'a, Result<Known, ReachError>> {
        std::future::ready(Ok(Known::default())).boxed()
    }

    fn knows(&self) -> bool {
        false
    }
}

struct OverHttp {
    client: Client,
    url: String,
    token: Pii<String>,
}

impl OverHttp {
    async fn known(&self, number: &E164, depth: Depth) -> Result<Known, ReachError> {
        let question = json!({ "phone_number": number, "signals": depth.signals() });
        let mut request = self.client.post(&self.url).json(&question);
        if !self.token.expose().is_empty() {
            request = request.bearer_auth(self.token.expose());
        }
        let response = request.send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(ReachError::Status(response.status().as_u16()));
        }
        response.json().await.map_err(|_| ReachError::Malformed)
    }
}

impl Carriers for OverHttp {
    fn ask<'a>(&'a self, number: &'a E164, depth: Depth) -> BoxFuture<'a, Result<Known, ReachError>> {
        self.known(number, depth).boxed()
    }
}

impl Config {
    pub fn build(&self) -> Result<Arc<dyn Carriers>, ConfigProblem> {
        if self.url.is_empty() {
            return Ok(Arc::new(NoCarriers));
        }
        if !["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            return Err(ConfigProblem::CarrierUrl);
        }
        let client = Client::builder()
            .user_agent("Callbox")
            .timeout(Duration::from_secs(self.timeout_secs))
            .build()
            .map_err(|error| ConfigProblem::Client(error.to_string()))?;
        Ok(Arc::new(OverHttp { client, url: self.url.clone(), token: self.token.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, http::HeaderMap, routing::post};
    use serde_json::Value;

    use super::*;

    async fn asked(answer: Value, depth: Depth) -> (Result<Known, ReachError>, Value) {
        let heard = Arc::new(parking_lot::Mutex::new(Value::Null));
        let ear = heard.clone();
        let routes = Router::new().route(
            "/",
            post(async move |headers: HeaderMap, Json(question): Json<Value>| {
                assert_eq!(headers["authorization"], "Bearer secret");
                *ear.lock() = question;
                Json(answer)
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let config = Config { url, token: Pii::new("secret".into()), timeout_secs: 20 };
        let known = config.build().unwrap().ask(&"+14155550123".parse().unwrap(), depth).await;
        let question = heard.lock().clone();
        (known, question)
    }

    #[tokio::test]
    async fn a_program_is_asked_for_what_is_sold_and_may_know_a_part() {
        let (known, question) = asked(json!({ "carrier": { "name": "Example" } }), Depth::Carrier).await;
        assert_eq!(question, json!({ "phone_number": "+14155550123", "signals": ["carrier"] }));
        let known = known.unwrap();
        assert_eq!(known.carrier.unwrap().name.as_deref(), Some("Example"));
        assert_eq!((known.sim_swap, known.call_forwarding), (None, None));

        let all = json!({
            "carrier": null,
            "sim_swap": { "last_at": "2026-01-02T03:04:05Z", "in_period": false, "period": "PT24H" },
            "call_forwarding": true,
        });
        let (known, question) = asked(all, Depth::Fraud).await;
        assert_eq!(question["signals"], json!(["carrier", "sim_swap", "call_forwarding"]));
        let known = known.unwrap();
        assert_eq!((known.call_forwarding, known.sim_swap.unwrap().in_period), (Some(true), Some(false)));
    }

    #[tokio::test]
    async fn an_answer_of_another_shape_is_an_error() {
        let (known, _) = asked(json!({ "call_forwarding": "perhaps" }), Depth::Fraud).await;
        assert_eq!(known, Err(ReachError::Malformed));
    }

    #[test]
    fn a_url_of_another_scheme_is_refused() {
        let config = Config { url: "ftp://x".into(), token: Pii::new(String::new()), timeout_secs: 1 };
        assert!(matches!(config.build(), Err(ConfigProblem::CarrierUrl)));
    }
}
