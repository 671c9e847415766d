//! x402phone's API: `/api/x402/*`. Calls are open to whoever knows their id, lists to whoever knows the wallet.

use axum::{
    Json,
    extract::{Path, Query, State},
    response::Response,
};
use chrono::Utc;
use serde::Deserialize;
use serde_json::Value;

use super::{CallAnswer, Family, sale};
use crate::{
    api::{Api, error::ApiError, operator::call_id, paid::Purchase},
    base::Wallet,
    service::FieldError,
};

const FAMILY: Family = Family::X402Phone;

pub(in crate::api) async fn call(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    sale::call(&api, FAMILY, purchase).await
}

pub(in crate::api) async fn number(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    sale::number(&api, FAMILY, purchase).await
}

pub(in crate::api) async fn topup(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    sale::topup(&api, FAMILY, purchase).await
}

/// Free and open: the id cannot be guessed.
pub(in crate::api) async fn read(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<CallAnswer>, ApiError> {
    let record = api.read.call(call_id(&id)?).await?.ok_or(ApiError::NotFound("call"))?;
    Ok(Json(CallAnswer::new(record, &api.config.base_url())))
}

#[derive(Deserialize)]
pub(in crate::api) struct OfWallet {
    wallet: Option<String>,
}

/// `GET /api/x402/numbers?wallet=0x…`
pub(in crate::api) async fn numbers(
    State(api): State<Api>,
    Query(of): Query<OfWallet>,
) -> Result<Json<Value>, ApiError> {
    let missing =
        || FieldError::invalid("wallet", "is missing", "add ?wallet=0x… with your wallet's address");
    let text = of.wallet.ok_or_else(|| ApiError::Fields(vec![missing()]))?;
    let wallet: Wallet = text.parse().map_err(|error: crate::base::wallet::InvalidWallet| {
        ApiError::Fields(vec![FieldError::invalid("wallet", "is not an address", error.to_string())])
    })?;
    let leases = api.numbers.list(&wallet, Utc::now()).await?;
    Ok(Json(sale::list(&leases)))
}
