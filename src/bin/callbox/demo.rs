//! `callbox demo`: a whole call on this machine: an agent buys it from the API with a wallet, on a local chain,
//! and a practice answers the phone.

mod market;

use std::collections::HashSet;
use std::process::ExitCode;

use callbox::call::record::LatencySplit;
use callbox::eval::figures::{Spread, table};
use callbox::eval::machine::{Machine, load_average};
use callbox::eval::phone::CallReport;
use callbox::node::NodeConfig;
use callbox::node::call_metrics::parts;
use callbox::node::config::{Loaded, Sources};
use serde_json::Value;

use self::market::Market;
use super::phone::milliseconds;
use super::stage::{Finished, Stage};

/// Turns of each side that make a conversation.
const CONVERSATION: usize = 3;
/// How far the two sides' clocks and jitter buffers may be apart, in milliseconds.
const SAME_MOMENT_MS: f64 = 1_000.0;

#[derive(clap::Args)]
pub struct Args {
    /// Place the call with the operator's key: no chain, no payment
    #[arg(long)]
    unpaid: bool,
    /// Show what the node logs, too
    #[arg(long)]
    verbose: bool,
}

pub async fn run(args: Args, loaded: Loaded, sources: Sources) -> anyhow::Result<ExitCode> {
    let mut config = loaded.config;
    if !args.verbose {
        config.log.level = "error".into();
    }
    let machine = Machine::here();
    println!("{machine}; load {:.1}\n", load_average());
    let mut market = if args.unpaid { None } else { market(&config).await? };
    let sale = market.as_ref().map(|market| market.sale(config.payments.clone())).transpose()?;
    let mut stage = Stage::set(config, sources, sale, |progress| println!("  {progress}")).await?;
    let finished = match &mut market {
        Some(market) => bought(&mut stage, market).await?,
        None => granted(&mut stage).await?,
    };
    let mut missing = missing(&finished);
    show(&stage, &finished);
    println!("load {:.1} on {} cores", load_average(), machine.cores);
    if let Some(market) = &market {
        println!();
        missing.extend(market.close(&stage.store).await?);
    }
    stage.strike().await?;
    for what in &missing {
        eprintln!("callbox: the call has {what}");
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a paid call needs. Where it cannot be had, that is said, and the call is not paid.
async fn market(config: &NodeConfig) -> anyhow::Result<Option<Market>> {
    match Market::open(&config.models).await? {
        Ok(market) => {
            println!("  {}", market.introduction());
            Ok(Some(market))
        }
        Err(why) => {
            println!("  the call is not paid, since a local chain cannot be had: {why}");
            Ok(None)
        }
    }
}

/// The call of an agent that has a wallet and no account.
async fn bought(stage: &mut Stage, market: &mut Market) -> anyhow::Result<Finished> {
    let url = stage.url().to_owned();
    let mut request = stage.request();
    request["from"] = market.lease(&url).await?.into();
    let call = market.call(&url, &request).await?;
    println!();
    stage.follow(&call, true).await
}

/// The call of the operator's own agent.
async fn granted(stage: &mut Stage) -> anyhow::Result<Finished> {
    let request = stage.request();
    println!("\nPOST {}/api/call\nAuthorization: Bearer …\n{request:#}\n", stage.url());
    stage.call(&request, true).await
}

fn show(stage: &Stage, finished: &Finished) {
    let models = &stage.models;
    println!("\n{}", transcript(&finished.record));
    println!("{}", latencies(finished));
    println!("summary: {}", finished.record["summary"].as_str().unwrap_or("none"));
    match &finished.recording {
        Some(file) => {
            println!("recording: {}", file.display());
            println!("           {} while the node runs", text(&finished.record["recording_url"]));
        }
        None => println!("recording: none"),
    }
    println!(
        "models: {}, {}, {}, {}, {}",
        models.asr.model, models.llm.model, models.tts.model, models.vad.model, models.turn.model
    );
    for (engine, factor) in &finished.effort {
        println!("real time factor of {engine}: {factor:.2}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn turns(record: &Value) -> impl Iterator<Item = &Value> {
    record["transcripts"].as_array().into_iter().flatten()
}

fn is_agent(turn: &Value) -> bool {
    turn["user"] == "assistant"
}

fn transcript(record: &Value) -> String {
    let line = |turn: &Value| {
        let speaker = if is_agent(turn) { "agent" } else { "practice" };
        let at = turn["start_ms"].as_f64().unwrap_or(0.0) / 1_000.0;
        format!("{at:>6.1} s {speaker:>9}: {}\n", text(&turn["text"]))
    };
    turns(record).map(line).collect()
}

/// One answer of the agent: its split by the node, and what the phone waited.
pub struct Answer {
    pub split: LatencySplit,
    pub external_ms: Option<f64>,
}

/// The answers of a call, as both sides measured them.
pub fn answers(finished: &Finished) -> Vec<Answer> {
    let answer = |turn: &Value| {
        let split: LatencySplit = serde_json::from_value(turn["latency"].clone()).ok()?;
        let external_ms = waited(&finished.report, turn["start_ms"].as_f64()?);
        Some(Answer { split, external_ms })
    };
    turns(&finished.record).filter(|turn| is_agent(turn)).filter_map(answer).collect()
}

/// What the phone waited for the voice that began at `start_ms`.
fn waited(report: &CallReport, start_ms: f64) -> Option<f64> {
    let replies = report.said.iter().zip(report.latencies()).filter_map(|(said, latency)| {
        let latency = latency?;
        Some((milliseconds(said.end? + latency), milliseconds(latency)))
    });
    let apart = |at: f64| (at - start_ms).abs();
    replies
        .filter(|(at, _)| apart(*at) < SAME_MOMENT_MS)
        .min_by(|a, b| apart(a.0).total_cmp(&apart(b.0)))
        .map(|(_, latency)| latency)
}

fn latencies(finished: &Finished) -> String {
    let answers = answers(finished);
    if answers.is_empty() {
        return "no answer of the agent was timed\n".into();
    }
    let mut rows = vec![vec!["latency (ms)".to_owned()]];
    rows[0].extend((1..=answers.len()).map(|n| format!("turn {n}")));
    rows[0].push("p50".into());
    let names = parts(&LatencySplit::default()).map(|(name, _)| name);
    for (index, name) in names.iter().enumerate() {
        let values = answers.iter().map(|answer| Some(parts(&answer.split)[index].1 as f64));
        rows.push(row(name, values.collect()));
    }
    rows.push(row("heard by the phone", answers.iter().map(|answer| answer.external_ms).collect()));
    table(&rows)
}

fn row(name: &str, values: Vec<Option<f64>>) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or("–".into(), |ms| format!("{ms:.0}"));
    let middle = Spread::of(values.iter().flatten().copied()).map(|spread| spread.p50);
    let cells = values.into_iter().chain([middle]).map(shown);
    [name.to_owned()].into_iter().chain(cells).collect()
}

/// What a demonstration must have and this one has not.
fn missing(finished: &Finished) -> Vec<String> {
    // What fills a silence is no answer, and is not timed.
    let answers: Vec<&str> = turns(&finished.record)
        .filter(|turn| is_agent(turn) && !turn["latency"].is_null())
        .map(|turn| text(&turn["text"]))
        .collect();
    let practice = turns(&finished.record).filter(|turn| !is_agent(turn)).count();
    let mut missing = Vec::new();
    for (side, count) in [("the agent", answers.len()), ("the practice", practice)] {
        if count < CONVERSATION {
            missing.push(format!("{count} answers of {side}, not {CONVERSATION}"));
        }
    }
    let distinct: HashSet<&str> = answers.iter().copied().collect();
    if distinct.len() < answers.len().min(CONVERSATION) {
        missing.push("an agent that repeats itself".into());
    }
    if finished.recording.is_none() {
        missing.push("no recording".into());
    }
    if text(&finished.record["summary"]).is_empty() {
        missing.push("no summary".into());
    }
    missing
}
