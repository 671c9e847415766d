//! The pages that tell an agent what this node offers and how to pay: `/openapi.json`, `/llms.txt` and
//! `/.well-known/x402`. All are made from the table of [`offers`](super::offers) and the configuration, at each
//! request, so that they cannot say something else than the node does.

mod llms;
mod openapi;
mod well_known;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Api, error::ApiError, family, offers::Offer};
use crate::base::Usd;

/// Where the pages are.
pub const PATHS: [&str; 3] = ["/openapi.json", "/llms.txt", "/.well-known/x402"];

pub(super) async fn openapi(State(api): State<Api>) -> Json<Value> {
    Json(openapi::document(&Shop::of(&api)))
}

pub(super) async fn llms(State(api): State<Api>) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], llms::text(&Shop::of(&api))).into_response()
}

/// 404 on a node that sells nothing.
pub(super) async fn well_known(State(api): State<Api>) -> Response {
    match well_known::resources(&Shop::of(&api)) {
        Some(resources) => Json(resources).into_response(),
        None => lost(&api, ApiError::NothingSold.rendered()),
    }
}

/// The answer of every path that no route has.
pub(super) async fn nowhere(State(api): State<Api>, uri: Uri) -> Response {
    if !uri.path().starts_with("/api") {
        return ApiError::NoRoute.into_response();
    }
    lost(&api, family::told(uri.path(), &ApiError::NoRoute))
}

fn lost(api: &Api, (status, mut body): (StatusCode, Value)) -> Response {
    let base = api.config.base_url();
    body["discovery"] =
        json!({ "openapi": format!("{base}/openapi.json"), "llms": format!("{base}/llms.txt") });
    (status, Json(body)).into_response()
}

/// What the pages are made of.
struct Shop<'a> {
    api: &'a Api,
    /// Without a slash at its end.
    base: String,
}

impl Shop<'_> {
    fn of(api: &Api) -> Shop<'_> {
        Shop { api, base: api.config.base_url() }
    }

    fn is_open(&self) -> bool {
        self.api.till.is_some()
    }

    fn price(&self, offer: &Offer) -> Option<Usd> {
        offer.price(&self.api.prices).filter(|_| self.is_open() && self.can_do(offer))
    }

    /// What a stranger sees of a node that sells; on one that does not, everything: all who come have the key.
    fn shows(&self, offer: &Offer) -> bool {
        self.can_do(offer) && (offer.is_public() || !self.is_open())
    }

    /// What nobody here could answer is not offered.
    fn can_do(&self, offer: &Offer) -> bool {
        !offer.needs_carriers() || self.api.look_up.knows_carriers()
    }

    /// Ways to pay, as OpenAPI's extension `x-payment-info` names them.
    fn protocols(&self) -> Vec<Value> {
        let Some(till) = &self.api.till else { return Vec::new() };
        let x402 = (!till.receivers.is_empty()).then(|| json!({ "x402": {} }));
        let mpp = till.mpp.as_ref().map(|charges| {
            let currency = &charges.terms().currency;
            json!({ "mpp": { "method": "tempo", "intent": "charge", "currency": currency } })
        });
        x402.into_iter().chain(mpp).collect()
    }

    /// `USDC on Base`, of each network.
    fn currencies(&self) -> Vec<String> {
        let Some(till) = &self.api.till else { return Vec::new() };
        let named = |name: &str| match name {
            "base" => "Base".to_owned(),
            "base-sepolia" => "Base Sepolia".to_owned(),
            "solana" => "Solana".to_owned(),
            "solana-devnet" => "Solana Devnet".to_owned(),
            other => other.to_owned(),
        };
        let x402 = till.networks().map(|network| format!("USDC on {}", named(network.name)));
        x402.chain(till.mpp.as_ref().map(|_| "stablecoins on Tempo".to_owned())).collect()
    }

    fn phrase(&self) -> String {
        match self.is_open() {
            true => format!(
                "AI phone calls and phone numbers, paid for with {}. No accounts.",
                self.currencies().join(" or ")
            ),
            false => {
                "AI phone calls for the agents of this node's operator. Nothing is sold here.".to_owned()
            }
        }
    }
}
