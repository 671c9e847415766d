//! A JSON-RPC endpoint before the chain that can hold a request back, or its answer.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::PATIENCE;

/// `authorizationState(address,bytes32)`: the question with which a verification begins.
pub const IS_USED: &str = "0xe94a0102";

/// How every transaction is sent.
pub const SEND: &str = "eth_sendRawTransaction";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The chain does not get it.
    Request,
    /// The chain has it; whoever asked hears nothing.
    Answer,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Freed {
    #[default]
    Goes,
    /// Whoever asked is dead: nobody's request reaches the chain.
    IsLost,
}

pub struct Proxy {
    pub url: String,
    desk: Arc<Desk>,
    server: JoinHandle<()>,
}

struct Desk {
    chain: String,
    client: reqwest::Client,
    /// By method, or by what a call begins with.
    rules: Mutex<HashMap<&'static str, Held>>,
    /// How often each method was asked for.
    seen: Mutex<HashMap<String, usize>>,
    /// Every request fails.
    fails: AtomicBool,
    /// How many are held.
    held: watch::Sender<usize>,
    /// What becomes of all that is held; told with each [`Proxy::let_go`] and [`Proxy::forget`].
    freed: watch::Sender<Freed>,
}

impl Proxy {
    pub async fn before(chain: &str) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let desk = Arc::new(Desk {
            chain: chain.to_owned(),
            client: reqwest::Client::new(),
            rules: Mutex::default(),
            seen: Mutex::default(),
            fails: AtomicBool::new(false),
            held: watch::Sender::default(),
            freed: watch::Sender::default(),
        });
        let router = Router::new().route("/", post(pass)).with_state(desk.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Proxy { url, desk, server }
    }

    /// From now on, `method` (or calls of a function) waits.
    pub fn hold(&self, method: &'static str, what: Held) {
        self.desk.rules.lock().insert(method, what);
    }

    /// Waits until something is held.
    pub async fn holds(&self) {
        let mut held = self.desk.held.subscribe();
        tokio::time::timeout(PATIENCE, held.wait_for(|held| *held > 0)).await.expect("it is asked").unwrap();
    }

    /// Holds nothing new; what is held stays so.
    pub fn hold_no_more(&self) {
        self.desk.rules.lock().clear();
    }

    /// How often a method was asked for.
    pub fn seen(&self, method: &str) -> usize {
        self.desk.seen.lock().get(method).copied().unwrap_or(0)
    }

    /// A word to the chain.
    pub async fn tell(&self, method: &str, params: Value) {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.desk.client.post(&self.desk.chain).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
    }

    pub fn fails(&self, fails: bool) {
        self.desk.fails.store(fails, Ordering::Relaxed);
    }

    /// Holds nothing any more.
    pub fn let_go(&self) {
        self.free(Freed::Goes);
    }

    /// Holds nothing any more; what was held is lost.
    pub fn forget(&self) {
        self.free(Freed::IsLost);
    }

    fn free(&self, fate: Freed) {
        self.desk.rules.lock().clear();
        self.desk.held.send_replace(0);
        self.desk.freed.send_replace(fate);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass(State(desk): State<Arc<Desk>>, Json(body): Json<Value>) -> axum::response::Response {
    if desk.fails.load(Ordering::Relaxed) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    *desk.seen.lock().entry(body["method"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    let rule = desk.rule(&body);
    if rule == Some(Held::Request) && desk.keep().await == Freed::IsLost {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let answer = async { desk.client.post(&desk.chain).json(&body).send().await?.json::<Value>().await };
    let answer = answer.await;
    if rule == Some(Held::Answer) {
        desk.keep().await;
    }
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

impl Desk {
    fn rule(&self, body: &Value) -> Option<Held> {
        let rules = self.rules.lock();
        let method = body["method"].as_str().unwrap_or_default();
        let call = &body["params"][0];
        let data = call["input"].as_str().or(call["data"].as_str()).unwrap_or_default();
        let called = rules.iter().find(|(name, _)| name.starts_with("0x") && data.starts_with(**name));
        rules.get(method).or(called.map(|(_, what)| what)).copied()
    }

    async fn keep(&self) -> Freed {
        let mut freed = self.freed.subscribe();
        self.held.send_modify(|held| *held += 1);
        let _ = freed.changed().await;
        *freed.borrow()
    }
}
