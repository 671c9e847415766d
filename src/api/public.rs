//! What needs no key: is the node alive, and its metrics.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::Api;

/// 200 while every part works, else 503; the parts say which does not.
pub(super) async fn health(State(api): State<Api>) -> Response {
    let parts = api.health.parts().await;
    let well = parts.iter().all(|part| part.ok);
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if well { "ok" } else { "degraded" };
    let version = env!("CARGO_PKG_VERSION");
    (status, Json(json!({ "status": word, "version": version, "parts": parts }))).into_response()
}

pub(super) async fn metrics(State(api): State<Api>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], api.metrics.render()).into_response()
}
