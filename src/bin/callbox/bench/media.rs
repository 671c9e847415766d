//! The media section: calls in one process, their far ends in another, and a pair of bare peers as
//! reference. Each figure comes from fresh processes of this program.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use callbox::eval::bare_peer::{BarePeer, Seen, WARM_UP};
use callbox::eval::figures::{Spread, table};
use callbox::eval::media_load::{Cost, MediaLoad};
use clap::ValueEnum;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::row;

/// Calls at once.
const CALLS: [usize; 3] = [1, 10, 100];
/// How long a process may take to start and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a process of this section is. It prints its addresses as a line of JSON, reads those of the other
/// side, runs, and prints its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The far end.
    Peer,
    /// The media plane.
    Node,
}

pub async fn play(role: Role, legs: usize, peer: Option<SocketAddr>, seconds: u64) -> anyhow::Result<()> {
    let lasting = Duration::from_secs(seconds);
    match role {
        Role::Peer => {
            let peer = BarePeer::bind()?;
            tell(&[peer.address()?])?;
            let mut line = String::new();
            std::io::stdin().read_line(&mut line)?;
            let legs: Vec<SocketAddr> = serde_json::from_str(&line)?;
            tell(&tokio::task::spawn_blocking(move || peer.run(&legs, lasting)).await??)
        }
        Role::Node => {
            let load = MediaLoad::reserve(legs)?;
            tell(&load.addresses())?;
            tell(&load.run(peer.context("--peer is missing")?, lasting).await?)
        }
    }
}

fn tell(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

pub async fn run(seconds: u64) -> anyhow::Result<Value> {
    let mut rows = vec![row![
        "calls",
        "core %",
        "core % a call",
        "KiB a call",
        "gap p50",
        "gap p99",
        "gap max",
        "lost",
        "skipped",
        "peer core %",
    ]];
    let mut figures = Vec::new();
    for calls in CALLS {
        let (cost, seen) = measure(calls, seconds).await?;
        rows.push(line(&cost, &seen));
        figures.push(json!({ "cost": cost, "peer": seen }));
    }
    let reference = bare(CALLS[2], seconds).await?;
    rows.push(bare_line(&reference));
    print!("{}", table(&rows));
    println!(
        "over {seconds} s each; core % is of one core, user and system, of the process with the calls; gaps \
         between two packets in ms, as they reach the peer, 20 is even; lost: packets that never reached the \
         peer; skipped: 20 ms frames in which the node stood still; bare: the peer against itself, which \
         receives and sends the same packets and does nothing else"
    );
    Ok(json!({ "calls": figures, "bare": reference }))
}

fn percent(cores: f64) -> String {
    format!("{:.1}", cores * 100.0)
}

fn line(cost: &Cost, seen: &Seen) -> Vec<String> {
    let [p50, p99, max] = gaps(seen.gap_ms);
    let each = format!("{:.3}", cost.usage.cores * 100.0 / cost.calls as f64);
    let (share, memory) = (percent(cost.usage.cores), cost.bytes_a_call / 1_024);
    row![
        cost.calls,
        share,
        each,
        memory,
        p50,
        p99,
        max,
        seen.lost,
        cost.skipped_ticks,
        percent(seen.usage.cores)
    ]
}

fn bare_line(seen: &Seen) -> Vec<String> {
    let [p50, p99, max] = gaps(seen.gap_ms);
    let each = format!("{:.3}", seen.usage.cores * 100.0 / seen.streams as f64);
    row![
        format!("bare {}", seen.streams),
        percent(seen.usage.cores),
        each,
        "–",
        p50,
        p99,
        max,
        seen.lost,
        "–",
        "–"
    ]
}

fn gaps(gap: Option<Spread>) -> [String; 3] {
    match gap {
        Some(gap) => [gap.p50, gap.p99, gap.max].map(|ms| format!("{ms:.2}")),
        None => ["–", "–", "–"].map(str::to_owned),
    }
}

async fn measure(calls: usize, seconds: u64) -> anyhow::Result<(Cost, Seen)> {
    let mut peer = Process::start(Role::Peer, seconds, &[])?;
    let address: Vec<SocketAddr> = peer.hear(PATIENCE).await?;
    let to = address.first().context("the peer told no address")?.to_string();
    let mut node = Process::start(Role::Node, seconds, &["--legs", &calls.to_string(), "--peer", &to])?;
    peer.say(&node.hear::<Vec<SocketAddr>>(PATIENCE).await?).await?;
    let all = PATIENCE + WARM_UP + Duration::from_secs(seconds);
    tokio::try_join!(node.hear::<Cost>(all), peer.hear::<Seen>(all))
}

/// A peer against another peer.
async fn bare(streams: usize, seconds: u64) -> anyhow::Result<Seen> {
    let mut one = Process::start(Role::Peer, seconds, &[])?;
    let mut two = Process::start(Role::Peer, seconds, &[])?;
    let to_one: Vec<SocketAddr> = one.hear(PATIENCE).await?;
    let to_two: Vec<SocketAddr> = two.hear(PATIENCE).await?;
    one.say(&to_two.repeat(streams)).await?;
    two.say(&to_one.repeat(streams)).await?;
    let all = PATIENCE + WARM_UP + Duration::from_secs(seconds);
    let (seen, _) = tokio::try_join!(one.hear::<Seen>(all), two.hear::<Seen>(all))?;
    Ok(seen)
}

/// This program in another role. It ends with this value.
struct Process {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(role: Role, seconds: u64, more: &[&str]) -> anyhow::Result<Self> {
        let role = if role == Role::Peer { "peer" } else { "node" };
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "--role", role, "--seconds", &seconds.to_string()])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("a process without an input")?;
        let output = child.stdout.take().context("a process without an output")?;
        Ok(Process { _child: child, input, output: BufReader::new(output).lines() })
    }

    async fn hear<T: DeserializeOwned>(&mut self, within: Duration) -> anyhow::Result<T> {
        let line = tokio::time::timeout(within, self.output.next_line()).await;
        let line = line.context("a process of the bench does not answer")??;
        serde_json::from_str(&line.context("a process of the bench has ended early")?).context("its answer")
    }

    async fn say(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        Ok(self.input.write_all((serde_json::to_string(value)? + "\n").as_bytes()).await?)
    }
}
