//! A node's HTTP side in memory, without a socket.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use callbox::{
    api::{Api, ApiKey, router},
    base::{CallId, Pii},
    call::{
        event::{CallChange, CallEvent, Ending},
        record::{AnsweredBy, CallPlan, CallStatus, EndedBy, LatencySplit, Speaker, TurnRecord},
    },
    node::{Books, NodeConfig, config::Sources, health::HealthBoard, payments},
    service::{Admin, AdminError, Calls, HangUpError, LeaseNumber, LookUp, PlaceCall, PlaceError, Policy},
    store::Numbers,
};
use chrono::{TimeZone, Utc};
use futures_util::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

pub const KEY: &str = "cbx_test";

/// A directory of calls that keeps what it is told.
#[derive(Default)]
pub struct FakeCalls {
    pub plans: Mutex<Vec<CallPlan>>,
    pub hung_up: Mutex<Vec<CallId>>,
    /// The call that was hung up last.
    pub hung_up_at: watch::Sender<Option<CallId>>,
    /// The call that was placed last.
    pub placed: watch::Sender<Option<CallId>>,
    pub refusal: Mutex<Option<PlaceError>>,
    pub over: AtomicBool,
    /// Stands for a bug.
    pub panics: AtomicBool,
}

impl Calls for FakeCalls {
    fn place(&self, plan: CallPlan) -> Result<CallId, PlaceError> {
        assert!(!self.panics.load(Ordering::Relaxed), "a bug that mentions {:?}", plan.to);
        match self.refusal.lock().clone() {
            Some(refusal) => Err(refusal),
            None => {
                let call = CallId::generate();
                self.plans.lock().push(plan);
                self.placed.send_replace(Some(call));
                Ok(call)
            }
        }
    }

    fn hang_up(&self, call: CallId) -> Result<(), HangUpError> {
        if self.over.load(Ordering::Relaxed) {
            return Err(HangUpError);
        }
        self.hung_up.lock().push(call);
        self.hung_up_at.send_replace(Some(call));
        Ok(())
    }
}

struct FakeAdmin;

impl Admin for FakeAdmin {
    fn use_model<'a>(&'a self, kind: &'a str, name: &'a str) -> BoxFuture<'a, Result<(), AdminError>> {
        let known = kind == "llm" && name == "small";
        let fix = "install it with `callbox models`".to_owned();
        let missing = AdminError::Request { field: "name", problem: "is not installed".into(), fix };
        ready(if known { Ok(()) } else { Err(missing) }).boxed()
    }

    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, AdminError>> {
        ready(Ok(vec!["log.level".to_owned()])).boxed()
    }
}

pub struct Node {
    pub router: Router,
    pub api: Api,
    pub calls: Arc<FakeCalls>,
    pub books: Books,
    pub health: HealthBoard,
    pub recordings: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

impl Node {
    pub async fn new() -> Node {
        Node::with(&[]).await
    }

    /// With configuration over the defaults.
    pub async fn with(set: &[(&str, &str)]) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().display().to_string();
        let mut all = vec![
            ("store.data_dir", data.as_str()),
            ("policy.caller_ids", r#"["+14155550100"]"#),
            ("policy.hours", ""),
            ("policy.caps.destination.hour", "0"),
            ("policy.caps.destination.day", "0"),
            ("policy.caps.prefix.hour", "0"),
            ("policy.caps.prefix.day", "0"),
            ("policy.caps.wallet.hour", "0"),
            ("policy.caps.wallet.day", "0"),
            ("policy.caps.live_per_callee", "0"),
        ];
        all.extend(set);
        let set = all.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let config = Sources { set, ..Sources::default() }.load().unwrap().config;
        Node::build(config, dir).await
    }

