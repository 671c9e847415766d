//! Engines that live behind an OpenAI-compatible HTTP API: vLLM, llama-server, a cluster's gateway.
//!
//! The engine traits are synchronous and called from worker threads, so every [`Endpoint`] owns one
//! thread that drives a current-thread tokio runtime; requests run there, and their results reach the
//! worker through a bounded [`mailbox`]. [`sse`] and [`wire_audio`] read what streams in; [`answer`]
//! judges a response and bounds its size.
//!
//! A failure is always an [`EngineError::Request`]: there is no process to start again, and the next
//! request connects anew. [`EngineError::Died`] is left for the one thing nothing recovers from here,
//! the end of the endpoint's own thread. No message carries the key, the prompt, the transcript or
//! the server's words, which may quote them.

pub mod answer;
pub mod mailbox;
#[cfg(test)]
pub(crate) mod peer;
pub mod sse;
pub mod wire_audio;

use std::{future::Future, net::IpAddr, sync::Arc, sync::mpsc, thread, time::Duration};

use reqwest::{Client, RequestBuilder, Url};
use serde::{Deserialize, Serialize};
use tokio::{runtime, sync::oneshot, task::AbortHandle};

use super::EngineError;
use crate::base::Pii;

/// Where an engine's server is. Part of every OpenAI-compatible engine's configuration, on the same
/// level as the engine's own keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpConfig {
    /// The API's root, such as `http://127.0.0.1:8000/v1`; the paths of the API are added to it.
    pub base_url: String,
    /// Sent as `Authorization: Bearer`; empty sends none.
    #[serde(default)]
    pub api_key: Pii<String>,
    /// The model's name on that server.
    pub model: String,
    /// Longest time for a whole answer.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Longest wait for the next byte of an answer.
    #[serde(default = "default_idle_timeout_ms")]
    pub idle_timeout_ms: u64,
    /// Longest wait for a connection.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Callers served at once; one more is answered [`EngineError::Overloaded`].
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: usize,
    /// Largest answer taken; a larger one fails.
    #[serde(default = "default_max_response_bytes")]
    pub max_response_bytes: usize,
}

fn default_timeout_ms() -> u64 {
    60_000
}
fn default_idle_timeout_ms() -> u64 {
    15_000
}
fn default_connect_timeout_ms() -> u64 {
    2_000
}
fn default_max_concurrent() -> usize {
    64
}
fn default_max_response_bytes() -> usize {
    16 << 20
}

impl HttpConfig {
    /// The defaults for `model` at `base_url`, without a key.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        HttpConfig {
            base_url: base_url.into(),
            api_key: Pii::default(),
            model: model.into(),
            timeout_ms: default_timeout_ms(),
            idle_timeout_ms: default_idle_timeout_ms(),
            connect_timeout_ms: default_connect_timeout_ms(),
            max_concurrent: default_max_concurrent(),
            max_response_bytes: default_max_response_bytes(),
        }
    }

    fn parsed_url(&self) -> Result<Url, EngineError> {
        let bad =
            |why: &str| EngineError::Start(format!("`base_url` {why}, such as http://127.0.0.1:8000/v1"));
        let url = Url::parse(&self.base_url).map_err(|_| bad("must be a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad("must begin with http:// or https:// and name a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("must not hold a password (`api_key` does)"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("must end with a path"));
        }
        Ok(url)
    }
}

/// A server and the thread that talks to it. Clones share both; the thread ends with the last one,
/// and with it every request still under way.
#[derive(Clone)]
pub struct Endpoint {
    config: Arc<HttpConfig>,
    client: Client,
    thread: Arc<RequestThread>,
}

impl Endpoint {
    /// Starts the thread. Connects to nothing yet: a server may come up after this node.
    pub fn new(config: HttpConfig) -> Result<Self, EngineError> {
        let url = config.parsed_url()?;
        let client = client(&config, &url)?;
        Ok(Endpoint { config: Arc::new(config), client, thread: Arc::new(RequestThread::start()?) })
    }

    pub fn config(&self) -> &HttpConfig {
        &self.config
    }

