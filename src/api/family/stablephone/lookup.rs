//! `POST /api/lookup` and `GET /api/lookup/status`.

use axum::{
    Json,
    extract::{Query, State},
    response::Response,
};
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};

use super::FAMILY;
use crate::{
    api::{
        Api,
        body::Fields,
        error::ApiError,
        paid::{Payer, Purchase},
        reader::Reader,
        wares,
    },
    base::{E164, Wallet},
    pay::Price,
    service::{
        FieldError, LookUp,
        look_up::{Line, Status, StatusFailure},
    },
};

/// What nobody could say.
const UNKNOWN: &str = "unknown";

pub(in crate::api) async fn lookup(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    let price = Price::new(api.prices.stablephone.lookup, "A lookup of a phone number");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let number = wanted(&purchase)?;
    let wallet = match purchase.payer()? {
        Payer::Wallet(wallet) => wallet,
        Payer::Unknown | Payer::Operator => Wallet::nobody(),
    };
    purchase.sell(&api, price, wares::lookup(&api, FAMILY, number, wallet)).await
}

fn wanted(purchase: &Purchase) -> Result<E164, ApiError> {
    let mut fields = Fields::new(purchase.object()?, &["phone_number"]);
    let text = fields.required_text("phone_number");
    fields.finish()?;
    let (number, _) = LookUp::check("phone_number", &text).map_err(|error| ApiError::Fields(vec![error]))?;
    if number.is_nanp() {
        return Ok(number);
    }
    let error = FieldError::invalid("phone_number", "is not a +1 number", "write it as +14155550123");
    Err(ApiError::Fields(vec![error]))
}

#[derive(Deserialize)]
pub(in crate::api) struct OfToken {
    token: Option<String>,
}

/// Free; only for the wallet that paid.
pub(in crate::api) async fn status(
    State(api): State<Api>,
    Query(of): Query<OfToken>,
    reader: Reader,
) -> Result<Json<Value>, ApiError> {
    let token = of.token.filter(|token| !token.is_empty()).ok_or_else(|| {
        let fix = "add ?token=… with the token that POST /api/lookup gave";
        ApiError::Fields(vec![FieldError::invalid("token", "is missing", fix)])
    })?;
    let wallet = match &reader {
        Reader::Wallet(wallet) => Some(wallet),
        Reader::Operator => None,
    };
    Ok(Json(told(api.look_up.status(&token, wallet, Utc::now()).await?)))
}

fn told(status: Status) -> Value {
    match status {
        Status::Pending => {
            json!({ "status": "pending", "message": "Still looking; ask again in a few seconds" })
        }
        Status::Failed(error) => json!({ "status": "error", "error": error }),
        Status::Complete { number, found, line, checked_at } => json!({
            "status": "complete",
            "phone_number": number,
            "imessage": found.reach.imessage,
            "facetime": found.reach.facetime,
            "carrier": {
                "carrier": found.carrier.as_deref().unwrap_or(UNKNOWN),
                "number_type": found
                    .number_type
                    .as_deref()
                    .unwrap_or_else(|| line.as_ref().map_or(UNKNOWN, |line| line.kind)),
            },
            "country": country(line.as_ref()),
            "checked_at": checked_at,
        }),
    }
}

fn country(line: Option<&Line>) -> Value {
    let country = line.and_then(|line| line.country.as_ref());
    country.map_or(
        Value::Null,
        |country| json!({ "name": country.name, "iso2": country.iso2, "flag": country.flag }),
    )
}

impl From<StatusFailure> for ApiError {
    fn from(failure: StatusFailure) -> Self {
        match failure {
            StatusFailure::Token(error) => {
                let fix = "submit the number again with POST /api/lookup";
                ApiError::Fields(vec![FieldError::invalid("token", error.to_string(), fix)])
            }
            StatusFailure::NotYours => ApiError::NotFound("lookup"),
            StatusFailure::Store(error) => ApiError::Store(error),
        }
    }
}
