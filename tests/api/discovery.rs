//! The pages that describe the API, against the router and against what each route answers.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use callbox::{
    api::offers::{Access, Asks, OFFERS, Offer},
    base::Usd,
    pay::Prices,
};
use serde_json::{Value, json};

use crate::{
    support::{Answer, Node},
    till::{get_with, header, selling},
};

const SOME_CALL: &str = "call_00000000000070008000000000000000";

/// What the embedded configuration says.
fn prices() -> Prices {
    callbox::node::config::Sources::default().load().unwrap().config.payments.prices
}

/// A request without a key, a payment or a body.
async fn probe(node: &Node, offer: &Offer) -> Answer {
    let mut path = offer.path.replace("{id}", SOME_CALL);
    if let Asks::Query(fields) = &offer.asks {
        let wallet = format!("0x{}", "1".repeat(40));
        let query: Vec<String> = fields.iter().map(|field| format!("{}={wallet}", field.name)).collect();
        path = format!("{path}?{}", query.join("&"));
    }
    let request = Request::builder().method(offer.method.clone()).uri(path);
    Answer::of(node.send(request.body(Body::empty()).unwrap()).await).await
}

#[tokio::test]
async fn every_offer_answers_as_the_table_says() {
    let (node, prices) = (selling(&[]).await, prices());
    for offer in OFFERS {
        let answer = probe(&node, offer).await;
        let what = format!("{} {}: {:?}", offer.method, offer.path, answer.json);
        match offer.access {
            Access::Paid(price) => {
                assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{what}");
                let accept = &answer.json["accepts"][0];
                assert_eq!(accept["maxAmountRequired"], json!(price(&prices).micros().to_string()), "{what}");
                assert_eq!(accept["resource"], json!(format!("https://phone.example.com{}", offer.path)));
            }
            Access::Wallet => {
                assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{what}");
                assert!(answer.json["extensions"]["sign-in-with-x"]["info"]["nonce"].is_string(), "{what}");
                assert_eq!(answer.json["accepts"], json!([]));
            }
            Access::Open => {
                let expected = [StatusCode::OK, StatusCode::NOT_FOUND];
                assert!(expected.contains(&answer.status), "{what}");
                assert!(answer.status == StatusCode::OK || answer.json.to_string().contains("no such call"));
            }
            Access::Operator => assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}"),
        }
    }
}

#[tokio::test]
async fn nothing_is_asked_for_where_nothing_is_sold() {
    let node = Node::new().await;
    for offer in OFFERS.iter().filter(|offer| !matches!(offer.access, Access::Open)) {
        assert_eq!(probe(&node, offer).await.status, StatusCode::UNAUTHORIZED, "{}", offer.path);
    }
}

/// The router cannot be asked for its routes, so its source is.
fn routes() -> Vec<(String, String)> {
    let source = include_str!("../../src/api/router.rs");
    let found = source.split(".route(").skip(1).filter_map(|call| {
        let path = call.split('"').nth(1)?;
        let method = call.split_once(',')?.1.trim().split('(').next()?;
        Some((method.to_uppercase(), path.to_owned()))
    });
    found.filter(|(_, path)| path.starts_with("/api")).collect()
}

#[test]
fn router_and_table_have_the_same_routes() {
    let mut routes = routes();
    let mut offers: Vec<(String, String)> =
        OFFERS.iter().map(|offer| (offer.method.to_string(), offer.path.to_owned())).collect();
    routes.sort();
    offers.sort();
    assert!(routes.len() > 15, "the router is read wrong: {routes:?}");
    assert_eq!(routes, offers);
}

#[test]
fn examples_are_json_and_have_what_their_schemas_want() {
    for offer in OFFERS {
        let example: Value = serde_json::from_str(offer.gives.example).expect(offer.id);
        for field in offer.gives.fields {
            assert!(!example[field.name].is_null(), "{} lacks {}", offer.id, field.name);
        }
    }
    let mut ids: Vec<&str> = OFFERS.iter().map(|offer| offer.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), OFFERS.len(), "operation ids are unique");
}

