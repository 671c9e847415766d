//! What x402phone and StablePhone share: their requests and answers are the same, but that StablePhone's numbers
//! are +1 numbers by its schema.

use axum::response::Response;
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::Family;
use crate::{
    api::{
        Api,
        body::Fields,
        error::ApiError,
        paid::{Payer, Purchase},
        wares,
    },
    base::{CallId, E164, Usd},
    call::record::CallPlan,
    pay::Price,
    service::{BuyFields, BuyRequest, CallRequest, Caller, FieldError},
    store::numbers::Lease,
};

/// The last is for the operator's own calls: the schemas of the families do not have it.
const CALL: [&str; 14] = [
    "phone_number",
    "task",
    "from",
    "first_sentence",
    "voice",
    "max_duration",
    "wait_for_greeting",
    "record",
    "model",
    "transfer_phone_number",
    "voicemail_action",
    "voicemail_message",
    "metadata",
    "language",
];

/// Where the two sell numbers.
const COUNTRIES: [&str; 2] = ["US", "CA"];

struct Prices {
    call: Usd,
    number: Usd,
    topup: Usd,
}

impl Prices {
    fn of(api: &Api, family: Family) -> Prices {
        let (x402phone, stablephone) = (&api.prices.x402phone, &api.prices.stablephone);
        match family {
            Family::X402Phone => {
                Prices { call: x402phone.call, number: x402phone.number, topup: x402phone.topup }
            }
            Family::StablePhone | Family::BlockRun => {
                Prices { call: stablephone.call, number: stablephone.number, topup: stablephone.topup }
            }
        }
    }
}

pub(super) async fn call(api: &Api, family: Family, purchase: Purchase) -> Result<Response, ApiError> {
    let price = Price::new(Prices::of(api, family).call, "An AI phone call");
    if let Some(answer) = purchase.known(api, &price).await? {
        return Ok(answer);
    }
    let plan_of = Schema::of(family, &purchase.payer()?);
    let request = request(purchase.object()?, plan_of)?;
    let plan = checked(api, request, &purchase, &price).await?;
    purchase.sell(api, price, wares::call(api, family, plan)).await
}

pub(super) async fn number(api: &Api, family: Family, purchase: Purchase) -> Result<Response, ApiError> {
    let price = Price::new(Prices::of(api, family).number, "A phone number for 30 days");
    if let Some(answer) = purchase.known(api, &price).await? {
        return Ok(answer);
    }
    let mut fields = Fields::new(purchase.object_if_any()?, &["area_code", "country_code"]);
    let request = BuyRequest {
        area_code: fields.text("area_code"),
        country: fields.text("country_code"),
        // An area code that was named and is not to be had is an error, never another area's number.
        exact: true,
        names: BuyFields { country: "country_code", area_code: "area_code" },
    };
    if request.country.as_ref().is_some_and(|country| !COUNTRIES.contains(&country.as_str())) {
        fields.reject(FieldError::invalid("country_code", "is not sold here", "use \"US\" or \"CA\""));
    }
    fields.finish()?;
    let criteria = api.numbers.quote_buy(&request, Utc::now()).await?;
    let wallet = purchase.buyer()?;
    purchase.sell(api, price, wares::number(api, family, criteria, wallet)).await
}

pub(super) async fn topup(api: &Api, family: Family, purchase: Purchase) -> Result<Response, ApiError> {
    let price = Price::new(Prices::of(api, family).topup, "Another 30 days of a phone number");
    if let Some(answer) = purchase.known(api, &price).await? {
        return Ok(answer);
    }
    let payer = purchase.payer()?;
    let mut fields = Fields::new(purchase.object()?, &["phone_number"]);
    let number = fields.required_text("phone_number");
    Schema::of(family, &payer).number(&mut fields, "phone_number", Some(&number));
    fields.finish()?;
    let wallet = match &payer {
        Payer::Wallet(wallet) => Some(wallet),
        Payer::Unknown => None,
        Payer::Operator => return Err(ApiError::NoWallet),
    };
    let lease = api.numbers.quote_top_up(&number, wallet, Utc::now()).await?;
    purchase.sell(api, price, wares::renewal(api, family, lease)).await
}

