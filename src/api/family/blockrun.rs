//! BlockRun's API: `/api/v1/phone/*` and `/api/v1/voice/*`. Its published clients write some fields otherwise
//! than its documents (`to` for `phone_number`, `areaCode` for `area_code`); both are read.

pub(in crate::api) mod lookup;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{Family, stablephone};
use crate::{
    api::{
        Api,
        body::Fields,
        error::ApiError,
        operator::call_id,
        paid::{Payer, Purchase},
        wares,
    },
    base::{CallId, E164, Fault, Wallet},
    call::record::{AnsweredBy, CallPlan, CallRecord, CallStatus, EndedBy, Speaker},
    pay::{Price, gate::Answer},
    service::{BuyFields, BuyRequest, CallRequest, CallerIdFailure},
    store::numbers::{Lease, Owner},
};

const FAMILY: Family = Family::BlockRun;

/// An error in BlockRun's shape.
pub(in crate::api) struct Refused(ApiError);

impl<E: Into<ApiError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Refused(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, body) = refusal(&self.0);
        let mut response = self.0.into_response();
        let headers = std::mem::take(response.headers_mut());
        let mut shaped = (status, Json(body)).into_response();
        for (name, value) in &headers {
            shaped.headers_mut().entry(name).or_insert(value.clone());
        }
        shaped
    }
}

type Answered = Result<Response, Refused>;

pub(in crate::api) async fn buy(State(api): State<Api>, purchase: Purchase) -> Answered {
    let price = Price::new(api.prices.blockrun.buy, "A phone number for 30 days");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let mut fields =
        Fields::new(renamed(purchase.object()?, &[("areaCode", "area_code")]), &["country", "area_code"]);
    let request = BuyRequest {
        country: fields.text("country"),
        area_code: fields.text("area_code"),
        exact: false,
        names: BuyFields::default(),
    };
    fields.finish()?;
    let criteria = api.numbers.quote_buy(&request, Utc::now()).await?;
    let wallet = purchase.buyer()?;
    Ok(purchase.sell(&api, price, wares::number(&api, FAMILY, criteria, wallet)).await?)
}

pub(in crate::api) async fn renew(State(api): State<Api>, purchase: Purchase) -> Answered {
    let price = Price::new(api.prices.blockrun.renew, "Another 30 days of a phone number");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let number = number_field(&purchase)?;
    // Who asks is known by the payment alone.
    if let Payer::Wallet(wallet) = purchase.payer()? {
        api.numbers.quote_renew(&number, Owner::Only(&wallet), Utc::now()).await?;
    }
    let lease = api.numbers.quote_renew(&number, Owner::Anyone, Utc::now()).await?;
    let wallet = purchase.buyer()?;
    Ok(purchase.sell(&api, price, wares::renewal(&api, FAMILY, lease.number, wallet)).await?)
}

pub(in crate::api) async fn list(State(api): State<Api>, purchase: Purchase) -> Answered {
    let price = Price::new(api.prices.blockrun.list, "The phone numbers of your wallet");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let wallet = purchase.buyer()?;
    let desk = api.numbers.clone();
    let work = wares::reading(async move |transaction: String| match desk.list(&wallet, Utc::now()).await {
        Ok(leases) => Ok(Answer { status: 200, body: listed(&wallet, &leases, &transaction) }),
        Err(error) => Err(FAMILY.refusal(&error.into())),
    });
    Ok(purchase.sell(&api, price, work).await?)
}

/// Free, but through a payment of nothing, which says who asks.
pub(in crate::api) async fn release(State(api): State<Api>, purchase: Purchase) -> Answered {
    let price = Price::new(crate::base::Usd::ZERO, "Release a phone number");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let number = number_field(&purchase)?;
    let wallet = purchase.buyer()?;
    let desk = api.numbers.clone();
    let work = wares::reading(async move |transaction: String| {
        match desk.release(&number, &wallet, Utc::now()).await {
            Ok(lease) => {
                let body = json!({
                    "phone_number": lease.number,
                    "released": true,
                    "transaction": transaction,
                });
                Ok(Answer { status: 200, body })
            }
            Err(error) => Err(FAMILY.refusal(&error.into())),
        }
    });
    Ok(purchase.sell(&api, price, work).await?)
}

