//! A node's counter without its telephones: the real router, gate and store; scripted chain and carrier.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use axum::Router;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use callbox::api::{Api, ApiKey, paid::Till, router};
use callbox::base::{CallId, Usd, Wallet};
use callbox::call::event::{CallChange, CallEvent, CallEvents};
use callbox::call::record::{CallDirection, CallPlan, CallStatus};
use callbox::node::health::HealthBoard;
use callbox::node::{Books, NodeConfig};
use callbox::pay::Gate;
use callbox::pay::network::NETWORKS;
use callbox::pay::settle::{Outcome, Rejection, Settler};
use callbox::pay::siwx::SignIn;
use callbox::pay::x402::{Receiver, Requirement};
use callbox::service::policy::{Caps, Hours};
use callbox::service::{
    Admin, AdminError, Calls, HangUpError, LeaseNumber, LookUp, PlaceCall, PlaceError, Policy,
};
use callbox::store::Numbers;
use callbox::store::claims::NewClaim;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use serde_json::json;

/// The operator's.
pub const KEY: &str = "cbx_bench";
const PAY_TO: &str = "0x2222222222222222222222222222222222222222";
/// Seconds a payment is valid for.
const TIMEOUT: u64 = 300;

pub struct Counter {
    /// What a call costs.
    pub price: Usd,
    lines: Arc<Lines>,
    books: Books,
    folder: PathBuf,
}

impl Counter {
    /// The database lies in a folder of its own where the node's lies: flushing costs what it costs there.
    pub async fn open(mut config: NodeConfig) -> anyhow::Result<(Counter, Router)> {
        let folder = config.store.data_dir.join(format!("bench-{}", std::process::id()));
        config.store.data_dir.clone_from(&folder);
        config.store.url.clear();
        config.policy.allowed_prefixes = vec!["+1".into()];
        // One number is called over and over, at any hour.
        config.policy.hours = Hours::ANY;
        config.policy.caps = Caps::default();
        let books = Books::open(&config.store).await?;
        let lines = Arc::new(Lines { events: books.events.clone(), dialled: Mutex::default() });
        let price = config.payments.prices.stablephone.call;
        let router = router(api(config, &books, lines.clone())?);
        Ok((Counter { price, lines, books, folder }, router))
    }

    /// When the last call was dialled.
    pub fn dialled(&self) -> Option<Instant> {
        self.lines.dialled.lock().take()
    }

    pub async fn close(self) {
        self.books.store.close().await;
        // What is left is named after the bench.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn api(config: NodeConfig, books: &Books, lines: Arc<Lines>) -> anyhow::Result<Api> {
    let settler: Arc<dyn Settler> = Arc::new(AtOnce);
    let till = Till {
        gate: Gate::new(books.store.clone(), HashMap::from([(NETWORKS[0].caip2.to_owned(), settler)])),
        sign_in: SignIn::new(&config.http.base_url(), rand::random::<[u8; 32]>().to_vec().into()),
        receivers: vec![Receiver::evm(&NETWORKS[0], PAY_TO.parse().context("the bench's own wallet")?)],
        mpp: None,
        timeout_secs: TIMEOUT,
    };
    let voices: Vec<String> = ["nat", "josh"].map(String::from).into();
    let numbers = LeaseNumber::new(Numbers::new(books.store.clone(), config.numbers));
    let look_up = LookUp::new(books.store.clone(), config.lookup.build()?, vec![0; 32].into());
    let place =
        PlaceCall::new(Policy::new(config.policy), Arc::new(voices), lines.clone(), books.store.clone());
    Ok(Api {
        place: place.with_caller_ids(Arc::new(numbers.clone())),
        read: books.reader(),
        numbers,
        look_up,
        store: books.store.clone(),
        till: Some(till),
        prices: Arc::new(config.payments.prices),
        calls: lines,
        admin: Arc::new(Nobody),
        health: Arc::new(HealthBoard::default()),
        metrics: Arc::new(String::new),
        key: ApiKey::new(KEY),
        recordings: config.store.recordings(),
        config: Arc::new(config.http),
    })
}

/// A payment that nobody has sent before, at the price of a call.
pub fn payment(amount: Usd) -> String {
    let requirement = Requirement {
        network: &NETWORKS[0],
        pay_to: PAY_TO.parse().unwrap_or_else(|_| Wallet::nobody()),
        amount,
        timeout_secs: TIMEOUT,
        fee_payer: None,
    };
    let payment = json!({
        "x402Version": 2,
        "accepted": requirement.v2(),
        "payload": {
            "signature": format!("0x{}", "00".repeat(65)),
            "authorization": {
                "from": "0x1111111111111111111111111111111111111111",
                "to": PAY_TO,
                "value": amount.micros().to_string(),
                "validAfter": "0",
                "validBefore": "4000000000",
                "nonce": format!("0x{}", hex::encode(rand::random::<[u8; 32]>())),
            },
        },
    });
    STANDARD.encode(payment.to_string())
}

/// A directory of calls in which every call rings at once.
struct Lines {
    events: CallEvents,
    dialled: Mutex<Option<Instant>>,
}

impl Calls for Lines {
    fn place(&self, plan: CallPlan) -> Result<CallId, PlaceError> {
        *self.dialled.lock() = Some(Instant::now());
        let (call, at) = (CallId::generate(), chrono::Utc::now());
        let created = CallChange::Created { direction: CallDirection::Outbound, plan: Box::new(plan) };
        for change in [created, CallChange::Status { status: CallStatus::Ringing }] {
            // The queue holds more than all clients can have on their way.
            self.events.try_send(CallEvent { call, at, change }).map_err(|_| PlaceError::Stopping)?;
        }
        Ok(call)
    }

    fn hang_up(&self, _: CallId) -> Result<(), HangUpError> {
        Err(HangUpError)
    }
}

/// A chain that takes no time.
struct AtOnce;

impl Settler for AtOnce {
    fn verify<'a>(&'a self, _: &'a NewClaim) -> BoxFuture<'a, Result<(), Rejection>> {
        Box::pin(ready(Ok(())))
    }

    fn settle<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        self.look_up(offer)
    }

    fn look_up<'a>(&'a self, offer: &'a NewClaim) -> BoxFuture<'a, Outcome> {
        Box::pin(ready(Outcome::Settled { transaction: offer.nonce.clone() }))
    }
}

struct Nobody;

impl Admin for Nobody {
    fn use_model<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), AdminError>> {
        Box::pin(ready(Err(AdminError::Failed("the bench has no models".into()))))
    }

    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, AdminError>> {
        Box::pin(ready(Ok(Vec::new())))
    }
}
