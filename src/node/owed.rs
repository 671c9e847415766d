//! Whose call fails by this node's or its carrier's fault is owed the price.
//!
//! The rule is one query over calls and claims, so that it does not matter when a call fails: before its
//! payment is booked as delivered, while this listener is behind, or with a node that dies.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    base::Fault,
    call::{event::CallChange, record::CallStatus},
    store::{Feed, Recorded, Store, StoreError, claims::ClaimState},
};

/// A call may fail while its payment is still being settled: then no event tells.
const EVERY: Duration = Duration::from_secs(15);

/// Listens for as long as the feed lives. Calls that a crash has cut short are owed at once.
pub fn spawn(feed: &Feed, store: Store) {
    let mut events = feed.listen();
    tokio::spawn(async move {
        loop {
            match book(&store).await {
                Ok(()) => {}
                Err(error) if error.is_closed() => return,
                Err(error) => tracing::error!(%error, "refunds that are due were not booked; trying again"),
            }
            if tokio::time::timeout(EVERY, until_failure(&mut events)).await == Ok(Heard::Closed) {
                return;
            }
        }
    });
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Failure,
    Closed,
}

async fn until_failure(events: &mut Receiver<Arc<Recorded>>) -> Heard {
    loop {
        match events.recv().await {
            Ok(recorded) if is_owed(&recorded.event.change) => return Heard::Failure,
            Ok(_) => {}
            // A failure may be among those that were missed.
            Err(RecvError::Lagged(_)) => return Heard::Failure,
            Err(RecvError::Closed) => return Heard::Closed,
        }
    }
}

/// The store's query says the same in SQL.
fn is_owed(change: &CallChange) -> bool {
    let CallChange::Ended(ending) = change else { return false };
    ending.status == CallStatus::Failed && matches!(ending.fault, Some(Fault::Us | Fault::Carrier))
}

async fn book(store: &Store) -> Result<(), StoreError> {
    for claim in store.owe_failed_calls(Utc::now()).await? {
        metrics::counter!("callbox_payments_total", "state" => claim.state.as_str()).increment(1);
        tracing::warn!(claim = %claim.id, amount = %claim.offer.amount, "a paid call failed; a refund is due");
    }
    let mut due = 0;
    for state in [ClaimState::RefundDue, ClaimState::Refunding] {
        due += store.claims_in(state).await?.len();
    }
    metrics::gauge!("callbox_refunds_due").set(due as f64);
    Ok(())
}

#[cfg(test)]
#[path = "owed_tests.rs"]
mod tests;
