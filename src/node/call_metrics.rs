//! Metrics of calls, from the feed of their events.

use tokio::sync::broadcast::error::RecvError;

use crate::{
    call::{
        event::CallChange,
        record::{LatencySplit, TurnRecord},
    },
    store::Feed,
};

/// Counts for as long as the feed lives.
pub fn spawn(feed: &Feed) {
    let mut events = feed.listen();
    tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(recorded) => count(&recorded.event.change),
                Err(RecvError::Lagged(missed)) => {
                    metrics::counter!("callbox_metrics_missed_events_total").increment(missed);
                }
                Err(RecvError::Closed) => return,
            }
        }
    });
}

fn count(change: &CallChange) {
    match change {
        CallChange::Created { direction, .. } => {
            metrics::counter!("callbox_calls_total", "direction" => direction.as_str()).increment(1);
        }
        CallChange::Ended(ending) => {
            let fault = ending.fault.map_or("none", |fault| fault.as_str());
            let labels = [
                ("status", ending.status.as_str()),
                ("ended_by", ending.ended_by.as_str()),
                ("fault", fault),
            ];
            metrics::counter!("callbox_calls_ended_total", &labels).increment(1);
            if let Some(secs) = ending.length_secs {
                metrics::histogram!("callbox_call_length_seconds").record(secs);
            }
        }
        CallChange::Transfer { status } => {
            metrics::counter!("callbox_transfers_total", "status" => status.as_str()).increment(1);
        }
        CallChange::Turn { turn } => count_turn(turn),
        _ => {}
    }
}

fn count_turn(turn: &TurnRecord) {
    let labels = [("speaker", turn.speaker.as_str()), ("interrupted", flag(turn.interrupted))];
    metrics::counter!("callbox_turns_total", &labels).increment(1);
    for (part, ms) in turn.latency.iter().flat_map(parts) {
        metrics::histogram!("callbox_turn_latency_seconds", "part" => part).record(ms as f64 / 1000.0);
    }
}

fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// The parts of a turn's latency by name, the total last.
pub fn parts(split: &LatencySplit) -> [(&'static str, u64); 7] {
    [
        ("endpoint", split.endpoint_ms),
        ("asr", split.asr_ms),
        ("llm_first_token", split.llm_first_token_ms),
        ("llm_first_clause", split.llm_first_clause_ms),
        ("tts_first_audio", split.tts_first_audio_ms),
        ("wire", split.wire_ms),
        ("total", split.total_ms),
    ]
}
