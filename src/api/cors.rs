//! Browsers (the Fetch standard, "CORS protocol"): any page may call what agents call and read its challenges.
//! Cookies mean nothing here, and the operator's key is nothing a page has.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::discovery;

const HEADERS: &str = "Authorization, Content-Type, PAYMENT-SIGNATURE, X-PAYMENT, SIGN-IN-WITH-X";
const EXPOSED: &str = "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, X-PAYMENT-RECEIPT, Payment-Receipt, \
                       WWW-Authenticate, Retry-After";
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE, OPTIONS";
/// Seconds that a browser may keep the answer to its question.
const KEPT: &str = "86400";

/// Answers preflights and lets pages read answers; only of the API and of the pages that describe it.
pub(super) async fn share(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !path.starts_with("/api/") && !discovery::PATHS.contains(&path) {
        return next.run(request).await;
    }
    if is_preflight(&request) {
        return preflight();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    put(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    put(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    put(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    put(headers, header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    put(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    put(headers, header::ACCESS_CONTROL_MAX_AGE, KEPT);
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
