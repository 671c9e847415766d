//! Look a number up: its kind and country by the numbering plan ([`line`](mod@line)), whether it has
//! iMessage and FaceTime by whoever the operator names ([`reachability`]), and its carrier and signs of fraud
//! by another ([`carriers`]).
//!
//! ```text
//!  check ──▶ open ──▶ (payment) ──▶ begin ──▶ token ──▶ status … pending … complete | error
//! ```
//!
//! An answer serves every wallet for an hour. A wallet that has paid for a number does not pay for it again
//! within the hour, least of all where the first answer was an error ([`LookUp::again`]).

mod bluebubbles;
pub mod carriers;
mod countries;
pub mod line;
mod over_http;
pub mod reachability;
mod token;

use std::{collections::HashSet, sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub use carriers::{Carriers, Depth, Known};
pub use line::Line;
pub use reachability::{Config, Provider, Reachability};
pub use token::TokenError;

use super::field::FieldError;
use crate::{
    base::{E164, LookupId, Pii, Wallet},
    store::{
        Store, StoreError,
        lookups::{Found, Lookup, LookupState},
    },
};

/// How long an answer serves, and a payment with it.
const FRESH: TimeDelta = TimeDelta::minutes(60);
/// Questions to the provider at once.
const AT_ONCE: usize = 4;
/// Questions about carriers at once. More are refused before they are paid.
const INQUIRIES: usize = 16;
/// Lookups that wait for it. More are refused before they are paid.
const WAITING: usize = 64;
const PAUSE: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Clone)]
pub struct LookUp {
    store: Store,
    provider: Arc<dyn Reachability>,
    carriers: Arc<dyn Carriers>,
    tokens: token::Tokens,
    /// Lookups whose answer is on its way.
    running: Arc<Mutex<HashSet<LookupId>>>,
    turns: Arc<Semaphore>,
    /// Places for questions about carriers, which somebody waits for.
    inquiries: Arc<Semaphore>,
    /// Before a question that failed is put once more.
    pause: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum LookUpFailure {
    #[error("as many lookups as this node makes at once wait for an answer already")]
    Busy,
    /// The cause is in the log.
    #[error("whoever knows about carriers did not answer")]
    NoAnswer,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a token tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum StatusFailure {
    #[error("`token` {0}")]
    Token(#[from] TokenError),
    /// Another wallet paid for it, or it is no longer kept.
    #[error("no such lookup of this wallet")]
    NotYours,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How far a lookup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Pending,
    Complete { number: E164, found: Found, line: Option<Line>, checked_at: NaiveDate },
    Failed(String),
}

impl LookUp {
    /// `secret` signs the tokens; another one voids those that are out.
    pub fn new(store: Store, provider: Arc<dyn Reachability>, secret: Pii<Vec<u8>>) -> LookUp {
        LookUp {
            store,
            provider,
            carriers: Arc::new(carriers::NoCarriers),
            tokens: token::Tokens::new(secret),
            running: Arc::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            inquiries: Arc::new(Semaphore::new(INQUIRIES)),
            pause: PAUSE,
        }
    }

    /// Says who knows carriers; nobody does until then.
    pub fn with_carriers(self, carriers: Arc<dyn Carriers>) -> LookUp {
        LookUp { carriers, ..self }
    }

    /// Whether anybody is asked about carriers and signs of fraud.
    pub fn knows_carriers(&self) -> bool {
        self.carriers.knows()
    }

    /// What is known of a number's carrier, asked now. Only so many questions go
    /// out at once; another is refused.
    pub async fn carrier(&self, number: &E164, depth: Depth) -> Result<Known, LookUpFailure> {
        if !self.carriers.knows() {
            return Ok(Known::default());
        }
        let Ok(_turn) = self.inquiries.try_acquire() else { return Err(LookUpFailure::Busy) };
        self.carriers.ask(number, depth).await.map_err(|error| {
            tracing::warn!(%error, "a question about a carrier failed");
            LookUpFailure::NoAnswer
        })
    }

    /// Whether anybody is asked about iMessage and FaceTime.
    pub fn knows_reach(&self) -> bool {
        self.provider.knows()
    }

    /// A number that somebody may have.
    pub fn check(field: &str, text: &str) -> Result<(E164, Line), FieldError> {
        let number: E164 = text
            .parse()
            .map_err(|_| FieldError::invalid(field, "is not an E.164 number", "write it as +14155550123"))?;
        let impossible = || {
            let fix = "check the digits: nobody can have this number";
            FieldError::invalid(field, "is not a number that its country's numbering plan has", fix)
        };
        let line = line::line(&number).ok_or_else(impossible)?;
        Ok((number, line))
    }

    /// The token for a wallet that has paid for this number within the hour: it does not pay again.
    pub async fn again(
        &self,
        number: &E164,
        wallet: &Wallet,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, LookUpFailure> {
        let Some(paid_at) = self.store.lookup_paid_at(number, wallet, now - FRESH).await? else {
            return Ok(None);
        };
        let lookup = self.open(number, now).await?;
        self.store.buy_lookup(lookup, wallet, paid_at).await?;
        self.start(Lookup { id: lookup, number: number.clone(), state: LookupState::Pending });
        Ok(Some(self.tokens.issue(lookup, wallet, now)))
    }

    /// The lookup that a payment will be for; nobody is asked yet.
    pub async fn open(&self, number: &E164, now: DateTime<Utc>) -> Result<LookupId, LookUpFailure> {
        if self.running.lock().len() >= WAITING {
            return Err(LookUpFailure::Busy);
        }
        Ok(self.store.open_lookup(number, now - FRESH, now).await?)
    }

    /// Begins a lookup that was paid for, and gives the token to ask with. May be called again.
    pub async fn begin(
        &self,
        id: LookupId,
        wallet: &Wallet,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, StoreError> {
        let Some(lookup) = self.store.lookup(id).await? else { return Ok(None) };
        self.store.buy_lookup(id, wallet, now).await?;
        self.start(lookup);
        Ok(Some(self.tokens.issue(id, wallet, now)))
    }

    /// `wallet` is who asks; `None` may read all.
    pub async fn status(
        &self,
        token: &str,
        wallet: Option<&Wallet>,
        now: DateTime<Utc>,
    ) -> Result<Status, StatusFailure> {
        let (id, owner) = self.tokens.read(token, now)?;
        if wallet.is_some_and(|wallet| *wallet != owner) {
            return Err(StatusFailure::NotYours);
        }
        let lookup = self.store.lookup(id).await?.ok_or(StatusFailure::NotYours)?;
        Ok(match lookup.state {
            LookupState::Pending => Status::Pending,
            LookupState::Failed(problem) => Status::Failed(problem),
            LookupState::Complete { found, at } => Status::Complete {
                line: line::line(&lookup.number),
                number: lookup.number,
                found,
                checked_at: at.date_naive(),
            },
        })
    }

    /// Takes up what an earlier run of the node was paid for.
    pub fn resume(&self) {
        let desk = self.clone();
        tokio::spawn(async move {
            match desk.store.pending_lookups().await {
                Ok(pending) => pending.into_iter().for_each(|lookup| desk.start(lookup)),
                Err(error) => tracing::error!(%error, "lookups of an earlier run could not be taken up"),
            }
        });
    }

    fn start(&self, lookup: Lookup) {
        if lookup.state != LookupState::Pending || !self.running.lock().insert(lookup.id) {
            return;
        }
        let desk = self.clone();
        tokio::spawn(async move {
            desk.answer(&lookup).await;
            desk.running.lock().remove(&lookup.id);
        });
    }

    /// The carrier is no more than an addition: where nobody says it, the rest is told.
    async fn with_carrier(&self, number: &E164, found: Found) -> Found {
        match self.carriers.ask(number, Depth::Carrier).await {
            Ok(Known { carrier: Some(carrier), .. }) => {
                Found { carrier: carrier.name, number_type: carrier.kind, ..found }
            }
            Ok(_) => found,
            Err(error) => {
                tracing::warn!(%error, "the carrier of a number that is looked up stays unknown");
                found
            }
        }
    }

    async fn answer(&self, lookup: &Lookup) {
        // The semaphore is never closed.
        let Ok(_turn) = self.turns.acquire().await else { return };
        let mut told = self.provider.ask(&lookup.number).await;
        if told.is_err() {
            tokio::time::sleep(self.pause).await;
            told = self.provider.ask(&lookup.number).await;
        }
        let told = match told {
            Ok(reach) => Ok(self.with_carrier(&lookup.number, reach.into()).await),
            Err(error) => Err(error),
        };
        let outcome = if told.is_ok() { "complete" } else { "error" };
        metrics::counter!("callbox_lookups_total", "outcome" => outcome).increment(1);
        let answer = told.map_err(|error| {
            tracing::warn!(%error, "a lookup failed");
            "whoever knows about iMessage and FaceTime did not answer; submit the number again, it is not charged twice within the hour".to_owned()
        });
        if let Err(error) = self.store.finish_lookup(lookup.id, &answer, Utc::now()).await {
            tracing::error!(%error, "the answer of a lookup could not be kept");
        }
    }
}

#[cfg(test)]
#[path = "look_up_tests.rs"]
mod tests;
