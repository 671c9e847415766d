//! StablePhone's API: `/api/call`, `/api/number`, `/api/numbers`. What a wallet has bought is its own: calls
//! and lists want a sign-in with the wallet ([`crate::pay::siwx`]) or the operator's key.
//!
//! The request is the published schema. The published API leaves the answer of the second route open
//! but for the names `status, completed, to, from, call_length, answered_by, summary, transcript,
//! transcripts, recording_url, price, error_message, created_at`; they are used as they are, and what
//! this node knows beyond them has names of its own.

pub(in crate::api) mod lookup;

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Family, x402phone};
use crate::{
    api::{
        Api,
        body::Fields,
        error::ApiError,
        operator::call_id,
        paid::{Payer, Purchase},
        reader::Reader,
        wares,
    },
    base::{CallId, E164, Fault, Usd},
    call::record::{
        AnsweredBy, CallPlan, CallRecord, CallStatus, EndedBy, LatencySplit, Speaker, TransferStatus,
        TurnRecord,
    },
    pay::Price,
    service::{BuyFields, BuyRequest, CallRequest, Caller},
    store::numbers::{Lease, Owner},
};

const FIELDS: [&str; 13] = [
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
];

const FAMILY: Family = Family::StablePhone;

pub(in crate::api) async fn call(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    sell_call(&api, FAMILY, purchase).await
}

pub(in crate::api) async fn number(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    sell_number(&api, FAMILY, purchase).await
}

pub(in crate::api) async fn topup(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    sell_topup(&api, FAMILY, purchase).await
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
    Ok(Json(x402phone::list(&leases)))
}

/// The shared half of two families: their requests and answers are the same.
pub(super) async fn sell_call(api: &Api, family: Family, purchase: Purchase) -> Result<Response, ApiError> {
    let price = match family {
        Family::X402Phone => api.prices.x402phone.call,
        _ => api.prices.stablephone.call,
    };
    let price = Price::new(price, "An AI phone call");
    if let Some(answer) = purchase.known(api, &price).await? {
        return Ok(answer);
    }
    let request = request(purchase.object()?)?;
    let plan = checked(api, request, &purchase, &price).await?;
    purchase.sell(api, price, wares::call(api, family, plan)).await
}

pub(super) async fn sell_number(api: &Api, family: Family, purchase: Purchase) -> Result<Response, ApiError> {
    let price = match family {
        Family::X402Phone => api.prices.x402phone.number,
        _ => api.prices.stablephone.number,
    };
    let price = Price::new(price, "A phone number for 30 days");
    if let Some(answer) = purchase.known(api, &price).await? {
        return Ok(answer);
    }
    let mut fields = Fields::new(purchase.object()?, &["area_code", "country_code"]);
    let request = BuyRequest {
        area_code: fields.text("area_code"),
        country: fields.text("country_code"),
        // An area code that was named and is not to be had is an error, never another area's number.
        exact: true,
        names: BuyFields { country: "country_code", area_code: "area_code" },
    };
    fields.finish()?;
    let criteria = api.numbers.quote_buy(&request, Utc::now()).await?;
    let wallet = purchase.buyer(api)?;
    purchase.sell(api, price, wares::number(api, family, criteria, wallet)).await
}

pub(super) async fn sell_topup(api: &Api, family: Family, purchase: Purchase) -> Result<Response, ApiError> {
    let price = match family {
        Family::X402Phone => api.prices.x402phone.topup,
        _ => api.prices.stablephone.topup,
    };
    let price = Price::new(price, "Another 30 days of a phone number");
    if let Some(answer) = purchase.known(api, &price).await? {
        return Ok(answer);
    }
    let mut fields = Fields::new(purchase.object()?, &["phone_number"]);
    let number = fields.required_text("phone_number");
    fields.finish()?;
    let lease = api.numbers.quote_renew(&number, Owner::Anyone, Utc::now()).await?;
    let wallet = purchase.buyer(api)?;
    purchase.sell(api, price, wares::renewal(api, family, lease.number, wallet)).await
}

