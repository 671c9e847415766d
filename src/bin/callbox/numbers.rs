//! `callbox numbers`: the numbers this node leases out. It works on the database itself, beside a node that
//! runs or without one.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use callbox::{
    base::{E164, Wallet},
    node::NodeConfig,
    service::number_file,
    store::{
        Numbers, Store,
        numbers::{LeaseError, Listed, Owner, State},
    },
};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

/// Errors of a file that are shown; the rest are counted.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub struct NumbersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add numbers from a CSV file, or change those that are there; nothing is written if any line is wrong
    #[command(after_help = "Columns: number,trunk,country,area_code,capabilities. Only `number` must be \
                            filled in: country and area code are told from it, and the trunk where there is \
                            one alone.")]
    Import {
        /// With a header line
        file: PathBuf,
    },
    /// Show every number, its state and its owner
    List,
    /// End a number's lease at once; the number is free
    Release {
        /// Such as +14155550123
        number: E164,
    },
    /// Offer a number no more; its lease runs out and is not renewed. Import brings it back
    Retire {
        /// Such as +14155550123
        number: E164,
    },
}

pub async fn run(args: NumbersArgs, config: &NodeConfig) -> anyhow::Result<ExitCode> {
    let store = Store::open(&config.store).await?;
    let numbers = Numbers::new(store.clone(), config.numbers);
    let now = Utc::now();
    let done = match args.command {
        Command::Import { file } => import(&numbers, config, file, now).await,
        Command::List => list(&numbers, now).await,
        Command::Release { number } => release(&numbers, &number, now).await,
        Command::Retire { number } => retire(&numbers, &number, now).await,
    };
    store.close().await;
    print!("{}", done?);
    Ok(ExitCode::SUCCESS)
}

async fn import(
    numbers: &Numbers,
    config: &NodeConfig,
    file: PathBuf,
    now: DateTime<Utc>,
) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let trunks: Vec<String> = config.sip.trunks.iter().map(|trunk| trunk.name.clone()).collect();
    let checked = number_file::parse(&text, &trunks);
    let entries = checked.map_err(|errors| {
        let shown: String = errors.iter().take(SHOWN).map(|error| format!("\n  {error}")).collect();
        let more = match errors.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        anyhow::anyhow!("nothing was imported from {}:{shown}{more}", file.display())
    })?;
    let done = numbers.import(&entries, now).await?;
    Ok(format!("{} numbers added, {} updated\n", done.added, done.updated))
}

async fn list(numbers: &Numbers, now: DateTime<Utc>) -> anyhow::Result<String> {
    let listed = numbers.all(now).await?;
    if listed.is_empty() {
        return Ok("no numbers yet: add some by `callbox numbers import FILE.csv`\n".to_owned());
    }
    Ok(table(&listed))
}

async fn release(numbers: &Numbers, number: &E164, now: DateTime<Utc>) -> anyhow::Result<String> {
    match numbers.release(number, Owner::Anyone, now).await {
        Ok(lease) => {
            let (owner, until) = (short(&lease.owner), day(lease.expires_at));
            Ok(format!("{number} is free; {owner} had leased it until {until}\n"))
        }
        Err(error) => bail!(explain(error)),
    }
}

async fn retire(numbers: &Numbers, number: &E164, now: DateTime<Utc>) -> anyhow::Result<String> {
    match numbers.retire(number, now).await {
        Ok(()) => Ok(format!("{number} is offered no more, and its lease, if any, is not renewed\n")),
        Err(error) => bail!(explain(error)),
    }
}

fn explain(error: LeaseError) -> String {
    match error {
        LeaseError::UnknownNumber => format!("{error}; see `callbox numbers list`"),
        LeaseError::NotLeased => format!("{error}; there is nothing to release"),
        error => error.to_string(),
    }
}

fn table(listed: &[Listed]) -> String {
    let mut text = format!("{:<17}{:<9}{:<11}{:<34}{}\n", "NUMBER", "COUNTRY", "AREA CODE", "STATE", "OWNER");
    for row in listed {
        let number = &row.number;
        let area_code = if number.area_code.is_empty() { "-" } else { &number.area_code };
        let owner = row.owner.as_ref().map_or("-".to_owned(), short);
        let (number, country, state) = (number.number.as_str(), number.country.as_str(), state(row));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{number:<17}{country:<9}{area_code:<11}{state:<34}{owner}");
    }
    text
}

fn state(row: &Listed) -> String {
    let state = match row.state {
        State::Free if row.retired => return "retired".to_owned(),
        State::Free => "free".to_owned(),
        State::Held { until } => format!("held until {}", until.format("%H:%M:%S")),
        State::Leased { until } => format!("leased until {}", day(until)),
        State::Grace { until } => format!("grace until {}", day(until)),
    };
    if row.retired { format!("{state}, retired") } else { state }
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

/// The two ends of an address, by which its owner knows it.
fn short(owner: &Wallet) -> String {
    let text = owner.as_str();
    format!("{}…{}", &text[..6], &text[text.len() - 4..])
}

#[cfg(test)]
mod tests {
    use callbox::store::numbers::{Capability, Number};
    use chrono::TimeZone;

    use super::*;

    fn listed(number: &str, state: State, retired: bool, owner: Option<&str>) -> Listed {
        let number = Number {
            number: number.parse().unwrap(),
            trunk: "carrier".into(),
            country: "US".parse().unwrap(),
            area_code: "415".into(),
            capabilities: vec![Capability::Voice],
        };
        Listed { number, state, retired, owner: owner.map(|text| text.parse().unwrap()) }
    }

    #[test]
    fn the_list_shows_states_and_short_owners() {
        let until = Utc.with_ymd_and_hms(2026, 7, 14, 9, 30, 0).unwrap();
        let owner = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
        let rows = [
            listed("+14155550100", State::Free, false, None),
            listed("+14155550101", State::Held { until }, false, None),
            listed("+14155550102", State::Leased { until }, true, Some(owner)),
            listed("+14155550103", State::Free, true, None),
        ];
        let expected = "\
NUMBER           COUNTRY  AREA CODE  STATE                             OWNER
+14155550100     US       415        free                              -
+14155550101     US       415        held until 09:30:00               -
+14155550102     US       415        leased until 2026-07-14, retired  0x8335…2913
+14155550103     US       415        retired                           -
";
        assert_eq!(table(&rows), expected);
    }
}
