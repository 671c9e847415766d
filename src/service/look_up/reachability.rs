//! Who knows whether a number has iMessage and FaceTime. Apple has no public interface for it: an operator
//! names a Mac of their own (a BlueBubbles server) or any program that answers over HTTP.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};

use super::{bluebubbles::BlueBubbles, carriers, over_http::OverHttp};
use crate::{
    base::{E164, Pii},
    store::lookups::Reach,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub provider: Provider,
    /// Base URL of the BlueBubbles server, or the URL to post to.
    pub url: String,
    /// The BlueBubbles server's password, or a bearer token.
    pub password: Pii<String>,
    /// Seconds until a question that has no answer counts as failed.
    pub timeout_secs: u64,
    pub carrier: carriers::Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Nobody: everything is unknown.
    None,
    BlueBubbles,
    Http,
}

/// Asks somebody on which of Apple's services a number is.
pub trait Reachability: Send + Sync + 'static {
    fn ask<'a>(&'a self, number: &'a E164) -> BoxFuture<'a, Result<Reach, ReachError>>;

    /// Whether it can ever say anything.
    fn knows(&self) -> bool {
        true
    }
}

/// Why nobody answered, of those whom `[lookup]` names; for the operator's log. Holds no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    #[error("its URL does not answer: {0}")]
    Unreachable(String),
    #[error("its URL answers with status {0}; is its password right?")]
    Status(u16),
    #[error("its URL answers something else than expected")]
    Malformed,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    #[error("lookup.url: must begin with http:// or https:// where lookup.provider is not \"none\"")]
    Url,
    #[error("lookup.carrier.url: must begin with http:// or https://, or be empty")]
    CarrierUrl,
    #[error("lookup: the HTTP client cannot start: {0}")]
    Client(String),
}

impl Config {
    pub fn build(&self) -> Result<Arc<dyn Reachability>, ConfigProblem> {
        if self.provider == Provider::None {
            return Ok(Arc::new(Nobody));
        }
        if !["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            return Err(ConfigProblem::Url);
        }
        let client = reqwest::Client::builder()
            .user_agent("Callbox")
            .timeout(Duration::from_secs(self.timeout_secs))
            .build()
            .map_err(|error| ConfigProblem::Client(error.to_string()))?;
        Ok(match self.provider {
            Provider::Http => Arc::new(OverHttp::new(client, &self.url, self.password.clone())),
            _ => Arc::new(BlueBubbles::new(client, &self.url, self.password.clone())),
        })
    }
}

/// Knows nothing.
pub struct Nobody;

impl Reachability for Nobody {
    fn ask<'a>(&'a self, _: &'a E164) -> BoxFuture<'a, Result<Reach, ReachError>> {
        std::future::ready(Ok(Reach::UNKNOWN)).boxed()
    }

    fn knows(&self) -> bool {
        false
    }
}

/// The URL holds the number and perhaps the password.
pub(super) fn unreachable(error: reqwest::Error) -> ReachError {
    if error.is_timeout() {
        return ReachError::Unreachable("no answer in its timeout_secs".to_owned());
    }
    ReachError::Unreachable(error.without_url().to_string())
}
