//! The node's HTTP API, as far as a call needs it.

use std::time::Duration;

use anyhow::{Context, anyhow};
use callbox::{
    base::Pii,
    node::{NodeConfig, api_key},
};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::sse::Events;

/// For a request that is answered at once; live events have no limit.
const PATIENCE: Duration = Duration::from_secs(35);
/// For a model to load; the node itself gives up earlier.
const LOADING: Duration = Duration::from_secs(180);

pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Pii<String>,
}

impl Client {
    /// A client of the node at `url`, or of the one that this configuration describes.
    pub fn of(config: &NodeConfig, url: Option<&str>) -> anyhow::Result<Client> {
        let found = api_key::find(config)?.with_context(|| {
            format!(
                "no API key: set `http.api_key` (or CALLBOX__HTTP__API_KEY), or run where the node keeps {}",
                api_key::file_of(config).display()
            )
        })?;
        let url = url.map_or_else(|| config.http.local_url(), str::to_owned);
        Client::new(&url, found.key)
    }

    /// `base` is the node's URL.
    pub fn new(base: &str, key: Pii<String>) -> anyhow::Result<Client> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).build()?;
        Ok(Client { http, base: base.trim_end_matches('/').to_owned(), key })
    }

    /// The new call's id.
    pub async fn place(&self, body: &Value) -> anyhow::Result<String> {
        let request = self.http.post(self.path("/api/call")).json(body).timeout(PATIENCE);
        let answer: Value = self.send(request).await?.json().await.context("the node's answer is no JSON")?;
        let id = answer["call_id"].as_str().context("the node's answer has no `call_id`: is this a node?")?;
        Ok(id.to_owned())
    }

    pub async fn read(&self, call: &str) -> anyhow::Result<Value> {
        let request = self.http.get(self.path(&format!("/api/call/{call}"))).timeout(PATIENCE);
        self.send(request).await?.json().await.context("the node's answer is no JSON")
    }

    /// Returns once the model answers in the place of its predecessor.
    pub async fn use_model(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        let body = json!({ "kind": kind, "name": name });
        let request = self.http.post(self.path("/admin/models/use")).json(&body).timeout(LOADING);
        self.send(request).await.map(drop)
    }

    /// A call that has ended meanwhile is no error.
    pub async fn hang_up(&self, call: &str) -> anyhow::Result<()> {
        let request = self.http.post(self.path(&format!("/api/call/{call}/hangup"))).timeout(PATIENCE);
        let response = self.authorised(request).send().await.map_err(|error| self.unreachable(error))?;
        if response.status() == StatusCode::CONFLICT {
            return Ok(());
        }
        self.checked(response).await.map(drop)
    }

    pub async fn events(&self, call: &str) -> anyhow::Result<Events> {
        let request = self.http.get(self.path(&format!("/api/call/{call}/events")));
        Ok(Events::new(self.send(request).await?))
    }

    /// Waits until nothing more comes for the call.
    pub async fn wait(&self, call: &str) -> anyhow::Result<()> {
        let mut events = self.events(call).await?;
        while events.next().await?.is_some() {}
        Ok(())
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.bearer_auth(self.key.expose())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Response> {
        let response = self.authorised(request).send().await.map_err(|error| self.unreachable(error))?;
        self.checked(response).await
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        if error.is_connect() {
            return anyhow!(
                "no node answers at {}: start one with `callbox serve`, or name another with --url",
                self.base
            );
        }
        if error.is_timeout() {
            return anyhow!("the node at {} does not answer; its log may say why", self.base);
        }
        anyhow::Error::new(error).context(format!("asking the node at {}", self.base))
    }

    /// An answer that is no success, in the node's own words where it has some.
    async fn checked(&self, response: Response) -> anyhow::Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(anyhow!(
                "the node at {} has another API key; set its own as CALLBOX__HTTP__API_KEY",
                self.base
            ));
        }
        let answer: Value = response.json().await.unwrap_or_default();
        Err(refusal(&answer).unwrap_or_else(|| anyhow!("the node at {} answered {status}", self.base)))
    }
}

/// Every field that was wrong, a line each.
fn refusal(answer: &Value) -> Option<anyhow::Error> {
    let line = |error: &Value| {
        let message = error["message"].as_str()?;
        Some(match error["fix"].as_str() {
            Some(fix) => format!("{message}; {fix}"),
            None => message.to_owned(),
        })
    };
    let lines: Vec<String> = match answer["errors"].as_array() {
        Some(errors) => errors.iter().filter_map(line).collect(),
        None => line(&answer["error"]).into_iter().collect(),
    };
    (!lines.is_empty()).then(|| anyhow!("the node refused: {}", lines.join("\n  ")))
}
