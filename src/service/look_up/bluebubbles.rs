//! A BlueBubbles server (bluebubbles.app): a Mac that is signed in to iMessage. Its private API must be on.
//!
//! `GET /api/v1/handle/availability/{imessage,facetime}?address=…&password=…` answers
//! `{"status": 200, "data": {"available": true}}`.

use futures_util::{FutureExt, future::BoxFuture};
use reqwest::Client;
use serde::Deserialize;

use super::reachability::{ReachError, Reachability, unreachable};
use crate::{
    base::{E164, Pii},
    store::lookups::{Presence, Reach},
};

pub struct BlueBubbles {
    client: Client,
    /// Without a slash at its end.
    url: String,
    password: Pii<String>,
}

#[derive(Deserialize)]
struct Told {
    data: Availability,
}

#[derive(Deserialize)]
struct Availability {
    available: Option<bool>,
}

impl BlueBubbles {
    pub fn new(client: Client, url: &str, password: Pii<String>) -> BlueBubbles {
        BlueBubbles { client, url: url.trim_end_matches('/').to_owned(), password }
    }

    async fn available(&self, service: &str, number: &E164) -> Result<Presence, ReachError> {
        let url = format!("{}/api/v1/handle/availability/{service}", self.url);
        let mut url: reqwest::Url = url.parse().map_err(|_| ReachError::Malformed)?;
        url.query_pairs_mut()
            .append_pair("address", number.as_str())
            .append_pair("password", self.password.expose());
        let response = self.client.get(url).send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(ReachError::Status(response.status().as_u16()));
        }
        let told: Told = response.json().await.map_err(|_| ReachError::Malformed)?;
        Ok(told.data.available.map_or(Presence::Unknown, presence))
    }
}

impl Reachability for BlueBubbles {
    fn ask<'a>(&'a self, number: &'a E164) -> BoxFuture<'a, Result<Reach, ReachError>> {
        async {
            let (imessage, facetime) =
                tokio::join!(self.available("imessage", number), self.available("facetime", number));
            // A server on an older macOS knows iMessage alone.
            Ok(Reach { imessage: imessage?, facetime: facetime.unwrap_or(Presence::Unknown) })
        }
        .boxed()
    }
}

pub(super) fn presence(available: bool) -> Presence {
    if available { Presence::Available } else { Presence::Unavailable }
}
