//! What is sold, as the payment gate takes it: set aside, handed over, given back. Each says in JSON how it is
//! found again after a restart ([`restore`]).

mod inquiry;
mod lookup;

use std::time::Duration;

use chrono::Utc;
use futures_util::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Api, error::ApiError, family::Family};
use crate::{
    base::{CallId, ClaimId, E164, Fault, Wallet},
    call::{
        event::{CallChange, Ending},
        record::{CallPlan, CallStatus},
    },
    pay::gate::{Answer, Work},
    service::{LeaseNumber, ReserveFailure, Update, WatchCall},
    store::{
        claims::Claim,
        numbers::{Criteria, Lease, Owner},
    },
};

pub use inquiry::inquiry;
pub use lookup::lookup;

/// A carrier that has said nothing by now has at least not refused.
const FIRST_SIGNAL: Duration = Duration::from_secs(12);

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
        // The call has died with the node.
        Ticket::Call { .. } | Ticket::Reading => return None,
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

/// A call: dialled before the money moves, so that a carrier's refusal costs nothing.
struct CallSale {
    api: Api,
    family: Family,
    plan: CallPlan,
    call: Option<CallId>,
}

pub fn call(api: &Api, family: Family, plan: CallPlan) -> Box<dyn Work> {
    Box::new(CallSale { api: api.clone(), family, plan, call: None })
}

impl CallSale {
    async fn dial(&mut self) -> Result<Value, ApiError> {
        let call = self.api.place.place(self.plan.clone()).await?;
        self.call = Some(call);
        // Where nothing is charged, nothing waits for the carrier.
        let paid = self.plan.price.is_some();
        if let Some(watch) = self.api.read.watch(call).await?.filter(|_| paid) {
            let ended = tokio::time::timeout(FIRST_SIGNAL, first_signal(watch)).await.unwrap_or(Ok(None))?;
            if let Some(ending) = ended.filter(was_refused) {
                return Err(ApiError::Carrier { reason: ending.reason });
            }
        }
        Ok(Ticket::Call { call, family: self.family }.json())
    }
}

impl Work for CallSale {
    fn reserve(&mut self, _: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        let family = self.family;
        self.dial().map(move |dialled| dialled.map_err(|error| family.refusal(&error))).boxed()
    }

    fn deliver<'a>(&'a mut self, transaction: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        let answer = match self.call {
            Some(call) => Ok(self.family.call_placed(call, &self.plan, transaction)),
            None => Err(self.family.refusal(&ApiError::NotFound("call"))),
        };
        std::future::ready(answer).boxed()
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        if let Some(call) = self.call.take() {
            // An error says that it has ended by itself.
            let _ = self.api.calls.hang_up(call);
        }
        std::future::ready(()).boxed()
    }
}

/// Waits until the carrier has said something definite: it rings, it is answered, or it has ended.
async fn first_signal(mut watch: WatchCall) -> Result<Option<Ending>, ApiError> {
    while let Some(update) = watch.next().await? {
        match update {
            Update::State(record) => match record.status {
                CallStatus::Ringing | CallStatus::InProgress => return Ok(None),
                status if status.is_final() => {
                    return Ok(record.ended_by.map(|ended_by| Ending {
                        status,
                        ended_by,
                        fault: record.fault,
                        reason: record.end_reason.unwrap_or_default(),
                        length_secs: record.length_secs,
                    }));
                }
                _ => {}
            },
            Update::Change(recorded) => match &recorded.event.change {
                CallChange::Status { status: CallStatus::Ringing | CallStatus::InProgress }
                | CallChange::Answered { .. } => return Ok(None),
                CallChange::Ended(ending) => return Ok(Some((**ending).clone())),
                _ => {}
            },
        }
    }
    Ok(None)
}

/// Busy and unanswered calls are calls; one that could not be made is none.
fn was_refused(ending: &Ending) -> bool {
    ending.status == CallStatus::Failed && ending.fault != Some(Fault::Callee)
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
            self.api.numbers.reserve_top_up(&self.claim, &self.number, Utc::now()).await?;
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
