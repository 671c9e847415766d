//! Who asks on a call not to be called again is put on the do-not-call list.

use chrono::{DateTime, Utc};
use tokio::sync::broadcast::error::RecvError;

use crate::{
    call::{
        event::CallChange,
        record::{CallDirection, CallRecord, Speaker, TurnRecord},
    },
    service::opt_out::asks_to_stop,
    store::{Feed, Page, Recorded, Store, StoreError},
};

/// Calls whose words are read again after the feed was faster than this listener.
const MISSED: u32 = 50;

/// Listens for as long as the feed lives.
pub fn spawn(feed: &Feed, store: Store) {
    let mut events = feed.listen();
    tokio::spawn(async move {
        loop {
            let kept = match events.recv().await {
                Ok(recorded) => hear(&store, &recorded).await,
                Err(RecvError::Lagged(_)) => read_again(&store).await,
                Err(RecvError::Closed) => return,
            };
            if let Err(error) = kept {
                metrics::counter!("callbox_opt_outs_lost_total").increment(1);
                tracing::error!(%error, "a wish not to be called again may not have been kept");
            }
        }
    });
}

async fn hear(store: &Store, recorded: &Recorded) -> Result<(), StoreError> {
    let CallChange::Turn { turn } = &recorded.event.change else { return Ok(()) };
    if !is_wish(turn) {
        return Ok(());
    }
    match store.call(recorded.event.call).await? {
        Some(record) => keep(store, &record, recorded.event.at).await,
        None => Err(StoreError::UnknownCall(recorded.event.call)),
    }
}

async fn read_again(store: &Store) -> Result<(), StoreError> {
    for call in store.calls(Page { limit: MISSED, before: None }).await? {
        let Some(record) = store.call(call.id).await? else { continue };
        if record.turns.iter().any(is_wish) {
            keep(store, &record, record.created_at).await?;
        }
    }
    Ok(())
}

fn is_wish(turn: &TurnRecord) -> bool {
    turn.speaker == Speaker::Caller && asks_to_stop(turn.text.expose())
}

/// The number that was dialled. Of a call that came in nothing is kept: anybody can show another's number
/// and have it listed.
async fn keep(store: &Store, record: &CallRecord, at: DateTime<Utc>) -> Result<(), StoreError> {
    let (CallDirection::Outbound, Some(callee)) = (record.direction, &record.plan.to) else { return Ok(()) };
    if store.add_do_not_call(callee, &format!("asked on {}", record.id), at).await? {
        metrics::counter!("callbox_opt_outs_total").increment(1);
        tracing::info!(call = %record.id, "the callee asked not to be called again and is on the list");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{CallId, Pii},
        call::event::CallEvent,
        store::tests::{memory, plan},
    };

    async fn said(store: &Store, direction: CallDirection, speaker: Speaker, text: &str) -> CallId {
        let (call, at) = (CallId::generate(), Utc::now());
        let turn = TurnRecord {
            speaker,
            text: Pii::new(text.into()),
            start_ms: 0,
            end_ms: 900,
            interrupted: false,
            latency: None,
        };
        let created = CallChange::Created { direction, plan: Box::new(plan()) };
        for change in [created, CallChange::Turn { turn }] {
            store.apply(&CallEvent { call, at, change }).await.unwrap();
        }
        call
    }

    #[tokio::test]
    async fn words_that_were_missed_are_read_again_from_the_store() {
        let store = Store::open(&memory()).await.unwrap();
        let wish = "Please don't call me again.";
        said(&store, CallDirection::Outbound, Speaker::Agent, wish).await;
        said(&store, CallDirection::Inbound, Speaker::Caller, wish).await;
        said(&store, CallDirection::Outbound, Speaker::Caller, "Call me again.").await;
        read_again(&store).await.unwrap();
        assert_eq!(store.do_not_call_list(None, 9).await.unwrap(), [], "no callee has asked");
        let call = said(&store, CallDirection::Outbound, Speaker::Caller, wish).await;
        read_again(&store).await.unwrap();
        let listed = store.do_not_call_list(None, 9).await.unwrap();
        assert_eq!(
            (&listed[0].number, &listed[0].reason),
            (&plan().to.unwrap(), &format!("asked on {call}"))
        );
    }
}
