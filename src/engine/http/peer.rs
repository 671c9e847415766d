//! The other end, for tests: a server on a loopback port that answers every POST as it is told, byte
//! by byte, and reports what it was asked and when its client hung up.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::StatusCode,
    response::Response,
};
use futures_util::stream;
use tokio::{net::TcpListener, runtime, sync::oneshot};

use super::HttpConfig;
use crate::base::Pii;

/// No test waits longer than this for a thing that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the server does with one request.
#[derive(Debug, Clone)]
pub struct Script {
    pub status: u16,
    pub content_type: &'static str,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// Stops until the test calls [`Peer::go_on`] once, or for ever.
    Hold,
    /// Breaks the connection in the middle of the body.
    Break,
}

impl Script {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Script { status, content_type, steps: vec![Step::Send(body.into())] }
    }

    /// An event stream of `data` lines, one network chunk each.
    pub fn events<'a>(data: impl IntoIterator<Item = &'a str>) -> Self {
        let steps = data.into_iter().map(|data| Step::Send(format!("data: {data}\n\n").into_bytes()));
        Script { status: 200, content_type: "text/event-stream", steps: steps.collect() }
    }

    /// The same, holding before step `at`.
    pub fn held_before(mut self, at: usize) -> Self {
        self.steps.insert(at, Step::Hold);
        self
    }

    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// A request as the server saw it.
#[derive(Debug)]
pub struct Asked {
    pub path: String,
    pub authorization: Option<String>,
    pub body: Bytes,
}

impl Asked {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the request's body is JSON")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The running server; stops when dropped.
pub struct Peer {
    base_url: String,
    asked: Receiver<Asked>,
    hung_up: Receiver<()>,
    gate: Arc<tokio::sync::Semaphore>,
    _stop: oneshot::Sender<()>,
}

type Answer = dyn Fn(&Asked) -> Script + Send + Sync;

#[derive(Clone)]
struct Shared {
    answer: Arc<Answer>,
    asked: Sender<Asked>,
    hung_up: Sender<()>,
    gate: Arc<tokio::sync::Semaphore>,
}

impl Peer {
    /// Answers every request by `script`.
    pub fn scripted(script: Script) -> Self {
        Peer::answering(move |_| script.clone())
    }

    pub fn answering(answer: impl Fn(&Asked) -> Script + Send + Sync + 'static) -> Self {
        let (asked_in, asked) = channel();
        let (hung_up_in, hung_up) = channel();
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let shared =
            Shared { answer: Arc::new(answer), asked: asked_in, hung_up: hung_up_in, gate: gate.clone() };
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound_in, bound) = channel();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound_in.send(listener.local_addr().unwrap()).unwrap();
                let app = Router::new().fallback(serve).layer(DefaultBodyLimit::disable()).with_state(shared);
                tokio::select! {
                    _ = axum::serve(listener, app) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = bound.recv_timeout(PATIENCE).expect("the server listens");
        Peer { base_url: format!("http://{address}/v1"), asked, hung_up, gate, _stop: stop }
    }

    /// How to reach this server.
    pub fn config(&self) -> HttpConfig {
        HttpConfig { api_key: Pii::new("sk-test".into()), ..HttpConfig::new(&self.base_url, "parrot") }
    }

    /// The next request.
    pub fn asked(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("a request comes in")
    }

    pub fn nothing_asked(&self) -> bool {
        self.asked.try_recv().is_err()
    }

    /// Lets one [`Step::Hold`] pass.
    pub fn go_on(&self) {
        self.gate.add_permits(1);
    }

    /// Waits until a client has left before the end of its answer.
    pub fn wait_for_hang_up(&self) {
        self.hung_up.recv_timeout(PATIENCE).expect("the client hangs up");
    }
}

/// A configuration of a server that is not there.
pub fn nobody() -> HttpConfig {
    // Bound and dropped: nothing listens on this port now.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    HttpConfig::new(format!("http://{}/v1", listener.local_addr().unwrap()), "parrot")
}

async fn serve(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let header = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let asked = Asked { path: parts.uri.path().to_owned(), authorization: header.map(str::to_owned), body };
    let script = (shared.answer)(&asked);
    // The test may have ended.
    let _ = shared.asked.send(asked);
    let guard = HangUpGuard { hung_up: shared.hung_up, whole: false };
    let state = (script.steps.into_iter(), shared.gate, guard);
    let body = stream::unfold(state, |(mut steps, gate, mut guard)| async move {
        loop {
            match steps.next() {
                Some(Step::Send(bytes)) => return Some((Ok(Bytes::from(bytes)), (steps, gate, guard))),
                Some(Step::Hold) => gate.acquire().await.ok()?.forget(),
                Some(Step::Break) => {
                    // What was sent before goes out first.
                    tokio::task::yield_now().await;
                    guard.end();
                    let broken = std::io::Error::other("broken on purpose");
                    return Some((Err(broken), (steps, gate, guard)));
                }
                None => {
                    guard.end();
                    return None;
                }
            }
        }
    });
    let status = StatusCode::from_u16(script.status).expect("a script has a valid status");
    Response::builder()
        .status(status)
        .header("content-type", script.content_type)
        .body(Body::from_stream(body))
        .expect("a script has valid headers")
}

/// Reports a body that was dropped before its end.
struct HangUpGuard {
    hung_up: Sender<()>,
    whole: bool,
}

impl HangUpGuard {
    fn end(&mut self) {
        self.whole = true;
    }
}

impl Drop for HangUpGuard {
    fn drop(&mut self) {
        if !self.whole {
            // The test may have ended.
            let _ = self.hung_up.send(());
        }
    }
}
