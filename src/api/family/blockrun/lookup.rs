//! `POST /api/v1/phone/lookup` and `…/lookup/fraud`, in the shape that the published client passes on. Kind and
//! country come from the numbering plan; the carrier, and signs of fraud (a swapped SIM, forwarded calls), from
//! whoever the operator names. Nobody knows signs of fraud but carriers: without somebody to ask they are not
//! sold.

use axum::{extract::State, response::Response};
use serde_json::{Value, json};

use super::{FAMILY, number_field};
use crate::{
    api::{Api, error::ApiError, paid::Purchase, wares},
    base::E164,
    pay::Price,
    service::{
        LookUp,
        look_up::{Depth, Known, Line},
    },
};

pub(in crate::api) async fn carrier(
    State(api): State<Api>,
    purchase: Purchase,
) -> Result<Response, ApiError> {
    let price = Price::new(api.prices.blockrun.lookup, "Kind, country and carrier of a phone number");
    sell(&api, purchase, price, Depth::Carrier).await
}

pub(in crate::api) async fn fraud(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    if !api.look_up.knows_carriers() {
        return Err(ApiError::NobodyToAsk("swapped SIMs and forwarded calls"));
    }
    let price = Price::new(api.prices.blockrun.lookup_fraud, "Carrier and signs of fraud of a phone number");
    sell(&api, purchase, price, Depth::Fraud).await
}

/// Whoever knows is asked before the money moves, so that no answer costs nothing.
async fn sell(api: &Api, purchase: Purchase, price: Price, depth: Depth) -> Result<Response, ApiError> {
    if let Some(answer) = purchase.known(api, &price).await? {
        return Ok(answer);
    }
    let text = number_field(&purchase)?;
    let (number, line) =
        LookUp::check("phone_number", &text).map_err(|error| ApiError::Fields(vec![error]))?;
    let desk = api.look_up.clone();
    let work = wares::inquiry(async move {
        match desk.carrier(&number, depth).await {
            Ok(known) => Ok(told(&number, &line, &known, depth)),
            Err(failure) => Err(FAMILY.refusal(&failure.into())),
        }
    });
    purchase.sell(api, price, work).await
}

fn told(number: &E164, line: &Line, known: &Known, depth: Depth) -> Value {
    let carrier = known.carrier.clone().unwrap_or_default();
    let kind = carrier.kind.as_deref().unwrap_or(line.kind);
    let name = carrier.name.as_deref().unwrap_or("unknown");
    let (mcc, mnc) = (&carrier.mobile_country_code, &carrier.mobile_network_code);
    let mut told = json!({
        "phone_number": number,
        "calling_country_code": line.calling_code,
        "country_code": line.country.as_ref().map(|country| country.iso2),
        "national_format": line.national,
        "valid": true,
        "line_type_intelligence": {
            "type": kind,
            "carrier_name": name,
            "mobile_country_code": mcc,
            "mobile_network_code": mnc,
        },
        "carrier": { "name": name, "type": kind, "mobile_country_code": mcc, "mobile_network_code": mnc },
        "caller_name": null,
        "sim_swap": null,
        "call_forwarding": null,
    });
    if depth == Depth::Fraud {
        told["sim_swap"] = sim_swap(known);
        told["call_forwarding"] = forwarding(known);
    }
    told
}

fn sim_swap(known: &Known) -> Value {
    let swap = known.sim_swap.clone().unwrap_or_default();
    json!({
        "status": word(swap.in_period, "swapped", "not_swapped"),
        "last_sim_swap": {
            "last_sim_swap_date": swap.last_at,
            "swapped_in_period": swap.in_period,
            "swapped_period": swap.period,
        },
    })
}

fn forwarding(known: &Known) -> Value {
    let forwarded = known.call_forwarding;
    json!({
        "status": word(forwarded, "forwarded", "not_forwarded"),
        "call_forwarding_enabled": forwarded,
    })
}

fn word(told: Option<bool>, yes: &'static str, no: &'static str) -> &'static str {
    match told {
        Some(true) => yes,
        Some(false) => no,
        None => "unknown",
    }
}
