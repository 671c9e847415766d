//! Place a call: check the request against every rule, hand the plan to the directory of live calls, keep its
//! record.
//!
//! [`PlaceCall::check`] comes before any price is told and reserves nothing; [`PlaceCall::place`] comes after
//! the payment and asks the rules again, because time has passed. Placing goes one call at a time from that
//! second look to the record that the next look counts: of two requests for the last call under a cap, or for
//! one callee, one is placed. The database is this node's alone, so a lock in memory is enough.

mod fields;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::Instrument;

use self::fields::Against;
use super::{
    field::{FieldError, Verdict},
    gate::Gate,
    policy::Policy,
    ports::{CallerIds, Calls, PlaceError, Voices},
    request::{CallRequest, Caller},
};
use crate::{
    base::CallId,
    call::{
        event::{CallChange, CallEvent},
        record::{CallDirection, CallPlan},
    },
    store::{Store, StoreError},
};

/// Characters a task may have.
pub const TASK_MAX: usize = 4000;
/// Characters a first sentence or a voicemail message may have.
pub const SENTENCE_MAX: usize = 500;
/// Bytes of JSON that metadata may have.
pub const METADATA_MAX: usize = 8192;
/// Minutes a call may last.
pub const MINUTES: std::ops::RangeInclusive<i64> = 1..=30;
/// Language models a call may ask for; the configuration says what each is.
pub const MODELS: [&str; 2] = ["base", "turbo"];

const DEFAULT_MINUTES: u64 = 5;
const DEFAULT_VOICE: &str = "nat";
const DEFAULT_LANGUAGE: &str = "en";
/// Milliseconds of speech: shorter is a cough, longer is no interruption any more.
const INTERRUPTION_MS: std::ops::RangeInclusive<i64> = 50..=5_000;

/// Cheap to clone.
#[derive(Clone)]
pub struct PlaceCall {
    gate: Gate,
    voices: Arc<dyn Voices>,
    calls: Arc<dyn Calls>,
    store: Store,
}

#[derive(Debug, thiserror::Error)]
pub enum PlaceFailure {
    /// At least one; all that were found.
    #[error("{} of the request's fields cannot be used", .0.len())]
    Fields(Vec<FieldError>),
    #[error(transparent)]
    Unavailable(#[from] PlaceError),
    /// Without its store the node knows no list and no caps, and places nothing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PlaceCall {
    /// Wallets show no number of their own until [`PlaceCall::with_caller_ids`].
    pub fn new(policy: Policy, voices: Arc<dyn Voices>, calls: Arc<dyn Calls>, store: Store) -> PlaceCall {
        PlaceCall::behind(Gate::new(policy, store), voices, calls)
    }

    /// Behind a gate that others use too.
    pub fn behind(gate: Gate, voices: Arc<dyn Voices>, calls: Arc<dyn Calls>) -> PlaceCall {
        let store = gate.store.clone();
        PlaceCall { gate, voices, calls, store }
    }

    /// Says which numbers wallets may show.
    pub fn with_caller_ids(mut self, caller_ids: Arc<dyn CallerIds>) -> PlaceCall {
        self.gate = self.gate.with_caller_ids(caller_ids);
        self
    }

    /// The rules alone.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What the request asks for, if it may be placed as things are. Reserves nothing.
    pub async fn check(
        &self,
        request: CallRequest,
        by: Caller,
        now: DateTime<Utc>,
    ) -> Result<CallPlan, PlaceFailure> {
        let against = Against { policy: self.gate.policy(), voices: self.voices.as_ref(), by: &by, now };
        let plan = against.plan(request).map_err(refused)?;
        if let (Caller::Unknown, Some(from)) = (&by, &plan.from) {
            self.gate.leased_by_anybody(from).await.map_err(|error| refused(vec![error]))?;
        }
        self.pass(&plan, now).await?;
        Ok(plan)
    }

    /// The call's id, as soon as it is being dialled and can be read from the store. A client that goes away
    /// meanwhile ends nothing: a call that is dialled is a call that is counted.
    pub async fn place(&self, plan: CallPlan) -> Result<CallId, PlaceFailure> {
        let desk = self.clone();
        let placed = async move { desk.place_at(plan, Utc::now()).await };
        match tokio::spawn(placed.in_current_span()).await {
            Ok(placed) => placed,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(PlaceError::Stopping.into()),
            },
        }
    }

    async fn place_at(&self, plan: CallPlan, now: DateTime<Utc>) -> Result<CallId, PlaceFailure> {
        let _turn = self.gate.turn().await;
        self.pass(&plan, now).await?;
        let plan = CallPlan { home: self.gate.home(&plan).await?, ..plan };
        let call = self.calls.place(plan.clone())?;
        if let Err(error) = self.keep(call, plan, now).await {
            // Nobody would count it. An error says that it has ended by itself.
            let _ = self.calls.hang_up(call);
            return Err(error.into());
        }
        Ok(call)
    }

    async fn pass(&self, plan: &CallPlan, now: DateTime<Utc>) -> Result<(), PlaceFailure> {
        self.gate.pass(plan, now).await?.map_err(refused)
    }

    /// Writes the record now, so that a client that polls at once finds it and the caps count it. The call's
    /// own `Created` event says the same and changes nothing after this.
    async fn keep(&self, call: CallId, plan: CallPlan, at: DateTime<Utc>) -> Result<(), StoreError> {
        let change = CallChange::Created { direction: CallDirection::Outbound, plan: Box::new(plan) };
        self.store.apply(&CallEvent { call, at, change }).await.map(|_| ())
    }
}

/// Counts what the rules refuse, by the first of them: a rise is somebody who tries.
fn refused(errors: Vec<FieldError>) -> PlaceFailure {
    if let Some(error) = errors.iter().find(|error| error.verdict != Verdict::Invalid) {
        metrics::counter!("callbox_calls_refused_total", "code" => error.verdict.code()).increment(1);
    }
    PlaceFailure::Fields(errors)
}

#[cfg(test)]
#[path = "place_call_tests.rs"]
mod tests;
