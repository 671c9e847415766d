//! The telephone numbers this node leases out, and who has each of them until when.
//!
//! A number is bought in two steps, since work is reserved before money moves: [`Numbers::hold`] takes a
//! free number for a payment's claim, and once the payment is settled [`Numbers::lease`] makes the hold a
//! lease. Every step is keyed by the claim and may be repeated after a crash. Nothing here needs a clock
//! or a job: whether a hold or a lease still stands is a comparison with the `now` of whoever asks.
//!
//! A lease is active until it expires; then, for a grace period, it can only be renewed, and nobody else
//! gets the number; then the number is free, and whoever comes first has it: a buyer, or somebody who tops
//! the lease up.

mod hold;
mod read;
mod region;
mod renew;
mod revive;
mod rows;
mod stock;

use std::num::{NonZeroU16, NonZeroU32};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, Transaction};

pub use region::{Country, UnknownCountry, area_code, begins_with_area};
pub use stock::{Imported, Listed, Offer, State};

use super::{Store, StoreError};
use crate::base::{E164, Wallet, words::text_enum};

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Days that a purchase or a renewal buys.
    pub lease_days: NonZeroU16,
    /// Days after the end in which only a renewal is possible.
    pub grace_days: u16,
    /// Seconds a number is kept for a buyer whose payment is on its way.
    pub hold_secs: NonZeroU32,
}

impl Config {
    fn term(&self) -> TimeDelta {
        TimeDelta::days(self.lease_days.get().into())
    }

    fn grace(&self) -> TimeDelta {
        TimeDelta::days(self.grace_days.into())
    }

    fn hold(&self) -> TimeDelta {
        TimeDelta::seconds(self.hold_secs.get().into())
    }
}

text_enum! {
    /// What a number can do.
    Capability { Voice = "voice", Sms = "sms" }
}

/// A number as the operator's carrier gave it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    pub number: E164,
    /// The trunk that carries it, by its name in the configuration.
    pub trunk: String,
    pub country: Country,
    /// Empty where it is not known.
    pub area_code: String,
    pub capabilities: Vec<Capability>,
}

/// Which numbers a buyer would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criteria {
    pub country: Country,
    pub area: Area,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    Any,
    /// This area code or none.
    Exact(String),
    /// This area code, else any of the country.
    BestEffort(String),
}

impl Area {
    fn exact(&self) -> Option<&str> {
        match self {
            Area::Exact(code) => Some(code),
            Area::Any | Area::BestEffort(_) => None,
        }
    }

    fn preferred(&self) -> Option<&str> {
        match self {
            Area::BestEffort(code) => Some(code),
            Area::Any | Area::Exact(_) => None,
        }
    }
}

/// A number that waits for its buyer's payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The payment it waits for.
    pub claim: String,
    pub number: E164,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub id: String,
    pub number: E164,
    pub country: Country,
    pub area_code: String,
    pub owner: Wallet,
    /// The API that sold it.
    pub family: String,
    pub starts_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// From here on others may have the number.
    pub grace_ends_at: DateTime<Utc>,
    /// Ended early, or given up after its grace.
    pub released_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Active,
    /// Expired, and kept for a renewal.
    Grace,
    Over,
}

impl Lease {
    pub fn phase(&self, now: DateTime<Utc>) -> Phase {
        match self.released_at {
            Some(_) => Phase::Over,
            None if now < self.expires_at => Phase::Active,
            None if now < self.grace_ends_at => Phase::Grace,
            None => Phase::Over,
        }
    }

    /// Whether its time ran out, and it was not ended before.
    pub fn ran_out(&self, now: DateTime<Utc>) -> bool {
        self.expires_at <= now && self.released_at.is_none_or(|ended| ended >= self.expires_at)
    }

    /// Whole days until it expires.
    pub fn days_left(&self, now: DateTime<Utc>) -> i64 {
        (self.expires_at - now).num_days().max(0)
    }
}

/// Whose lease it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    Anyone,
    Only(&'a Wallet),
}

impl Owner<'_> {
    fn check(self, owner: &Wallet) -> Result<(), LeaseError> {
        match self {
            Owner::Only(wallet) if wallet != owner => Err(LeaseError::NotOwner { owner: owner.clone() }),
            Owner::Anyone | Owner::Only(_) => Ok(()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("no such number is free")]
    NoneLeft,
    /// The claim never had a hold, or its hold ended and another buyer has the number.
    #[error("the hold on the number has ended")]
    HoldLost,
    #[error("this node has no such number")]
    UnknownNumber,
    #[error("nobody leases the number")]
    NotLeased,
    #[error("the lease of the number ended, and its grace period too")]
    Lapsed { expired_at: DateTime<Utc> },
    #[error("another wallet leases the number")]
    NotOwner { owner: Wallet },
    #[error("the number is held for a buyer")]
    Held { until: DateTime<Utc> },
    #[error("the number is being taken out of service")]
    Retired,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for LeaseError {
    fn from(error: sqlx::Error) -> Self {
        LeaseError::Store(StoreError::Database(error))
    }
}

/// The inventory and its leases. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Numbers {
    store: Store,
    config: Config,
}

impl Numbers {
    pub fn new(store: Store, config: Config) -> Numbers {
        Numbers { store, config }
    }

    /// A transaction that has the writer's place from its beginning: what it reads stays true until it
    /// has written. A read that turns into a write would fail with SQLITE_BUSY without waiting.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.store.pool.begin_with("BEGIN IMMEDIATE").await
    }

    /// Leases that ended before this have no grace left at `now`.
    fn grace_begins(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_sub_signed(self.config.grace()).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}

/// `from` and a duration; at the calendar's end it stops there.
fn after(from: DateTime<Utc>, duration: TimeDelta) -> DateTime<Utc> {
    from.checked_add_signed(duration).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
pub(crate) mod tests;
