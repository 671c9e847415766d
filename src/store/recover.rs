//! What a crash leaves: calls that never ended, because the node that held them died.

use chrono::{DateTime, Utc};

use super::{Store, StoreError};
use crate::{
    base::Fault,
    call::record::{CallStatus, EndedBy},
};

/// What the record of such a call says.
pub const CRASH_REASON: &str = "the node stopped during the call";

impl Store {
    /// Ends every call that has no ending and closes every one that is not closed. Run at start, before
    /// the first call; gives how many calls had no ending.
    pub async fn recover(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let ended = sqlx::query(
            "UPDATE calls SET status = ?, fault = ?, ended_by = ?, end_reason = ?, ended_at = ?, \
             revision = revision + 1 WHERE ended_at IS NULL",
        )
        .bind(CallStatus::Failed.as_str())
        .bind(Fault::Us.as_str())
        .bind(EndedBy::Node.as_str())
        .bind(CRASH_REASON)
        .bind(now)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        sqlx::query("UPDATE calls SET closed = 1, revision = revision + 1 WHERE closed = 0")
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(ended)
    }
}
