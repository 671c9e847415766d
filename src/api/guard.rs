//! What keeps one request from hurting the node: a time limit, and an answer where code panicked.

use std::{any::Any, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Api, error::ApiError};

/// Limits the time to the response's head; a stream after it may last.
pub(super) async fn time_limit(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let secs = api.config.timeout_secs;
    tokio::time::timeout(Duration::from_secs(secs), next.run(request))
        .await
        .map_err(|_| ApiError::Timeout { secs })
}

/// The panic's text stays in the log, where the panic hook put it.
pub(super) fn answer_panic(_: Box<dyn Any + Send>) -> Response {
    metrics::counter!("callbox_http_panics_total").increment(1);
    ApiError::Panic.into_response()
}
