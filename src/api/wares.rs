//! What is sold, as the payment gate takes it: set aside, handed over, given back. Each says in JSON how it is
//! found again after a restart ([`restore`]).

mod call;
mod inquiry;
mod lookup;

use chrono::Utc;
use futures_util::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Api, error::ApiError, family::Family};
use crate::{
    base::{CallId, ClaimId, E164, Wallet},
    pay::gate::{Answer, Work},
    service::{LeaseNumber, ReserveFailure},
    store::{
        claims::Claim,
        numbers::{Criteria, Lease, Owner},
    },
};

pub use call::call;
pub use inquiry::inquiry;
pub use lookup::lookup;

/// How a ware is found again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Ticket {
    Call {
        call: CallId,
        family: Family,
    },
    Number {
        claim: String,
        wallet: Wallet,
        family: Family,
        /// Where the hold is lost, another such number will do.
        #[serde(default)]
        criteria: Option<Criteria>,
    },
    Renewal {
        claim: String,
        number: E164,
        /// Whose lease it is.
        wallet: Wallet,
        family: Family,
    },
    Lookup {
        lookup: String,
        wallet: Wallet,
        family: Family,
    },
    /// Nothing was set aside.
    Reading,
}

impl Ticket {
    fn json(&self) -> Value {
        serde_json::to_value(self).expect("a ticket is plain data with text keys")
    }
}

/// The ware of a claim that an earlier run of the node left.
pub fn restore(api: &Api, claim: &Claim) -> Option<Box<dyn Work>> {
    let Some(ticket) = claim.work.clone() else { return Some(unnoted(api, claim)) };
    let ticket = serde_json::from_value(ticket).ok()?;
    let api = api.clone();
    Some(match ticket {
        // Whoever would have read it has gone.
        Ticket::Reading => return None,
        Ticket::Call { call, family } => Box::new(call::PlacedCall { api, family, call }),
        Ticket::Number { claim, wallet, family, criteria } => {
            Box::new(NumberSale { api, family, wallet, criteria, claim })
        }
        Ticket::Renewal { claim, number, wallet, family } => {
            Box::new(Renewal { api, family, number, wallet, claim })
        }
        Ticket::Lookup { lookup, wallet, family } => {
            Box::new(lookup::LookupSale::restored(api, family, lookup.parse().ok()?, wallet))
        }
    })
}

/// The node stopped before it noted what it had set aside: if that was a number, it is given back.
fn unnoted(api: &Api, claim: &Claim) -> Box<dyn Work> {
    let (family, wallet) = (Family::X402Phone, claim.offer.payer.clone());
    let claim = claim.id.to_string();
    Box::new(NumberSale { api: api.clone(), family, wallet, criteria: None, claim })
}

/// A number: held before the money moves, leased after.
struct NumberSale {
    api: Api,
    family: Family,
    wallet: Wallet,
    /// `None` where an earlier version did not keep it.
    criteria: Option<Criteria>,
    claim: String,
}

pub fn number(api: &Api, family: Family, criteria: Criteria, wallet: Wallet) -> Box<dyn Work> {
    let criteria = Some(criteria);
    Box::new(NumberSale { api: api.clone(), family, wallet, criteria, claim: String::new() })
}

impl NumberSale {
    fn desk(&self) -> &LeaseNumber {
        &self.api.numbers
    }

    async fn hold(&mut self, claim: ClaimId) -> Result<Value, ApiError> {
        self.claim = claim.to_string();
        let Some(criteria) = &self.criteria else { return Err(ApiError::NotFound("purchase")) };
        self.desk().reserve(&self.claim, criteria, Utc::now()).await?;
        let (claim, wallet, criteria) = (self.claim.clone(), self.wallet.clone(), self.criteria.clone());
        Ok(Ticket::Number { claim, wallet, family: self.family, criteria }.json())
    }

    async fn lease(&self, transaction: &str) -> Result<Answer, ApiError> {
        let lease = match (self.confirm().await, &self.criteria) {
            // The settlement took longer than the hold, and others have the number: another one like it.
            (Err(ReserveFailure::HoldLost), Some(criteria)) => {
                self.desk().reserve(&self.claim, criteria, Utc::now()).await?;
                self.confirm().await?
            }
            (confirmed, _) => confirmed?,
        };
        Ok(self.family.leased(&lease, transaction))
    }

