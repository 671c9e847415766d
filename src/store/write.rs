//! From a call's events to rows. Applying an event twice leaves the rows as applying it once.

use chrono::{DateTime, Utc};
use sqlx::{SqliteConnection, sqlite::SqliteQueryResult};

use super::{Store, StoreError};
use crate::{
    base::CallId,
    call::{
        event::{CallChange, CallEvent, Ending},
        record::{CallDirection, CallPlan, CallStatus, TransferStatus, TurnRecord, Verification},
    },
};

type Written = Result<SqliteQueryResult, sqlx::Error>;

impl Store {
    /// Writes one event and gives the call's new revision; `None` for [`CallChange::Live`], which is
    /// never stored.
    ///
    /// An event of a call that was never [`CallChange::Created`] is [`StoreError::UnknownCall`].
    pub async fn apply(&self, event: &CallEvent) -> Result<Option<i64>, StoreError> {
        if matches!(event.change, CallChange::Live { .. }) {
            return Ok(None);
        }
        // Immediate: a read that turns into a write fails with SQLITE_BUSY without waiting.
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        write(&mut tx, event).await?;
        let revision =
            sqlx::query_scalar("UPDATE calls SET revision = revision + 1 WHERE id = ? RETURNING revision")
                .bind(event.call.to_string())
                .fetch_optional(&mut *tx)
                .await?
                .ok_or(StoreError::UnknownCall(event.call))?;
        tx.commit().await?;
        Ok(Some(revision))
    }
}

async fn write(db: &mut SqliteConnection, event: &CallEvent) -> Result<(), StoreError> {
    let CallEvent { call, at, change } = event;
    match change {
        CallChange::Created { direction, plan } => create(db, *call, *at, *direction, plan).await?,
        CallChange::Status { status } => set_status(db, *call, *status).await?,
        CallChange::Line { trunk, redirected_from, verification } => {
            sqlx::query("UPDATE calls SET trunk = ?, redirected_from = ?, verification = ? WHERE id = ?")
                .bind(trunk.clone())
                .bind(redirected_from.as_ref().map(|number| number.as_str().to_owned()))
                .bind(verification.map(Verification::as_str))
                .bind(call.to_string())
                .execute(db)
                .await?
        }
        CallChange::Answered { answered_by } => {
            sqlx::query(
                "UPDATE calls SET answered_at = coalesce(answered_at, ?), answered_by = ? WHERE id = ?",
            )
            .bind(at)
            .bind(answered_by.as_str())
            .bind(call.to_string())
            .execute(db)
            .await?
        }
        CallChange::Voice { name } => {
            set_text(db, "UPDATE calls SET voice_used = ? WHERE id = ?", *call, name).await?
        }
        CallChange::Turn { turn } => {
            // A turn of a call that is not there is a foreign-key error; name it for what it is.
            if !exists(db, *call).await? {
                return Err(StoreError::UnknownCall(*call));
            }
            add_turn(db, *call, turn).await?
        }
        CallChange::Transfer { status } => transfer(db, *call, *status).await?,
        CallChange::Ended(ending) => end(db, *call, *at, ending).await?,
        CallChange::Quality { quality } => {
            let json = serde_json::to_string(quality).expect("quality is a handful of numbers");
            set_text(db, "UPDATE calls SET quality = ? WHERE id = ?", *call, &json).await?
        }
        CallChange::Summary { text } => {
            set_text(db, "UPDATE calls SET summary = ? WHERE id = ?", *call, text.expose()).await?
        }
        CallChange::Recording { file } => {
            set_text(db, "UPDATE calls SET recording = ? WHERE id = ?", *call, file).await?
        }
        CallChange::Closed => {
            sqlx::query("UPDATE calls SET closed = 1 WHERE id = ?").bind(call.to_string()).execute(db).await?
        }
        CallChange::Live { .. } => return Ok(()),
    };
    Ok(())
}

async fn create(
    db: &mut SqliteConnection,
    call: CallId,
    at: DateTime<Utc>,
    direction: CallDirection,
    plan: &CallPlan,
) -> Written {
    let json = serde_json::to_string(plan).expect("a plan is plain data with text keys");
    sqlx::query(
        "INSERT INTO calls (id, direction, to_number, from_number, owner, plan, status, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    )
    .bind(call.to_string())
    .bind(direction.as_str())
    .bind(plan.to.as_ref().map(|to| to.as_str().to_owned()))
    .bind(plan.from.as_ref().map(|from| from.as_str().to_owned()))
    .bind(plan.owner.as_ref().map(|owner| owner.as_str().to_owned()))
    .bind(json)
    .bind(CallStatus::Queued.as_str())
    .bind(at)
    .execute(db)
    .await
}

/// A call that has ended keeps its final status.
async fn set_status(db: &mut SqliteConnection, call: CallId, status: CallStatus) -> Written {
    sqlx::query("UPDATE calls SET status = ? WHERE id = ? AND ended_at IS NULL")
        .bind(status.as_str())
        .bind(call.to_string())
        .execute(db)
        .await
}

/// A number that rings is one that was dialled.
async fn transfer(db: &mut SqliteConnection, call: CallId, status: TransferStatus) -> Written {
    sqlx::query(
        "UPDATE calls SET transfer = ?1, transfer_number = \
         CASE ?1 WHEN ?2 THEN json_extract(plan, '$.transfer_to') ELSE transfer_number END WHERE id = ?3",
    )
    .bind(status.as_str())
    .bind(TransferStatus::Ringing.as_str())
    .bind(call.to_string())
    .execute(db)
    .await
}

async fn set_text(db: &mut SqliteConnection, sql: &'static str, call: CallId, text: &str) -> Written {
    sqlx::query(sql).bind(text.to_owned()).bind(call.to_string()).execute(db).await
}

async fn exists(db: &mut SqliteConnection, call: CallId) -> Result<bool, sqlx::Error> {
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM calls WHERE id = ?")
        .bind(call.to_string())
        .fetch_optional(db)
        .await?;
    Ok(found.is_some())
}

async fn add_turn(db: &mut SqliteConnection, call: CallId, turn: &TurnRecord) -> Written {
    let latency = turn.latency.map(|l| serde_json::to_string(&l).expect("a latency split is seven numbers"));
    sqlx::query(
        "INSERT INTO turns (call_id, speaker, start_ms, end_ms, text, interrupted, latency) \
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET end_ms = excluded.end_ms, \
         text = excluded.text, interrupted = excluded.interrupted, latency = excluded.latency",
    )
    .bind(call.to_string())
    .bind(turn.speaker.as_str())
    .bind(turn.start_ms as i64)
    .bind(turn.end_ms as i64)
    .bind(turn.text.expose().clone())
    .bind(turn.interrupted)
    .bind(latency)
    .execute(db)
    .await
}

/// The first ending stands.
async fn end(db: &mut SqliteConnection, call: CallId, at: DateTime<Utc>, ending: &Ending) -> Written {
    sqlx::query(
        "UPDATE calls SET status = ?, ended_at = ?, ended_by = ?, fault = ?, end_reason = ?, \
         length_secs = ? WHERE id = ? AND ended_at IS NULL",
    )
    .bind(ending.status.as_str())
    .bind(at)
    .bind(ending.ended_by.as_str())
    .bind(ending.fault.map(|fault| fault.as_str()))
    .bind(ending.reason.clone())
    .bind(ending.length_secs)
    .bind(call.to_string())
    .execute(db)
    .await
}
