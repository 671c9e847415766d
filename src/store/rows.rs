//! Rows as SQL gives them, and their way to the record's types.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::FromRow;

use super::StoreError;
use crate::{
    base::{Fault, Pii},
    call::record::{CallRecord, TurnRecord},
};

#[derive(FromRow)]
pub(super) struct CallRow {
    id: String,
    direction: String,
    plan: String,
    status: String,
    created_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    answered_by: Option<String>,
    ended_by: Option<String>,
    fault: Option<String>,
    end_reason: Option<String>,
    voice_used: Option<String>,
    length_secs: Option<f64>,
    summary: Option<String>,
    transfer: Option<String>,
    recording: Option<String>,
    quality: Option<String>,
    trunk: Option<String>,
    redirected_from: Option<String>,
    verification: Option<String>,
    pub(super) revision: i64,
    pub(super) closed: bool,
}

impl CallRow {
    pub(super) fn into_record(self, turns: Vec<TurnRecord>) -> Result<CallRecord, StoreError> {
        Ok(CallRecord {
            id: word("id", &self.id)?,
            direction: word("direction", &self.direction)?,
            plan: json("plan", &self.plan)?,
            status: word("status", &self.status)?,
            created_at: self.created_at,
            answered_at: self.answered_at,
            ended_at: self.ended_at,
            answered_by: optional_word("answered_by", self.answered_by)?,
            ended_by: optional_word("ended_by", self.ended_by)?,
            fault: self.fault.as_deref().map(fault).transpose()?,
            end_reason: self.end_reason,
            voice_used: self.voice_used,
            length_secs: self.length_secs,
            turns,
            summary: self.summary.map(Pii::new),
            transfer: optional_word("transfer", self.transfer)?,
            recording: self.recording,
            trunk: self.trunk,
            redirected_from: optional_word("redirected_from", self.redirected_from)?,
            verification: optional_word("verification", self.verification)?,
            quality: self.quality.as_deref().map(|text| json("quality", text)).transpose()?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct TurnRow {
    speaker: String,
    start_ms: i64,
    end_ms: i64,
    text: String,
    interrupted: bool,
    latency: Option<String>,
}

impl TurnRow {
    pub(super) fn into_turn(self) -> Result<TurnRecord, StoreError> {
        Ok(TurnRecord {
            speaker: word("speaker", &self.speaker)?,
            text: Pii::new(self.text),
            start_ms: self.start_ms.unsigned_abs(),
            end_ms: self.end_ms.unsigned_abs(),
            interrupted: self.interrupted,
            latency: self.latency.as_deref().map(|text| json("latency", text)).transpose()?,
        })
    }
}

pub(super) fn word<T: FromStr<Err: ToString>>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error: T::Err| StoreError::Corrupt { column, detail: error.to_string() })
}

pub(super) fn optional_word<T: FromStr<Err: ToString>>(
    column: &'static str,
    text: Option<String>,
) -> Result<Option<T>, StoreError> {
    text.as_deref().map(|text| word(column, text)).transpose()
}

/// The error's position is kept and its text is not: it may quote a number or a task.
pub(super) fn json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
        column,
        detail: format!("unreadable JSON at character {}", error.column()),
    })
}

fn fault(text: &str) -> Result<Fault, StoreError> {
    [Fault::Caller, Fault::Callee, Fault::Carrier, Fault::Us]
        .into_iter()
        .find(|fault| fault.as_str() == text)
        .ok_or_else(|| StoreError::Corrupt { column: "fault", detail: format!("unknown word `{text}`") })
}
