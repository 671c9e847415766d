//! The operator's side: numbers come in, are offered, and are taken out of service.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, SqliteConnection};

use super::{
    Area, Country, Criteria, LeaseError, Number, Numbers, after,
    rows::{NumberRow, taken},
};
use crate::{
    base::{E164, Wallet},
    store::{
        StoreError,
        rows::{optional_word, word},
    },
};

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    pub added: usize,
    pub updated: usize,
}

/// What one area code has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub country: Country,
    pub area_code: String,
    /// May be none.
    pub free: u64,
}

impl Offer {
    /// Whether its numbers are such as the buyer would take.
    pub fn matches(&self, criteria: &Criteria) -> bool {
        let area = match &criteria.area {
            Area::Exact(code) => *code == self.area_code,
            Area::Any | Area::BestEffort(_) => true,
        };
        area && self.country == criteria.country
    }
}

/// A number and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub number: Number,
    pub state: State,
    pub retired: bool,
    /// Of a lease that is active or in its grace.
    pub owner: Option<Wallet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Free,
    /// For a buyer whose payment is on its way.
    Held {
        until: DateTime<Utc>,
    },
    Leased {
        until: DateTime<Utc>,
    },
    /// Expired; until then only a renewal is possible.
    Grace {
        until: DateTime<Utc>,
    },
}

impl Numbers {
    /// Adds numbers, and writes over what was known of those that are there already; one that was retired
    /// is in service again. All of them or, after an error, none.
    pub async fn import(&self, numbers: &[Number], now: DateTime<Utc>) -> Result<Imported, StoreError> {
        let mut imported = Imported::default();
        let mut tx = self.write().await?;
        for number in numbers {
            if put(&mut tx, number, now).await? {
                imported.added += 1;
            } else {
                imported.updated += 1;
            }
        }
        tx.commit().await?;
        Ok(imported)
    }

    /// Offers the number to nobody any more and lets its lease run out. Importing it brings it back.
    pub async fn retire(&self, number: &E164, now: DateTime<Utc>) -> Result<(), LeaseError> {
        let done = sqlx::query("UPDATE numbers SET retired_at = coalesce(retired_at, ?) WHERE number = ?")
            .bind(now)
            .bind(number.as_str().to_owned())
            .execute(&self.store.pool)
            .await?;
        if done.rows_affected() == 0 { Err(LeaseError::UnknownNumber) } else { Ok(()) }
    }

    /// How many numbers a buyer could have.
    pub async fn availability(&self, criteria: &Criteria, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let offers = self.offers(now).await?;
        Ok(offers.iter().filter(|offer| offer.matches(criteria)).map(|offer| offer.free).sum())
    }

    /// What is in service, by country and area code.
    pub async fn offers(&self, now: DateTime<Utc>) -> Result<Vec<Offer>, StoreError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(concat!(
            "SELECT n.country, n.area_code, ",
            "sum(NOT EXISTS (SELECT 1 FROM leases l WHERE l.number = n.number AND ",
            taken!(),
            ")) FROM numbers n WHERE n.retired_at IS NULL GROUP BY n.country, n.area_code ORDER BY 1, 2"
        ))
        .bind(now)
        .bind(self.grace_begins(now))
        .fetch_all(&self.store.pool)
        .await?;
        let offer = |(country, area_code, free): (String, String, i64)| {
            Ok(Offer { country: word("country", &country)?, area_code, free: free.unsigned_abs() })
        };
        rows.into_iter().map(offer).collect()
    }

    /// Every number, by country.
    pub async fn all(&self, now: DateTime<Utc>) -> Result<Vec<Listed>, StoreError> {
        let rows: Vec<ListedRow> = sqlx::query_as(
            "SELECT n.*, n.retired_at IS NOT NULL AS retired, l.owner, l.held_until, l.expires_at \
             FROM numbers n LEFT JOIN leases l ON l.number = n.number AND l.released_at IS NULL \
             ORDER BY n.country, n.number",
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter().map(|row| self.listed(row, now)).collect()
    }

    fn listed(&self, row: ListedRow, now: DateTime<Utc>) -> Result<Listed, StoreError> {
        let state = self.state(row.held_until, row.expires_at, now);
        let is_leased = matches!(state, State::Leased { .. } | State::Grace { .. });
        let owner = optional_word("owner", row.owner)?.filter(|_| is_leased);
        Ok(Listed { number: row.number.into_number()?, state, retired: row.retired, owner })
    }

    fn state(
        &self,
        held_until: Option<DateTime<Utc>>,
        expires_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> State {
        let grace_ends_at = expires_at.map(|end| after(end, self.config.grace()));
        match (held_until, expires_at, grace_ends_at) {
            (Some(until), _, _) if now < until => State::Held { until },
            (_, Some(until), _) if now < until => State::Leased { until },
            (_, _, Some(until)) if now < until => State::Grace { until },
            _ => State::Free,
        }
    }
}

#[derive(FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    number: NumberRow,
    retired: bool,
    owner: Option<String>,
    held_until: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
}

/// Whether the number is new.
async fn put(db: &mut SqliteConnection, entry: &Number, now: DateTime<Utc>) -> Result<bool, sqlx::Error> {
    let number = entry.number.as_str().to_owned();
    let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM numbers WHERE number = ?")
        .bind(number.clone())
        .fetch_optional(&mut *db)
        .await?;
    let capabilities = serde_json::to_string(&entry.capabilities).expect("a list of words is plain data");
    sqlx::query(
        "INSERT INTO numbers (number, trunk, country, area_code, capabilities, added_at) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET trunk = excluded.trunk, \
         country = excluded.country, area_code = excluded.area_code, \
         capabilities = excluded.capabilities, retired_at = NULL",
    )
    .bind(number)
    .bind(entry.trunk.clone())
    .bind(entry.country.as_str().to_owned())
    .bind(entry.area_code.clone())
    .bind(capabilities)
    .bind(now)
    .execute(db)
    .await?;
    Ok(known.is_none())
}
