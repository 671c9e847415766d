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
    schema::{problems, resolve},
    support::{Answer, Node},
    till::{Wallet, get_with, header, selling, selling_all, stock},
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
    let (node, prices) = (selling_all().await, prices());
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

/// OpenAPI 3.1, as far as this document uses it (OAI's specification, "Schema"): what must be there is, and no
/// reference points nowhere.
#[tokio::test]
async fn the_document_is_openapi() {
    for node in [selling_all().await, selling(&[]).await, Node::new().await] {
        let document = openapi(&node).await;
        assert_eq!(document["openapi"], "3.1.0");
        for member in ["title", "version", "description"] {
            assert!(document["info"][member].is_string(), "info.{member}");
        }
        assert!(document["servers"][0]["url"].as_str().is_some_and(|url| !url.ends_with('/')));
        references(&document, &document);
        let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        let mut ids = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let what = format!("{method} {path}");
                let offer = OFFERS
                    .iter()
                    .find(|offer| offer.path == path && offer.method.as_str().eq_ignore_ascii_case(method));
                assert!(offer.is_some(), "{what} is no route");
                ids.push(operation["operationId"].as_str().expect(&what).to_owned());
                assert!(operation["summary"].is_string(), "{what}");
                operation["tags"].as_array().unwrap().iter().for_each(|tag| assert!(tags.contains(&tag)));
                is_payment_info(&operation["x-payment-info"], &what);
                are_parameters(&operation["parameters"], path, &what);
                for (status, response) in operation["responses"].as_object().expect(&what) {
                    assert!(status == "default" || status.parse::<u16>().is_ok(), "{what}: {status}");
                    assert!(response["description"].is_string(), "{what}: {status}");
                }
                let schemes = &document["components"]["securitySchemes"];
                for scheme in operation["security"].as_array().into_iter().flatten() {
                    let name = scheme.as_object().unwrap().keys().next().unwrap();
                    assert!(schemes[name]["type"].is_string(), "{what}: {name} is no scheme");
                }
            }
        }
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "operation ids are unique");
    }
}

fn references(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref") {
                resolve(document, reference);
            }
            members.values().for_each(|member| references(document, member));
        }
        Value::Array(items) => items.iter().for_each(|item| references(document, item)),
        _ => {}
    }
}

/// As StablePhone's document has it.
fn is_payment_info(info: &Value, what: &str) {
    if info.is_null() {
        return;
    }
    let schema = json!({
        "type": "object",
        "properties": {
            "price": {
                "type": "object",
                "properties": {
                    "mode": { "const": "fixed" },
                    "currency": { "const": "USD" },
                    "amount": { "type": "string" },
                },
                "required": ["mode", "currency", "amount"],
                "additionalProperties": false,
            },
            "protocols": { "type": "array", "items": { "type": "object" } },
        },
        "required": ["price", "protocols"],
        "additionalProperties": false,
    });
    assert_eq!(problems(&schema, &schema, info), Vec::<String>::new(), "{what}");
    assert!(info["price"]["amount"].as_str().unwrap().parse::<Usd>().is_ok(), "{what}");
    assert!(info["protocols"].as_array().is_some_and(|all| !all.is_empty()), "{what}");
}

/// Every `{name}` of a path is a parameter of the path, and no other is.
fn are_parameters(parameters: &Value, path: &str, what: &str) {
    let of_path: Vec<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
    let mut found = Vec::new();
    for parameter in parameters.as_array().into_iter().flatten() {
        assert!(parameter["name"].is_string() && parameter["schema"].is_object(), "{what}");
        match parameter["in"].as_str() {
            Some("path") => {
                assert_eq!(parameter["required"], true, "{what}");
                found.push(parameter["name"].as_str().unwrap());
            }
            Some("query") => {}
            other => panic!("{what}: a parameter in {other:?}"),
        }
    }
    assert_eq!(found, of_path, "{what}");
}

#[tokio::test]
async fn every_paid_operation_and_no_other_is_listed_for_x402_clients() {
    for node in [selling_all().await, selling(&[]).await] {
        let document = openapi(&node).await;
        let paths = document["paths"].as_object().unwrap();
        let mut paid: Vec<String> = paths
            .iter()
            .filter(|(_, methods)| {
                methods.as_object().unwrap().values().any(|one| one["x-payment-info"].is_object())
            })
            .map(|(path, _)| format!("https://phone.example.com{path}"))
            .collect();
        paid.sort_unstable();
        let listed = get_with(&node, "/.well-known/x402", None).await.json["resources"].clone();
        let mut listed: Vec<String> = serde_json::from_value(listed).unwrap();
        listed.sort_unstable();
        assert_eq!(listed, paid);
        for url in paid {
            let path = url.strip_prefix("https://phone.example.com").unwrap();
            let request = Request::builder().method("POST").uri(path).body(Body::empty()).unwrap();
            assert_eq!(node.send(request).await.status(), StatusCode::PAYMENT_REQUIRED, "{path}");
        }
    }
}

