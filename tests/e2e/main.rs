//! The executables as they are shipped: `callbox serve` with real engines, telephones and kill signals.
//!
//! Needs the models of `callbox models pull --set test` and the programs baresip, sipp, flite and sox.

// A failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod calls;
#[path = "../support/condition.rs"]
mod condition;
mod deaths;
mod errors;
mod hostile;
mod node;
mod numbers;
#[path = "../support/peers.rs"]
mod peers;
#[path = "../support/ports.rs"]
mod ports;
mod process;
#[path = "../support/program.rs"]
mod program;
mod sound;
mod swap;
mod telephone;
mod transfers;
mod vouched;
#[path = "../support/waiting.rs"]
mod waiting;

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use condition::eventually;
use waiting::awaited;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// The number that is called, and that no log shows.
const NUMBER: &str = "+14155550123";

/// Real models want the machine for themselves: one such test at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}
