//! The operator's bearer key (RFC 6750).

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Api, error::ApiError};

/// The digest of the key, so that a comparison takes the same time whatever is wrong, length included.
#[derive(Clone)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    pub fn new(key: &str) -> ApiKey {
        ApiKey(Sha256::digest(key).into())
    }

    pub fn matches(&self, offered: &str) -> bool {
        self.0.ct_eq(&ApiKey::new(offered).0).into()
    }
}

/// Middleware: only requests with the key pass.
pub(super) async fn require_key(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    check_key(request.headers(), &api)?;
    Ok(next.run(request).await)
}

pub(super) fn check_key(headers: &HeaderMap, api: &Api) -> Result<(), ApiError> {
    match bearer(headers) {
        Some(offered) if api.key.matches(offered) => Ok(()),
        Some(_) => Err(ApiError::Unauthorized { problem: "the API key is wrong" }),
        None => Err(ApiError::Unauthorized { problem: "no API key was sent" }),
    }
}

/// Middleware of `/metrics`: the key is needed or not, as the configuration says.
pub(super) async fn guard_metrics(
    state: State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if state.0.config.metrics_need_key() {
        return require_key(state, request, next).await;
    }
    Ok(next.run(request).await)
}

/// Whether the operator asks.
pub(super) fn has_key(headers: &HeaderMap, api: &Api) -> bool {
    bearer(headers).is_some_and(|offered| api.key.matches(offered))
}

/// The token of `Authorization: Bearer …`; the scheme's case does not matter.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_matches() {
        let key = ApiKey::new("cbx_secret");
        assert!(key.matches("cbx_secret"));
        for wrong in ["", "cbx_secre", "cbx_secret ", "CBX_SECRET"] {
            assert!(!key.matches(wrong), "{wrong:?}");
        }
    }
}
