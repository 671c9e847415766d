//! `callbox ledger`: what was sold, what is owed, and whether the chain says the same. It reads the database
//! beside a node that runs, or without one.

mod reconcile;
mod refunded;
mod sum;

use std::{process::ExitCode, str::FromStr};

use callbox::{
    base::{ClaimId, Wallet},
    node::NodeConfig,
    pay::network::Network,
    store::{Store, claims::Claim},
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, Utc};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Show payments, one a line
    List {
        /// From this day on, such as 2027-03-14, or so many days back
        #[arg(long, value_name = "DATE|DAYS", default_value = "30")]
        since: Since,
    },
    /// Add up what was sold, refunded, is due and stays, by route, API and network
    Sum {
        /// From this day on, such as 2027-03-14, or so many days back [default: everything]
        #[arg(long, value_name = "DATE|DAYS")]
        since: Option<Since>,
    },
    /// Compare every payment with its chain; the exit status is 1 where one differs or cannot be checked
    Reconcile {
        /// From this day on, such as 2027-03-14, or so many days back [default: everything]
        #[arg(long, value_name = "DATE|DAYS")]
        since: Option<Since>,
    },
    /// Book a refund that you have paid by hand
    Refunded {
        /// Such as pay_0190…, from `callbox ledger list`
        claim: ClaimId,
        /// The transaction that paid it: 0x and 64 hexadecimal digits, or its signature on Solana
        #[arg(long, value_name = "HASH")]
        transaction: String,
    },
}

pub async fn run(args: Args, config: &NodeConfig) -> anyhow::Result<ExitCode> {
    let store = Store::open(&config.store).await?;
    let done = answer(args.command, config, &store).await;
    store.close().await;
    let Report { text, value, agrees } = done?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        print!("{text}");
    }
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is printed, in both of its forms.
struct Report {
    text: String,
    value: Value,
    agrees: bool,
}

async fn answer(command: Command, config: &NodeConfig, store: &Store) -> anyhow::Result<Report> {
    let from = |since: Option<Since>| since.map_or(DateTime::UNIX_EPOCH, |since| since.0);
    Ok(match command {
        Command::List { since } => list(&store.claims_since(since.0).await?),
        Command::Sum { since } => sum::report(&store.claims_since(from(since)).await?),
        Command::Reconcile { since } => reconcile::report(config, store, from(since)).await?,
        Command::Refunded { claim, transaction } => {
            refunded::book(config, store, claim, &transaction).await?
        }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since(DateTime<Utc>);

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "must be a day such as 2027-03-14, or a number of days";
        if let Ok(days) = text.parse() {
            return Utc::now().checked_sub_days(Days::new(days)).map(Since).ok_or(SHAPE);
        }
        let day: NaiveDate = text.parse().map_err(|_| SHAPE)?;
        Ok(Since(day.and_time(NaiveTime::MIN).and_utc()))
    }
}

fn list(claims: &[Claim]) -> Report {
    let mut rows =
        vec![cells(["TIME", "PAYMENT", "STATE", "AMOUNT", "NETWORK", "ROUTE", "PAYER", "TRANSACTION"])];
    rows.extend(claims.iter().map(|claim| {
        let offer = &claim.offer;
        cells([
            &claim.created_at.format("%F %T").to_string(),
            &claim.id.to_string(),
            claim.state.as_str(),
            &offer.amount.to_string(),
            network(claim),
            &offer.route,
            &short(&offer.payer),
            claim.settlement.as_deref().filter(|hash| !hash.is_empty()).unwrap_or("-"),
        ])
    }));
    let text = match claims.is_empty() {
        true => "no payments in this time\n".to_owned(),
        false => table(&rows),
    };
    Report { text, value: claims.iter().map(describe).collect(), agrees: true }
}

fn describe(claim: &Claim) -> Value {
    json!({
        "time": claim.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "payment": claim.id,
        "state": claim.state,
        "scheme": claim.offer.scheme,
        "amount": claim.offer.amount,
        "network": claim.offer.network,
        "route": claim.offer.route,
        "payer": claim.offer.payer,
        "transaction": claim.settlement,
        "refund": claim.refund.as_ref().map(|refund| &refund.transaction),
    })
}

/// As the configuration calls it.
fn network(claim: &Claim) -> &str {
    Network::find(&claim.offer.network).map_or(&claim.offer.network, |network| network.name)
}

/// The two ends of an address, by which its owner knows it.
fn short(wallet: &Wallet) -> String {
    let text = wallet.as_str();
    format!("{}…{}", &text[..6], &text[text.len() - 4..])
}

fn cells<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

/// Rows in columns, all to the left.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let cell = |(c, text): (usize, &String)| format!("{text:<width$}  ", width = widths[c]);
    let line = |row: &Vec<String>| row.iter().enumerate().map(cell).collect::<String>().trim_end().to_owned();
    rows.iter().map(|row| line(row) + "\n").collect()
}

#[cfg(test)]
mod tests;
