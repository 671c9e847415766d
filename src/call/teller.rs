//! A call's voice to the rest of the node.

use chrono::Utc;

use crate::base::CallId;
use crate::call::ending::{Circumstances, ending};
use crate::call::event::{CallChange, CallEvent, CallEvents};
use crate::call::record::CallStatus;

/// Sends one call's events, in order.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    pub(super) call: CallId,
    events: CallEvents,
}

impl Teller {
    pub(super) fn new(call: CallId, events: CallEvents) -> Self {
        Teller { call, events }
    }

    pub(super) async fn tell(&self, change: CallChange) {
        let event = CallEvent { call: self.call, at: Utc::now(), change };
        if self.events.send(event).await.is_err() {
            tracing::error!("nobody records calls any more: an event of this call is lost");
        }
    }

    pub(super) async fn status(&self, status: CallStatus) {
        self.tell(CallChange::Status { status }).await;
    }

    pub(super) async fn ended(&self, known: Circumstances) {
        self.tell(CallChange::Ended(Box::new(ending(known)))).await;
    }
}
