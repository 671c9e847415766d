//! The operator's bearer key (RFC 6750).

use axum::{
    extract::{Request, State},
    http::header::AUTHORIZATION,
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
    match bearer(&request) {
        Some(offered) if api.key.matches(offered) => Ok(next.run(request).await),
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

/// The token of `Authorization: Bearer …`; the scheme's case does not matter.
fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
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
