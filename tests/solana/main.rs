//! Payments on Solana as agents make them: `callbox serve`, a cluster of one that runs Solana's own virtual machine,
//! and the published clients and facilitator from their packages.
//!
//! Needs node with npm; the packages are those of `tests/pay`, fetched once into the user's cache.

// A failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod attacks;
mod chain;
mod clients;
mod payer;
mod settlement;

// What the payments on EVM chains are tested with.
#[allow(dead_code)]
#[path = "../pay/carrier.rs"]
mod carrier;
#[allow(dead_code)]
#[path = "../pay/node.rs"]
mod node;
#[allow(dead_code)]
#[path = "../pay/packages.rs"]
mod packages;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/waiting.rs"]
mod waiting;

use std::time::Duration;

use callbox::base::Usd;

use chain::{Chain, SETTLER_KEY};
use node::{Callee, Node};
use payer::Payer;
use waiting::awaited;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/solana");

const CALL: Usd = Usd::from_micros(540_000);
const NUMBER: Usd = Usd::from_micros(20_000_000);
const TOPUP: Usd = Usd::from_micros(15_000_000);

/// A node that is paid on this chain, and settles itself.
async fn selling(chain: &Chain, callee: Callee) -> Node {
    selling_by(chain, &format!("settler_key = \"{SETTLER_KEY}\""), callee).await
}

/// The same, with further keys of the network's entry.
async fn selling_by(chain: &Chain, keys: &str, callee: Callee) -> Node {
    let till = Payer::random().wallet;
    chain.fund(&till, Usd::ZERO).await;
    let url = &chain.url;
    let payments = format!(
        "[[payments.networks]]\nnetwork = \"solana\"\nrpc = \"{url}\"\npay_to = \"{till}\"\n{keys}\n"
    );
    Node::paid(till, &payments, callee).await
}
