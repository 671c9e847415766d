//! A call: dialled before the money moves, so that a carrier's refusal costs nothing.

mod charging;

use std::time::Instant;

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;

use self::charging::{Charging, Verdict};
use super::Ticket;
use crate::{
    api::{Api, error::ApiError, family::Family},
    base::{CallId, ClaimId, Fault},
    call::record::{CallPlan, CallRecord, CallStatus},
    pay::gate::{Answer, Work, gone},
    service::WatchCall,
};

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
        if paid {
            let watch = self.api.read.watch(call).await?.ok_or(ApiError::NotFound("call"))?;
            is_charged(watch).await?;
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

/// Waits until it is known whether the call is charged; an error says why it is not. A call ends within the time
/// that it may wait for its turn, be hunted for and ring.
async fn is_charged(mut watch: WatchCall) -> Result<(), ApiError> {
    let mut charging = Charging::default();
    loop {
        let deadline = charging.poll_timeout();
        let verdict = tokio::select! {
            update = watch.next() => match update? {
                Some(update) => charging.handle(Instant::now(), &update),
                None => Some(Verdict::Refused("the node lost sight of the call".into())),
            },
            () = reached(deadline) => charging.handle_timeout(Instant::now()),
        };
        match verdict {
            Some(Verdict::Charged) => return Ok(()),
            Some(Verdict::Refused(reason)) => return Err(ApiError::Carrier { reason }),
            None => {}
        }
    }
}

/// Never, where there is none.
async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
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
