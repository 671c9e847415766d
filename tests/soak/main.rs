//! Calls that come and go, out and in, on a network that loses and reorders: when they are over nothing of them
//! is left. `SOAK_SECS` says how long they come; `make soak` takes half an hour.

#![allow(clippy::unwrap_used)] // a test may panic

#[path = "../support/condition.rs"]
mod condition;
#[path = "../support/heap.rs"]
mod heap;
mod lossy;
mod many;
#[path = "../support/peers.rs"]
mod peers;
#[path = "../support/ports.rs"]
mod ports;
#[allow(dead_code)] // tests of single calls use the rest
#[path = "../support/rig.rs"]
mod rig;
mod tally;
mod use_of;
#[path = "../support/waiting.rs"]
mod waiting;

use std::time::{Duration, Instant};

use callbox::call::record::CallPlan;
use condition::eventually;
use lossy::Echo;
use peers::{Sipp, free_port};
use rig::{Rig, Script, plan};
use tally::Tally;
use use_of::Use;

/// Calls a second, half of them out and half in.
const RATE: u32 = 20;
/// How long a call lasts; at once there are so many times [`RATE`].
const TALK: Duration = Duration::from_secs(4);
/// How long calls go on behind the last that came, on a machine that cannot keep up.
const OVERTIME: Duration = Duration::from_secs(30);
/// Calls at once; a machine that cannot keep up refuses the rest.
const LINES: usize = 200;
/// Pairs of ports for their sound: those of all lines, and those that rest. There are more calls than these, so
/// that one that is not given back is missed.
const PAIRS: u16 = LINES as u16 + RATE as u16;
/// How long a pair rests after a call.
const REST: Duration = Duration::from_secs(1);
/// Of the calls that go out one of so many is recorded; those that come in are all.
const RECORDED: u64 = 10;
/// Percent of messages that SIPp loses, each way.
const LOST: &str = "5";
/// How long calls come where nobody says otherwise.
const SECONDS: u64 = 15;
/// From here on a run is long enough to tell whether memory grows while calls come.
const LONG: u64 = 300;
/// Longest wait for the end of what was begun.
const PATIENCE: Duration = Duration::from_secs(90);
/// What may stay of all calls together: buffers and caches that are made once.
const SLACK_BYTES: u64 = 8 << 20;

const _: () = assert!((PAIRS as u64) < SECONDS * RATE as u64);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_come_and_go_under_loss_and_leave_nothing() {
    let seconds =
        std::env::var("SOAK_SECS").map_or(SECONDS, |text| text.parse().expect("SOAK_SECS in seconds"));
    let echo = Echo::start();
    let port = echo.port().to_string();
    let lasting = (seconds + 300).to_string();
    let calls = RATE * u32::try_from(seconds).expect("SOAK_SECS of less than a century");
    let quiet =
        ["-lost", LOST, "-timeout", &lasting, "-ringbuffer_files", "2", "-ringbuffer_size", "20000000"];
    let callees = Sipp::uas_filled("uas_port", &[("@PORT@", &port)], calls, &quiet).await;
    let script = Script::new().for_many_calls().with_lines(LINES).with_t1(Duration::from_millis(100));
    let script = script.with_ports(PAIRS, REST);
    let rig = Rig::start(callees.address, script).await;
    let clean = Use::now();

    let (mut tally, mut looks) = (Tally::default(), Vec::new());
    let half = RATE / 2;
    let inbound = (u64::from(half) * seconds).to_string();
    let (rate, talk) = (half.to_string(), TALK.as_millis().to_string());
    let filled =
        [("@FORMATS@", "0"), ("@LINES@", "ptime:20"), ("@PORT@", &*port), ("@PLAY@", ""), ("@TALK@", &*talk)];
    let more = [&quiet[..], &["-m", &inbound, "-r", &rate, "-l", "10000"]].concat();
    let callers = Sipp::uac_filled("uac_media", &filled, rig.sip.local_address(), free_port(), &more);

    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / half);
    while began.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        let record = tally.placed % RECORDED == 0;
        let plan = CallPlan { max_duration_secs: TALK.as_secs(), record, ..plan() };
        match rig.directory.place(plan) {
            Ok(_) => tally.placed += 1,
            Err(_) => tally.refused += 1,
        }
        if (tally.placed + tally.refused) % u64::from(half) == 0 {
            tally.read(&rig);
            looks.push(Use::now());
        }
    }
    // A caller who gave up, and whose BYE was lost, would speak on: its media ends with those of all.
    let patience = Instant::now() + OVERTIME;
    while rig.directory.live() > 0 && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tally.read(&rig);
    }
    let echoed = echo.end();
    eventually("every call is over", || {
        tally.read(&rig);
        rig.open() == 0
    })
    .await;
    // SIPp gives up what it lost by itself.
    drop((callers, callees));
    println!("{tally:#?}, {echoed:?}");
    is_as_before(&clean).await;
    if seconds >= LONG {
        is_flat(&looks);
    }
    tally.is_complete();
    tally.had_sound(&echoed);
    rig.all_ports_are_free(PAIRS).await;
}

/// Descriptors, tasks and memory in use are where they were.
async fn is_as_before(clean: &Use) {
    peers::traces::forget_wire();
    let is_back = || {
        let now = Use::now();
        (now.descriptors, now.tasks) <= (clean.descriptors, clean.tasks) && now.tasks <= clean.tasks
    };
    eventually("descriptors and tasks are gone", is_back).await;
    let now = Use::now();
    println!("before {clean:?}, after {now:?}");
    let kept = now.heap_bytes.saturating_sub(clean.heap_bytes);
    assert!(kept < SLACK_BYTES, "{kept} bytes are not freed");
}

/// Resident memory did not grow from the second fifth of the run to the last.
fn is_flat(looks: &[Use]) {
    let middle = |looks: &[Use]| {
        let mut bytes: Vec<u64> = looks.iter().map(|look| look.resident_bytes >> 20).collect();
        bytes.sort_unstable();
        bytes[bytes.len() / 2]
    };
    let fifth = looks.len() / 5;
    let (early, late) = (middle(&looks[fifth..2 * fifth]), middle(&looks[looks.len() - fifth..]));
    println!("resident: {early} MiB early, {late} MiB late");
    assert!(late <= early + early / 10 + 16, "resident memory grew from {early} to {late} MiB");
}
