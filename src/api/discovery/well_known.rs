//! `/.well-known/x402`: the addresses of all that is paid for.

use axum::http::Method;
use serde_json::{Value, json};

use super::Shop;
use crate::api::offers::{OFFERS, Offer};

/// `None` where nothing is sold.
pub(super) fn resources(shop: &Shop) -> Option<Value> {
    if !shop.is_open() {
        return None;
    }
    let resources: Vec<String> =
        OFFERS.iter().filter(|offer| shop.price(offer).is_some()).map(|offer| address(shop, offer)).collect();
    Some(json!({
        "version": 1,
        "resources": resources,
        "description": shop.phrase(),
        "instructions": format!("{base}/openapi.json has schemas and prices, {base}/llms.txt the same in words.", base = shop.base),
    }))
}

/// Clients find out by themselves whether a URL takes GET or POST; other methods are named.
fn address(shop: &Shop, offer: &Offer) -> String {
    let url = format!("{}{}", shop.base, offer.path);
    if [Method::GET, Method::POST].contains(&offer.method) { url } else { format!("{} {url}", offer.method) }
}