/// One route as `/llms.txt` tells it.
struct Told {
    method: String,
    path: String,
    terms: String,
    example: Option<String>,
    response: String,
}

fn told(page: &str) -> Vec<Told> {
    let sections = page.split("\n### ").skip(1).map(|section| section.split("\n## ").next().unwrap());
    sections
        .map(|section| {
            let line = |prefix: &str| {
                let found = section.lines().find_map(|line| line.strip_prefix(prefix));
                found.map(str::to_owned)
            };
            let route = section.lines().nth(2).expect(section);
            let (route, terms) = route.split_once(" (").expect(section);
            let (method, path) = route.split_once(' ').expect(section);
            let response = section.lines().find(|line| line.starts_with("Response")).expect(section);
            Told {
                method: method.into(),
                path: path.into(),
                terms: terms.trim_end_matches(')').into(),
                example: line("Example: "),
                response: response.split_once(": ").expect(section).1.into(),
            }
        })
        .collect()
}

/// What the page says is done: each example is sent as it stands.
#[tokio::test]
async fn every_request_of_llms_txt_is_answered_as_it_says() {
    let (node, wallet) = (selling_all().await, Wallet::new());
    // What its examples name: a number to buy, and one that is leased.
    stock(&node, &["+14155550199", "+14155551234"]).await;
    let buy = json!({ "area_code": "415" });
    for _ in 0..2 {
        crate::till::buy(&node, &wallet, "/api/number", &buy).await;
    }
    stock(&node, &["+14155550198"]).await;
    let call = crate::till::buy(&node, &wallet, "/api/call", &crate::support::least()).await.json;
    let call = call["call_id"].as_str().unwrap();
    let page = String::from_utf8(get_with(&node, "/llms.txt", None).await.bytes).unwrap();
    let routes = told(&page);
    assert_eq!(routes.len(), OFFERS.iter().filter(|offer| offer.is_public()).count());
    for route in routes {
        let what = format!("{} {}", route.method, route.path);
        serde_json::from_str::<Value>(&route.response).expect(&what);
        let path = route.path.replace("{call_id}", call).replace("{id}", call);
        let (query, body) = match &route.example {
            Some(example) if example.starts_with('?') => (example.as_str(), ""),
            Some(example) => ("", example.as_str()),
            None => ("", ""),
        };
        let request = Request::builder().method(route.method.as_str()).uri(format!("{path}{query}"));
        let request = request.header("content-type", "application/json");
        let answer = Answer::of(node.send(request.body(Body::from(body.to_owned())).unwrap()).await).await;
        let expected = if route.terms == "free" { StatusCode::OK } else { StatusCode::PAYMENT_REQUIRED };
        assert_eq!(answer.status, expected, "{what} {:?}: {}", route.example, answer.json);
        match route.terms.strip_prefix('$') {
            Some(price) => {
                let amount = &answer.json["accepts"][0]["maxAmountRequired"];
                assert_eq!(*amount, json!(price.parse::<Usd>().unwrap().micros().to_string()), "{what}");
                assert!(body.is_empty() || serde_json::from_str::<Value>(body).is_ok(), "{what}");
            }
            None if route.terms == "SIWX, free" => {
                assert!(answer.json["extensions"]["sign-in-with-x"].is_object(), "{what}");
            }
            None => {
                // Free: what comes has the members that the page shows.
                let shown: Value = route.response.parse().unwrap();
                let missing: Vec<&String> = shown
                    .as_object()
                    .unwrap()
                    .keys()
                    .filter(|name| answer.json.get(name.as_str()).is_none())
                    .collect();
                assert!(missing.is_empty(), "{what} lacks {missing:?}");
            }
        }
    }
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
    let (node, prices) = (selling_all().await, prices());
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
    let answer = get_with(&selling_all().await, "/.well-known/x402", None).await.json;
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
        // Each in the shape of the family that it might belong to.
        let (code, fix) = match path.starts_with("/api/v1/") {
            true => (&answer.json["error"], &answer.json["fix"]),
            false => (&answer.json["error"]["code"], &answer.json["error"]["fix"]),
        };
        assert_eq!((answer.status, code), (StatusCode::NOT_FOUND, &json!("not_found")));
        assert_eq!(answer.json["discovery"]["openapi"], "https://phone.example.com/openapi.json");
        assert!(fix.as_str().unwrap().contains("/llms.txt"));
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
