//! Rows of the inventory, and the pieces of SQL that every rule is made of.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Config, Lease, Number, after};
use crate::store::{
    StoreError,
    rows::{json, word},
};

/// True while row `l` keeps its number from others: ?1 is now, and leases that ended before ?2 have no
/// grace left.
macro_rules! taken {
    () => {
        "l.released_at IS NULL AND CASE WHEN l.owner IS NULL THEN l.held_until > ?1 ELSE l.expires_at > ?2 END"
    };
}

/// Leases (no holds) with what their numbers say, as [`LeaseRow`]; `l` is the lease.
macro_rules! select_lease {
    ($condition:literal) => {
        concat!(
            "SELECT l.id, l.number, n.country, n.area_code, l.owner, l.family, l.starts_at, l.expires_at, ",
            "l.released_at FROM leases l JOIN numbers n USING (number) WHERE l.owner IS NOT NULL AND ",
            $condition
        )
    };
}

pub(super) use {select_lease, taken};

#[derive(FromRow)]
pub(super) struct LeaseRow {
    id: String,
    number: String,
    country: String,
    area_code: String,
    owner: String,
    family: String,
    starts_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    released_at: Option<DateTime<Utc>>,
}

impl LeaseRow {
    pub(super) fn into_lease(self, config: &Config) -> Result<Lease, StoreError> {
        Ok(Lease {
            id: self.id,
            number: word("number", &self.number)?,
            country: word("country", &self.country)?,
            area_code: self.area_code,
            owner: word("owner", &self.owner)?,
            family: self.family,
            starts_at: self.starts_at,
            expires_at: self.expires_at,
            grace_ends_at: after(self.expires_at, config.grace()),
            released_at: self.released_at,
        })
    }
}

#[derive(FromRow)]
pub(super) struct NumberRow {
    number: String,
    trunk: String,
    country: String,
    area_code: String,
    capabilities: String,
}

impl NumberRow {
    pub(super) fn into_number(self) -> Result<Number, StoreError> {
        Ok(Number {
            number: word("number", &self.number)?,
            trunk: self.trunk,
            country: word("country", &self.country)?,
            area_code: self.area_code,
            capabilities: json("capabilities", &self.capabilities)?,
        })
    }
}
