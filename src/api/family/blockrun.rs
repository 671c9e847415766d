//! BlockRun's API: `/api/v1/phone/*` and `/api/v1/voice/*`. Its published clients write some fields otherwise
//! than its documents (`to` for `phone_number`, `areaCode` for `area_code`); both are read. This file has the
//! numbers.

pub(in crate::api) mod call;
pub(in crate::api) mod lookup;
pub(super) mod refusal;

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{Family, sale};
use crate::{
    api::{
        Api,
        body::Fields,
        error::ApiError,
        paid::{Payer, Purchase},
        wares,
    },
    base::{Usd, Wallet},
    pay::{Price, gate::Answer},
    service::{BuyFields, BuyRequest},
    store::numbers::{Lease, Owner},
};

const FAMILY: Family = Family::BlockRun;

/// What all its paths begin with.
pub(super) const ROOT: &str = "/api/v1/";

pub(in crate::api) async fn buy(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    let price = Price::new(api.prices.blockrun.buy, "A phone number for 30 days");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let body = renamed(purchase.object_if_any()?, &[("areaCode", "area_code")]);
    let mut fields = Fields::new(body, &["country", "area_code"]);
    let request = BuyRequest {
        country: fields.text("country"),
        area_code: fields.text("area_code"),
        exact: false,
        names: BuyFields::default(),
    };
    fields.finish()?;
    let criteria = api.numbers.quote_buy(&request, Utc::now()).await?;
    let wallet = purchase.buyer()?;
    purchase.sell(&api, price, wares::number(&api, FAMILY, criteria, wallet)).await
}

pub(in crate::api) async fn renew(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    let price = Price::new(api.prices.blockrun.renew, "Another 30 days of a phone number");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let number = number_field(&purchase)?;
    // Who asks is known by the payment alone.
    let payer = purchase.payer()?;
    let owner = match &payer {
        Payer::Wallet(wallet) => Owner::Only(wallet),
        Payer::Unknown => Owner::Anyone,
        Payer::Operator => return Err(ApiError::NoWallet),
    };
    let lease = api.numbers.quote_renew(&number, owner, Utc::now()).await?;
    purchase.sell(&api, price, wares::renewal(&api, FAMILY, lease)).await
}

pub(in crate::api) async fn list(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    let price = Price::new(api.prices.blockrun.list, "The phone numbers of your wallet");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    Fields::new(purchase.object_if_any()?, &[]).finish()?;
    let wallet = purchase.buyer()?;
    let desk = api.numbers.clone();
    let work = wares::reading(async move |transaction: String| match desk.list(&wallet, Utc::now()).await {
        Ok(leases) => Ok(Answer { status: 200, body: listed(&wallet, &leases, &transaction) }),
        Err(error) => Err(FAMILY.refusal(&error.into())),
    });
    purchase.sell(&api, price, work).await
}

/// Free, but through a payment of nothing, which says who asks.
pub(in crate::api) async fn release(
    State(api): State<Api>,
    purchase: Purchase,
) -> Result<Response, ApiError> {
    let price = Price::new(Usd::ZERO, "Release a phone number");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let number = number_field(&purchase)?;
    let payer = purchase.payer()?;
    let owner = if let Payer::Wallet(wallet) = &payer { Owner::Only(wallet) } else { Owner::Anyone };
    api.numbers.quote_release(&number, owner, Utc::now()).await?;
    let wallet = purchase.buyer()?;
    let desk = api.numbers.clone();
    let work = wares::reading(async move |transaction: String| {
        match desk.release(&number, &wallet, Utc::now()).await {
            Ok(lease) => Ok(Answer { status: 200, body: released(&lease, &transaction) }),
            Err(error) => Err(FAMILY.refusal(&error.into())),
        }
    });
    purchase.sell(&api, price, work).await
}

/// Renames what the published clients write to what the documents say; where both stand, the documents win.
fn renamed(mut body: Map<String, Value>, names: &[(&str, &str)]) -> Map<String, Value> {
    for (client, document) in names {
        if let Some(value) = body.remove(*client) {
            body.entry(*document).or_insert(value);
        }
    }
    body
}

fn number_field(purchase: &Purchase) -> Result<String, ApiError> {
    let body = renamed(purchase.object()?, &[("phoneNumber", "phone_number")]);
    let mut fields = Fields::new(body, &["phone_number"]);
    let number = fields.required_text("phone_number");
    fields.finish()?;
    Ok(number)
}

pub(super) fn leased(lease: &Lease, transaction: &str) -> Value {
    json!({
        "phone_number": lease.number,
        "country": lease.country.as_str(),
        "owner_wallet": lease.owner,
        "chain": chain(&lease.owner),
        "expires_at": lease.expires_at,
        "message": "The number is yours until it expires; renew it before",
        "transaction": transaction,
    })
}

pub(super) fn renewed(lease: &Lease, transaction: &str) -> Value {
    json!({ "phone_number": lease.number, "expires_at": lease.expires_at, "transaction": transaction })
}

fn released(lease: &Lease, transaction: &str) -> Value {
    json!({ "phone_number": lease.number, "released": true, "transaction": transaction })
}

fn listed(wallet: &Wallet, leases: &[Lease], transaction: &str) -> Value {
    let now = Utc::now();
    let number = |lease: &Lease| {
        json!({
            "phone_number": lease.number,
            "country": lease.country.as_str(),
            "chain": chain(wallet),
            "expires_at": lease.expires_at,
            "days_remaining": days_until(lease.expires_at, now),
            "active": lease.expires_at > now,
        })
    };
    let numbers: Vec<Value> = leases.iter().map(number).collect();
    json!({ "wallet": wallet, "count": numbers.len(), "numbers": numbers, "transaction": transaction })
}

/// Whose kind of wallet it is, in the published clients' two words.
fn chain(wallet: &Wallet) -> &'static str {
    if wallet.is_evm() { "base" } else { "solana" }
}

fn days_until(end: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    (end - now).num_days().max(0)
}
