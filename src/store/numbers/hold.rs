//! Buying: a free number is held for a claim, then leased to whoever paid.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use super::{
    Criteria, Hold, Lease, LeaseError, Numbers, after,
    rows::{LeaseRow, select_lease, taken},
};
use crate::{
    base::{E164, Wallet},
    store::rows::word,
};

impl Numbers {
    /// Takes a free number at random among those that match, for [`Config::hold_secs`](super::Config).
    ///
    /// The same claim gets the same number again and its time begins anew, for as long as nobody else took
    /// the number after the hold had run out; a claim that has leased already gets the number it leased.
    pub async fn hold(
        &self,
        criteria: &Criteria,
        claim: &str,
        now: DateTime<Utc>,
    ) -> Result<Hold, LeaseError> {
        let held_until = after(now, self.config.hold());
        let mut tx = self.write().await?;
        let number = match prolong(&mut tx, claim, held_until).await? {
            Some(number) => number,
            None => {
                let number = self.pick(&mut tx, criteria, now).await?.ok_or(LeaseError::NoneLeft)?;
                take(&mut tx, &number, claim, held_until, now).await?;
                number
            }
        };
        tx.commit().await?;
        Ok(Hold { claim: claim.to_owned(), number: word("number", &number)? })
    }

    /// Gives a held number back. A claim that has no hold, or has leased already, changes nothing.
    pub async fn release_hold(&self, claim: &str) -> Result<(), LeaseError> {
        let sql = "DELETE FROM leases WHERE claim = ? AND owner IS NULL";
        sqlx::query(sql).bind(claim.to_owned()).execute(&self.store.pool).await?;
        Ok(())
    }

    /// Makes the claim's hold a lease of one term. The same claim gets the same lease again.
    ///
    /// The buyer has paid by now, so a hold that ran out is honoured as long as nobody else took the
    /// number; else it is [`LeaseError::HoldLost`], and another [`Numbers::hold`] may find another number.
    pub async fn lease(
        &self,
        claim: &str,
        owner: &Wallet,
        family: &str,
        now: DateTime<Utc>,
    ) -> Result<Lease, LeaseError> {
        let mut tx = self.write().await?;
        let begun = self.begin(&mut tx, claim, owner, family, now).await?;
        let row: Option<LeaseRow> = sqlx::query_as(select_lease!("l.claim = ?"))
            .bind(claim.to_owned())
            .fetch_optional(&mut *tx)
            .await?;
        let lease = row.ok_or(LeaseError::HoldLost)?.into_lease(&self.config)?;
        if begun {
            add_term(&mut tx, claim, &lease.id, now, lease.expires_at).await?;
        }
        tx.commit().await?;
        Ok(lease)
    }

    /// Whether there was a hold to turn into a lease.
    pub(super) async fn begin(
        &self,
        db: &mut SqliteConnection,
        claim: &str,
        owner: &Wallet,
        family: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, sqlx::Error> {
        let done = sqlx::query(
            "UPDATE leases SET held_until = NULL, owner = ?, family = ?, starts_at = ?, expires_at = ? \
             WHERE claim = ? AND owner IS NULL",
        )
        .bind(owner.as_str().to_owned())
        .bind(family.to_owned())
        .bind(now)
        .bind(after(now, self.config.term()))
        .bind(claim.to_owned())
        .execute(db)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn pick(
        &self,
        db: &mut SqliteConnection,
        criteria: &Criteria,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar(concat!(
            "SELECT n.number FROM numbers n WHERE n.retired_at IS NULL AND n.country = ?3 ",
            "AND (?4 IS NULL OR n.area_code = ?4) ",
            "AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.number = n.number AND ",
            taken!(),
            ") ORDER BY n.area_code = ?5 DESC, random() LIMIT 1"
        ))
        .bind(now)
        .bind(self.grace_begins(now))
        .bind(criteria.country.as_str().to_owned())
        .bind(criteria.area.exact().map(str::to_owned))
        .bind(criteria.area.preferred().map(str::to_owned))
        .fetch_optional(db)
        .await
    }
}

/// The number that the claim has, held anew; a lease stays as it is.
pub(super) async fn prolong(
    db: &mut SqliteConnection,
    claim: &str,
    held_until: DateTime<Utc>,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE leases SET held_until = CASE WHEN owner IS NULL THEN ? END WHERE claim = ? RETURNING number",
    )
    .bind(held_until)
    .bind(claim.to_owned())
    .fetch_optional(db)
    .await
}

/// Whether this claim holds this number, however long ago its time ran out.
pub(super) async fn is_held(
    db: &mut SqliteConnection,
    number: &E164,
    claim: &str,
) -> Result<bool, sqlx::Error> {
    let held: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM leases WHERE number = ? AND claim = ? AND owner IS NULL")
            .bind(number.as_str().to_owned())
            .bind(claim.to_owned())
            .fetch_optional(db)
            .await?;
    Ok(held.is_some())
}

/// Until when another claim holds the number, if one does.
pub(super) async fn held_by_another(
    db: &mut SqliteConnection,
    number: &E164,
    claim: &str,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT held_until FROM leases WHERE number = ? AND claim <> ? AND owner IS NULL AND held_until > ?",
    )
    .bind(number.as_str().to_owned())
    .bind(claim.to_owned())
    .bind(now)
    .fetch_optional(db)
    .await
}

/// Clears away what has run out on a free number, and puts the hold in its place.
pub(super) async fn take(
    db: &mut SqliteConnection,
    number: &str,
    claim: &str,
    held_until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM leases WHERE number = ? AND owner IS NULL")
        .bind(number.to_owned())
        .execute(&mut *db)
        .await?;
    sqlx::query("UPDATE leases SET released_at = ? WHERE number = ? AND released_at IS NULL")
        .bind(now)
        .bind(number.to_owned())
        .execute(&mut *db)
        .await?;
    sqlx::query("INSERT INTO leases (id, number, claim, held_until) VALUES (?, ?, ?, ?)")
        .bind(format!("lease_{}", uuid::Uuid::now_v7().simple()))
        .bind(number.to_owned())
        .bind(claim.to_owned())
        .bind(held_until)
        .execute(db)
        .await?;
    Ok(())
}

/// Books what a claim paid for.
pub(super) async fn add_term(
    db: &mut SqliteConnection,
    claim: &str,
    lease: &str,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO lease_terms (claim, lease, added_at, expires_at) VALUES (?, ?, ?, ?)")
        .bind(claim.to_owned())
        .bind(lease.to_owned())
        .bind(now)
        .bind(expires_at)
        .execute(db)
        .await?;
    Ok(())
}
