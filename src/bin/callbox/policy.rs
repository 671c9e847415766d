//! `callbox policy`: explain who may be called, and keep the list of those who may not.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use callbox::{
    base::{E164, Wallet},
    node::NodeConfig,
    service::{Caller, Gate, Policy, gate::Finding},
    store::Store,
};
use chrono::{DateTime, Utc};

/// Entries that are read at once.
const PAGE: u32 = 500;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say of a number what each rule says; the exit status is 1 where one refuses
    Check {
        /// The number to call: +14155550123
        number: String,
        /// A number to show as the caller's
        #[arg(long, value_name = "NUMBER")]
        from: Option<String>,
        /// The wallet that pays [default: none, the operator calls]
        #[arg(long, value_name = "ADDRESS")]
        wallet: Option<Wallet>,
        /// The moment of the call, such as 2027-03-14T20:15:00Z [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<DateTime<Utc>>,
    },
    /// Keep the do-not-call list
    #[command(subcommand)]
    Dnc(Dnc),
}

#[derive(clap::Subcommand)]
enum Dnc {
    /// Keep a number from being called
    Add {
        number: E164,
        #[arg(long, default_value = "added by the operator")]
        reason: String,
    },
    /// Take a number off the list
    Remove { number: E164 },
    /// Print the list: number, time and reason
    List,
    /// Add all numbers of a file, or none if one of its lines is wrong
    Import {
        /// A number a line, as +14155550123 or 415,5550123; what follows another comma is ignored, as are
        /// empty lines and those that begin with #. `-` reads standard input
        file: PathBuf,
    },
}

pub async fn run(args: Args, config: NodeConfig) -> anyhow::Result<ExitCode> {
    let store = Store::open(&config.store).await?;
    let code = match args.command {
        Command::Check { number, from, wallet, at } => {
            let gate = Gate::new(Policy::new(config.policy), store.clone());
            let (by, at) = (wallet.map_or(Caller::Operator, Caller::Wallet), at.unwrap_or_else(Utc::now));
            let findings = gate.explain(&number, from.as_deref(), &by, at).await?;
            explain(&number, at, &findings)
        }
        Command::Dnc(command) => dnc(command, &store).await.map(|()| ExitCode::SUCCESS)?,
    };
    store.close().await;
    Ok(code)
}

fn explain(number: &str, at: DateTime<Utc>, findings: &[Finding]) -> ExitCode {
    for Finding { rule, ruling } in findings {
        match ruling {
            Ok(why) => println!("pass    {rule:22} {why}"),
            Err(error) => println!("refuse  {rule:22} {}; {}", error.problem, error.fix),
        }
    }
    let refused = findings.iter().any(|finding| finding.ruling.is_err());
    let verdict = if refused { "may not be called" } else { "may be called" };
    println!("{number} {verdict} at {}", at.format("%F %TZ"));
    if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn dnc(command: Dnc, store: &Store) -> anyhow::Result<()> {
    match command {
        Dnc::Add { number, reason } => {
            let new = store.add_do_not_call(&number, &reason, Utc::now()).await?;
            println!("{number} {}", if new { "is not called any more" } else { "was on the list already" });
        }
        Dnc::Remove { number } => {
            let was = store.remove_do_not_call(&number).await?;
            println!("{number} {}", if was { "is off the list" } else { "was not on the list" });
        }
        Dnc::List => list(store).await?,
        Dnc::Import { file } => {
            let from =
                if file == Path::new("-") { "standard input".into() } else { file.display().to_string() };
            let numbers = numbers(&read(&file)?).with_context(|| from.clone())?;
            let (count, reason) = (numbers.len(), format!("imported from {from}"));
            let added = store.import_do_not_call(numbers, &reason, Utc::now()).await?;
            println!("{count} numbers read, {added} were not on the list");
        }
    }
    Ok(())
}

async fn list(store: &Store) -> anyhow::Result<()> {
    let mut after: Option<E164> = None;
    loop {
        let page = store.do_not_call_list(after.as_ref(), PAGE).await?;
        for entry in &page {
            println!("{:16} {}  {}", entry.number.as_str(), entry.added_at.format("%F %TZ"), entry.reason);
        }
        match page.into_iter().last() {
            Some(last) => after = Some(last.number),
            None => return Ok(()),
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(text)
}

fn numbers(text: &str) -> anyhow::Result<Vec<E164>> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| number(line).with_context(|| format!("line {index}")))
        .collect()
}

/// `+14155550123,…`, or area code and number of the United States' national registry: `415,5550123,…`.
fn number(line: &str) -> Result<E164, callbox::base::e164::InvalidE164> {
    let mut cells = line.split(',').map(|cell| cell.trim().trim_matches('"'));
    let first = cells.next().unwrap_or_default();
    match cells.next() {
        Some(second) if first.len() == 3 => format!("+1{first}{second}").parse(),
        _ => first.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_list_are_read_and_a_wrong_line_is_named() {
        let text = "# ours\n+14155550123, asked in May\n\n415,5550101\n\"212\",\"5550102\",2026-01-01,A\r\n";
        let read: Vec<String> = numbers(text).unwrap().iter().map(E164::to_string).collect();
        assert_eq!(read, ["+14155550123", "+14155550101", "+12125550102"]);
        let error = numbers("+14155550123\n4155550123\n").unwrap_err();
        assert!(format!("{error:#}").starts_with("line 2: must be an E.164 number"), "{error:#}");
    }
}
