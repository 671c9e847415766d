//! The numbers that are never called: their owners said so, or a public list does.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Store, StoreError};
use crate::base::{E164, e164::InvalidE164};

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub number: E164,
    /// Why it was added, for the operator: `asked on call_…`, the name of an imported file.
    pub reason: String,
    pub added_at: DateTime<Utc>,
}

#[derive(FromRow)]
struct Row {
    number: String,
    reason: String,
    added_at: DateTime<Utc>,
}

impl Row {
    fn into_listed(self) -> Result<Listed, StoreError> {
        let corrupt =
            |error: InvalidE164| StoreError::Corrupt { column: "number", detail: error.to_string() };
        let number = self.number.parse().map_err(corrupt)?;
        Ok(Listed { number, reason: self.reason, added_at: self.added_at })
    }
}

const ADD: &str =
    "INSERT INTO do_not_call (number, reason, added_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";

impl Store {
    /// Keeps a number from being called; `false` if it was listed, and its first reason stands.
    pub async fn add_do_not_call(
        &self,
        number: &E164,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        Ok(self.import_do_not_call([number.clone()], reason, now).await? > 0)
    }

    /// Adds all or none, and gives how many were not listed.
    pub async fn import_do_not_call(
        &self,
        numbers: impl IntoIterator<Item = E164>,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut added = 0;
        for number in numbers {
            let done = sqlx::query(ADD)
                .bind(number.as_str().to_owned())
                .bind(reason.to_owned())
                .bind(now)
                .execute(&mut *tx)
                .await?;
            added += done.rows_affected();
        }
        tx.commit().await?;
        Ok(added)
    }

    /// `false` if it was not listed.
    pub async fn remove_do_not_call(&self, number: &E164) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM do_not_call WHERE number = ?")
            .bind(number.as_str().to_owned())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The number's entry, if it is not to be called.
    pub async fn do_not_call(&self, number: &E164) -> Result<Option<Listed>, StoreError> {
        let row: Option<Row> = sqlx::query_as("SELECT * FROM do_not_call WHERE number = ?")
            .bind(number.as_str().to_owned())
            .fetch_optional(&self.pool)
            .await?;
        row.map(Row::into_listed).transpose()
    }

    /// At most `limit` entries by number, those after `after`.
    pub async fn do_not_call_list(
        &self,
        after: Option<&E164>,
        limit: u32,
    ) -> Result<Vec<Listed>, StoreError> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT * FROM do_not_call WHERE number > ? ORDER BY number LIMIT ?")
                .bind(after.map_or(String::new(), |number| number.as_str().to_owned()))
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(Row::into_listed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::memory;

    fn number(text: &str) -> E164 {
        text.parse().unwrap()
    }

    fn now() -> DateTime<Utc> {
        "2027-01-05T12:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn a_number_is_listed_until_it_is_removed_and_its_first_reason_stands() {
        let store = Store::open(&memory()).await.unwrap();
        let asked = number("+14155550123");
        assert_eq!(store.do_not_call(&asked).await.unwrap(), None);
        assert!(store.add_do_not_call(&asked, "asked", now()).await.unwrap());
        assert!(!store.add_do_not_call(&asked, "asked again", now()).await.unwrap());
        let listed = Listed { number: asked.clone(), reason: "asked".into(), added_at: now() };
        assert_eq!(store.do_not_call(&asked).await.unwrap(), Some(listed));
        assert!(store.remove_do_not_call(&asked).await.unwrap());
        assert!(!store.remove_do_not_call(&asked).await.unwrap());
        assert_eq!(store.do_not_call(&asked).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_import_counts_what_is_new_and_pages_give_all_in_order() {
        let store = Store::open(&memory()).await.unwrap();
        let numbers = ["+14155550103", "+14155550101", "+14155550102"].map(number);
        store.add_do_not_call(&numbers[0], "asked", now()).await.unwrap();
        assert_eq!(store.import_do_not_call(numbers, "list", now()).await.unwrap(), 2);
        let first = store.do_not_call_list(None, 2).await.unwrap();
        let rest = store.do_not_call_list(Some(&first[1].number), 2).await.unwrap();
        let all: Vec<_> = first.iter().chain(&rest).map(|entry| entry.number.as_str()).collect();
        assert_eq!(all, ["+14155550101", "+14155550102", "+14155550103"]);
    }
}
