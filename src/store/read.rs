//! Reading calls.

use super::{
    Store, StoreError,
    rows::{CallRow, TurnRow},
};
use crate::{
    base::CallId,
    call::record::{CallRecord, TurnRecord},
};

/// A stretch of the list of calls, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// At most this many calls.
    pub limit: u32,
    /// Only calls older than this one: the last id of the page before.
    pub before: Option<CallId>,
}

/// A record together with its place among the call's events.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub record: CallRecord,
    /// How many events the record holds; the feed numbers them alike ([`super::Recorded::revision`]).
    pub revision: i64,
    /// Nothing more will come for this call.
    pub closed: bool,
}

impl Store {
    pub async fn call(&self, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        Ok(self.snapshot(id).await?.map(|snapshot| snapshot.record))
    }

    /// Row and turns are read in one transaction, so that they belong together.
    pub async fn snapshot(&self, id: CallId) -> Result<Option<Snapshot>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let row: Option<CallRow> = sqlx::query_as("SELECT * FROM calls WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&mut *tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let turns: Vec<TurnRow> =
            sqlx::query_as("SELECT * FROM turns WHERE call_id = ? ORDER BY start_ms, speaker DESC")
                .bind(id.to_string())
                .fetch_all(&mut *tx)
                .await?;
        tx.commit().await?;
        let turns: Vec<TurnRecord> = turns.into_iter().map(TurnRow::into_turn).collect::<Result<_, _>>()?;
        let (revision, closed) = (row.revision, row.closed);
        Ok(Some(Snapshot { record: row.into_record(turns)?, revision, closed }))
    }

    /// Newest first; the records carry no turns.
    pub async fn calls(&self, page: Page) -> Result<Vec<CallRecord>, StoreError> {
        let before = page.before.map(|id| id.to_string());
        let rows: Vec<CallRow> =
            sqlx::query_as("SELECT * FROM calls WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2")
                .bind(before)
                .bind(page.limit)
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(|row| row.into_record(Vec::new())).collect()
    }

    /// Whether a call that has an owner has a recording of this file name.
    pub async fn sold_recording(&self, file: &str) -> Result<bool, StoreError> {
        let sold: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM calls WHERE recording = ? AND owner IS NOT NULL")
                .bind(file)
                .fetch_optional(&self.pool)
                .await?;
        Ok(sold.is_some())
    }

    /// Whether a call has a recording of this file name.
    pub async fn knows_recording(&self, file: &str) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM calls WHERE recording = ?")
            .bind(file)
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.is_some())
    }
}
