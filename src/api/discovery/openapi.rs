//! `/openapi.json`: OpenAPI 3.1, with the extensions `x-payment-info` and `x-guidance` that paying clients read.

use serde_json::{Map, Value, json};

use super::{Shop, llms};
use crate::api::offers::{Access, Asks, Group, OFFERS, Offer, field};

pub(super) fn document(shop: &Shop) -> Value {
    let guidance = llms::text(shop);
    let mut paths = Map::new();
    for offer in OFFERS.iter().filter(|offer| shop.shows(offer)) {
        let path = paths.entry(offer.path).or_insert_with(|| json!({}));
        path[offer.method.as_str().to_ascii_lowercase()] = operation(shop, offer);
    }
    let tags =
        Group::ALL.into_iter().filter(|group| OFFERS.iter().any(|o| o.group == *group && shop.shows(o)));
    let tags: Vec<Value> =
        tags.map(|group| json!({ "name": group.name(), "description": group.about() })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Callbox",
            "description": shop.phrase(),
            "version": env!("CARGO_PKG_VERSION"),
            "x-guidance": guidance,
            // OpenAPI knows no such member; the published document has it, and clients read it.
            "guidance": guidance,
        },
        "servers": [{ "url": shop.base }],
        "tags": tags,
        "paths": paths,
        "components": { "securitySchemes": security_schemes(shop), "schemas": schemas() },
    })
}

fn operation(shop: &Shop, offer: &Offer) -> Value {
    let mut operation = json!({
        "operationId": offer.id,
        "summary": summary(shop, offer),
        "tags": [offer.group.name()],
        "responses": responses(shop, offer),
    });
    if let Some(price) = shop.price(offer) {
        operation["x-payment-info"] = json!({
            "price": { "mode": "fixed", "currency": "USD", "amount": price.to_string() },
            "protocols": shop.protocols(),
        });
    }
    if let Some(scheme) = security(shop, offer) {
        operation["security"] = json!([{ scheme: [] }]);
    }
    match &offer.asks {
        Asks::Nothing => {}
        Asks::Path => {
            let id = json!({ "in": "path", "name": "id", "schema": { "type": "string" }, "required": true });
            operation["parameters"] = json!([id]);
        }
        Asks::Query(fields) => {
            let parameter = |field: &field::Field| {
                json!({
                    "in": "query",
                    "name": field.name,
                    "description": field.about,
                    "schema": field.kind.schema(),
                    "required": field.required,
                })
            };
            operation["parameters"] = fields.iter().map(parameter).collect();
        }
        Asks::Body(fields) => {
            let schema = field::object(fields, offer.group.is_closed());
            operation["requestBody"] =
                json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        }
    }
    operation
}

/// `Make an AI phone call ($0.54 via x402). …`
fn summary(shop: &Shop, offer: &Offer) -> String {
    let access = match offer.access {
        _ if !shop.is_open() => "",
        Access::Wallet => " Requires SIWX: only the wallet it belongs to.",
        _ => "",
    };
    let price = shop.price(offer).map(|price| format!(" (${price} via x402)")).unwrap_or_default();
    let more = if offer.more.is_empty() { String::new() } else { format!(" {}", offer.more) };
    format!("{}{price}.{access}{more}", offer.what)
}

fn security(shop: &Shop, offer: &Offer) -> Option<&'static str> {
    match offer.access {
        Access::Open => None,
        Access::Operator => Some("bearer"),
        _ if !shop.is_open() => Some("bearer"),
        Access::Wallet => Some("siwx"),
        Access::Paid(_) => None,
    }
}

fn responses(shop: &Shop, offer: &Offer) -> Value {
    let mut success = json!({ "description": "Successful response" });
    if !offer.gives.fields.is_empty() {
        let schema = field::object(offer.gives.fields, true);
        success["content"] = json!({ "application/json": { "schema": schema } });
    }
    let mut responses = Map::from_iter([(offer.gives.status.to_string(), success)]);
    let refusal = match (offer.access, shop.is_open()) {
        (Access::Paid(_), true) => Some(("402", "Payment Required")),
        (Access::Wallet, true) => Some(("402", "Authentication Required")),
        (Access::Open, _) => None,
        _ => Some(("401", "The operator's key is missing or wrong")),
    };
    if let Some((status, description)) = refusal {
        responses.insert(status.into(), json!({ "description": description }));
    }
    let shape = if offer.group == Group::BlockRun { "BlockRunError" } else { "Error" };
    let content =
        json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{shape}") } } });
    let description = "An error; it says what to do";
    responses.insert("default".into(), json!({ "description": description, "content": content }));
    responses.into()
}

fn security_schemes(shop: &Shop) -> Value {
    match shop.is_open() {
        true => json!({ "siwx": { "type": "apiKey", "in": "header", "name": "SIGN-IN-WITH-X" } }),
        false => json!({ "bearer": { "type": "http", "scheme": "bearer" } }),
    }
}

fn schemas() -> Value {
    json!({ "Error": error(), "BlockRunError": blockruns_error() })
}

/// What [`ApiError`](crate::api::error::ApiError) becomes in BlockRun's API.
fn blockruns_error() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "properties": {
            "error": text,
            "message": text,
            "field": text,
            "fix": text,
            "retry_after": { "type": "integer" },
            "your_active_numbers": { "type": "array", "items": text },
        },
        "required": ["error", "message"],
    })
}

/// What [`ApiError`](crate::api::error::ApiError) becomes.
fn error() -> Value {
    let text = json!({ "type": ["string", "null"] });
    json!({
        "type": "object",
        "properties": {
            "success": { "type": "boolean", "const": false },
            "retry_after": { "type": "integer" },
            "error": {
                "type": "object",
                "properties": {
                    "code": { "type": "string" },
                    "message": { "type": "string" },
                    "field": text,
                    "fix": text,
                },
                "required": ["code", "message"],
            },
        },
        "required": ["success", "error"],
    })
}
