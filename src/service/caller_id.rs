//! Which number a call shows: one that the caller's wallet leases.

use chrono::{DateTime, Utc};
use futures_util::{FutureExt, future::BoxFuture};

use super::{
    field::FieldError,
    lease_number::{LeaseNumber, e164},
    ports::CallerIds,
};
use crate::{
    base::{E164, Wallet},
    store::{
        StoreError,
        numbers::{Lease, Phase},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum CallerIdFailure {
    #[error(transparent)]
    Field(FieldError),
    #[error("this wallet has no number; buy one first")]
    NoOwnedNumbers,
    /// The wallet's number waits for its renewal, and no other is active.
    #[error("the lease of this wallet's number has expired; renew it")]
    Expired { number: E164, expired_at: DateTime<Utc> },
    #[error("this wallet has {} numbers; name one of them in `from`", .owned.len())]
    Ambiguous { owned: Vec<E164> },
    /// `actual_owner` is none where the number is leased by nobody.
    #[error("the number in `from` does not belong to this wallet")]
    WrongWallet { actual_owner: Option<Wallet>, owned: Vec<E164> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where the store does not answer, nothing is shown.
impl CallerIds for LeaseNumber {
    fn may_show<'a>(&'a self, wallet: &'a Wallet, number: &'a E164) -> BoxFuture<'a, bool> {
        async move { self.numbers.is_owner(wallet, number, Utc::now()).await.unwrap_or(false) }.boxed()
    }

    fn is_leased<'a>(&'a self, number: &'a E164) -> BoxFuture<'a, bool> {
        let owner = async move { self.numbers.owner_of(number, Utc::now()).await };
        owner.map(|owner| matches!(owner, Ok(Some(_)))).boxed()
    }
}

impl LeaseNumber {
    /// The number that a call of this wallet shows: the one it names, which must be its own, or else its
    /// only one.
    pub async fn caller_id_for(
        &self,
        wallet: &Wallet,
        requested: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<E164, CallerIdFailure> {
        let requested = requested.map(|text| e164("from", text)).transpose();
        let requested = requested.map_err(CallerIdFailure::Field)?;
        let leases = self.numbers.renewable_by(wallet, now).await?;
        if leases.is_empty() {
            return Err(CallerIdFailure::NoOwnedNumbers);
        }
        match requested {
            None => only_active(leases, now),
            Some(number) => match leases.iter().find(|lease| lease.number == number) {
                Some(lease) => usable(lease, now),
                None => {
                    let actual_owner = self.numbers.owner_of(&number, now).await?;
                    Err(CallerIdFailure::WrongWallet { actual_owner, owned: active(&leases, now) })
                }
            },
        }
    }
}

impl LeaseNumber {
    /// A number that somebody may show, while it is not known who asks.
    pub async fn somebodys_caller_id(
        &self,
        requested: &str,
        now: DateTime<Utc>,
    ) -> Result<E164, CallerIdFailure> {
        let number = e164("from", requested).map_err(CallerIdFailure::Field)?;
        match self.numbers.owner_of(&number, now).await? {
            Some(_) => Ok(number),
            None => Err(CallerIdFailure::WrongWallet { actual_owner: None, owned: Vec::new() }),
        }
    }
}

/// The numbers of the active leases.
pub(super) fn active(leases: &[Lease], now: DateTime<Utc>) -> Vec<E164> {
    let active = leases.iter().filter(|lease| lease.phase(now) == Phase::Active);
    active.map(|lease| lease.number.clone()).collect()
}

fn only_active(leases: Vec<Lease>, now: DateTime<Utc>) -> Result<E164, CallerIdFailure> {
    let mut owned = active(&leases, now);
    match (owned.len(), leases.first()) {
        (1, _) => Ok(owned.remove(0)),
        (0, Some(lease)) => usable(lease, now),
        (0, None) => Err(CallerIdFailure::NoOwnedNumbers),
        _ => Err(CallerIdFailure::Ambiguous { owned }),
    }
}

fn usable(lease: &Lease, now: DateTime<Utc>) -> Result<E164, CallerIdFailure> {
    match lease.phase(now) {
        Phase::Active => Ok(lease.number.clone()),
        _ => Err(CallerIdFailure::Expired { number: lease.number.clone(), expired_at: lease.expires_at }),
    }
}
