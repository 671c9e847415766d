//! What comes after a payment: who is owed a refund, how far it is, and whether the settlement still stands.

use chrono::{DateTime, Utc};

use super::{Change, Claim, ClaimRow, ClaimState, log, read, update};
use crate::{
    base::ClaimId,
    store::{Store, StoreError},
};

/// Why a delivered call is to be paid back.
const FAILED_CALL: &str = "the call failed by this node's or its carrier's fault";

impl Store {
    /// Makes every delivered claim a refund whose call has failed by this node's or its carrier's fault. Gives
    /// those that are new; each is given once.
    pub async fn owe_failed_calls(&self, now: DateTime<Utc>) -> Result<Vec<Claim>, StoreError> {
        let mut tx = self.money.begin_with("BEGIN IMMEDIATE").await?;
        // The words stand in the text, or SQLite would not use the index on them.
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT c.id FROM calls k JOIN claims c ON json_extract(c.work, '$.call') = k.id \
             WHERE k.status = 'failed' AND k.fault IN ('us', 'carrier') AND c.state = 'delivered' \
             ORDER BY c.id",
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut owed = Vec::new();
        for id in ids {
            let id: ClaimId = read("id", &id)?;
            let change = Change { detail: FAILED_CALL.into(), ..Change::default() };
            let (from, to) = (ClaimState::Delivered, ClaimState::RefundDue);
            let Some(claim) = update(&mut tx, id, from, to, &change, now).await? else { continue };
            log(&mut tx, &claim, (from, to), FAILED_CALL, now).await?;
            owed.push(claim);
        }
        tx.commit().await?;
        Ok(owed)
    }

    /// Oldest first.
    pub async fn claims_in(&self, state: ClaimState) -> Result<Vec<Claim>, StoreError> {
        let rows: Vec<ClaimRow> = sqlx::query_as("SELECT * FROM claims WHERE state = ? ORDER BY id")
            .bind(state.as_str())
            .fetch_all(&self.money)
            .await?;
        rows.into_iter().map(ClaimRow::into_claim).collect()
    }

    /// Offered since `since`, oldest first.
    pub async fn claims_since(&self, since: DateTime<Utc>) -> Result<Vec<Claim>, StoreError> {
        let rows: Vec<ClaimRow> = sqlx::query_as("SELECT * FROM claims WHERE created_at >= ? ORDER BY id")
            .bind(since)
            .fetch_all(&self.money)
            .await?;
        rows.into_iter().map(ClaimRow::into_claim).collect()
    }

    /// Claims whose settlement has not been looked at again, of those offered since `since`: nothing is under
    /// way for them.
    pub async fn unconfirmed_claims(&self, since: DateTime<Utc>) -> Result<Vec<Claim>, StoreError> {
        let rows: Vec<ClaimRow> = sqlx::query_as(
            "SELECT * FROM claims WHERE confirmed_at IS NULL AND settlement IS NOT NULL AND created_at >= ? \
             AND state IN ('delivered', 'refund_due', 'disputed') ORDER BY id",
        )
        .bind(since)
        .fetch_all(&self.money)
        .await?;
        rows.into_iter().map(ClaimRow::into_claim).collect()
    }

    /// The settlement is deep enough in its chain to stay.
    pub async fn confirm_claim(&self, id: ClaimId, now: DateTime<Utc>) -> Result<(), StoreError> {
        sqlx::query("UPDATE claims SET confirmed_at = ? WHERE id = ?")
            .bind(now)
            .bind(id.to_string())
            .execute(&self.money)
            .await?;
        Ok(())
    }

    /// Where a disputed claim was before.
    pub async fn state_before_dispute(&self, id: ClaimId) -> Result<Option<ClaimState>, StoreError> {
        let state: Option<String> = sqlx::query_scalar(
            "SELECT state FROM ledger WHERE claim = ? AND state != 'disputed' ORDER BY id DESC LIMIT 1",
        )
        .bind(id.to_string())
        .fetch_optional(&self.money)
        .await?;
        state.map(|state| read("state", &state)).transpose()
    }
}
