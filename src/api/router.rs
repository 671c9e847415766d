//! Every route on one screen.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use super::{Api, auth, error::ApiError, family::stablephone, guard, observe, operator, public, recordings};

pub fn router(api: Api) -> Router {
    let keyed = Router::new()
        // StablePhone's API
        .route("/api/call", post(stablephone::place))
        .route("/api/call/{id}", get(stablephone::read))
        // The operator's own
        .route("/api/calls", get(operator::list))
        .route("/api/call/{id}/events", get(operator::events))
        .route("/api/call/{id}/hangup", post(operator::hang_up))
        .route("/recordings/{file}", get(recordings::serve))
        .route_layer(from_fn_with_state(api.clone(), auth::require_key));

    // A model loads as long as it must; the engines have a limit of their own.
    let patient = Router::new()
        .route("/admin/models/use", post(operator::use_model))
        .route("/admin/reload", post(operator::reload))
        .route_layer(from_fn_with_state(api.clone(), auth::require_key));

    let metrics = Router::new()
        .route("/metrics", get(public::metrics))
        .route_layer(from_fn_with_state(api.clone(), auth::guard_metrics));

    Router::new()
        .merge(keyed)
        .merge(metrics)
        .route("/health", get(public::health))
        .fallback(async || ApiError::NotFound("path"))
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(from_fn_with_state(api.clone(), guard::time_limit))
        .merge(patient)
        // From the inside out: each layer wraps those above it.
        .layer(DefaultBodyLimit::max(api.config.body_limit))
        .layer(CatchPanicLayer::custom(guard::answer_panic))
        .layer(from_fn(observe::observe))
        .with_state(api)
}
