//! Watch a call live: its stored state first, then every change after that state, none twice.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    base::CallId,
    call::{event::CallChange, record::CallRecord},
    store::{Feed, Recorded, Snapshot, Store, StoreError},
};

/// What a watcher gets.
#[derive(Debug, Clone)]
pub enum Update {
    /// The whole call. Comes first, and again where the watcher was too slow to follow the changes.
    State(Box<CallRecord>),
    Change(Arc<Recorded>),
}

/// A call being watched. Ends after [`CallChange::Closed`].
pub struct WatchCall {
    id: CallId,
    store: Store,
    feed: Receiver<Arc<Recorded>>,
    /// State to be given out before anything else.
    pending: Option<Snapshot>,
    /// Events up to this one are in the state given out.
    revision: i64,
    closed: bool,
}

impl WatchCall {
    /// Listens before it reads, so that no change falls between the state and the feed.
    pub(super) async fn begin(
        id: CallId,
        store: Store,
        feed: &Feed,
    ) -> Result<Option<WatchCall>, StoreError> {
        let feed = feed.listen();
        let Some(snapshot) = store.snapshot(id).await? else { return Ok(None) };
        Ok(Some(WatchCall { id, store, feed, pending: Some(snapshot), revision: 0, closed: false }))
    }

    /// The next update; `None` when nothing more will come.
    pub async fn next(&mut self) -> Result<Option<Update>, StoreError> {
        loop {
            if let Some(snapshot) = self.pending.take() {
                return Ok(Some(self.give(snapshot)));
            }
            if self.closed {
                return Ok(None);
            }
            match self.feed.recv().await {
                Ok(recorded) if self.is_news(&recorded) => return Ok(Some(self.pass(recorded))),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => self.start_over().await?,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    /// What the feed still holds is older than the state read now: skip it, lest it overtake us again.
    async fn start_over(&mut self) -> Result<(), StoreError> {
        self.feed = self.feed.resubscribe();
        self.pending = self.store.snapshot(self.id).await?;
        Ok(())
    }

    fn give(&mut self, snapshot: Snapshot) -> Update {
        self.revision = snapshot.revision;
        self.closed = snapshot.closed;
        Update::State(Box::new(snapshot.record))
    }

    fn is_news(&self, recorded: &Recorded) -> bool {
        recorded.event.call == self.id && recorded.revision.is_none_or(|revision| revision > self.revision)
    }

    fn pass(&mut self, recorded: Arc<Recorded>) -> Update {
        self.closed = matches!(recorded.event.change, CallChange::Closed);
        Update::Change(recorded)
    }
}
