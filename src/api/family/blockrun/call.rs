//! `/api/v1/voice/call`: from a number that the wallet leases.

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::{FAMILY, renamed, sale};
use crate::{
    api::{
        Api,
        body::Fields,
        error::ApiError,
        operator::call_id,
        paid::{Payer, Purchase},
        wares,
    },
    base::{CallId, Fault},
    call::record::{AnsweredBy, CallPlan, CallRecord, CallStatus, EndedBy, Speaker},
    pay::Price,
    service::{CallRequest, FieldError},
};

/// Characters that a task has at least.
const TASK_MIN: usize = 10;
/// Milliseconds.
const INTERRUPTION: std::ops::RangeInclusive<i64> = 50..=500;
/// Taken where a request names none.
const INTERRUPTION_DEFAULT: i64 = 100;

const FIELDS: [&str; 10] = [
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

pub(in crate::api) async fn place(State(api): State<Api>, purchase: Purchase) -> Result<Response, ApiError> {
    let price = Price::new(api.prices.blockrun.call, "An AI phone call of up to 30 minutes");
    if let Some(answer) = purchase.known(&api, &price).await? {
        return Ok(answer);
    }
    let mut request = request(purchase.object()?)?;
    match purchase.payer()? {
        Payer::Wallet(wallet) => {
            let from = api.numbers.caller_id_for(&wallet, request.from.as_deref(), Utc::now()).await?;
            request.from = Some(from.to_string());
        }
        Payer::Unknown => {
            if let Some(from) = &request.from {
                api.numbers.somebodys_caller_id(from, Utc::now()).await?;
            }
        }
        Payer::Operator => {}
    }
    let plan = sale::checked(&api, request, &purchase, &price).await?;
    purchase.sell(&api, price, wares::call(&api, FAMILY, plan)).await
}

/// Free and open: the id cannot be guessed.
pub(in crate::api) async fn read(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let record = api.read.call(call_id(&id)?).await?.ok_or(ApiError::NotFound("call"))?;
    Ok(Json(told(&record, &api.config.base_url())))
}

fn request(body: Map<String, Value>) -> Result<CallRequest, ApiError> {
    let mut fields = Fields::new(renamed(body, &[("to", "phone_number")]), &FIELDS);
    let request = CallRequest {
        phone_number: fields.required_text("phone_number"),
        task: fields.required_text("task"),
        from: fields.text("from"),
        voice: fields.text("voice"),
        language: fields.text("language").map(primary_subtag),
        max_duration: fields.integer("max_duration"),
        first_sentence: fields.text("first_sentence"),
        wait_for_greeting: fields.boolean("wait_for_greeting"),
        interruption_threshold: fields.integer("interruption_threshold").or(Some(INTERRUPTION_DEFAULT)),
        // The third word of the published client names what is between the two.
        model: fields.text("model").map(|model| if model == "enhanced" { "base".into() } else { model }),
        ..CallRequest::default()
    };
    if (1..TASK_MIN).contains(&request.task.trim().chars().count()) {
        let fix = format!("say what the agent shall do, in at least {TASK_MIN} characters");
        fields.reject(FieldError::invalid("task", "is too short", fix));
    }
    if let Some(ms) = request.interruption_threshold.filter(|ms| !INTERRUPTION.contains(ms)) {
        let fix = format!("use {} to {} milliseconds", INTERRUPTION.start(), INTERRUPTION.end());
        fields.reject(FieldError::invalid("interruption_threshold", format!("is {ms}"), fix));
    }
    fields.finish()?;
    Ok(request)
}

/// `en` of `en-US`: the published client sends the whole tag.
fn primary_subtag(tag: String) -> String {
    tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase()
}

pub(in crate::api::family) fn placed(call: CallId, plan: &CallPlan, transaction: &str) -> Value {
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
        "status": status(record.status),
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

/// The contract knows no word for a call that waits for its line, and its clients poll while it is started.
fn status(status: CallStatus) -> CallStatus {
    if status == CallStatus::Queued { CallStatus::Started } else { status }
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
