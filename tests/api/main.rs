//! The HTTP API as a client sees it: the real router, service and store, with a fake directory of calls.

// Helpers of tests are tests too; the lint sees only `#[test]` functions as such.
#![allow(clippy::unwrap_used)]

mod access;
mod blockrun;
mod charging;
mod client;
mod contract;
mod discovery;
mod errors;
mod events;
mod language;
mod lookup;
mod ogg;
mod operator;
mod options;
mod order;
mod policy;
mod recordings;
mod restoring;
mod schema;
mod stablephone;
mod support;
mod till;
mod topup;
