//! StablePhone's API: `/api/call`, `/api/number`, `/api/numbers`, `/api/lookup`. What a wallet has bought is its
//! own: calls and lists want a sign-in with the wallet ([`crate::pay::siwx`]) or the operator's key.

pub(in crate::api) mod lookup;

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use chrono::Utc;
use serde_json::Value;

use super::{CallAnswer, Family, sale};
use crate::api::{Api, error::ApiError, operator::call_id, paid::Purchase, reader::Reader};

const FAMILY: Family = Family::StablePhone;

pub(in crate::api) async fn call(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    sale::call(&api, FAMILY, purchase).await
}

pub(in crate::api) async fn number(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    sale::number(&api, FAMILY, purchase).await
}

pub(in crate::api) async fn topup(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    sale::topup(&api, FAMILY, purchase).await
}

/// Free; only for the wallet that paid for the call.
pub(in crate::api) async fn read(
    State(api): State<Api>,
    Path(id): Path<String>,
    reader: Reader,
) -> Result<Json<CallAnswer>, ApiError> {
    let record = api.read.call(call_id(&id)?).await?.ok_or(ApiError::NotFound("call"))?;
    // Another's call is not even told to exist.
    if let Reader::Wallet(wallet) = reader
        && record.plan.owner != Some(wallet)
    {
        return Err(ApiError::NotFound("call"));
    }
    Ok(Json(CallAnswer::new(record, &api.config.base_url())))
}

/// Free; the numbers of the wallet that signed.
pub(in crate::api) async fn numbers(State(api): State<Api>, reader: Reader) -> Result<Json<Value>, ApiError> {
    let leases = match reader {
        Reader::Wallet(wallet) => api.numbers.list(&wallet, Utc::now()).await?,
        Reader::Operator => Vec::new(),
    };
    Ok(Json(sale::list(&leases)))
}
