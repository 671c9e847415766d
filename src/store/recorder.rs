//! The task between live calls and the database: it writes each event, then shows it to those who watch.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, mpsc},
    task::JoinHandle,
};

use super::{Store, StoreError};
use crate::call::event::{CallEvent, CallEvents};

/// Events that wait to be written. When it is full, the bookkeeping of calls waits; audio does not.
pub const QUEUE: usize = 1024;
/// Events a watcher may be behind. One that falls further reads the record again.
pub const FEED: usize = 1024;

const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// An event after the store has it.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub event: CallEvent,
    /// The call's revision with this event; `None` if the event is not in the store: it is
    /// [`CallChange::Live`](crate::call::event::CallChange::Live), or writing it failed.
    pub revision: Option<i64>,
}

/// Where live events can be heard. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed(broadcast::Sender<Arc<Recorded>>);

impl Feed {
    /// Everything recorded from now on, of all calls.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Recorded>> {
        self.0.subscribe()
    }
}

/// Starts the recorder. It ends when the last clone of the returned sender is gone and its queue is
/// written; waiting for the handle is how a node stops without losing an event.
pub fn spawn(store: Store) -> (CallEvents, Feed, JoinHandle<()>) {
    let (events, queue) = mpsc::channel(QUEUE);
    let feed = Feed(broadcast::channel(FEED).0);
    let task = tokio::spawn(drive(store, queue, feed.clone()));
    (events, feed, task)
}

async fn drive(store: Store, mut queue: mpsc::Receiver<CallEvent>, feed: Feed) {
    while let Some(event) = queue.recv().await {
        let revision = match record(&store, &event).await {
            Ok(revision) => revision,
            Err(error) => {
                metrics::counter!("callbox_store_lost_events_total").increment(1);
                tracing::error!(call = %event.call, %error, "an event of a call was not stored");
                None
            }
        };
        // An error says that nobody watches.
        let _ = feed.0.send(Arc::new(Recorded { event, revision }));
    }
}

/// Tries again, ever later, while the database is busy.
async fn record(store: &Store, event: &CallEvent) -> Result<Option<i64>, StoreError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match store.apply(event).await {
            Err(error) if error.is_transient() => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            done => return done,
        }
    }
    store.apply(event).await
}
