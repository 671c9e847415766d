//! All rules that stand between a plan and a dialled number: the [`policy`](super::policy)'s own, and those
//! that need what the node remembers: who asked not to be called, whose number is whose, how many calls were
//! placed.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    field::{FieldError, FieldErrors, Verdict},
    policy::{self, Crowded, Policy, Refusal, Ruling, Until},
    ports::{CallerIds, NoLeases},
    request::Caller,
};
use crate::{
    base::{E164, Wallet},
    call::record::CallPlan,
    store::{Recent, Store, StoreError},
};

/// The field of the number to transfer to.
const TRANSFER: &str = "transfer_phone_number";

/// Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    policy: Arc<Policy>,
    pub(super) store: Store,
    caller_ids: Arc<dyn CallerIds>,
    /// Held from a look at the rules to the record that the next look counts.
    turn: Arc<Mutex<()>>,
}

/// What one rule says of a number, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static str,
    /// Why it passes.
    pub ruling: Result<String, FieldError>,
}

impl Gate {
    pub fn new(policy: Policy, store: Store) -> Gate {
        Gate { policy: Arc::new(policy), store, caller_ids: Arc::new(NoLeases), turn: Arc::default() }
    }

    pub fn with_caller_ids(mut self, caller_ids: Arc<dyn CallerIds>) -> Gate {
        self.caller_ids = caller_ids;
        self
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// One call at a time is placed or transferred.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Whether a call may be placed as things are. The rules hold for the number to transfer to as well, but
    /// for the caps: nothing is dialled there yet, and the number is asked about again when it is.
    pub async fn pass(
        &self,
        plan: &CallPlan,
        now: DateTime<Utc>,
    ) -> Result<Result<(), Vec<FieldError>>, StoreError> {
        let mut errors = FieldErrors::default();
        let Some(to) = &plan.to else {
            errors.push(FieldError::invalid("phone_number", "is missing", "add it"));
            return Ok(errors.into_result());
        };
        errors.check(self.number("phone_number", to, now).await?);
        if let Some(transfer) = &plan.transfer_to {
            errors.check(self.number(TRANSFER, transfer, now).await?);
        }
        if let (Some(from), Some(wallet)) = (&plan.from, &plan.owner) {
            errors.check(self.leased(wallet, from).await);
        }
        let owner = plan.owner.as_ref();
        for (_, ruling) in self.policy.caps().judge(&self.recent(to, owner, now).await?) {
            if let Err(crowded) = ruling {
                errors.push(self.dated(crowded, to, owner, now).await?.of("phone_number"));
            }
        }
        Ok(errors.into_result())
    }

    /// Whether a live call may be transferred to a number now. The caps on that number hold as for a call to it;
    /// those on the wallet do not, since it has placed no other call.
    pub(super) async fn transfer(
        &self,
        to: &E164,
        now: DateTime<Utc>,
    ) -> Result<Result<(), FieldError>, StoreError> {
        if let Err(error) = self.number(TRANSFER, to, now).await? {
            return Ok(Err(error));
        }
        let rulings = self.policy.caps().judge(&self.recent(to, None, now).await?);
        match rulings.into_iter().find_map(|(_, ruling)| ruling.err()) {
            Some(crowded) => Ok(Err(self.dated(crowded, to, None, now).await?.of(TRANSFER))),
            None => Ok(Ok(())),
        }
    }

    /// The refusal with how long it holds.
    async fn dated(
        &self,
        crowded: Crowded,
        to: &E164,
        owner: Option<&Wallet>,
        now: DateTime<Utc>,
    ) -> Result<Refusal, StoreError> {
        let until = match crowded.until {
            Until::Ended => self.store.live_call_ends_by(to, now).await?,
            Until::Older { of, nth, than } => {
                let newest = self.store.nth_newest_call(of, nth, (to, policy::block(to), owner)).await?;
                newest.map(|placed| placed + than)
            }
        };
        Ok(crowded.refusal.lasting(until.map(|until| until - now)))
    }

    /// What each rule says of a number, in order; one that refuses hides none after it. `from` is a number to
    /// show.
    pub async fn explain(
        &self,
        text: &str,
        from: Option<&str>,
        by: &Caller,
        now: DateTime<Utc>,
    ) -> Result<Vec<Finding>, StoreError> {
        let (number, mut rulings) = self.policy.explain(text, now);
        if let Some(number) = number {
            rulings.push(("do-not-call list", self.listed(&number).await?));
            let caps = self.policy.caps().judge(&self.recent(&number, by.wallet(), now).await?);
            rulings.extend(caps.map(|(cap, ruling)| (cap, ruling.map_err(|crowded| crowded.refusal))));
        }
        let finding = |(rule, ruling): (_, Ruling)| Finding {
            rule,
            ruling: ruling.map_err(|refusal| refusal.of("phone_number")),
        };
        let mut findings: Vec<Finding> = rulings.into_iter().map(finding).collect();
        if let Some(from) = from {
            findings.push(Finding { rule: "caller id", ruling: self.shown(from, by).await });
        }
        Ok(findings)
    }

    async fn shown(&self, from: &str, by: &Caller) -> Result<String, FieldError> {
        match by {
            Caller::Operator => {
                self.policy.caller_id("from", from).map(|_| "a number of this node".to_owned())
            }
            Caller::Unknown => Ok("a number that the payer must lease".to_owned()),
            Caller::Wallet(wallet) => {
                self.leased(wallet, &policy::e164("from", from)?).await?;
                Ok("a number that this wallet leases".to_owned())
            }
        }
    }

    /// Whether a number may be dialled now, whoever asks: for a call, or for a transfer during one. `field` is
    /// the name the client knows it by.
    pub async fn number(
        &self,
        field: &str,
        number: &E164,
        now: DateTime<Utc>,
    ) -> Result<Result<(), FieldError>, StoreError> {
        if let Err(error) = self.policy.callable(field, number.as_str(), now) {
            return Ok(Err(error));
        }
        Ok(self.listed(number).await?.map(|_| ()).map_err(|refusal| refusal.of(field)))
    }

    /// The reason on the list is the operator's to know.
    async fn listed(&self, number: &E164) -> Result<Ruling, StoreError> {
        if self.store.do_not_call(number).await?.is_none() {
            return Ok(Ok("not listed".into()));
        }
        let fix = "do not try this number again: whoever has it does not want to be called";
        Ok(Err(Refusal::new(Verdict::DoNotCall, "is on the do-not-call list", fix)))
    }

    /// Whether whoever asks, and may be anybody, can have the number to show.
    pub(super) async fn leased_by_anybody(&self, from: &E164) -> Result<(), FieldError> {
        if self.caller_ids.is_leased(from).await {
            return Ok(());
        }
        let fix = "leave it out to use the trunk's number, or name one that your wallet leases";
        Err(FieldError::refused("from", "is not a number that anybody leases", fix))
    }

    async fn leased(&self, wallet: &Wallet, from: &E164) -> Result<(), FieldError> {
        if self.caller_ids.may_show(wallet, from).await {
            return Ok(());
        }
        let fix = "leave it out to use the trunk's number, or name one that this wallet leases";
        Err(FieldError::refused("from", "is not a number that this wallet leases", fix))
    }

    /// The trunk that carries the number which a call shows.
    pub(super) async fn home(&self, plan: &CallPlan) -> Result<Option<String>, StoreError> {
        match &plan.from {
            Some(from) => self.store.trunk_of(from).await,
            None => Ok(None),
        }
    }

    async fn recent(
        &self,
        to: &E164,
        owner: Option<&Wallet>,
        now: DateTime<Utc>,
    ) -> Result<Recent, StoreError> {
        self.store.recent_calls(to, policy::block(to), owner, now).await
    }
}
