//! The node's bookkeeping: the store, its recorder, and what a crash left behind.

use chrono::Utc;
use tokio::task::JoinHandle;

use super::{call_metrics, opt_out, owed};
use crate::{
    call::event::CallEvents,
    service::ReadCall,
    store::{self, Feed, Store, StoreError, recorder},
};

/// Where the directory of live calls sends its events, and where they are read again.
#[derive(Debug)]
pub struct Books {
    pub store: Store,
    /// For the directory of live calls.
    pub events: CallEvents,
    pub feed: Feed,
    recorder: JoinHandle<()>,
}

impl Books {
    /// Opens the store, ends the calls that a crash left without an ending, and starts the recorder.
    pub async fn open(config: &store::Config) -> Result<Books, StoreError> {
        let store = Store::open(config).await?;
        let cut_short = store.recover(Utc::now()).await?;
        if cut_short > 0 {
            tracing::warn!(calls = cut_short, "calls were cut short when this node last stopped");
        }
        let (events, feed, recorder) = recorder::spawn(store.clone());
        call_metrics::spawn(&feed);
        opt_out::spawn(&feed, store.clone());
        owed::spawn(&feed, store.clone());
        Ok(Books { store, events, feed, recorder })
    }

    pub fn reader(&self) -> ReadCall {
        ReadCall::new(self.store.clone(), self.feed.clone())
    }

    /// Writes what is queued and closes the store. Every other clone of `events` must be gone, else
    /// this does not end: put a deadline around it.
    pub async fn close(self) {
        drop(self.events);
        if let Err(error) = self.recorder.await {
            tracing::error!(%error, "the recorder ended early");
        }
        self.store.close().await;
    }
}