async fn openapi(node: &Node) -> Value {
    get_with(node, "/openapi.json", None).await.json
}

fn body(document: &Value, path: &str) -> Value {
    document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"].clone()
}

#[tokio::test]
async fn stablephone_takes_what_its_published_schema_says() {
    let document = openapi(&selling(&[]).await).await;
    let nanp = json!({ "type": "string", "pattern": "^\\+1\\d{10}$" });
    let call = json!({
        "type": "object",
        "properties": {
            "phone_number": nanp,
            "from": nanp,
            "task": { "type": "string", "minLength": 1, "maxLength": 4000 },
            "first_sentence": { "type": "string", "maxLength": 500 },
            "voice": { "type": "string" },
            "max_duration": { "type": "integer", "minimum": 1, "maximum": 30 },
            "wait_for_greeting": { "type": "boolean" },
            "record": { "type": "boolean" },
            "model": { "type": "string", "enum": ["base", "turbo"] },
            "transfer_phone_number": { "type": "string", "pattern": "^\\+[1-9]\\d{1,14}$" },
            "voicemail_action": { "type": "string", "enum": ["hangup", "leave_message", "ignore"] },
            "voicemail_message": { "type": "string", "maxLength": 500 },
            "metadata": {
                "type": "object",
                "propertyNames": { "type": "string" },
                "additionalProperties": {},
            },
        },
        "required": ["phone_number", "task"],
        "additionalProperties": false,
    });
    let number = json!({
        "type": "object",
        "properties": {
            "area_code": { "type": "string", "pattern": "^\\d{3}$" },
            "country_code": { "default": "US", "type": "string", "enum": ["US", "CA"] },
        },
        "additionalProperties": false,
    });
    let of_number = json!({
        "type": "object",
        "properties": { "phone_number": nanp },
        "required": ["phone_number"],
        "additionalProperties": false,
    });
    for (path, schema) in [
        ("/api/call", &call),
        ("/api/number", &number),
        ("/api/number/topup", &of_number),
        ("/api/lookup", &of_number),
    ] {
        assert_eq!(body(&document, path), *schema, "{path}");
    }
    let placed = &document["paths"]["/api/call"]["post"]["responses"]["200"]["content"]["application/json"];
    let expected = json!({
        "type": "object",
        "properties": {
            "success": { "type": "boolean", "const": true },
            "call_id": { "type": "string" },
            "message": { "type": "string" },
        },
        "required": ["success", "call_id", "message"],
        "additionalProperties": false,
    });
    assert_eq!(placed["schema"], expected);
}

#[tokio::test]
async fn openapi_has_the_configured_prices() {
    let document = openapi(&selling(&[("payments.prices.stablephone.call", "0.75")]).await).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "https://phone.example.com");
    let call = &document["paths"]["/api/call"]["post"];
    let payment = json!({ "mode": "fixed", "currency": "USD", "amount": "0.75" });
    assert_eq!(call["x-payment-info"]["price"], payment);
    assert_eq!(call["x-payment-info"]["protocols"][0], json!({ "x402": {} }));
    assert_eq!(call["operationId"], "call");
    assert!(call["summary"].as_str().unwrap().starts_with("Make an AI phone call ($0.75 via x402)."));
    let status = &document["paths"]["/api/call/{id}"]["get"];
    assert_eq!((&status["security"], &status["x-payment-info"]), (&json!([{ "siwx": [] }]), &Value::Null));
    assert_eq!(document["paths"]["/api/calls"], Value::Null, "the operator's routes are nobody's business");
    assert!(document["info"]["x-guidance"].as_str().unwrap().contains("POST /api/call ($0.75)"));
}