/// A call that may be placed, with its owner and what it costs; caps and caller ids are the payer's.
pub(super) async fn checked(
    api: &Api,
    request: CallRequest,
    purchase: &Purchase,
    price: &Price,
) -> Result<CallPlan, ApiError> {
    let by = match purchase.payer(api)? {
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

fn request(body: Map<String, Value>) -> Result<CallRequest, ApiError> {
    let mut fields = Fields::new(body, &FIELDS);
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
        language: None,
        interruption_threshold: None,
    };
    fields.finish()?;
    Ok(request)
}

/// A call as `GET /api/call/{id}` tells it.
#[derive(Serialize)]
pub struct CallAnswer {
    success: bool,
    call_id: CallId,
    status: CallStatus,
    /// The conversation is over, however it ended. A summary and a recording may still follow.
    completed: bool,
    answered_by: Option<AnsweredBy>,
    /// Minutes from answer to end.
    call_length: Option<f64>,
    ended_by: Option<EndedBy>,
    fault: Option<Fault>,
    end_reason: Option<String>,
    from: Option<E164>,
    to: Option<E164>,
    transcript: String,
    concatenated_transcript: String,
    transcripts: Vec<Line>,
    summary: Option<String>,
    recording_url: Option<String>,
    voice: String,
    voice_used: Option<String>,
    created_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    metadata: Option<Value>,
    price: Option<f64>,
    /// What became of handing the call over; none where nobody asked for it.
    transfer: Option<TransferStatus>,
    /// Why the call did not do what was asked; none after a conversation.
    error_message: Option<String>,
}

/// One turn of speech.
#[derive(Serialize)]
struct Line {
    /// Counts from 1.
    id: usize,
    created_at: DateTime<Utc>,
    text: String,
    user: &'static str,
    start_ms: u64,
    end_ms: u64,
    interrupted: bool,
    latency: Option<LatencySplit>,
}

impl CallAnswer {
    /// `base` is the node's URL without a slash at its end.
    pub fn new(record: CallRecord, base: &str) -> CallAnswer {
        let transcript = record.concatenated_transcript();
        let failed = record.status.is_final() && record.status != CallStatus::Completed;
        let answered_at = record.answered_at.unwrap_or(record.created_at);
        let turns = record.turns.into_iter().enumerate();
        CallAnswer {
            success: true,
            call_id: record.id,
            status: record.status,
            completed: record.status.is_final(),
            answered_by: record.answered_by,
            call_length: record.length_secs.map(|secs| (secs / 60.0 * 100.0).round() / 100.0),
            ended_by: record.ended_by,
            fault: record.fault,
            error_message: record.end_reason.clone().filter(|_| failed),
            end_reason: record.end_reason,
            from: record.plan.from,
            to: record.plan.to,
            concatenated_transcript: transcript.clone(),
            transcript,
            transcripts: turns.map(|(index, turn)| Line::new(index + 1, turn, answered_at)).collect(),
            summary: record.summary.map(|summary| summary.into_exposed()),
            recording_url: record.recording.map(|file| format!("{base}/recordings/{file}")),
            voice: record.plan.voice,
            voice_used: record.voice_used,
            created_at: record.created_at,
            answered_at: record.answered_at,
            ended_at: record.ended_at,
            metadata: record.plan.metadata,
            price: record.plan.price.map(Usd::as_f64),
            transfer: record.transfer,
        }
    }
}

impl Line {
    fn new(id: usize, turn: TurnRecord, answered_at: DateTime<Utc>) -> Line {
        let offset = i64::try_from(turn.start_ms).ok().and_then(TimeDelta::try_milliseconds);
        Line {
            id,
            created_at: offset.and_then(|o| answered_at.checked_add_signed(o)).unwrap_or(answered_at),
            user: match turn.speaker {
                Speaker::Agent => "assistant",
                Speaker::Caller => "user",
            },
            text: turn.text.into_exposed(),
            start_ms: turn.start_ms,
            end_ms: turn.end_ms,
            interrupted: turn.interrupted,
            latency: turn.latency,
        }
    }
}
