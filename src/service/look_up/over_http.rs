//! Any program that answers over HTTP: `POST {"phone_number": "+1…"}` gives `{"imessage", "facetime"}`, each
//! `"available"`, `"unavailable"`, `"unknown"`, true, false or null.

use futures_util::{FutureExt, future::BoxFuture};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    bluebubbles::presence,
    reachability::{ReachError, Reachability, unreachable},
};
use crate::{
    base::{E164, Pii},
    store::lookups::{Presence, Reach},
};

pub struct OverHttp {
    client: Client,
    url: String,
    /// Empty: none is sent.
    token: Pii<String>,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    imessage: Value,
    #[serde(default)]
    facetime: Value,
}

impl OverHttp {
    pub fn new(client: Client, url: &str, token: Pii<String>) -> OverHttp {
        OverHttp { client, url: url.to_owned(), token }
    }

    async fn reach(&self, number: &E164) -> Result<Reach, ReachError> {
        let mut request = self.client.post(&self.url).json(&json!({ "phone_number": number }));
        if !self.token.expose().is_empty() {
            request = request.bearer_auth(self.token.expose());
        }
        let response = request.send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(ReachError::Status(response.status().as_u16()));
        }
        let told: Told = response.json().await.map_err(|_| ReachError::Malformed)?;
        Ok(Reach { imessage: read(&told.imessage)?, facetime: read(&told.facetime)? })
    }
}

impl Reachability for OverHttp {
    fn ask<'a>(&'a self, number: &'a E164) -> BoxFuture<'a, Result<Reach, ReachError>> {
        self.reach(number).boxed()
    }
}

fn read(told: &Value) -> Result<Presence, ReachError> {
    match told {
        Value::Null => Ok(Presence::Unknown),
        Value::Bool(available) => Ok(presence(*available)),
        Value::String(word) => word.parse().map_err(|_| ReachError::Malformed),
        _ => Err(ReachError::Malformed),
    }
}