    async fn confirm(&self) -> Result<Lease, ReserveFailure> {
        self.desk().confirm(&self.claim, &self.wallet, self.family.as_str(), Utc::now()).await
    }
}

impl Work for NumberSale {
    fn reserve(&mut self, claim: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        let family = self.family;
        self.hold(claim).map(move |held| held.map_err(|error| family.refusal(&error))).boxed()
    }

    fn deliver<'a>(&'a mut self, transaction: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        let family = self.family;
        self.lease(transaction).map(move |leased| leased.map_err(|error| family.refusal(&error))).boxed()
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        async {
            if let Err(error) = self.desk().cancel(&self.claim).await {
                tracing::warn!(%error, "a number stays held until its hold runs out");
            }
        }
        .boxed()
    }
}

/// Another term of a lease. Of one that stands nothing is set aside, since a number in its grace goes to nobody
/// else; where it is over, the number is held as for a buyer.
struct Renewal {
    api: Api,
    family: Family,
    number: E164,
    /// Whose lease it was when its price was told: what is paid for is no other's.
    wallet: Wallet,
    claim: String,
}

pub fn renewal(api: &Api, family: Family, lease: Lease) -> Box<dyn Work> {
    let (number, wallet) = (lease.number, lease.owner);
    Box::new(Renewal { api: api.clone(), family, number, wallet, claim: String::new() })
}

impl Renewal {
    async fn hold(&mut self, claim: ClaimId) -> Result<Value, ApiError> {
        self.claim = claim.to_string();
        if self.family.renews_for_anyone() {
            let owner = Owner::Only(&self.wallet);
            self.api.numbers.reserve_top_up(&self.claim, &self.number, owner, Utc::now()).await?;
        }
        let ticket = Ticket::Renewal {
            claim: self.claim.clone(),
            number: self.number.clone(),
            wallet: self.wallet.clone(),
            family: self.family,
        };
        Ok(ticket.json())
    }

    async fn renew(&self, transaction: &str) -> Result<Answer, ApiError> {
        let owner = Owner::Only(&self.wallet);
        let lease: Lease = self.api.numbers.renew(&self.claim, &self.number, owner, Utc::now()).await?;
        Ok(self.family.renewed(&lease, transaction))
    }
}

impl Work for Renewal {
    fn reserve(&mut self, claim: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        let family = self.family;
        self.hold(claim).map(move |held| held.map_err(|error| family.refusal(&error))).boxed()
    }

    fn deliver<'a>(&'a mut self, transaction: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        let family = self.family;
        self.renew(transaction).map(move |renewed| renewed.map_err(|error| family.refusal(&error))).boxed()
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        async {
            if let Err(error) = self.api.numbers.cancel(&self.claim).await {
                tracing::warn!(%error, "a number stays held until its hold runs out");
            }
        }
        .boxed()
    }
}

/// An answer that is read when it is paid, such as a list.
struct Reading<F>(Option<F>);

/// `read` gets the transaction.
pub fn reading<F, R>(read: F) -> Box<dyn Work>
where
    F: FnOnce(String) -> R + Send + 'static,
    R: Future<Output = Result<Answer, Answer>> + Send + 'static,
{
    let boxed = move |transaction: String| -> BoxFuture<'static, Result<Answer, Answer>> {
        read(transaction).boxed()
    };
    Box::new(Reading(Some(boxed)))
}

impl<F> Work for Reading<F>
where
    F: FnOnce(String) -> BoxFuture<'static, Result<Answer, Answer>> + Send,
{
    fn reserve(&mut self, _: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        std::future::ready(Ok(Ticket::Reading.json())).boxed()
    }

    fn deliver<'a>(&'a mut self, transaction: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        match self.0.take() {
            Some(read) => read(transaction.to_owned()),
            None => {
                let body = json!({ "success": false, "error": "this was read already" });
                std::future::ready(Err(Answer { status: 500, body })).boxed()
            }
        }
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}
