//! `callbox call`: a client of a running node. Places a call over its HTTP API and prints the
//! conversation while it happens.

pub mod client;
pub mod print;
mod sse;

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use callbox::node::NodeConfig;
use serde_json::{Map, Value, json};

use client::Client;
use print::Printer;
use sse::Event;
use tokio::signal::unix::{SignalKind, signal};

/// Exit status of a call that did not come to a conversation: busy, no answer, refused.
const NOT_COMPLETED: u8 = 3;

#[derive(clap::Args)]
pub struct Args {
    /// The number to call, in E.164 form: +14155550123
    number: String,
    /// What the agent shall do on the call
    #[arg(long)]
    task: String,
    /// The agent's opening words
    #[arg(long)]
    first_sentence: Option<String>,
    /// The voice that speaks
    #[arg(long)]
    voice: Option<String>,
    /// Minutes the call may last, 1 to 30
    #[arg(long, value_name = "MINUTES")]
    max_duration: Option<u32>,
    /// Let the other side speak first
    #[arg(long)]
    wait_for_greeting: bool,
    /// Keep a recording [default: the node's, which is to keep one]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    record: Option<bool>,
    /// `base` or `turbo`
    #[arg(long)]
    model: Option<String>,
    /// The language of the call, such as `de`
    #[arg(long)]
    language: Option<String>,
    /// What to do where a machine answers: `hangup`, `leave_message` or `ignore`
    #[arg(long, value_name = "ACTION")]
    voicemail_action: Option<String>,
    /// What to leave on a machine
    #[arg(long, value_name = "TEXT")]
    voicemail_message: Option<String>,
    /// The node's own number to show
    #[arg(long)]
    from: Option<String>,
    /// The node to ask [default: the one this configuration describes]
    #[arg(long)]
    url: Option<String>,
    /// Print each event as a line of JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// The body of `POST /api/call`: only what was said.
    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut put = |key: &str, value: Option<Value>| value.map(|value| body.insert(key.to_owned(), value));
        put("phone_number", Some(json!(self.number)));
        put("task", Some(json!(self.task)));
        put("first_sentence", self.first_sentence.as_ref().map(|text| json!(text)));
        put("voice", self.voice.as_ref().map(|name| json!(name)));
        put("max_duration", self.max_duration.map(|minutes| json!(minutes)));
        put("wait_for_greeting", self.wait_for_greeting.then_some(json!(true)));
        put("record", self.record.map(|record| json!(record)));
        put("model", self.model.as_ref().map(|name| json!(name)));
        put("language", self.language.as_ref().map(|code| json!(code)));
        // Who says what to leave wants it left.
        let leaves = self.voicemail_message.as_ref().map(|_| "leave_message".to_owned());
        put("voicemail_action", self.voicemail_action.clone().or(leaves).map(|action| json!(action)));
        put("voicemail_message", self.voicemail_message.as_ref().map(|text| json!(text)));
        put("from", self.from.as_ref().map(|number| json!(number)));
        Value::Object(body)
    }
}

pub async fn run(args: Args, config: &NodeConfig) -> anyhow::Result<ExitCode> {
    let client = Client::of(config, args.url.as_deref())?;
    let call = client.place(&args.body()).await?;
    let mut printer = Printer::new(args.json, std::io::stdout().is_terminal());
    printer.placed(&call, &args.number);
    follow(&client, &call, &mut printer).await?;
    let record = client.read(&call).await?;
    printer.finished(&record);
    Ok(match record["status"].as_str() {
        Some("completed") => ExitCode::SUCCESS,
        _ => ExitCode::from(NOT_COMPLETED),
    })
}

/// Prints events until nothing more comes. The first interrupt hangs up, the second leaves.
pub async fn follow(client: &Client, call: &str, printer: &mut Printer) -> anyhow::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot hear interrupts")?;
    let mut events = client.events(call).await?;
    let mut interrupted = false;
    loop {
        tokio::select! {
            event = events.next() => match event? {
                Some(Event { name, data }) => printer.event(&name, &data),
                None => return Ok(()),
            },
            _ = interrupts.recv() => {
                anyhow::ensure!(!interrupted, "left while the call was ending; read it with GET /api/call/{call}");
                interrupted = true;
                printer.note("hanging up; interrupt again to leave");
                client.hang_up(call).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn body(flags: &[&str]) -> Value {
        let words = ["call", "+14155550123", "--task", "Ask."].iter().chain(flags);
        Line::try_parse_from(words).unwrap().args.body()
    }

    #[test]
    fn only_what_is_said_is_asked_for() {
        assert_eq!(body(&[]), json!({ "phone_number": "+14155550123", "task": "Ask." }));
    }

    #[test]
    fn language_and_what_to_do_about_a_machine_are_passed_on() {
        let said = body(&["--language", "de", "--voicemail-action", "ignore"]);
        assert_eq!((&said["language"], &said["voicemail_action"]), (&json!("de"), &json!("ignore")));
    }

    #[test]
    fn whoever_says_what_to_leave_wants_it_left() {
        let said = body(&["--voicemail-message", "Call us back."]);
        assert_eq!(said["voicemail_action"], "leave_message");
        assert_eq!(said["voicemail_message"], "Call us back.");
    }
}
