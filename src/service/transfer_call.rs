//! Transfer a live call: the number was checked when the call was placed, and is asked about again, because
//! time has passed and somebody else may have called it.

use chrono::{DateTime, Utc};

use super::gate::Gate;
use crate::{
    base::CallId,
    call::{
        event::{CallChange, CallEvent},
        record::{CallPlan, TransferStatus},
    },
    store::StoreError,
};

/// Cheap to clone.
#[derive(Clone)]
pub struct TransferCall {
    gate: Gate,
}

impl TransferCall {
    pub fn new(gate: Gate) -> TransferCall {
        TransferCall { gate }
    }

    /// Whether the number of the plan may be dialled now. If so, the record says that it is, which the caps
    /// count from here on; the call's own event says the same and changes nothing after this.
    pub async fn may_begin(
        &self,
        call: CallId,
        plan: &CallPlan,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let Some(to) = &plan.transfer_to else { return Ok(false) };
        let _turn = self.gate.turn().await;
        if let Err(error) = self.gate.transfer(to, now).await? {
            metrics::counter!("callbox_transfers_refused_total", "code" => error.verdict.code()).increment(1);
            return Ok(false);
        }
        let change = CallChange::Transfer { status: TransferStatus::Ringing };
        self.gate.store.apply(&CallEvent { call, at: now, change }).await?;
        Ok(true)
    }
}

#[cfg(test)]
#[path = "transfer_call_tests.rs"]
mod tests;
