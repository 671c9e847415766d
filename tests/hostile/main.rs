//! What must not break the node: a million broken messages at its SIP port, noise at a call's RTP ports,
//! and the bodies of the fuzz targets (`make fuzz`) over seeded inputs.

// A failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod bodies;
#[path = "../support/condition.rs"]
mod condition;
mod flood;
#[path = "../support/heap.rs"]
mod heap;
mod inputs;
mod mutate;
mod noise;
#[path = "../support/peers.rs"]
mod peers;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/settled.rs"]
mod settled;
#[path = "../support/waiting.rs"]
mod waiting;

use std::time::Duration;

use condition::eventually;
use settled::settled;
use waiting::within;

/// Longest wait for anything but the flood itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait until a node has let go of a flood.
const SETTLING: Duration = Duration::from_secs(60);

/// These tests want the machine for themselves: one reads its memory, others fill the processors.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Kilobytes of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
