//! Topping up a lease that is over: the number is free, and whoever had it last gets it again. It is held for
//! the payment as for any buyer, so that it is sold to nobody else meanwhile.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use super::{
    Hold, Lease, LeaseError, Numbers, Owner, Phase, after,
    hold::{add_term, held_by_another, prolong, take},
    renew::refuse_retired,
    rows::{LeaseRow, select_lease},
};
use crate::base::{E164, Wallet};

/// The claim of nobody.
const NONE: &str = "";

impl Numbers {
    /// The lease that a top-up would extend or bring back; an error, while nothing is paid yet, if there is
    /// none.
    pub async fn check_top_up(&self, number: &E164, now: DateTime<Utc>) -> Result<Lease, LeaseError> {
        let mut db = self.store.pool.acquire().await?;
        refuse_retired(&mut db, number).await?;
        match self.lease_on(&mut db, number).await? {
            Some(lease) if lease.phase(now) != Phase::Over => Ok(lease),
            _ => self.lapsed(&mut db, number, NONE, now).await,
        }
    }

    /// Holds the number for `claim` if its lease, which was the owner's, is over and nobody else has it; nothing
    /// is to be held while the owner's lease stands. May be repeated.
    pub async fn hold_lapsed(
        &self,
        number: &E164,
        owner: Owner<'_>,
        claim: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Hold>, LeaseError> {
        let held_until = after(now, self.config.hold());
        let mut tx = self.write().await?;
        let standing = self.lease_on(&mut tx, number).await?;
        let standing = standing.filter(|lease| lease.phase(now) != Phase::Over);
        if let Some(lease) = &standing {
            owner.check(&lease.owner)?;
        }
        if standing.is_some() || self.lease_of_term(&mut tx, claim).await?.is_some() {
            return Ok(None);
        }
        if prolong(&mut tx, claim, held_until).await?.is_none() {
            owner.check(&self.lapsed(&mut tx, number, claim, now).await?.owner)?;
            take(&mut tx, number.as_str(), claim, held_until, now).await?;
        }
        tx.commit().await?;
        Ok(Some(Hold { claim: claim.to_owned(), number: number.clone() }))
    }

    /// Whether the wallet ever leased the number.
    pub async fn has_leased(&self, number: &E164, wallet: &Wallet) -> Result<bool, LeaseError> {
        let found: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM leases WHERE number = ? AND owner = ? LIMIT 1")
                .bind(number.as_str().to_owned())
                .bind(wallet.as_str().to_owned())
                .fetch_optional(&self.store.pool)
                .await?;
        Ok(found.is_some())
    }

    /// Makes the claim's hold a lease of whoever had the number last.
    pub(super) async fn revive(
        &self,
        db: &mut SqliteConnection,
        number: &E164,
        owner: Owner<'_>,
        claim: &str,
        now: DateTime<Utc>,
    ) -> Result<Lease, LeaseError> {
        let before = self.last_lease(db, number).await?.ok_or(LeaseError::NotLeased)?;
        owner.check(&before.owner)?;
        self.begin(db, claim, &before.owner, &before.family, now).await?;
        let lease = self.last_lease(db, number).await?.ok_or(LeaseError::HoldLost)?;
        add_term(db, claim, &lease.id, now, lease.expires_at).await?;
        Ok(lease)
    }

    /// The lease that ran out on a number which is free.
    async fn lapsed(
        &self,
        db: &mut SqliteConnection,
        number: &E164,
        claim: &str,
        now: DateTime<Utc>,
    ) -> Result<Lease, LeaseError> {
        if let Some(until) = held_by_another(db, number, claim, now).await? {
            return Err(LeaseError::Held { until });
        }
        match self.last_lease(db, number).await? {
            Some(lease) if lease.ran_out(now) => Ok(lease),
            Some(_) => Err(LeaseError::NotLeased),
            None => Err(self.why_not_leased(db, number).await?),
        }
    }

    /// The lease that began last, over or not.
    async fn last_lease(
        &self,
        db: &mut SqliteConnection,
        number: &E164,
    ) -> Result<Option<Lease>, LeaseError> {
        let row: Option<LeaseRow> =
            sqlx::query_as(select_lease!("l.number = ? ORDER BY l.starts_at DESC, l.id DESC LIMIT 1"))
                .bind(number.as_str().to_owned())
                .fetch_optional(db)
                .await?;
        Ok(row.map(|row| row.into_lease(&self.config)).transpose()?)
    }
}

#[cfg(test)]
#[path = "revive_tests.rs"]
mod tests;
