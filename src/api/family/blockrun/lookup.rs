//! `POST /api/v1/phone/lookup`: what the numbering plan says, in the shape that the published client passes on.
//! Signals of fraud (a swapped SIM, forwarded calls) are known to carriers alone and are not sold.

use axum::extract::State;
use serde_json::{Value, json};

use super::{Answered, number_field};
use crate::{
    api::{Api, error::ApiError, paid::Purchase, wares},
    base::E164,
    pay::{Price, gate::Answer},
    service::{LookUp, look_up::Line},
};

pub(in crate::api) async fn lookup(State(api): State<Api>, purchase: Purchase) -> Answered {
    let price = Price::new(api.prices.blockrun.lookup, "Kind and country of a phone number");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let text = number_field(&purchase)?;
    let (number, line) =
        LookUp::check("phone_number", &text).map_err(|error| ApiError::Fields(vec![error]))?;
    let work = wares::reading(async move |transaction: String| {
        Ok(Answer { status: 200, body: told(&number, &line, &transaction) })
    });
    Ok(purchase.sell(&api, price, work).await?)
}

fn told(number: &E164, line: &Line, transaction: &str) -> Value {
    json!({
        "phone_number": number,
        "valid": true,
        "country_code": line.country.as_ref().map(|country| country.iso2),
        "line_type_intelligence": { "type": line.kind, "carrier_name": "unknown" },
        "carrier": { "name": "unknown", "type": line.kind },
        "caller_name": null,
        "transaction": transaction,
    })
}
