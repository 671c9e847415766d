//! A call as x402phone, StablePhone and the operator's routes tell it. The published APIs name the members
//! `status, completed, to, from, call_length, answered_by, summary, transcript, transcripts, recording_url,
//! price, error_message, created_at`; they are used as they are, and what this node knows beyond them has
//! names of its own.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::{
    base::{CallId, E164, Fault, Usd},
    call::record::{
        AnsweredBy, CallDirection, CallQuality, CallRecord, CallStatus, EndedBy, LatencySplit, Speaker,
        TransferStatus, TurnRecord, Verification,
    },
};

/// A call as `GET /api/call/{id}` tells it.
#[derive(Serialize)]
pub struct CallAnswer {
    success: bool,
    call_id: CallId,
    direction: CallDirection,
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
    quality: Option<CallQuality>,
    trunk: Option<String>,
    redirected_from: Option<E164>,
    verification: Option<Verification>,
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
            direction: record.direction,
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
            quality: record.quality,
            trunk: record.trunk,
            redirected_from: record.redirected_from,
            verification: record.verification,
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
