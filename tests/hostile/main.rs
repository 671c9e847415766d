//! What must not break the node: a million broken messages at its SIP port, noise at a call's RTP ports,
//! and the bodies of the fuzz targets (`make fuzz`) over seeded inputs.

// A failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod bodies;
mod flood;
mod inputs;
mod mutate;
mod noise;
#[path = "../sip/peers.rs"]
#[allow(dead_code)]
mod peers;

use std::time::Duration;

/// Longest wait for anything but the flood itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// These tests want the machine for themselves: one reads its memory, others fill the processors.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Kilobytes of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

/// Looks until `condition` holds.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    within(what, async {
        while !condition() {
            ticks.tick().await;
        }
    })
    .await;
}
