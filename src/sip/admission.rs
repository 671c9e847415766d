//! Calls counted in and out, and early requests handed to the call that they are for.

use std::sync::Arc;

use rsipstack::{
    sip::{Request, StatusCode, prelude::HeadersExt},
    transaction::transaction::Transaction,
};
use tokio::sync::mpsc::error::TrySendError;

use super::{
    call::{CallHandle, Command},
    calls::{CallKey, Origin},
    error::SipError,
    node::Core,
};

/// A call's place among all that are up.
pub(super) struct Place {
    core: Arc<Core>,
    pub key: CallKey,
}

impl Place {
    /// Requests that name `tag` of ours are this call's.
    pub fn name(&self, tag: String) {
        self.core.calls.lock().name(&self.key, tag);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.core.calls.lock().end(&self.key);
        self.core.sources.call_ended(self.key.call_id());
        self.core.dialogs_changed.notify_waiters();
    }
}

impl Core {
    /// Counts a call in until the [`Place`] is dropped, or says that there are too many. `origin` is that of
    /// the INVITE of a call that comes in.
    pub fn admit(
        self: &Arc<Self>,
        call_id: &str,
        origin: Option<Origin>,
        handle: CallHandle,
    ) -> Result<Place, SipError> {
        if self.draining.is_cancelled() {
            return Err(SipError::ShuttingDown);
        }
        let mut calls = self.calls.lock();
        if calls.len() >= self.config.max_calls {
            return Err(SipError::TooManyCalls(calls.len()));
        }
        let merged = |_| SipError::Refused(StatusCode::LoopDetected.code());
        let key = calls.begin(call_id, origin, handle).map_err(merged)?;
        self.sources.call_began(call_id);
        Ok(Place { core: self.clone(), key })
    }

    pub fn is_up(&self, call: &CallKey) -> bool {
        self.calls.lock().is_up(call)
    }

    /// Gives a request to the call it belongs to; back with a status if there is none, or it is too busy.
    pub fn hand_over(&self, request: Transaction) -> Result<(), (Box<Transaction>, StatusCode)> {
        let Some(call) = self.call_of(&request.original) else {
            return Err((Box::new(request), StatusCode::CallTransactionDoesNotExist));
        };
        let refused = match call.commands.try_send(Command::Early(Box::new(request))) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(refused)) => (refused, StatusCode::ServerInternalError),
            Err(TrySendError::Closed(refused)) => (refused, StatusCode::CallTransactionDoesNotExist),
        };
        match refused {
            (Command::Early(request), status) => Err((request, status)),
            // What was sent comes back.
            _ => Ok(()),
        }
    }

    /// Our tag is the peer's proof that it heard us; the Call-ID alone is no secret.
    fn call_of(&self, request: &Request) -> Option<CallHandle> {
        let id = request.call_id_header().ok()?;
        let tag = request.to_header().and_then(|to| to.tag()).ok().flatten()?;
        self.calls.lock().addressed(id.value(), tag.value()).cloned()
    }
}
