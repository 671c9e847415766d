//! A call: dialled before the money moves, so that a carrier's refusal costs nothing.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;

use super::Ticket;
use crate::{
    api::{Api, error::ApiError, family::Family},
    base::{CallId, ClaimId, Fault},
    call::{
        event::{CallChange, Ending},
        record::{CallPlan, CallRecord, CallStatus},
    },
    pay::gate::{Answer, Work, gone},
    service::{Update, WatchCall},
};

/// A carrier that has said nothing by now has at least not refused.
const FIRST_SIGNAL: Duration = Duration::from_secs(12);

struct CallSale {
    api: Api,
    family: Family,
    plan: CallPlan,
    call: Option<CallId>,
}

pub fn call(api: &Api, family: Family, plan: CallPlan) -> Box<dyn Work> {
    Box::new(CallSale { api: api.clone(), family, plan, call: None })
}

impl CallSale {
    async fn dial(&mut self) -> Result<Value, ApiError> {
        let call = self.api.place.place(self.plan.clone()).await?;
        self.call = Some(call);
        // Where nothing is charged, nothing waits for the carrier.
        let paid = self.plan.price.is_some();
        if let Some(watch) = self.api.read.watch(call).await?.filter(|_| paid) {
            let ended = tokio::time::timeout(FIRST_SIGNAL, first_signal(watch)).await.unwrap_or(Ok(None))?;
            if let Some(ending) = ended.filter(was_refused) {
                return Err(ApiError::Carrier { reason: ending.reason });
            }
        }
        Ok(Ticket::Call { call, family: self.family }.json())
    }
}

impl Work for CallSale {
    fn reserve(&mut self, _: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        let family = self.family;
        self.dial().map(move |dialled| dialled.map_err(|error| family.refusal(&error))).boxed()
    }

    fn deliver<'a>(&'a mut self, transaction: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        let answer = match self.call {
            Some(call) => Ok(self.family.call_placed(call, &self.plan, transaction)),
            None => Err(self.family.refusal(&ApiError::NotFound("call"))),
        };
        std::future::ready(answer).boxed()
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        if let Some(call) = self.call.take() {
            // An error says that it has ended by itself.
            let _ = self.api.calls.hang_up(call);
        }
        std::future::ready(()).boxed()
    }
}

/// Waits until the carrier has said something definite: it rings, it is answered, or it has ended.
async fn first_signal(mut watch: WatchCall) -> Result<Option<Ending>, ApiError> {
    while let Some(update) = watch.next().await? {
        match update {
            Update::State(record) => match record.status {
                CallStatus::Ringing | CallStatus::InProgress => return Ok(None),
                status if status.is_final() => {
                    return Ok(record.ended_by.map(|ended_by| Ending {
                        status,
                        ended_by,
                        fault: record.fault,
                        reason: record.end_reason.unwrap_or_default(),
                        length_secs: record.length_secs,
                    }));
                }
                _ => {}
            },
            Update::Change(recorded) => match &recorded.event.change {
                CallChange::Status { status: CallStatus::Ringing | CallStatus::InProgress }
                | CallChange::Answered { .. } => return Ok(None),
                CallChange::Ended(ending) => return Ok(Some((**ending).clone())),
                _ => {}
            },
        }
    }
    Ok(None)
}

/// Busy and unanswered calls are calls; one that could not be made is none.
fn was_refused(ending: &Ending) -> bool {
    ending.status == CallStatus::Failed && ending.fault != Some(Fault::Callee)
}

/// A call that was dialled for a payment which was left lying: it goes on, has ended, or died with the node.
pub(super) struct PlacedCall {
    pub api: Api,
    pub family: Family,
    pub call: CallId,
}

impl PlacedCall {
    async fn tell(&self, transaction: &str) -> Result<Answer, Answer> {
        let record = self.api.read.call(self.call).await;
        let record = record.map_err(|error| self.family.refusal(&error.into()))?;
        let record = record.filter(|record| !is_owed(record)).ok_or_else(gone)?;
        Ok(self.family.call_placed(self.call, &record.plan, transaction))
    }
}

impl Work for PlacedCall {
    fn reserve(&mut self, _: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        std::future::ready(Ok(Ticket::Call { call: self.call, family: self.family }.json())).boxed()
    }

    fn deliver<'a>(&'a mut self, transaction: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        self.tell(transaction).boxed()
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        // An error says that it has ended by itself.
        let _ = self.api.calls.hang_up(self.call);
        std::future::ready(()).boxed()
    }

    /// It may have been hung up because it was not paid.
    fn is_available(&self) -> bool {
        false
    }
}

/// Whose money goes back, the one moment or the other: it is not handed over first.
fn is_owed(record: &CallRecord) -> bool {
    record.status == CallStatus::Failed && matches!(record.fault, Some(Fault::Us | Fault::Carrier))
}