/// A call that may be placed, with its owner and what it costs; caps and caller ids are the payer's.
pub(super) async fn checked(
    api: &Api,
    request: CallRequest,
    purchase: &Purchase,
    price: &Price,
) -> Result<CallPlan, ApiError> {
    let by = match purchase.payer()? {
        Payer::Operator => Caller::Operator,
        Payer::Wallet(wallet) => Caller::Wallet(wallet),
        Payer::Unknown => Caller::Unknown,
    };
    let charged = (by != Caller::Operator).then_some(price.amount);
    let plan = api.place.check(request, by, Utc::now()).await?;
    Ok(CallPlan { price: charged, ..plan })
}

pub(super) fn call_placed(call: CallId) -> Value {
    json!({ "success": true, "call_id": call, "message": "Call initiated" })
}

pub(super) fn leased(lease: &Lease) -> Value {
    json!({ "success": true, "phone_number": lease.number, "expires_at": lease.expires_at })
}

pub(super) fn list(leases: &[Lease]) -> Value {
    let number = |lease: &Lease| {
        json!({
            "phone_number": lease.number,
            "expires_at": lease.expires_at,
            "area_code": lease.area_code,
            "country_code": lease.country.as_str(),
        })
    };
    json!({ "success": true, "numbers": leases.iter().map(number).collect::<Vec<_>>() })
}

/// Which numbers a request may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Schema {
    /// Those of StablePhone's schema.
    NorthAmerican,
    /// E.164.
    Any,
    /// The same for the operator's own calls, which take the same routes and name their language.
    Own,
}

impl Schema {
    fn of(family: Family, payer: &Payer) -> Schema {
        match (family, payer) {
            (_, Payer::Operator) => Schema::Own,
            (Family::StablePhone, Payer::Wallet(_) | Payer::Unknown) => Schema::NorthAmerican,
            _ => Schema::Any,
        }
    }

    /// What is no number at all, and what may not be called, is for others to say.
    fn number(self, fields: &mut Fields, name: &str, text: Option<&str>) {
        let number: Option<E164> = text.and_then(|text| text.parse().ok());
        if self == Schema::NorthAmerican && number.is_some_and(|number| !number.as_str().starts_with("+1")) {
            let fix = "write a +1 number, such as +14155550123; /api/x402 takes those of other countries";
            fields.reject(FieldError::invalid(name, "is not a +1 number", fix));
        }
    }
}

fn request(body: Map<String, Value>, schema: Schema) -> Result<CallRequest, ApiError> {
    let known = if schema == Schema::Own { &CALL[..] } else { &CALL[..CALL.len() - 1] };
    let mut fields = Fields::new(body, known);
    let request = CallRequest {
        phone_number: fields.required_text("phone_number"),
        task: fields.required_text("task"),
        from: fields.text("from"),
        first_sentence: fields.text("first_sentence"),
        voice: fields.text("voice"),
        max_duration: fields.integer("max_duration"),
        wait_for_greeting: fields.boolean("wait_for_greeting"),
        record: fields.boolean("record"),
        model: fields.text("model"),
        transfer_phone_number: fields.text("transfer_phone_number"),
        voicemail_action: fields.text("voicemail_action"),
        voicemail_message: fields.text("voicemail_message"),
        metadata: fields.value("metadata"),
        language: (schema == Schema::Own).then(|| fields.text("language")).flatten(),
        interruption_threshold: None,
    };
    schema.number(&mut fields, "phone_number", Some(&request.phone_number));
    schema.number(&mut fields, "from", request.from.as_deref());
    fields.finish()?;
    Ok(request)
}
