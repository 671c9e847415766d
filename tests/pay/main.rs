//! Payments as agents make them: `callbox serve` as it is shipped, a chain with Circle's USDC, a carrier that
//! can be told what to do, and the published clients from their packages.
//!
//! Needs node with npm and python3 with its venv; the packages are fetched once, into the user's cache.

// A failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod attacks;
mod buyer;
mod carrier;
mod chain;
mod clients;
mod crashes;
mod node;
mod packages;
mod payer;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/program.rs"]
mod program;
mod proxy;
mod readme;
mod refunds;
mod scene;
mod settlement;
mod sign_in;
#[path = "../support/waiting.rs"]
mod waiting;

use std::time::Duration;

use callbox::base::Usd;

use waiting::awaited;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

const CALL: Usd = Usd::from_micros(540_000);
const NUMBER: Usd = Usd::from_micros(20_000_000);
const TOPUP: Usd = Usd::from_micros(15_000_000);
const LOOKUP: Usd = Usd::from_micros(50_000);
const LIST: Usd = Usd::from_micros(1_000);
