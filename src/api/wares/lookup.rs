//! A lookup of a number: begun once it is paid.

use chrono::Utc;
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::Ticket;
use crate::{
    api::{Api, error::ApiError, family::Family},
    base::{ClaimId, E164, LookupId, Wallet},
    pay::gate::{Answer, Work},
    service::LookUpFailure,
};

pub(super) struct LookupSale {
    api: Api,
    family: Family,
    wallet: Wallet,
    wanted: Wanted,
}

enum Wanted {
    Number(E164),
    /// Opened already.
    Lookup(LookupId),
}

pub fn lookup(api: &Api, family: Family, number: E164, wallet: Wallet) -> Box<dyn Work> {
    Box::new(LookupSale { api: api.clone(), family, wallet, wanted: Wanted::Number(number) })
}

impl LookupSale {
    pub fn restored(api: Api, family: Family, lookup: LookupId, wallet: Wallet) -> LookupSale {
        LookupSale { api, family, wallet, wanted: Wanted::Lookup(lookup) }
    }

    async fn open(&mut self) -> Result<Value, Answer> {
        let family = self.family;
        let refuse = |failure: LookUpFailure| family.refusal(&failure.into());
        let id = match &self.wanted {
            Wanted::Lookup(id) => *id,
            Wanted::Number(number) => {
                let now = Utc::now();
                // Paid for within the hour: the answer goes out in place of the work, and nothing is charged.
                if let Some(token) =
                    self.api.look_up.again(number, &self.wallet, now).await.map_err(refuse)?
                {
                    return Err(accepted(token));
                }
                self.api.look_up.open(number, now).await.map_err(refuse)?
            }
        };
        self.wanted = Wanted::Lookup(id);
        Ok(Ticket::Lookup { lookup: id.to_string(), wallet: self.wallet.clone(), family }.json())
    }

    async fn begin(&self) -> Result<Answer, ApiError> {
        let Wanted::Lookup(id) = self.wanted else { return Err(ApiError::NotFound("lookup")) };
        let token = self.api.look_up.begin(id, &self.wallet, Utc::now()).await?;
        token.map(accepted).ok_or(ApiError::NotFound("lookup"))
    }
}

impl Work for LookupSale {
    fn reserve(&mut self, _: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        self.open().boxed()
    }

    fn deliver<'a>(&'a mut self, _: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        let family = self.family;
        self.begin().map(move |begun| begun.map_err(|error| family.refusal(&error))).boxed()
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

fn accepted(token: String) -> Answer {
    Answer { status: 202, body: json!({ "token": token }) }
}