    /// A POST to `path` below the base URL, with the key.
    pub fn post(&self, path: &str) -> RequestBuilder {
        let url = format!("{}/{path}", self.config.base_url.trim_end_matches('/'));
        let request = self.client.post(url);
        match self.config.api_key.expose().as_str() {
            "" => request,
            key => request.bearer_auth(key),
        }
    }

    /// Runs `work` on the endpoint's thread until it ends or the returned [`Running`] is dropped.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Running {
        Running(self.thread.handle.spawn(work).abort_handle())
    }

    /// Runs `work` and waits for its result. Every wait within `work` must have an end of its own.
    pub fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (done, result) = mpsc::sync_channel(1);
        let _running = self.spawn(async move {
            // The receiver waits below; if it is gone, so is the interest in the result.
            let _ = done.send(work.await);
        });
        result.recv().unwrap_or_else(|_| Err(EngineError::Died("the HTTP client's thread has ended".into())))
    }
}

/// A request under way; dropping this drops the request and closes its connection.
#[derive(Debug)]
pub struct Running(AbortHandle);

impl Running {
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn client(config: &HttpConfig, url: &Url) -> Result<Client, EngineError> {
    let mut builder = Client::builder()
        .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
        .read_timeout(Duration::from_millis(config.idle_timeout_ms))
        .timeout(Duration::from_millis(config.timeout_ms))
        .tcp_nodelay(true)
        // A redirected POST loses its body, and the key belongs to one host.
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(url) {
        // A proxy from the environment cannot reach this machine's loopback.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        let why = answer::innermost(&error);
        EngineError::Start(format!("the HTTP client: {why} (TLS needs the system's CA certificates)"))
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
}

struct RequestThread {
    handle: runtime::Handle,
    /// Dropped to end the thread.
    _stop: oneshot::Sender<()>,
}

impl RequestThread {
    fn start() -> Result<Self, EngineError> {
        let cannot = |error: std::io::Error| EngineError::Start(format!("the HTTP client's thread: {error}"));
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("engine-http".into())
            .spawn(move || {
                // Ends when the sender is dropped.
                let _ = runtime.block_on(stopped);
                // Does not wait for a name lookup that hangs.
                runtime.shutdown_background();
            })
            .map_err(cannot)?;
        Ok(RequestThread { handle, _stop: stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(base_url: &str) -> String {
        match Endpoint::new(HttpConfig::new(base_url, "m")) {
            Err(EngineError::Start(why)) => why,
            _ => panic!("{base_url} must be refused"),
        }
    }

    #[test]
    fn a_base_url_that_cannot_work_is_refused_at_start() {
        assert!(refusal("localhost:8000").contains("http://"));
        assert!(refusal("ftp://host/v1").contains("http://"));
        assert!(refusal("http://host/v1?x=1").contains("path"));
        let with_password = refusal("http://user:hunter2@host/v1");
        assert!(with_password.contains("api_key") && !with_password.contains("hunter2"));
    }

    #[test]
    fn the_key_is_not_printed() {
        let mut config = HttpConfig::new("http://host/v1", "m");
        config.api_key = Pii::new("sk-secret".into());
        assert!(!format!("{config:?}").contains("sk-secret"));
    }

    #[test]
    fn work_gives_its_result_to_the_waiting_thread() {
        let endpoint = Endpoint::new(HttpConfig::new("http://127.0.0.1:9/v1", "m")).unwrap();
        assert_eq!(endpoint.wait(async { Ok(7) }).unwrap(), 7);
        let failed: Result<(), _> = endpoint.wait(async { panic!("a bug in a request") });
        assert!(matches!(failed, Err(EngineError::Died(_))));
        assert_eq!(endpoint.wait(async { Ok(8) }).unwrap(), 8, "the thread goes on");
    }

    #[test]
    fn loopback_is_known_in_all_its_spellings() {
        let loopback = |url: &str| is_loopback(&Url::parse(url).unwrap());
        assert!(
            loopback("http://127.0.0.1:80/v1")
                && loopback("http://[::1]/v1")
                && loopback("http://localhost/")
        );
        assert!(!loopback("http://10.0.0.1/v1") && !loopback("https://api.example.com/v1"));
    }
}
