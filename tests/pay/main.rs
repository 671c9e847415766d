//! Payments as agents make them: `callbox serve` as it is shipped, a chain with Circle's USDC, a carrier that
//! can be told what to do, and the published clients from their packages.
//!
//! Needs node with npm and python3 with its venv; the packages are fetched once, into the user's cache.

// A failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod attacks;
mod carrier;
mod chain;
mod clients;
mod crashes;
mod node;
mod packages;
mod payer;
mod proxy;
mod refunds;
mod scene;
mod settlement;
mod sign_in;

use std::time::{Duration, Instant};

use callbox::base::Usd;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(20);

const CALL: Usd = Usd::from_micros(540_000);
const NUMBER: Usd = Usd::from_micros(20_000_000);
const TOPUP: Usd = Usd::from_micros(15_000_000);
const LOOKUP: Usd = Usd::from_micros(50_000);
const LIST: Usd = Usd::from_micros(1_000);

/// Asks again and again until there is an answer.
async fn awaited<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(STEP).await;
    }
}
