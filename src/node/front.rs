//! The HTTP side of the node: what the routes need, gathered from the parts that are running.

use std::sync::Arc;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;

use super::{Books, NodeConfig, api_key, health::HealthBoard, payments, secret};
use crate::{
    api::{Api, ApiKey, router},
    service::{Admin, Calls, Gate, LeaseNumber, LookUp, PlaceCall, Voices},
    store::Numbers,
};

/// The file of what signs the tokens of lookups: those that are out still count after a restart.
const TOKEN_SECRET: &str = "token_secret";

/// What the rest of the node supplies.
pub struct Backend {
    pub gate: Gate,
    pub calls: Arc<dyn Calls>,
    pub voices: Arc<dyn Voices>,
    pub admin: Arc<dyn Admin>,
    pub health: HealthBoard,
    pub metrics: PrometheusHandle,
}

/// All routes, ready to be served. Makes the operator's key where there is none, and says where it is.
pub fn open(config: &NodeConfig, books: &Books, backend: Backend) -> anyhow::Result<Router> {
    let operator = api_key::load_or_create(config)?;
    if let Some(file) = &operator.file {
        let made = if operator.is_new { "made" } else { "read" };
        tracing::info!(file = %file.display(), "API key {made}");
    }
    std::fs::create_dir_all(config.store.recordings())?;
    backend.health.add_store(books.store.clone());
    let metrics = backend.metrics;
    let numbers = LeaseNumber::new(Numbers::new(books.store.clone(), config.numbers));
    let secret = secret::load_or_create(&config.store.data_dir, TOKEN_SECRET)?;
    let secret = secret.into_exposed().into_bytes().into();
    let look_up = LookUp::new(books.store.clone(), config.lookup.build()?, secret)
        .with_carriers(config.lookup.carrier.build()?);
    let till = payments::till(config, books.store.clone(), &backend.health)?;
    let place = PlaceCall::behind(backend.gate, backend.voices, backend.calls.clone());
    let api = Api {
        place: place.with_caller_ids(Arc::new(numbers.clone())),
        read: books.reader(),
        numbers,
        look_up,
        store: books.store.clone(),
        till,
        prices: Arc::new(config.payments.prices.clone()),
        calls: backend.calls,
        admin: backend.admin,
        health: Arc::new(backend.health),
        metrics: Arc::new(move || metrics.render()),
        key: ApiKey::new(operator.key.expose()),
        recordings: config.store.recordings(),
        config: Arc::new(config.http.clone()),
    };
    payments::recover(&api);
    payments::look_after(config, &books.store)?;
    api.look_up.resume();
    Ok(router(api))
}
