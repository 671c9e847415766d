//! Who reads what is free but private: a wallet that has signed in, or the operator.

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::request::Parts,
};
use chrono::Utc;
use serde_json::Value;

use super::{Api, auth, error::ApiError};
use crate::{
    base::Wallet,
    pay::{
        challenge::Challenge,
        siwx::{SIGN_IN_WITH_X, SignInError},
        x402::{self, Resource},
    },
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reader {
    Wallet(Wallet),
    Operator,
}

impl FromRequestParts<Api> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        if auth::has_key(&parts.headers, api) {
            return Ok(Reader::Operator);
        }
        let Some(till) = &api.till else {
            auth::check_key(&parts.headers, api)?;
            return Ok(Reader::Operator);
        };
        let Some(header) = parts.headers.get(SIGN_IN_WITH_X) else {
            return Err(ApiError::SignIn(Box::new(challenge(parts, api)?)));
        };
        let text = header.to_str().map_err(|_| SignInError::Malformed("it is not text".into()))?;
        let now = Utc::now();
        let signed = till.sign_in.verify(text, now).await?;
        if !api.store.use_nonce(&signed.nonce, now).await? {
            return Err(SignInError::NonceUsed.into());
        }
        Ok(Reader::Wallet(signed.wallet))
    }
}

/// The same JSON in the body and, in base64, in the header: clients read either.
fn challenge(parts: &Parts, api: &Api) -> Result<Challenge, ApiError> {
    let Some(till) = &api.till else { return Err(ApiError::NotFound("challenge")) };
    let path = parts.uri.path();
    let matched = parts.extensions.get::<MatchedPath>().map_or(path, |matched| matched.as_str());
    let resource = Resource {
        url: format!("{}{path}", api.config.base_url()),
        description: format!("Free for the wallet it belongs to: {matched}"),
    };
    let networks: Vec<_> = till.networks().collect();
    let body: Value = till.sign_in.challenge(&resource, &networks, Utc::now());
    let headers = vec![(x402::PAYMENT_REQUIRED, x402::encode(&body)), ("cache-control", "no-store".into())];
    Ok(Challenge { headers, body })
}
