//! The HTTP API as a client sees it: the real router, service and store, with a fake directory of calls.

mod access;
mod client;
mod errors;
mod events;
mod operator;
mod recordings;
mod stablephone;
mod support;
