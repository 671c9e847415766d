//! The SIP section: calls in and out at several rates, how long their set-up takes and what the node spends
//! on each, beside SIPp against itself in the same run. The node is a process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use callbox::eval::figures::table;
use callbox::eval::sip_load::sipp::{self, Answering};
use callbox::eval::sip_load::{LASTING, LoadedNode, Outcome, Spent};

use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt;

use super::process::{Process, tell};
use super::row;

/// Calls a second.
const RATES: [u32; 6] = [50, 100, 200, 400, 800, 1_600];
/// A set-up that is repeated until the far end gives up ends by then.
const PATIENCE: Duration = Duration::from_secs(90);
/// Where nobody is called.
const NOWHERE: &str = "127.0.0.1:9";

/// A process of this section: a node.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Part {
    /// Prints its address and answers, until a line comes in.
    Answers,
    /// Dials.
    Dials {
        #[arg(long)]
        to: SocketAddr,
        /// Calls a second.
        #[arg(long)]
        rate: u32,
        #[arg(long)]
        seconds: u64,
    },
}

pub async fn play(part: Part) -> anyhow::Result<()> {
    match part {
        Part::Answers => {
            let node = LoadedNode::start(NOWHERE.parse()?).await?;
            tell(&node.address())?;
            let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
            tell(&node.answer(async { drop(lines.next_line().await) }).await)
        }
        Part::Dials { to, rate, seconds } => {
            let node = LoadedNode::start(to).await?;
            tell(&node.dial(rate, Duration::from_secs(seconds)).await)
        }
    }
}

pub async fn run(seconds: u64) -> anyhow::Result<Value> {
    let with_sipp = sipp::is_there().await;
    let peer = if with_sipp { "SIPp" } else { "Callbox" };
    println!("the far end is {peer}{}", if with_sipp { "" } else { ", since SIPp is not installed" });
    let mut rows = vec![row![
        "calls a second",
        "answered",
        "failed",
        "sent again",
        "p50 ms",
        "p99 ms",
        "max ms",
        "core %",
        "µs a call",
        "left"
    ]];
    let mut figures = Vec::new();
    let lasting = Duration::from_secs(seconds);
    for rate in RATES {
        if with_sipp {
            let bare = bare(rate, lasting).await?;
            rows.push(line(&format!("bare {rate}"), &bare, None));
            figures.push(json!({ "what": "bare", "rate": rate, "outcome": bare }));
        }
        let (outcome, spent) = calls_in(rate, seconds, with_sipp).await?;
        rows.push(line(&format!("in {rate}"), &outcome, Some(&spent)));
        figures.push(json!({ "what": "in", "rate": rate, "outcome": outcome, "spent": spent }));
        let (outcome, spent) = calls_out(rate, seconds, with_sipp).await?;
        rows.push(line(&format!("out {rate}"), &outcome, Some(&spent)));
        figures.push(json!({ "what": "out", "rate": rate, "outcome": outcome, "spent": spent }));
    }
    print!("{}", table(&rows));
    println!(
        "over {seconds} s each; ms from INVITE to 200, as the calling side counts: SIPp by a coarse clock, the node \
         from the request to dial; each call has a media session and lasts {} ms; core % of one core and µs of \
         processor time, user and system, of the node's process for a whole call; sent again: by SIPp; left: \
         calls, dialogs and media sessions when all is over; bare: SIPp against SIPp",
        LASTING.as_millis()
    );
    Ok(json!({ "far_end": peer, "calls": figures }))
}

fn line(name: &str, outcome: &Outcome, spent: Option<&Spent>) -> Vec<String> {
    let dash = || "–".to_owned();
    let [p50, p99, max] = outcome.setup_ms.map_or([dash(), dash(), dash()], |setup| {
        [setup.p50, setup.p99, setup.max].map(|ms| format!("{ms:.1}"))
    });
    let again = outcome.retransmissions.map_or_else(dash, |count| count.to_string());
    let share = spent.map_or_else(dash, |spent| format!("{:.1}", spent.usage.cores * 100.0));
    let micros = spent.map_or_else(dash, |spent| format!("{:.0}", spent.micros_a_call));
    let left = spent.map_or_else(dash, |spent| spent.left.to_string());
    row![name, outcome.answered, outcome.failed, again, p50, p99, max, share, micros, left]
}

async fn bare(rate: u32, lasting: Duration) -> anyhow::Result<Outcome> {
    let peer = Answering::start().await?;
    Ok(sipp::call(peer.address(), rate, lasting).await?)
}

async fn calls_in(rate: u32, seconds: u64, with_sipp: bool) -> anyhow::Result<(Outcome, Spent)> {
    let mut node = Process::start(&["sip", "answers"])?;
    let address: SocketAddr = node.hear(PATIENCE).await?;
    let outcome = if with_sipp {
        sipp::call(address, rate, Duration::from_secs(seconds)).await?
    } else {
        dials(rate, seconds, address).await?.0
    };
    node.say(&"over").await?;
    Ok((outcome, node.hear(PATIENCE).await?))
}

async fn calls_out(rate: u32, seconds: u64, with_sipp: bool) -> anyhow::Result<(Outcome, Spent)> {
    if with_sipp {
        let peer = Answering::start().await?;
        return dials(rate, seconds, peer.address()).await;
    }
    let mut peer = Process::start(&["sip", "answers"])?;
    let address: SocketAddr = peer.hear(PATIENCE).await?;
    dials(rate, seconds, address).await
}

async fn dials(rate: u32, seconds: u64, to: SocketAddr) -> anyhow::Result<(Outcome, Spent)> {
    let (rate, lasting, to) = (rate.to_string(), seconds.to_string(), to.to_string());
    let args = ["sip", "dials", "--to", &to, "--rate", &rate, "--seconds", &lasting];
    let mut node = Process::start(&args)?;
    node.hear(PATIENCE + Duration::from_secs(seconds)).await.context("the node that dials")
}
