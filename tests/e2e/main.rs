//! The executables as they are shipped: `callbox serve` with real engines, telephones and kill signals.
//!
//! Needs the models of `callbox models pull --set test` and the programs baresip, sipp, flite and sox.

// A failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod calls;
mod deaths;
mod errors;
mod hostile;
mod node;
mod numbers;
#[allow(dead_code)] // the proxy is for the tests of the SIP module
#[path = "../sip/peers.rs"]
mod peers;
mod process;
#[path = "../support/program.rs"]
mod program;
mod sound;
mod swap;
mod telephone;
#[path = "../support/waiting.rs"]
mod waiting;

use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use waiting::{PATIENCE, awaited};

const STEP: Duration = Duration::from_millis(50);

/// The number that is called, and that no log shows.
const NUMBER: &str = "+14155550123";

/// Real models want the machine for themselves: one such test at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// Asks again and again until it is so.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(STEP).await;
    }
}
