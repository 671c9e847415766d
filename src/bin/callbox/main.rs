//! The product's command line. Each subcommand is a file.

mod bench;
mod call;
mod config;
mod demo;
mod doctor;
mod ledger;
mod models;
mod numbers;
mod phone;
mod policy;
mod serve;
mod stage;

use std::{path::PathBuf, process::ExitCode};

use callbox::node::config::{Loaded, Sources};
use clap::{Parser, Subcommand};

/// A pay phone for AI agents: places telephone calls, holds the conversation on local models, and
/// keeps what was said.
#[derive(Parser)]
#[command(name = "callbox", version, propagate_version = true)]
struct Cli {
    /// Configuration file [default: callbox.toml, then /etc/callbox/callbox.toml, where they exist]
    #[arg(long, global = true, env = "CALLBOX_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key over all other configuration, such as `--set http.bind=127.0.0.1:9000`
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the node: SIP, media, engines and the HTTP API
    Serve,
    /// Call a number through the running node and follow the conversation
    Call(call::Args),
    /// Print the configuration in force, and where it came from
    Config,
    /// Check this machine and its configuration
    Doctor,
    /// Measure this build on this machine: media, recognition, whole calls
    Bench(bench::Args),
    #[command(hide = true, subcommand)]
    BenchPart(bench::Part),
    /// Show payments, add them up, compare them with the chain, and book refunds
    Ledger(ledger::Args),
    /// Hold a whole call on this machine, paid on a chain of its own, and show what it took
    Demo(demo::Args),
    /// Answer or place calls with a softphone that speaks a script
    Phone(phone::Args),
    /// Explain who may be called, and keep the do-not-call list
    Policy(policy::Args),
    /// List, fetch and check models
    Models(models::ModelsArgs),
    /// Put numbers up for lease, and see who has them
    Numbers(numbers::NumbersArgs),
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as section.key=value")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let sources = Sources::of_process(cli.config, cli.set);
    let loaded = sources.load();
    match run(cli.command, loaded.map_err(anyhow::Error::from), sources).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("callbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The doctor looks at a configuration that cannot be loaded, too; nobody else does.
async fn run(command: Command, loaded: anyhow::Result<Loaded>, sources: Sources) -> anyhow::Result<ExitCode> {
    match command {
        Command::Bench(args) => bench::run(args, loaded?, sources).await,
        Command::BenchPart(part) => bench::play(part).await,
        Command::Call(args) => call::run(args, &loaded?.config).await,
        Command::Config => config::run(&loaded?),
        Command::Demo(args) => demo::run(args, loaded?, sources).await,
        Command::Doctor => doctor::run(loaded).await,
        Command::Ledger(args) => ledger::run(args, &loaded?.config).await,
        Command::Models(args) => models::run(args, &loaded?.config).await.map(|()| ExitCode::SUCCESS),
        Command::Numbers(args) => numbers::run(args, &loaded?.config).await,
        Command::Phone(args) => phone::run(args, &loaded?.config).await,
        Command::Policy(args) => policy::run(args, loaded?.config).await,
        Command::Serve => serve::run(loaded?, sources).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_subcommand_has_an_option_twice() {
        Cli::command().debug_assert();
    }
}