#[tokio::test]
async fn pages_of_a_node_that_sells_nothing_say_so() {
    let node = Node::new().await;
    let document = openapi(&node).await;
    let all = document.to_string();
    assert!(!all.contains("x-payment-info") && !all.contains("402 Payment"), "{all}");
    assert_eq!(document["paths"]["/api/call"]["post"]["security"], json!([{ "bearer": [] }]));
    assert!(document["paths"]["/api/calls"]["get"].is_object());
    let page = String::from_utf8(get_with(&node, "/llms.txt", None).await.bytes).unwrap();
    assert!(page.contains("Nothing is sold") && !page.contains('$'), "{page}");
    let resources = get_with(&node, "/.well-known/x402", None).await;
    assert_eq!((resources.status, &resources.json["success"]), (StatusCode::NOT_FOUND, &json!(false)));
}

#[tokio::test]
async fn llms_txt_names_every_offer_with_its_price() {
    let (node, prices) = (selling(&[]).await, prices());
    let answer = get_with(&node, "/llms.txt", None).await;
    let page = String::from_utf8(answer.bytes).unwrap();
    assert!(page.contains("https://phone.example.com") && page.contains("USDC on Base"));
    for offer in OFFERS.iter().filter(|offer| offer.is_public()) {
        let terms = match (offer.price(&prices), offer.access) {
            (Some(price), _) => format!("${price}"),
            (None, Access::Wallet) => "SIWX, free".to_owned(),
            _ => "free".to_owned(),
        };
        let line = format!("\n{} {} ({terms})\n", offer.method, offer.path);
        assert!(page.contains(&line), "{line}");
    }
    assert!(page.contains("- nat: American female"), "the voices are listed");
    assert!(page.contains("always \"unknown\""), "nobody is asked about iMessage");
}

#[tokio::test]
async fn x402_discovery_lists_what_is_paid_for() {
    let answer = get_with(&selling(&[]).await, "/.well-known/x402", None).await.json;
    assert_eq!(answer["version"], 1);
    let paid = OFFERS.iter().filter(|offer| offer.price(&prices()).is_some());
    let expected: Vec<String> = paid.map(|o| format!("https://phone.example.com{}", o.path)).collect();
    assert_eq!(answer["resources"], json!(expected));
}

#[tokio::test]
async fn unknown_paths_point_to_the_pages() {
    let node = selling(&[]).await;
    for path in ["/api/nothing", "/api/x402", "/api/v1/voice"] {
        let answer = get_with(&node, path, None).await;
        assert_eq!(
            (answer.status, &answer.json["error"]["code"]),
            (StatusCode::NOT_FOUND, &json!("not_found"))
        );
        assert_eq!(answer.json["discovery"]["openapi"], "https://phone.example.com/openapi.json");
        assert!(answer.json["error"]["fix"].as_str().unwrap().contains("/llms.txt"));
    }
    assert_eq!(get_with(&node, "/nothing", None).await.json["discovery"], Value::Null);
}

#[tokio::test]
async fn browsers_may_ask_and_read_challenges() {
    let node = selling(&[]).await;
    for path in ["/api/call", "/api/v1/voice/call", "/openapi.json"] {
        let request = Request::builder()
            .method("OPTIONS")
            .uri(path)
            .header("origin", "https://agent.example.com")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "payment-signature");
        let answer = Answer::of(node.send(request.body(Body::empty()).unwrap()).await).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(header(&answer.headers, "access-control-allow-origin"), "*");
        assert!(header(&answer.headers, "access-control-allow-headers").contains("PAYMENT-SIGNATURE"));
        assert!(header(&answer.headers, "access-control-allow-methods").contains("POST"));
    }
    let challenge = get_with(&node, "/api/numbers", Some(("origin", "https://agent.example.com"))).await;
    assert_eq!(challenge.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(header(&challenge.headers, "access-control-allow-origin"), "*");
    assert!(header(&challenge.headers, "access-control-expose-headers").contains("PAYMENT-REQUIRED"));
    let operators = get_with(&node, "/health", Some(("origin", "https://agent.example.com"))).await;
    assert_eq!(header(&operators.headers, "access-control-allow-origin"), "", "no page reads /health");
}

#[test]
fn a_price_of_nothing_is_a_price() {
    let release = OFFERS.iter().find(|offer| offer.id == "phone_numbers_release").unwrap();
    assert_eq!(release.price(&prices()), Some(Usd::ZERO));
}
