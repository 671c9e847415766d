//! The media section: calls in one process, their far ends in another, and pairs of bare peers as
//! reference. Each figure comes from fresh processes of this program.

use std::net::SocketAddr;
use std::time::Duration;

use callbox::eval::bare_peer::{BarePeer, Seen, WARM_UP};
use callbox::eval::figures::{Spread, table};
use callbox::eval::media_load::{Cost, MediaLoad};
use callbox::media::SocketMode;
use clap::ValueEnum;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::process::{Process, tell};
use super::row;

/// How long a process may take to start and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Load {
    /// Calls at once, of the media section
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,300,1000", value_name = "N")]
    media_calls: Vec<usize>,
    /// Media threads of the media section; 0: one a core
    #[arg(long, default_value_t = 0, value_name = "N")]
    media_threads: usize,
}

/// What a process of this section is. It prints its addresses as a line of JSON, reads those of the other
/// side, runs, and prints its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The far ends, a socket each.
    Peer,
    /// The same over one port.
    SharedPeer,
    /// The media plane, with sockets for each call.
    Node,
    /// The media plane, with ports that calls share.
    SharedNode,
}

/// A process of this section.
#[derive(Debug, Clone, clap::Args)]
pub struct Part {
    role: Role,
    #[arg(long)]
    legs: usize,
    #[arg(long)]
    threads: usize,
    #[arg(long)]
    seconds: u64,
}

pub async fn play(part: Part) -> anyhow::Result<()> {
    let Part { role, legs, threads, seconds } = part;
    let lasting = Duration::from_secs(seconds);
    let sockets = match role {
        Role::Peer | Role::Node => SocketMode::PerCall,
        Role::SharedPeer | Role::SharedNode => SocketMode::Shared,
    };
    if matches!(role, Role::Peer | Role::SharedPeer) {
        let peer = BarePeer::bind(legs, sockets)?;
        tell(&peer.addresses()?)?;
        let others = hear_others()?;
        return tell(&tokio::task::spawn_blocking(move || peer.run(&others, lasting)).await??);
    }
    let calls = MediaLoad::reserve(legs, sockets, threads)?;
    tell(&calls.addresses())?;
    tell(&calls.run(&hear_others()?, lasting).await?)
}

fn hear_others() -> anyhow::Result<Vec<SocketAddr>> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

pub async fn run(load: &Load, seconds: u64) -> anyhow::Result<Value> {
    let mut rows = vec![row![
        "calls",
        "core %",
        "a call",
        "kernel",
        "media",
        "KiB",
        "gap p50",
        "p99",
        "max",
        "lost",
        "skipped",
        "set-up ms",
    ]];
    let (mut figures, mut bare) = (Vec::new(), Vec::new());
    for &calls in &load.media_calls {
        for role in [Role::Node, Role::SharedNode] {
            let (cost, seen) = measure(role, calls, load.media_threads, seconds).await?;
            rows.push(line(&cost, &seen));
            figures.push(json!({ "cost": cost, "peer": seen }));
        }
        for (sockets, role) in [("own", Role::Peer), ("shared", Role::SharedPeer)] {
            let (used, seen) = exchange::<Seen, Seen>([role, Role::Peer], calls, 0, seconds).await?;
            rows.push(bare_line(sockets, &used, &seen));
            bare.push(json!({ "sockets": sockets, "used": used, "peer": seen }));
        }
    }
    print!("{}", table(&rows));
    println!(
        "over {seconds} s each; own: sockets for each call, shared: ports that calls share, bare: a program that \
         receives and sends the same packets over the same kind of sockets and does nothing else; core %: of one \
         core, user and system, of the process with the calls (or the bare one) alone; of that, \
         for each call: all, the kernel's part, the media threads' part; KiB: memory a call, without the \
         kernel's; gaps between two packets in ms as they reach the far end, 20 is even; lost: packets that \
         never did; skipped: 20 ms frames in which the node stood still; set-up: from the start of a call to \
         its first frame, p99"
    );
    Ok(json!({ "calls": figures, "bare": bare }))
}

fn percent(cores: f64) -> String {
    format!("{:.1}", cores * 100.0)
}

/// Percent of a core for each call, with the digits that mean something.
fn each(cores: f64, calls: usize) -> String {
    format!("{:.4}", cores * 100.0 / calls.max(1) as f64)
}

fn line(cost: &Cost, seen: &Seen) -> Vec<String> {
    let [p50, p99, max] = gaps(seen.gap_ms);
    let sockets = if cost.sockets == SocketMode::Shared { "shared" } else { "own" };
    let started = cost.started_ms.map_or("–".to_owned(), |wait| format!("{:.1}", wait.p99));
    row![
        format!("{} {sockets}", cost.calls),
        percent(cost.usage.cores),
        each(cost.usage.cores, cost.calls),
        each(cost.usage.kernel_cores, cost.calls),
        each(cost.media_cores, cost.calls),
        cost.bytes_a_call / 1_024,
        p50,
        p99,
        max,
        seen.lost,
        cost.skipped_ticks,
        started,
    ]
}

/// What a bare peer used, and what its far end saw of it.
fn bare_line(sockets: &str, used: &Seen, seen: &Seen) -> Vec<String> {
    let [p50, p99, max] = gaps(seen.gap_ms);
    let Seen { streams, usage, .. } = used;
    row![
        format!("{streams} bare {sockets}"),
        percent(usage.cores),
        each(usage.cores, *streams),
        each(usage.kernel_cores, *streams),
        "–",
        "–",
        p50,
        p99,
        max,
        seen.lost,
        "–",
        "–",
    ]
}

fn gaps(gap: Option<Spread>) -> [String; 3] {
    match gap {
        Some(gap) => [gap.p50, gap.p99, gap.max].map(|ms| format!("{ms:.2}")),
        None => ["–", "–", "–"].map(str::to_owned),
    }
}

async fn measure(role: Role, calls: usize, threads: usize, seconds: u64) -> anyhow::Result<(Cost, Seen)> {
    exchange([role, Role::Peer], calls, threads, seconds).await
}

/// Runs two processes against each other.
async fn exchange<A: DeserializeOwned, B: DeserializeOwned>(
    roles: [Role; 2],
    legs: usize,
    threads: usize,
    seconds: u64,
) -> anyhow::Result<(A, B)> {
    let start = |role| start(role, legs, threads, seconds);
    let (mut one, mut two) = (start(roles[0])?, start(roles[1])?);
    let to_one: Vec<SocketAddr> = one.hear(PATIENCE).await?;
    let to_two: Vec<SocketAddr> = two.hear(PATIENCE).await?;
    one.say(&to_two).await?;
    two.say(&to_one).await?;
    let all = PATIENCE + WARM_UP + Duration::from_secs(seconds);
    tokio::try_join!(one.hear::<A>(all), two.hear::<B>(all))
}

/// This program in another role.
fn start(role: Role, legs: usize, threads: usize, seconds: u64) -> anyhow::Result<Process> {
    let role = match role {
        Role::Peer => "peer",
        Role::SharedPeer => "shared-peer",
        Role::Node => "node",
        Role::SharedNode => "shared-node",
    };
    let [legs, threads, seconds] = [legs.to_string(), threads.to_string(), seconds.to_string()];
    Process::start(&["media", role, "--legs", &legs, "--threads", &threads, "--seconds", &seconds])
}
