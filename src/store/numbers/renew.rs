//! Renewing a lease and ending it.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use super::{
    Lease, LeaseError, Numbers, Owner, Phase, after,
    hold::{add_term, is_held},
    rows::{LeaseRow, select_lease},
};
use crate::base::E164;

impl Numbers {
    /// The lease that a renewal would extend; an error, while nothing is paid yet, if there is none.
    pub async fn check_renewable(
        &self,
        number: &E164,
        owner: Owner<'_>,
        now: DateTime<Utc>,
    ) -> Result<Lease, LeaseError> {
        let mut db = self.store.pool.acquire().await?;
        refuse_retired(&mut db, number).await?;
        let lease = self.standing(&mut db, number).await?;
        if lease.phase(now) == Phase::Over {
            return Err(LeaseError::Lapsed { expired_at: lease.expires_at });
        }
        owner.check(&lease.owner)?;
        Ok(lease)
    }

    /// Adds one term from the lease's end, or from now if it has expired. The same claim adds one term
    /// only, and gets the lease again. Where the claim holds the number of a lease that is over, whoever
    /// had that lease has the number again.
    ///
    /// It is paid for by now, so a lease whose grace ended meanwhile is honoured as long as nobody else
    /// took the number, and so is one whose number is being retired.
    pub async fn top_up(
        &self,
        number: &E164,
        owner: Owner<'_>,
        claim: &str,
        now: DateTime<Utc>,
    ) -> Result<Lease, LeaseError> {
        let mut tx = self.write().await?;
        if let Some(lease) = self.lease_of_term(&mut tx, claim).await? {
            return Ok(lease);
        }
        if is_held(&mut tx, number, claim).await? {
            let lease = self.revive(&mut tx, number, owner, claim, now).await?;
            tx.commit().await?;
            return Ok(lease);
        }
        let lease = self.standing(&mut tx, number).await?;
        owner.check(&lease.owner)?;
        let expires_at = after(lease.expires_at.max(now), self.config.term());
        sqlx::query("UPDATE leases SET expires_at = ? WHERE id = ?")
            .bind(expires_at)
            .bind(lease.id.clone())
            .execute(&mut *tx)
            .await?;
        add_term(&mut tx, claim, &lease.id, now, expires_at).await?;
        tx.commit().await?;
        Ok(Lease { expires_at, grace_ends_at: after(expires_at, self.config.grace()), ..lease })
    }

    /// Ends a lease at once, in its grace too; the number is free. Gives the lease that ended.
    pub async fn release(
        &self,
        number: &E164,
        owner: Owner<'_>,
        now: DateTime<Utc>,
    ) -> Result<Lease, LeaseError> {
        let mut tx = self.write().await?;
        let lease = self.standing(&mut tx, number).await?;
        owner.check(&lease.owner)?;
        sqlx::query("UPDATE leases SET released_at = ? WHERE id = ?")
            .bind(now)
            .bind(lease.id.clone())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Lease { released_at: Some(now), ..lease })
    }

    /// The lease that a release would end.
    pub async fn check_leased(&self, number: &E164, owner: Owner<'_>) -> Result<Lease, LeaseError> {
        let mut db = self.store.pool.acquire().await?;
        let lease = self.standing(&mut db, number).await?;
        owner.check(&lease.owner)?;
        Ok(lease)
    }

    async fn standing(&self, db: &mut SqliteConnection, number: &E164) -> Result<Lease, LeaseError> {
        match self.lease_on(&mut *db, number).await? {
            Some(lease) => Ok(lease),
            None => Err(self.why_not_leased(db, number).await?),
        }
    }

    pub(super) async fn why_not_leased(
        &self,
        db: &mut SqliteConnection,
        number: &E164,
    ) -> Result<LeaseError, sqlx::Error> {
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM numbers WHERE number = ?")
            .bind(number.as_str().to_owned())
            .fetch_optional(db)
            .await?;
        Ok(if known.is_some() { LeaseError::NotLeased } else { LeaseError::UnknownNumber })
    }

    pub(super) async fn lease_of_term(
        &self,
        db: &mut SqliteConnection,
        claim: &str,
    ) -> Result<Option<Lease>, LeaseError> {
        let row: Option<LeaseRow> =
            sqlx::query_as(select_lease!("l.id = (SELECT lease FROM lease_terms WHERE claim = ?)"))
                .bind(claim.to_owned())
                .fetch_optional(db)
                .await?;
        Ok(row.map(|row| row.into_lease(&self.config)).transpose()?)
    }
}

pub(super) async fn refuse_retired(db: &mut SqliteConnection, number: &E164) -> Result<(), LeaseError> {
    let retired: Option<bool> =
        sqlx::query_scalar("SELECT retired_at IS NOT NULL FROM numbers WHERE number = ?")
            .bind(number.as_str().to_owned())
            .fetch_optional(db)
            .await?;
    if retired.unwrap_or(false) { Err(LeaseError::Retired) } else { Ok(()) }
}
