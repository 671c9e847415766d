//! Lease a number: buy one, renew it, end it, list one's own.
//!
//! Nothing here moves money. `quote_*` refuses whatever could not be delivered, before anything is paid.
//! A purchase then is [`LeaseNumber::reserve`], settlement, [`LeaseNumber::confirm`]; where the settlement
//! fails, [`LeaseNumber::cancel`]. Each takes the payment's claim and may be repeated after a crash.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    caller_id::active,
    field::{FieldError, FieldErrors},
};
use crate::{
    base::{E164, Wallet},
    store::{
        StoreError,
        numbers::{Area, Country, Criteria, Hold, Lease, LeaseError, Numbers, Offer, Owner},
    },
};

/// Sold where the buyer names no country.
const DEFAULT_COUNTRY: &str = "US";
/// Suggestions in one answer, at most.
const SUGGESTIONS: usize = 8;
const EXAMPLE: &str = "write it as `+`, country code and number, such as +14155550123";

/// A purchase as a client asks for it, before anything is checked.
#[derive(Debug, Clone, Default)]
pub struct BuyRequest {
    /// Two letters; US where there is none.
    pub country: Option<String>,
    /// Empty counts as none.
    pub area_code: Option<String>,
    /// Whether another area code will not do.
    pub exact: bool,
    /// What the client calls the two fields.
    pub names: BuyFields,
}

#[derive(Debug, Clone, Copy)]
pub struct BuyFields {
    pub country: &'static str,
    pub area_code: &'static str,
}

