//! In which order a paid route asks: for the price where there is no body, then whether the body is right, then
//! whether it is allowed, and only then for money.

use axum::{body::Body, http::Request};
use callbox::api::offers::{Access, Asks, OFFERS, Offer};
use chrono::Utc;
use serde_json::{Value, json};

use crate::{
    schema::problems,
    support::{Answer, Node},
    till::{get_with, selling, selling_all, stock},
};

const TASK: &str = "Ask for the opening hours.";

async fn paid() -> Node {
    let node = selling_all().await;
    stock(&node, &["+14155550199"]).await;
    node
}

fn routes() -> impl Iterator<Item = &'static Offer> {
    OFFERS.iter().filter(|offer| matches!(offer.access, Access::Paid(_)))
}

fn is_blockruns(offer: &Offer) -> bool {
    offer.path.starts_with("/api/v1/")
}

async fn send(node: &Node, offer: &Offer, body: impl Into<Body>) -> Answer {
    let request = Request::builder().method(offer.method.clone()).uri(offer.path);
    Answer::of(node.send(request.body(body.into()).unwrap()).await).await
}

/// Texts that are no JSON object.
const NO_OBJECTS: [&str; 9] =
    ["[]", "null", "\"text\"", "5", "{", "{\"phone_number\":}", "phone_number=+14155550123", "\u{0}", " "];

/// Bodies that no route takes, made from what it takes: each member of a wrong type, empty, or of a word too many.
fn wrong(offer: &Offer) -> Vec<Value> {
    let Asks::Body(fields) = &offer.asks else { panic!("{} takes a body", offer.id) };
    let least: Value = offer.example().unwrap().parse().unwrap();
    let with = |name: &str, value: Value| {
        let mut body = least.clone();
        body[name] = value;
        body
    };
    let mut bodies = vec![with("no_such_field", json!(1))];
    for field in fields.iter() {
        bodies.extend([json!([]), json!([1]), json!({ "a": [] }), json!(1e300)].into_iter().filter_map(
            |value| (field.name != "metadata" || !value.is_object()).then(|| with(field.name, value)),
        ));
        if field.required {
            let mut body = least.clone();
            body.as_object_mut().unwrap().remove(field.name);
            bodies.push(body);
            bodies.push(with(field.name, json!(null)));
            bodies.push(with(field.name, json!("")));
        }
    }
    bodies
}

#[tokio::test]
async fn a_request_without_a_body_asks_for_the_price() {
    let node = paid().await;
    for offer in routes() {
        let answer = send(&node, offer, "").await;
        assert_eq!(answer.status, 402, "{}: {}", offer.path, answer.json);
    }
}

#[tokio::test]
async fn a_body_that_is_wrong_is_never_asked_to_pay() {
    let node = paid().await;
    let document = get_with(&node, "/openapi.json", None).await.json;
    let shapes = &document["components"]["schemas"];
    let mut sent = 0;
    for offer in routes() {
        let shape = if is_blockruns(offer) { &shapes["BlockRunError"] } else { &shapes["Error"] };
        let texts = NO_OBJECTS.map(str::to_owned).into_iter();
        for body in texts.chain(wrong(offer).iter().map(Value::to_string)) {
            let answer = send(&node, offer, body.clone()).await;
            assert_eq!(answer.status, 400, "{} {body:?}: {}", offer.path, answer.json);
            assert_eq!(problems(&document, shape, &answer.json), Vec::<String>::new(), "{}", offer.path);
            sent += 1;
        }
    }
    assert!(sent > 200, "the bodies are made wrong: {sent}");
}

#[tokio::test]
async fn what_policy_refuses_is_never_asked_to_pay() {
    let node = paid().await;
    let listed = "+14155550150".parse().unwrap();
    node.books.store.add_do_not_call(&listed, "asked", Utc::now()).await.unwrap();
    for path in ["/api/call", "/api/x402/call", "/api/v1/voice/call"] {
        let offer = routes().find(|offer| offer.path == path).unwrap();
        for number in ["911", "112", "+1911", "988", "+19005550123", "+18765550123", "+14155550150"] {
            for field in ["phone_number", "transfer_phone_number"] {
                if is_blockruns(offer) && field != "phone_number" {
                    continue;
                }
                let mut body = json!({ "phone_number": "+14155550123", "task": TASK });
                body[field] = number.into();
                let answer = send(&node, offer, body.to_string()).await;
                assert_eq!(answer.status, 403, "{path} {field} {number}: {}", answer.json);
            }
        }
        let foreign = json!({ "phone_number": "+14155550123", "task": TASK, "from": "+14155550198" });
        let answer = send(&node, offer, foreign.to_string()).await;
        assert_eq!(answer.status, 403, "{path}, a caller id that nobody leases: {}", answer.json);
    }
    // Nobody can be delivered what is not there.
    for (path, body, status) in [
        ("/api/number", json!({ "area_code": "907" }), 409),
        ("/api/number", json!({ "country_code": "CA" }), 409),
        ("/api/x402/number", json!({ "area_code": "907" }), 409),
        ("/api/v1/phone/numbers/buy", json!({ "country": "DE" }), 502),
        ("/api/number/topup", json!({ "phone_number": "+14155550199" }), 403),
        ("/api/x402/number/topup", json!({ "phone_number": "+14155550111" }), 403),
        ("/api/v1/phone/numbers/renew", json!({ "phone_number": "+14155550199" }), 403),
        ("/api/v1/phone/numbers/release", json!({ "phone_number": "+14155550199" }), 403),
    ] {
        let offer = routes().find(|offer| offer.path == path).unwrap();
        let answer = send(&node, offer, body.to_string()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.json);
    }
}

#[tokio::test]
async fn a_body_that_needs_no_field_may_be_an_empty_object() {
    let node = paid().await;
    for path in ["/api/number", "/api/x402/number", "/api/v1/phone/numbers/buy", "/api/v1/phone/numbers/list"]
    {
        let offer = routes().find(|offer| offer.path == path).unwrap();
        assert_eq!(send(&node, offer, "{}").await.status, 402, "{path}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_told_in_the_shape_of_the_family() {
    let node = selling(&[("http.body_limit", "500")]).await;
    for path in ["/api/call", "/api/v1/voice/call"] {
        let offer = routes().find(|offer| offer.path == path).unwrap();
        let body = json!({ "phone_number": "+14155550123", "task": "x".repeat(600) });
        let answer = send(&node, offer, body.to_string()).await;
        assert_eq!(answer.status, 413, "{path}");
        let code = if is_blockruns(offer) { &answer.json["error"] } else { &answer.json["error"]["code"] };
        assert_eq!(*code, "body_too_large", "{}", answer.json);
    }
}