pub(in crate::api) async fn call(State(api): State<Api>, purchase: Purchase) -> Answered {
    let price = Price::new(api.prices.blockrun.call, "An AI phone call of up to 30 minutes");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let mut request = request(purchase.object()?)?;
    if let Payer::Wallet(wallet) = purchase.payer()? {
        let from = api.numbers.caller_id_for(&wallet, request.from.as_deref(), Utc::now()).await?;
        request.from = Some(from.to_string());
    }
    let plan = stablephone::checked(&api, request, &purchase, &price).await?;
    Ok(purchase.sell(&api, price, wares::call(&api, FAMILY, plan)).await?)
}

/// Free and open: the id cannot be guessed.
pub(in crate::api) async fn read(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    let record = api.read.call(call_id(&id)?).await?.ok_or(ApiError::NotFound("call"))?;
    Ok(Json(told(&record, &api.config.base_url())))
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

const CALL_FIELDS: [&str; 10] = [
    "phone_number",
    "task",
    "from",
    "voice",
    "language",
    "max_duration",
    "first_sentence",
    "wait_for_greeting",
    "interruption_threshold",
    "model",
];

fn request(body: Map<String, Value>) -> Result<CallRequest, ApiError> {
    let mut fields = Fields::new(renamed(body, &[("to", "phone_number")]), &CALL_FIELDS);
    let request = CallRequest {
        phone_number: fields.required_text("phone_number"),
        task: fields.required_text("task"),
        from: fields.text("from"),
        voice: fields.text("voice"),
        language: fields.text("language").map(primary_subtag),
        max_duration: fields.integer("max_duration"),
        first_sentence: fields.text("first_sentence"),
        wait_for_greeting: fields.boolean("wait_for_greeting"),
        interruption_threshold: fields.integer("interruption_threshold"),
        // The third word of the published client names what is between the two.
        model: fields.text("model").map(|model| if model == "enhanced" { "base".into() } else { model }),
        ..CallRequest::default()
    };
    fields.finish()?;
    Ok(request)
}

/// `en` of `en-US`: the published client sends the whole tag.
fn primary_subtag(tag: String) -> String {
    tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase()
}

pub(super) fn call_placed(call: CallId, plan: &CallPlan, transaction: &str) -> Value {
    json!({
        "call_id": call,
        "from": plan.from,
        "to": plan.to,
        "status": "started",
        "expected_duration_minutes": plan.max_duration_secs / 60,
        "poll_url": format!("/api/v1/voice/call/{call}"),
        "message": "Call started; poll for its outcome",
        "transaction": transaction,
    })
}

pub(super) fn leased(lease: &Lease, transaction: &str) -> Value {
    json!({
        "phone_number": lease.number,
        "country": lease.country.as_str(),
        "owner_wallet": lease.owner,
        "expires_at": lease.expires_at,
        "transaction": transaction,
    })
}

pub(super) fn renewed(lease: &Lease, transaction: &str) -> Value {
    json!({ "phone_number": lease.number, "expires_at": lease.expires_at, "transaction": transaction })
}

fn listed(wallet: &Wallet, leases: &[Lease], transaction: &str) -> Value {
    let now = Utc::now();
    let number = |lease: &Lease| {
        json!({
            "phone_number": lease.number,
            "country": lease.country.as_str(),
            "expires_at": lease.expires_at,
            "days_remaining": days_until(lease.expires_at, now),
            "active": lease.expires_at > now,
        })
    };
    let numbers: Vec<Value> = leases.iter().map(number).collect();
    json!({ "wallet": wallet, "count": numbers.len(), "numbers": numbers, "transaction": transaction })
}

fn days_until(end: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    (end - now).num_days().max(0)
}

fn told(record: &CallRecord, base: &str) -> Value {
    let (ended_by, reason) = ended_by(record);
    let role = |speaker| if speaker == Speaker::Agent { "assistant" } else { "user" };
    let turns: Vec<Value> = record
        .turns
        .iter()
        .map(|turn| json!({ "role": role(turn.speaker), "text": turn.text.expose() }))
        .collect();
    json!({
        "call_id": record.id,
        "from": record.plan.from,
        "to": record.plan.to,
        "status": record.status,
        "answered_by": record.answered_by,
        "call_length": record.length_secs.map(|secs| (secs / 60.0 * 100.0).round() / 100.0),
        "call_ended_by": ended_by,
        "ended_by": ended_by,
        "ended_by_reason": reason,
        "summary": record.summary.as_ref().map(|summary| summary.expose()),
        "transcript": turns,
        "concatenated_transcript": record.concatenated_transcript(),
        "recording_url": record.recording.as_ref().map(|file| format!("{base}/recordings/{file}")),
        "created_at": record.created_at,
    })
}

/// Why a call ended, in the contract's words: what is charged and what is not hangs on them.
fn ended_by(record: &CallRecord) -> (&'static str, String) {
    let said = |text: &str| text.to_owned();
    let reason = || record.end_reason.clone().unwrap_or_default();
    match (record.status, record.ended_by) {
        (status, _) if !status.is_final() => {
            ("IN_PROGRESS", said("The call has not ended yet; keep polling."))
        }
        (CallStatus::NoAnswer, _) => ("NO_ANSWER", said("Nobody picked up.")),
        (CallStatus::Busy, _) => ("BUSY", said("The destination was busy.")),
        (_, _) if record.answered_by == Some(AnsweredBy::Voicemail) => ("VOICEMAIL", reason()),
        (CallStatus::Failed, _) if record.fault != Some(Fault::Callee) => ("ERROR", reason()),
        (_, Some(EndedBy::Callee | EndedBy::Caller)) => {
            ("USER", said("The person who was called hung up. This is normal and no error of the system."))
        }
        (_, Some(EndedBy::Limit)) => ("TIMEOUT", said("The call reached its max_duration.")),
        (_, Some(EndedBy::Carrier | EndedBy::Node)) => ("ERROR", reason()),
        _ => ("ASSISTANT", said("The AI ended the call.")),
    }
}

/// `{"error": code, "message": …}` and what belongs to the code.
pub(super) fn refusal(error: &ApiError) -> (StatusCode, Value) {
    let (status, rendered) = error.rendered();
    let problem = &rendered["error"];
    let mut body = json!({ "error": problem["code"], "message": problem["message"] });
    for extra in ["field", "fix"] {
        if !problem[extra].is_null() {
            body[extra] = problem[extra].clone();
        }
    }
    if let ApiError::CallerId(failure) = error {
        own_words(failure, &mut body);
    }
    if let ApiError::WrongWallet { actual_owner, owned } = error {
        body["error"] = "wrong_wallet".into();
        body["actualOwner"] = json!(actual_owner);
        body["your_active_numbers"] = json!(owned);
    }
    (status, body)
}

fn own_words(failure: &CallerIdFailure, body: &mut Value) {
    let owned = |owned: &[E164]| json!(owned);
    match failure {
        CallerIdFailure::NoOwnedNumbers | CallerIdFailure::Expired { .. } => {
            body["error"] = "no_owned_numbers".into();
            body["code"] = "no_active_number".into();
            body["your_active_numbers"] = json!([]);
        }
        CallerIdFailure::Ambiguous { owned: numbers } => {
            body["error"] = "ambiguous_from".into();
            body["your_active_numbers"] = owned(numbers);
        }
        CallerIdFailure::WrongWallet { actual_owner, owned: numbers } => {
            body["error"] = "wrong_wallet".into();
            body["actualOwner"] = json!(actual_owner);
            body["your_active_numbers"] = owned(numbers);
        }
        CallerIdFailure::Field(_) | CallerIdFailure::Store(_) => {}
    }
}
