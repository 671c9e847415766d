//! One span per request, named by the route's template: no path, no query, no body reaches a log.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;

pub(super) async fn observe(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let begun = Instant::now();
    let span = tracing::info_span!("http", method, route);
    let response = next.run(request).instrument(span.clone()).await;

    let (status, took) = (response.status().as_u16(), begun.elapsed());
    span.in_scope(|| tracing::debug!(status, ms = took.as_millis() as u64, "answered"));
    let labels = [("method", method), ("route", route), ("status", status.to_string())];
    metrics::counter!("callbox_http_requests_total", &labels).increment(1);
    metrics::histogram!("callbox_http_request_seconds", &labels).record(took.as_secs_f64());
    response
}
