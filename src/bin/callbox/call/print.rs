//! A conversation on a terminal, or as lines of JSON.

use std::io::Write;

use callbox::{call::record::LatencySplit, node::call_metrics::parts};
use serde_json::{Value, json};

pub struct Printer {
    json: bool,
    /// Text of unfinished turns is shown and written over; only a terminal can do that.
    live: bool,
}

/// Back to the line's beginning, and clear it.
const REWIND: &str = "\r\x1b[K";

impl Printer {
    pub fn new(json: bool, terminal: bool) -> Printer {
        Printer { json, live: terminal && !json }
    }

    pub fn placed(&self, call: &str, number: &str) {
        if self.json {
            return self.line(&json!({ "event": "placed", "call_id": call }).to_string());
        }
        self.line(&format!("{call}: calling {number}"));
    }

    /// Goes to standard error: it is no part of the conversation.
    pub fn note(&self, text: &str) {
        eprintln!("{}{text}", if self.live { REWIND } else { "" });
    }

    pub fn event(&mut self, name: &str, data: &Value) {
        if self.json {
            return self.line(&json!({ "event": name, "data": data }).to_string());
        }
        match name {
            "call" => self.state(data),
            "change" => self.change(data),
            _ => {}
        }
    }

    /// What had happened before the live view began.
    fn state(&self, call: &Value) {
        match call["status"].as_str() {
            Some(status) if status != "queued" && !is_final(status) => self.line(&format!("  {status}")),
            _ => {}
        }
        for turn in call["transcripts"].as_array().into_iter().flatten() {
            self.turn(turn["user"].as_str() == Some("assistant"), turn);
        }
    }

    fn change(&self, change: &Value) {
        let text = |key: &str| change[key].as_str().unwrap_or_default();
        match text("type") {
            "status" if !is_final(text("status")) => self.line(&format!("  {}", text("status"))),
            "answered" => self.line(&format!("  answered ({})", text("answered_by"))),
            "live" if self.live => self.partial(text("speaker"), text("text")),
            "transfer" => self.line(&format!("  transfer: {}", text("status"))),
            "turn" => self.turn(change["turn"]["speaker"].as_str() == Some("agent"), &change["turn"]),
            "ended" => self.line(&format!("  {}", text("reason"))),
            _ => {}
        }
    }

    fn partial(&self, speaker: &str, text: &str) {
        // One line of the narrowest terminal: what wraps cannot be written over.
        let tail: String = text.chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
        print!("{REWIND}{speaker:>6} … {tail}");
        let _ = std::io::stdout().flush();
    }

    fn turn(&self, is_agent: bool, turn: &Value) {
        let speaker = if is_agent { "agent" } else { "caller" };
        let cut = if turn["interrupted"] == true { " [interrupted]" } else { "" };
        let latency = latency_of(turn).map(|split| format!("  ({} ms)", split.total_ms)).unwrap_or_default();
        let text = turn["text"].as_str().unwrap_or_default();
        self.line(&format!("{speaker:>6}: {text}{cut}{latency}"));
    }

    /// The whole record, after the last event.
    pub fn finished(&self, record: &Value) {
        if self.json {
            return self.line(&json!({ "event": "finished", "data": record }).to_string());
        }
        let minutes =
            record["call_length"].as_f64().map(|m| format!(" after {m:.2} minutes")).unwrap_or_default();
        let reason = record["end_reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        self.line(&format!("\n{}{minutes}{reason}", record["status"].as_str().unwrap_or("unknown")));
        if let Some(summary) = record["summary"].as_str() {
            self.line(&format!("\n{summary}"));
        }
        let splits: Vec<_> =
            record["transcripts"].as_array().into_iter().flatten().filter_map(latency_of).collect();
        if !splits.is_empty() {
            self.line(&format!("\n{}", latency_table(&splits)));
        }
        if let Some(url) = record["recording_url"].as_str() {
            self.line(&format!("recording: {url}"));
        }
    }

    /// A reader that has gone away ends the view, not with a panic.
    fn line(&self, text: &str) {
        let rewind = if self.live { REWIND } else { "" };
        if writeln!(std::io::stdout(), "{rewind}{text}").is_err() {
            std::process::exit(0);
        }
    }
}

fn is_final(status: &str) -> bool {
    status.parse().is_ok_and(callbox::call::record::CallStatus::is_final)
}

fn latency_of(turn: &Value) -> Option<LatencySplit> {
    serde_json::from_value(turn["latency"].clone()).ok()
}

/// Median and worst of each part of the answers' latency, in milliseconds.
fn latency_table(splits: &[LatencySplit]) -> String {
    let mut table = format!("{:<18}{:>8}{:>8}\n", "latency (ms)", "median", "worst");
    let names = parts(&LatencySplit::default()).map(|(name, _)| name);
    for (index, name) in names.into_iter().enumerate() {
        let mut values: Vec<u64> = splits.iter().map(|split| parts(split)[index].1).collect();
        values.sort_unstable();
        let (median, worst) = (values[(values.len() - 1) / 2], values[values.len() - 1]);
        table += &format!("{name:<18}{median:>8}{worst:>8}\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_shows_the_middle_and_the_worst() {
        let split = |total_ms| LatencySplit { total_ms, ..LatencySplit::default() };
        let table = latency_table(&[split(900), split(400), split(500)]);
        assert!(table.ends_with("total                  500     900\n"), "{table}");
    }
}
