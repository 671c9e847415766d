//! `callbox bench`: what this build does on this machine, in figures that say where they come from.

mod latency;
mod media;
mod payments;
mod process;
mod sip;
mod wer;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use callbox::eval::machine::{Machine, load_average};
use callbox::node::config::{Loaded, Sources};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// Cost, memory and pacing of calls without engines
    Media,
    /// Calls set up a second, how long that takes and what it costs
    Sip,
    /// Challenges and paid calls a second, and what payment adds before a call is dialled
    Payments,
    /// Word error rate of the installed recognisers on telephone-band speech
    Wer,
    /// Whole calls: how long an answer takes, by part, and as the far end hears it
    Latency,
}

#[derive(clap::Args)]
pub struct Args {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    sections: Vec<Section>,
    /// Calls of the latency section
    #[arg(long, default_value_t = 3, value_name = "N")]
    calls: usize,
    /// Seconds each figure of the media, sip and payments sections is taken over
    #[arg(long, default_value_t = 10, value_name = "SECS")]
    seconds: u64,
    /// Voices of flite that speak in the wer section
    #[arg(long, value_delimiter = ',', default_value = "slt,rms", value_name = "VOICES")]
    voices: Vec<String>,
    /// Write all figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    load: media::Load,
}

/// A process that a section starts: this program in another role. The two tell each other lines of JSON.
#[derive(clap::Subcommand)]
pub enum Part {
    Media(media::Part),
    #[command(subcommand)]
    Sip(sip::Part),
}

pub async fn play(part: Part) -> anyhow::Result<ExitCode> {
    match part {
        Part::Media(part) => media::play(part).await?,
        Part::Sip(part) => sip::play(part).await?,
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn run(args: Args, loaded: Loaded, sources: Sources) -> anyhow::Result<ExitCode> {
    let wanted = |section| args.sections.is_empty() || args.sections.contains(&section);
    let mut figures = Map::new();
    let machine = Machine::here();
    let date = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    println!("{machine}\n{date}; load {:.1} before the first section", load_average());
    figures.insert("machine".into(), serde_json::to_value(&machine)?);
    figures.insert("date".into(), json!(date));
    // The quietest first: engines stay in memory once they are there.
    if wanted(Section::Media) {
        figures.insert("media".into(), section("media", media::run(&args.load, args.seconds)).await?);
    }
    if wanted(Section::Sip) {
        figures.insert("sip".into(), section("sip", sip::run(args.seconds)).await?);
    }
    if wanted(Section::Payments) {
        let measured = payments::run(loaded.config.clone(), args.seconds);
        figures.insert("payments".into(), section("payments", measured).await?);
    }
    if wanted(Section::Wer) {
        figures.insert("wer".into(), section("wer", wer::run(&loaded.config, &args.voices)).await?);
    }
    if wanted(Section::Latency) {
        let measured = latency::run(loaded.config, sources, args.calls);
        figures.insert("latency".into(), section("latency", measured).await?);
    }
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&figures)?)
            .with_context(|| format!("--json {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a section between two looks at the load: one that began above zero was not alone.
async fn section(name: &str, measured: impl Future<Output = anyhow::Result<Value>>) -> anyhow::Result<Value> {
    let before = load_average();
    println!("\n== {name} ==");
    let mut figures = measured.await.with_context(|| format!("bench {name}"))?;
    let after = load_average();
    println!("load average: {before:.1} before, {after:.1} after");
    figures["load_average"] = json!([before, after]);
    Ok(figures)
}

/// A row of a table, from what can be printed.
macro_rules! row {
    ($($cell:expr),+ $(,)?) => { vec![$($cell.to_string()),+] };
}
use row;