impl Default for BuyFields {
    fn default() -> Self {
        BuyFields { country: "country", area_code: "area_code" }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BuyFailure {
    /// At least one; all that were found.
    #[error("{} of the request's fields cannot be used", .0.len())]
    Fields(Vec<FieldError>),
    /// The request makes sense, and no such number is free now. Nothing was paid.
    #[error(transparent)]
    NoneLeft(FieldError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a purchase that is under way cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReserveFailure {
    /// Others took the last such number since the quote.
    #[error("no such number is free any more")]
    NoneLeft,
    /// The hold ran out before the payment was settled, and the number went to another buyer: reserve
    /// again, and where that is `NoneLeft`, refund.
    #[error("the hold on the number has ended")]
    HoldLost,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum RenewFailure {
    /// Not a number, not this node's, leased by nobody, or out of its grace.
    #[error(transparent)]
    Field(FieldError),
    #[error("the number belongs to another wallet")]
    WrongWallet { actual_owner: Wallet, owned: Vec<E164> },
    /// Others have it, or are about to.
    #[error(transparent)]
    Taken(FieldError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct LeaseNumber {
    pub(super) numbers: Numbers,
}

impl LeaseNumber {
    pub fn new(numbers: Numbers) -> LeaseNumber {
        LeaseNumber { numbers }
    }

    /// Checks a purchase before its price is asked: that it makes sense, and that such a number is free.
    pub async fn quote_buy(&self, request: &BuyRequest, now: DateTime<Utc>) -> Result<Criteria, BuyFailure> {
        let criteria = criteria(request).map_err(BuyFailure::Fields)?;
        let offers = self.numbers.offers(now).await?;
        if !offers.iter().any(|offer| offer.country == criteria.country) {
            return Err(BuyFailure::NoneLeft(not_sold(request.names.country, &criteria, &offers)));
        }
        if !offers.iter().any(|offer| offer.free > 0 && offer.matches(&criteria)) {
            return Err(BuyFailure::NoneLeft(none_left(&request.names, &criteria, &offers)));
        }
        Ok(criteria)
    }

    /// Keeps a number for the payment `claim`; the same claim gets the same number.
    pub async fn reserve(
        &self,
        claim: &str,
        criteria: &Criteria,
        now: DateTime<Utc>,
    ) -> Result<Hold, ReserveFailure> {
        self.numbers.hold(criteria, claim, now).await.map_err(reserve_failure)
    }

    /// After settlement: the number that `claim` reserved is the payer's. The same claim gets the same lease.
    pub async fn confirm(
        &self,
        claim: &str,
        wallet: &Wallet,
        family: &str,
        now: DateTime<Utc>,
    ) -> Result<Lease, ReserveFailure> {
        self.numbers.lease(claim, wallet, family, now).await.map_err(reserve_failure)
    }

    /// Gives back what `claim` reserved, where it was not paid. After `confirm` it changes nothing.
    pub async fn cancel(&self, claim: &str) -> Result<(), ReserveFailure> {
        self.numbers.release_hold(claim).await.map_err(reserve_failure)
    }

    /// Reserves and confirms at once, for what is paid before it is bought.
    pub async fn buy(
        &self,
        claim: &str,
        criteria: &Criteria,
        wallet: &Wallet,
        family: &str,
        now: DateTime<Utc>,
    ) -> Result<Lease, ReserveFailure> {
        self.reserve(claim, criteria, now).await?;
        self.confirm(claim, wallet, family, now).await
    }

    /// Checks a top-up before its price is asked: of a lease that stands, or of one that is over while the
    /// number is free. Anybody may top up; `payer`, where it is known, is told if the number that it leased
    /// once is another's by now.
    pub async fn quote_top_up(
        &self,
        number: &str,
        payer: Option<&Wallet>,
        now: DateTime<Utc>,
    ) -> Result<Lease, RenewFailure> {
        let number = e164("phone_number", number).map_err(RenewFailure::Field)?;
        let lease = self.numbers.check_top_up(&number, now).await.map_err(|error| refused(error, now))?;
        if let Some(payer) = payer.filter(|payer| **payer != lease.owner)
            && self.numbers.has_leased(&number, payer).await.map_err(|error| refused(error, now))?
        {
            return Err(RenewFailure::Taken(taken_over()));
        }
        Ok(lease)
    }

    /// Keeps the number of a lease that is over for the payment `claim`; of one that stands there is nothing
    /// to keep. [`LeaseNumber::cancel`] gives it back.
    pub async fn reserve_top_up(
        &self,
        claim: &str,
        number: &E164,
        owner: Owner<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), RenewFailure> {
        let held = self.numbers.hold_lapsed(number, owner, claim, now).await;
        held.map(drop).map_err(|error| refused(error, now))
    }

    /// Checks a renewal before its price is asked; gives the lease as it stands.
    pub async fn quote_renew(
        &self,
        number: &str,
        owner: Owner<'_>,
        now: DateTime<Utc>,
    ) -> Result<Lease, RenewFailure> {
        let number = e164("phone_number", number).map_err(RenewFailure::Field)?;
        let checked = self.numbers.check_renewable(&number, owner, now).await;
        self.renewed(checked, owner, now).await
    }

    /// After settlement: one more term. The same claim adds one term only.
    pub async fn renew(
        &self,
        claim: &str,
        number: &E164,
        owner: Owner<'_>,
        now: DateTime<Utc>,
    ) -> Result<Lease, RenewFailure> {
        let topped_up = self.numbers.top_up(number, owner, claim, now).await;
        self.renewed(topped_up, owner, now).await
    }

    /// Checks that there is a lease to end.
    pub async fn quote_release(
        &self,
        number: &str,
        owner: Owner<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), RenewFailure> {
        let number = e164("phone_number", number).map_err(RenewFailure::Field)?;
        let checked = self.numbers.check_leased(&number, owner).await;
        self.renewed(checked, owner, now).await.map(drop)
    }

    /// Ends a lease at once; nothing is paid back.
    pub async fn release(
        &self,
        number: &str,
        wallet: &Wallet,
        now: DateTime<Utc>,
    ) -> Result<Lease, RenewFailure> {
        let number = e164("phone_number", number).map_err(RenewFailure::Field)?;
        let owner = Owner::Only(wallet);
        let released = self.numbers.release(&number, owner, now).await;
        self.renewed(released, owner, now).await
    }

    /// The wallet's active leases, whichever API sold them.
    pub async fn list(&self, wallet: &Wallet, now: DateTime<Utc>) -> Result<Vec<Lease>, StoreError> {
        self.numbers.owned_by(wallet, now).await
    }

    async fn renewed(
        &self,
        result: Result<Lease, LeaseError>,
        owner: Owner<'_>,
        now: DateTime<Utc>,
    ) -> Result<Lease, RenewFailure> {
        let error = match result {
            Ok(lease) => return Ok(lease),
            Err(error) => error,
        };
        Err(match (error, owner) {
            (LeaseError::NotOwner { owner: actual_owner }, Owner::Only(wallet)) => {
                let owned = active(&self.numbers.owned_by(wallet, now).await?, now);
                RenewFailure::WrongWallet { actual_owner, owned }
            }
            (error, _) => refused(error, now),
        })
    }
}

fn refused(error: LeaseError, now: DateTime<Utc>) -> RenewFailure {
    match error {
        LeaseError::Store(error) => RenewFailure::Store(error),
        LeaseError::Held { until } => RenewFailure::Taken(held(until - now)),
        LeaseError::NotOwner { .. } => RenewFailure::Taken(taken_over()),
        error => RenewFailure::Field(not_renewable(&error)),
    }
}

fn held(left: TimeDelta) -> FieldError {
    let problem = "is free, and somebody is about to buy it";
    FieldError::refused("phone_number", problem, "try again in some minutes, or buy another number")
        .retry_in(left)
}

fn taken_over() -> FieldError {
    let problem = "is no longer this wallet's: its lease ran out, and another wallet leases the number now";
    FieldError::refused("phone_number", problem, "buy another number")
}

fn reserve_failure(error: LeaseError) -> ReserveFailure {
    match error {
        LeaseError::NoneLeft => ReserveFailure::NoneLeft,
        LeaseError::Store(error) => ReserveFailure::Store(error),
        _ => ReserveFailure::HoldLost,
    }
}

pub(super) fn e164(field: &str, text: &str) -> Result<E164, FieldError> {
    text.parse().map_err(|_| FieldError::invalid(field, "is not an E.164 number", EXAMPLE))
}

fn criteria(request: &BuyRequest) -> Result<Criteria, Vec<FieldError>> {
    let mut errors = FieldErrors::default();
    let country = errors.check(country(request));
    let asked = request.area_code.as_deref().map(str::trim).filter(|code| !code.is_empty());
    let code = errors.check(asked.map(|code| area_code(request, code, country.as_ref())).transpose());
    errors.into_result()?;

    let unwrapped = "no error was kept, so every check gave a value";
    let area = match code.expect(unwrapped) {
        None => Area::Any,
        Some(code) if request.exact => Area::Exact(code),
        Some(code) => Area::BestEffort(code),
    };
    Ok(Criteria { country: country.expect(unwrapped), area })
}

fn country(request: &BuyRequest) -> Result<Country, FieldError> {
    let fix = "write its two letters by ISO 3166, such as US or CA";
    let text = request.country.as_deref().unwrap_or(DEFAULT_COUNTRY);
    text.parse().map_err(|_| FieldError::invalid(request.names.country, "is not a country", fix))
}

fn area_code(request: &BuyRequest, code: &str, country: Option<&Country>) -> Result<String, FieldError> {
    let field = request.names.area_code;
    let digits = code.bytes().all(|b| b.is_ascii_digit());
    if country.is_none_or(Country::is_nanp) {
        if digits && code.len() == 3 && code.starts_with(|first| first >= '2') {
            return Ok(code.to_owned());
        }
        let fix = "use three digits that begin with 2 to 9, such as 415";
        return Err(FieldError::invalid(field, "is not a North American area code", fix));
    }
    if digits && code.len() <= 5 {
        return Ok(code.to_owned());
    }
    Err(FieldError::invalid(field, "is not an area code", "use its digits, without the 0 before it"))
}

fn not_sold(field: &str, criteria: &Criteria, offers: &[Offer]) -> FieldError {
    let countries: BTreeSet<&str> = offers.iter().map(|offer| offer.country.as_str()).collect();
    let fix = match countries.is_empty() {
        true => "ask the operator of this node for numbers; there are none to lease yet".to_owned(),
        false => format!("use one of: {}", countries.into_iter().collect::<Vec<_>>().join(", ")),
    };
    FieldError::refused(field, format!("is {}, where this node has no numbers", criteria.country), fix)
}

fn none_left(names: &BuyFields, criteria: &Criteria, offers: &[Offer]) -> FieldError {
    let free: Vec<&str> = offers
        .iter()
        .filter(|offer| offer.country == criteria.country && offer.free > 0)
        .map(|offer| offer.area_code.as_str())
        .collect();
    if free.is_empty() {
        let problem = format!("is {}, where every number is leased", criteria.country);
        return FieldError::refused(names.country, problem, "try again later, or in another country");
    }
    let known: Vec<&str> = free.into_iter().filter(|code| !code.is_empty()).take(SUGGESTIONS).collect();
    let fix = match known.is_empty() {
        true => "leave it out".to_owned(),
        false => format!("leave it out, or use one of: {}", known.join(", ")),
    };
    FieldError::refused(names.area_code, "has no free number", fix)
}

fn not_renewable(error: &LeaseError) -> FieldError {
    let (problem, fix) = match error {
        LeaseError::UnknownNumber => ("is not a number of this node", "name a number that you bought here"),
        LeaseError::NotLeased => ("is leased by nobody", "buy a number; only a leased one is renewed"),
        LeaseError::Lapsed { .. } => {
            ("expired, and the time to renew it has passed", "buy a number; this one is free again")
        }
        LeaseError::Retired => ("is being taken out of service", "buy another number"),
        _ => ("cannot be renewed", "buy another number"),
    };
    FieldError::refused("phone_number", problem, fix)
}

#[cfg(test)]
#[path = "lease_number_tests.rs"]
mod tests;
