//! Every route on one screen.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    Api, auth, cors, discovery,
    error::ApiError,
    family::{self, blockrun, stablephone, x402phone},
    guard, observe, operator, public, recordings,
};

pub fn router(api: Api) -> Router {
    let keyed = Router::new()
        // The operator's own
        .route("/api/calls", get(operator::list))
        .route("/api/call/{id}/events", get(operator::events))
        .route("/api/call/{id}/hangup", post(operator::hang_up))
        .route_layer(from_fn_with_state(api.clone(), auth::require_key));

    // A model loads as long as it must; the engines have a limit of their own.
    let patient = Router::new()
        .route("/admin/models/use", post(operator::use_model))
        .route("/admin/reload", post(operator::reload))
        .route_layer(from_fn_with_state(api.clone(), auth::require_key));

    let metrics = Router::new()
        .route("/metrics", get(public::metrics))
        .route_layer(from_fn_with_state(api.clone(), auth::guard_metrics));

    // A paid route asks for its price itself, after the body is valid; a free one that is private asks who
    // reads. Both take the operator's key.
    let stablephone = Router::new()
        .route("/api/call", post(stablephone::call))
        .route("/api/call/{id}", get(stablephone::read))
        .route("/api/number", post(stablephone::number))
        .route("/api/number/topup", post(stablephone::topup))
        .route("/api/numbers", get(stablephone::numbers))
        .route("/api/lookup", post(stablephone::lookup::lookup))
        .route("/api/lookup/status", get(stablephone::lookup::status));
    let x402phone = Router::new()
        .route("/api/x402/call", post(x402phone::call))
        .route("/api/x402/call/{id}", get(x402phone::read))
        .route("/api/x402/number", post(x402phone::number))
        .route("/api/x402/number/topup", post(x402phone::topup))
        .route("/api/x402/numbers", get(x402phone::numbers));
    let blockrun = Router::new()
        .route("/api/v1/phone/numbers/buy", post(blockrun::buy))
        .route("/api/v1/phone/numbers/renew", post(blockrun::renew))
        .route("/api/v1/phone/numbers/list", post(blockrun::list))
        .route("/api/v1/phone/numbers/release", post(blockrun::release))
        .route("/api/v1/phone/lookup", post(blockrun::lookup::carrier))
        .route("/api/v1/phone/lookup/fraud", post(blockrun::lookup::fraud))
        .route("/api/v1/voice/call", post(blockrun::call::place))
        .route("/api/v1/voice/call/{id}", get(blockrun::call::read));

    // Generated from `offers`, which has every route under /api.
    let pages = Router::new()
        .route("/openapi.json", get(discovery::openapi))
        .route("/llms.txt", get(discovery::llms))
        .route("/.well-known/x402", get(discovery::well_known));

    Router::new()
        .merge(keyed)
        .route("/recordings/{file}", get(recordings::serve))
        .merge(stablephone)
        .merge(x402phone)
        .merge(blockrun)
        .merge(metrics)
        .merge(pages)
        .route("/health", get(public::health))
        .fallback(discovery::nowhere)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(from_fn_with_state(api.clone(), guard::time_limit))
        .merge(patient)
        // From the inside out: each layer wraps those above it.
        .layer(DefaultBodyLimit::max(api.config.body_limit))
        .layer(from_fn(cors::share))
        .layer(CatchPanicLayer::custom(guard::answer_panic))
        .layer(from_fn(family::reshape))
        .layer(from_fn(observe::observe))
        .with_state(api)
}
