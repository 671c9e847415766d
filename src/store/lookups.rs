//! What was looked up about numbers, and who paid for it.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::FromRow;

use super::{Store, StoreError};
use crate::base::{E164, LookupId, Wallet, words};

/// How long a number that was looked up is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);

words::text_enum! {
    /// Whether a service knows a number.
    Presence {
        Available = "available",
        Unavailable = "unavailable",
        /// Nobody could say.
        Unknown = "unknown",
    }
}

/// On which of Apple's services a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    pub imessage: Presence,
    pub facetime: Presence,
}

impl Reach {
    pub const UNKNOWN: Reach = Reach { imessage: Presence::Unknown, facetime: Presence::Unknown };
}

/// The answer of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub reach: Reach,
    /// None where nobody could say.
    pub carrier: Option<String>,
    /// `mobile`, `landline` and what else whoever knows carriers calls it.
    pub number_type: Option<String>,
}

impl From<Reach> for Found {
    fn from(reach: Reach) -> Found {
        Found { reach, carrier: None, number_type: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupState {
    Pending,
    Complete {
        found: Found,
        at: DateTime<Utc>,
    },
    /// Why, for the client.
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    pub id: LookupId,
    pub number: E164,
    pub state: LookupState,
}

impl Store {
    /// The lookup of this number that began at `since` or later and has not failed, else a new one. Forgets
    /// those that are old.
    pub async fn open_lookup(
        &self,
        number: &E164,
        since: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<LookupId, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM lookups WHERE created_at < ?").bind(now - KEPT).execute(&mut *tx).await?;
        let fresh: Option<(String,)> = sqlx::query_as(
            "SELECT id FROM lookups WHERE number = ? AND created_at >= ? AND state <> 'error' \
             ORDER BY id DESC LIMIT 1",
        )
        .bind(number.as_str())
        .bind(since)
        .fetch_optional(&mut *tx)
        .await?;
        let id = match fresh {
            Some((id,)) => read_id(&id)?,
            None => {
                let id = LookupId::generate();
                sqlx::query(
                    "INSERT INTO lookups (id, number, state, created_at) VALUES (?, ?, 'pending', ?)",
                )
                .bind(id.to_string())
                .bind(number.as_str())
                .bind(now)
                .execute(&mut *tx)
                .await?;
                id
            }
        };
        tx.commit().await?;
        Ok(id)
    }

    /// When this wallet last paid for this number, not before `since`.
    pub async fn lookup_paid_at(
        &self,
        number: &E164,
        wallet: &Wallet,
        since: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let paid: Option<(DateTime<Utc>,)> = sqlx::query_as(
            "SELECT paid_at FROM lookup_buyers JOIN lookups ON id = lookup \
             WHERE number = ? AND wallet = ? AND paid_at >= ? ORDER BY paid_at DESC LIMIT 1",
        )
        .bind(number.as_str())
        .bind(wallet.as_str())
        .bind(since)
        .fetch_optional(&self.pool)
        .await?;
        Ok(paid.map(|(at,)| at))
    }

    /// Writes down who may read a lookup; the first time of paying stands.
    pub async fn buy_lookup(
        &self,
        id: LookupId,
        wallet: &Wallet,
        paid_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO lookup_buyers (lookup, wallet, paid_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(id.to_string())
        .bind(wallet.as_str())
        .bind(paid_at)
        .execute(&self.money)
        .await?;
        Ok(())
    }

    pub async fn lookup(&self, id: LookupId) -> Result<Option<Lookup>, StoreError> {
        let row: Option<Row> = sqlx::query_as("SELECT * FROM lookups WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(Row::into_lookup).transpose()
    }

    /// Lookups that were paid for and have no answer, oldest first.
    pub async fn pending_lookups(&self) -> Result<Vec<Lookup>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT * FROM lookups WHERE state = 'pending' \
             AND id IN (SELECT lookup FROM lookup_buyers) ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Row::into_lookup).collect()
    }

    /// Writes the answer of a pending lookup.
    pub async fn finish_lookup(
        &self,
        id: LookupId,
        answer: &Result<Found, String>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (state, found, problem) = match answer {
            Ok(found) => ("complete", Some(found), None),
            Err(problem) => ("error", None, Some(problem.as_str())),
        };
        sqlx::query(
            "UPDATE lookups SET state = ?, imessage = ?, facetime = ?, carrier = ?, number_type = ?, problem = ?, \
             finished_at = ? WHERE id = ? AND state = 'pending'",
        )
        .bind(state)
        .bind(found.map(|found| found.reach.imessage.as_str()))
        .bind(found.map(|found| found.reach.facetime.as_str()))
        .bind(found.and_then(|found| found.carrier.as_deref()))
        .bind(found.and_then(|found| found.number_type.as_deref()))
        .bind(problem)
        .bind(now)
        .bind(id.to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

#[derive(FromRow)]
struct Row {
    id: String,
    number: String,
    state: String,
    imessage: Option<String>,
    facetime: Option<String>,
    carrier: Option<String>,
    number_type: Option<String>,
    problem: Option<String>,
    finished_at: Option<DateTime<Utc>>,
}

impl Row {
    fn into_lookup(self) -> Result<Lookup, StoreError> {
        let presence = |column, text: Option<String>| {
            text.unwrap_or_default().parse().map_err(|error| corrupt(column, error))
        };
        let state = match (self.state.as_str(), self.finished_at) {
            ("complete", Some(at)) => LookupState::Complete {
                found: Found {
                    reach: Reach {
                        imessage: presence("imessage", self.imessage)?,
                        facetime: presence("facetime", self.facetime)?,
                    },
                    carrier: self.carrier,
                    number_type: self.number_type,
                },
                at,
            },
            ("error", _) => LookupState::Failed(self.problem.unwrap_or_default()),
            _ => LookupState::Pending,
        };
        let number = self.number.parse().map_err(|error| corrupt("number", error))?;
        Ok(Lookup { id: read_id(&self.id)?, number, state })
    }
}

fn read_id(text: &str) -> Result<LookupId, StoreError> {
    text.parse().map_err(|error| corrupt("id", error))
}

fn corrupt(column: &'static str, error: impl ToString) -> StoreError {
    StoreError::Corrupt { column, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Config;

    async fn store() -> Store {
        Store::open(&Config { data_dir: "unused".into(), url: "sqlite::memory:".into() }).await.unwrap()
    }

    fn number() -> E164 {
        "+14155550123".parse().unwrap()
    }

    #[tokio::test]
    async fn one_lookup_serves_an_hour_and_a_failed_one_nobody() {
        let (store, now) = (store().await, Utc::now());
        let hour = TimeDelta::hours(1);
        let first = store.open_lookup(&number(), now - hour, now).await.unwrap();
        let later = now + TimeDelta::minutes(59);
        assert_eq!(store.open_lookup(&number(), later - hour, later).await.unwrap(), first);
        let after = now + TimeDelta::minutes(61);
        let second = store.open_lookup(&number(), after - hour, after).await.unwrap();
        assert_ne!(second, first);
        store.finish_lookup(second, &Err("no answer".into()), after).await.unwrap();
        assert_ne!(store.open_lookup(&number(), after - hour, after).await.unwrap(), second);
    }

    #[tokio::test]
    async fn answer_is_written_once_and_numbers_are_forgotten_after_a_day() {
        let (store, now) = (store().await, Utc::now());
        let id = store.open_lookup(&number(), now, now).await.unwrap();
        let reach = Reach { imessage: Presence::Available, facetime: Presence::Unknown };
        let found = Found { carrier: Some("Example".into()), ..reach.into() };
        store.finish_lookup(id, &Ok(found.clone()), now).await.unwrap();
        store.finish_lookup(id, &Err("late".into()), now).await.unwrap();
        let kept = store.lookup(id).await.unwrap().unwrap();
        assert!(matches!(kept.state, LookupState::Complete { found: told, .. } if told == found));
        let next_day = now + TimeDelta::hours(25);
        store.open_lookup(&number(), next_day, next_day).await.unwrap();
        assert_eq!(store.lookup(id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn only_paid_lookups_are_taken_up_again() {
        let (store, now) = (store().await, Utc::now());
        let id = store.open_lookup(&number(), now, now).await.unwrap();
        assert!(store.pending_lookups().await.unwrap().is_empty());
        let wallet = Wallet::nobody();
        store.buy_lookup(id, &wallet, now).await.unwrap();
        assert_eq!(store.pending_lookups().await.unwrap().len(), 1);
        let to = number();
        let paid = |since| store.lookup_paid_at(&to, &wallet, since);
        let (of_pay, later) = (now.timestamp_micros(), now + TimeDelta::seconds(1));
        assert_eq!(paid(now).await.unwrap().map(|at| at.timestamp_micros()), Some(of_pay));
        assert_eq!(paid(later).await.unwrap(), None);
    }
}
