//! Who has which number.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use super::{
    Lease, Numbers, Phase,
    rows::{LeaseRow, select_lease},
};
use crate::{
    base::{E164, Wallet},
    store::{Store, StoreError},
};

impl Store {
    /// The trunk that carries a number, where it is one of the stock.
    pub async fn trunk_of(&self, number: &E164) -> Result<Option<String>, StoreError> {
        let sql = "SELECT trunk FROM numbers WHERE number = ?";
        let trunk =
            sqlx::query_scalar(sql).bind(number.as_str().to_owned()).fetch_optional(&self.pool).await?;
        Ok(trunk)
    }
}

impl Numbers {
    /// The wallet's active leases; the one that ends first comes first.
    pub async fn owned_by(&self, wallet: &Wallet, now: DateTime<Utc>) -> Result<Vec<Lease>, StoreError> {
        let mut leases = self.renewable_by(wallet, now).await?;
        leases.retain(|lease| lease.phase(now) == Phase::Active);
        Ok(leases)
    }

    /// The wallet's leases that are active or in their grace.
    pub async fn renewable_by(&self, wallet: &Wallet, now: DateTime<Utc>) -> Result<Vec<Lease>, StoreError> {
        let rows: Vec<LeaseRow> = sqlx::query_as(select_lease!(
            "l.owner = ? AND l.released_at IS NULL AND l.expires_at > ? ORDER BY l.expires_at, l.id"
        ))
        .bind(wallet.as_str().to_owned())
        .bind(self.grace_begins(now))
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter().map(|row| row.into_lease(&self.config)).collect()
    }

    /// Who has the number by an active lease.
    pub async fn owner_of(&self, number: &E164, now: DateTime<Utc>) -> Result<Option<Wallet>, StoreError> {
        let mut db = self.store.pool.acquire().await?;
        let lease = self.lease_on(&mut db, number).await?;
        Ok(lease.filter(|lease| lease.phase(now) == Phase::Active).map(|lease| lease.owner))
    }

    pub async fn is_owner(
        &self,
        wallet: &Wallet,
        number: &E164,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        Ok(self.owner_of(number, now).await?.as_ref() == Some(wallet))
    }

    /// The lease that was not released, however long ago it expired.
    pub(super) async fn lease_on(
        &self,
        db: &mut SqliteConnection,
        number: &E164,
    ) -> Result<Option<Lease>, StoreError> {
        let row: Option<LeaseRow> = sqlx::query_as(select_lease!("l.number = ? AND l.released_at IS NULL"))
            .bind(number.as_str().to_owned())
            .fetch_optional(db)
            .await?;
        row.map(|row| row.into_lease(&self.config)).transpose()
    }
}
