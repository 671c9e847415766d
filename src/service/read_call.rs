//! Read calls back.

use super::watch_call::WatchCall;
use crate::{
    base::CallId,
    call::record::CallRecord,
    store::{Feed, Page, Store, StoreError},
};

/// Calls on one page of the list, at most.
pub const PAGE_MAX: u32 = 200;

/// Cheap to clone.
#[derive(Clone)]
pub struct ReadCall {
    store: Store,
    feed: Feed,
}

impl ReadCall {
    pub fn new(store: Store, feed: Feed) -> ReadCall {
        ReadCall { store, feed }
    }

    pub async fn call(&self, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        self.store.call(id).await
    }

    /// Newest first, without turns; no more than [`PAGE_MAX`] at once.
    pub async fn calls(&self, page: Page) -> Result<Vec<CallRecord>, StoreError> {
        self.store.calls(Page { limit: page.limit.clamp(1, PAGE_MAX), ..page }).await
    }

    /// Whether a call has a recording of this file name.
    pub async fn knows_recording(&self, file: &str) -> Result<bool, StoreError> {
        self.store.knows_recording(file).await
    }

    /// Whether a call that a wallet paid for has a recording of this file name.
    pub async fn sold_recording(&self, file: &str) -> Result<bool, StoreError> {
        self.store.sold_recording(file).await
    }

    /// The call's state and its changes from then on; `None` if there is no such call.
    pub async fn watch(&self, id: CallId) -> Result<Option<WatchCall>, StoreError> {
        WatchCall::begin(id, self.store.clone(), &self.feed).await
    }
}
