//! What the use cases need from the rest of the node. The wiring in `node` supplies it.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use serde::Serialize;

use crate::{
    base::{CallId, E164, Wallet},
    call::record::CallPlan,
};

/// The directory of live calls.
pub trait Calls: Send + Sync + 'static {
    /// Takes a place and begins to dial. Returns at once; what becomes of the call is told by its events,
    /// of which [`Created`](crate::call::event::CallChange::Created) is the first.
    fn place(&self, plan: CallPlan) -> Result<CallId, PlaceError>;

    /// Asks a live call to end; its events say when it has.
    fn hang_up(&self, call: CallId) -> Result<(), HangUpError>;
}

/// Why a valid call cannot be placed now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("all {limit} lines of this node are in use")]
    AtCapacity { limit: usize },
    /// Every trunk that may carry the call has its queue full.
    #[error("too many calls wait for their turn at the trunk")]
    Congested { retry_after: Duration },
    /// No trunk is ready to carry the call: none configured, or not registered.
    #[error("no trunk is ready: {0}")]
    NoTrunk(String),
    /// An engine that every call needs is not running.
    #[error("engine not ready: {0}")]
    NoEngine(String),
    #[error("this node is stopping and takes no new calls")]
    Stopping,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the call is not live")]
pub struct HangUpError;

/// The voices a caller may name: presets and what is installed.
pub trait Voices: Send + Sync + 'static {
    fn names(&self) -> Vec<String>;
}

impl Voices for Vec<String> {
    fn names(&self) -> Vec<String> {
        self.clone()
    }
}

/// Which numbers a wallet may show to those it calls: the ones it leases.
pub trait CallerIds: Send + Sync + 'static {
    fn may_show<'a>(&'a self, wallet: &'a Wallet, number: &'a E164) -> BoxFuture<'a, bool>;

    /// Whether any wallet may.
    fn is_leased<'a>(&'a self, number: &'a E164) -> BoxFuture<'a, bool>;
}

/// Nobody leases a number.
pub struct NoLeases;

impl CallerIds for NoLeases {
    fn may_show<'a>(&'a self, _: &'a Wallet, _: &'a E164) -> BoxFuture<'a, bool> {
        std::future::ready(false).boxed()
    }

    fn is_leased<'a>(&'a self, _: &'a E164) -> BoxFuture<'a, bool> {
        std::future::ready(false).boxed()
    }
}

/// What an operator changes on a running node.
pub trait Admin: Send + Sync + 'static {
    /// Makes the installed model `name` answer from the next call on; live calls keep theirs.
    /// `kind` is a word of the catalogue: `asr`, `llm`, `tts`, `vad`, `turn`.
    fn use_model<'a>(&'a self, kind: &'a str, name: &'a str) -> BoxFuture<'a, Result<(), AdminError>>;

    /// Reads the configuration again and gives the keys whose new value is now in force.
    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, AdminError>>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The request names something that is not there.
    #[error("{field}: {problem}; {fix}")]
    Request { field: &'static str, problem: String, fix: String },
    /// It was tried and did not work; the node goes on as before.
    #[error("{0}")]
    Failed(String),
}

/// How the parts of the node are.
pub trait Health: Send + Sync + 'static {
    fn parts(&self) -> BoxFuture<'_, Vec<Part>>;
}

/// One part: a trunk, an engine, the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: String,
    pub ok: bool,
    /// For an operator; anybody who reaches the port may read it, so it holds no secret and no number.
    pub detail: String,
}