    async fn build(config: NodeConfig, dir: tempfile::TempDir) -> Node {
        let books = Books::open(&config.store).await.unwrap();
        let calls = Arc::new(FakeCalls::default());
        let health = HealthBoard::default();
        health.add_store(books.store.clone());
        let recordings = config.store.recordings();
        std::fs::create_dir_all(&recordings).unwrap();
        let catalog = callbox::models::Catalog::load(None).unwrap();
        let voices: Vec<String> = catalog.voice_presets.iter().map(|preset| preset.name.clone()).collect();
        let till = payments::till(&config, books.store.clone(), &health).unwrap();
        let numbers = LeaseNumber::new(Numbers::new(books.store.clone(), config.numbers));
        let look_up = LookUp::new(books.store.clone(), config.lookup.build().unwrap(), vec![7; 32].into())
            .with_carriers(config.lookup.carrier.build().unwrap());
        let place =
            PlaceCall::new(Policy::new(config.policy), Arc::new(voices), calls.clone(), books.store.clone());
        let api = Api {
            place: place.with_caller_ids(Arc::new(numbers.clone())),
            read: books.reader(),
            numbers,
            look_up,
            store: books.store.clone(),
            till,
            prices: Arc::new(config.payments.prices),
            calls: calls.clone(),
            admin: Arc::new(FakeAdmin),
            health: Arc::new(health.clone()),
            metrics: Arc::new(|| "callbox_build_info 1\n".to_owned()),
            key: ApiKey::new(KEY),
            recordings: recordings.clone(),
            config: Arc::new(config.http),
        };
        Node { router: router(api.clone()), api, calls, books, health, recordings, _dir: dir }
    }

    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.send(keyed("GET", path).body(Body::empty()).unwrap()).await).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let request = keyed("POST", path).header(header::CONTENT_TYPE, "application/json");
        Answer::of(self.send(request.body(Body::from(body.to_string())).unwrap()).await).await
    }

    /// From now on every call that is placed rings at once, so that whoever pays for it need not wait.
    pub fn ring(&self) {
        let (mut placed, store, events) =
            (self.calls.placed.subscribe(), self.books.store.clone(), self.books.events.clone());
        tokio::spawn(async move {
            while placed.changed().await.is_ok() {
                let Some(call) = *placed.borrow_and_update() else { continue };
                // The record is written by whoever placed it.
                while store.call(call).await.unwrap().is_none() {
                    tokio::task::yield_now().await;
                }
                let change = CallChange::Status { status: CallStatus::Ringing };
                events.send(CallEvent { call, at: Utc::now(), change }).await.unwrap();
            }
        });
    }

    /// A placed call's id.
    pub async fn place(&self) -> CallId {
        let answer = self.post("/api/call", least()).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        answer.json["call_id"].as_str().unwrap().parse().unwrap()
    }

    /// Sends events and returns when the store has the last of them.
    pub async fn happen(&self, call: CallId, changes: Vec<CallChange>) {
        let mut feed = self.books.feed.listen();
        let count = changes.len();
        for (second, change) in changes.into_iter().enumerate() {
            let at = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, second as u32).unwrap();
            self.books.events.send(CallEvent { call, at, change }).await.unwrap();
        }
        for _ in 0..count {
            feed.recv().await.unwrap();
        }
    }
}

/// A request with the operator's key.
pub fn keyed(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {KEY}"))
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    /// `Null` where the body is none.
    pub json: Value,
}

impl Answer {
    pub async fn of(response: Response<Body>) -> Answer {
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap().to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: head.status, headers: head.headers, bytes, json }
    }
}

/// The least request that is valid.
pub fn least() -> Value {
    json!({ "phone_number": "+14155550123", "task": "Ask for the opening hours." })
}

pub fn answered() -> Vec<CallChange> {
    vec![
        CallChange::Status { status: CallStatus::Ringing },
        CallChange::Answered { answered_by: AnsweredBy::Human },
        CallChange::Status { status: CallStatus::InProgress },
    ]
}

pub fn turn(speaker: Speaker, start_ms: u64, text: &str) -> CallChange {
    let latency =
        (speaker == Speaker::Agent).then(|| LatencySplit { total_ms: 640, ..LatencySplit::default() });
    let text = Pii::new(text.to_owned());
    let turn = TurnRecord { speaker, text, start_ms, end_ms: start_ms + 900, interrupted: false, latency };
    CallChange::Turn { turn }
}

pub fn ended(status: CallStatus, reason: &str) -> CallChange {
    CallChange::Ended(Box::new(Ending {
        status,
        ended_by: EndedBy::Callee,
        fault: None,
        reason: reason.to_owned(),
        length_secs: (status == CallStatus::Completed).then_some(85.2),
    }))
}
