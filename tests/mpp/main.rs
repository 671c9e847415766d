//! MPP as its published client sees it: the real router, gate, store and settler, paid on a Tempo chain that
//! runs for the test.

// Helpers of tests are tests too; the lint sees only `#[test]` functions as such.
#![allow(clippy::unwrap_used)]

mod chain;
mod client;
mod refunds;
#[allow(dead_code)]
#[path = "../api/support.rs"]
mod support;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use callbox::store::claims::ClaimState;
use serde_json::{Value, json};

use chain::{Chain, PATH_USD, PAYER};
use support::{Answer, Node};

/// Costs 0.001 dollars and needs nothing but a wallet.
const LIST: &str = "/api/v1/phone/numbers/list";
const PRICE: u64 = 1_000;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(150);
const STEP: Duration = Duration::from_millis(20);
const PAY_TO: &str = "0x2222222222222222222222222222222222222222";

async fn selling(chain: &Chain) -> Node {
    selling_with(chain, "").await
}

/// `rest` of the network's entry begins with a comma.
async fn selling_with(chain: &Chain, rest: &str) -> Node {
    let network =
        format!(r#"[{{ network = "tempo", rpc = "{}", currency = "{PATH_USD}"{rest} }}]"#, chain.rpc);
    let set = [
        ("payments.mode", "on"),
        ("payments.pay_to", PAY_TO),
        ("payments.networks", network.as_str()),
        ("http.public_url", "https://phone.example.com"),
    ];
    Node::with(&set).await
}

async fn post(node: &Node, path: &str, authorization: Option<&str>, body: &Value) -> Answer {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    Answer::of(node.send(request.body(Body::from(body.to_string())).unwrap()).await).await
}

async fn challenge(node: &Node) -> String {
    let asked = post(node, LIST, None, &json!({})).await;
    assert_eq!(asked.status, StatusCode::PAYMENT_REQUIRED);
    text(&asked, "www-authenticate")
}

fn text(answer: &Answer, name: &str) -> String {
    answer.headers[name].to_str().unwrap().to_owned()
}

async fn states(node: &Node) -> Vec<ClaimState> {
    let ledger = node.books.store.ledger(chrono::DateTime::UNIX_EPOCH).await.unwrap();
    ledger.into_iter().map(|entry| entry.state).collect()
}

#[tokio::test]
async fn transaction_is_sent_by_the_node_and_buys_once() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    let paid = chain.pay(&challenge(&node).await, json!({})).await;
    assert_eq!(chain.balance(PAY_TO).await, 0, "nothing has moved before the request");

    let bought = post(&node, LIST, Some(&paid), &json!({})).await;
    assert_eq!(bought.status, StatusCode::OK, "{:?}", bought.json);
    assert_eq!(chain.balance(PAY_TO).await, PRICE);
    assert!(text(&bought, "x-payment-receipt").starts_with("0x"));
    let receipt = mpp::protocol::core::parse_receipt(&text(&bought, "payment-receipt")).unwrap();
    assert_eq!(receipt.reference, text(&bought, "x-payment-receipt"));

    let again = post(&node, LIST, Some(&paid), &json!({})).await;
    assert_eq!((again.status, &again.json), (StatusCode::OK, &bought.json), "the stored answer");
    let other = post(&node, LIST, Some(&paid), &json!({ "other": true })).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert_eq!(chain.balance(PAY_TO).await, PRICE, "paid once");

    let claims = node.books.store.settled_claims().await.unwrap();
    assert_eq!((claims.len(), claims[0].offer.payer.as_str()), (1, PAYER));
}

#[tokio::test]
async fn one_transaction_sent_ten_times_at_once_buys_one_thing() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    let paid = chain.pay(&challenge(&node).await, json!({})).await;
    let body = json!({});
    let all = futures_util::future::join_all((0..10).map(|_| post(&node, LIST, Some(&paid), &body))).await;
    assert!(all.iter().all(|bought| bought.status == StatusCode::OK && bought.json == all[0].json));
    assert_eq!(chain.balance(PAY_TO).await, PRICE);
    use ClaimState::*;
    assert_eq!(states(&node).await, [Reserved, Settling, Settled, Delivered]);
}

#[tokio::test]
async fn transaction_that_the_payer_has_sent_buys_once_too() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    let paid = chain.pay(&challenge(&node).await, json!({ "push": true })).await;
    assert_eq!(chain.balance(PAY_TO).await, PRICE);

    let bought = post(&node, LIST, Some(&paid), &json!({})).await;
    assert_eq!(bought.status, StatusCode::OK, "{:?}", bought.json);
    let other = post(&node, LIST, Some(&paid), &json!({ "other": true })).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert_eq!(chain.balance(PAY_TO).await, PRICE);
}

#[tokio::test]
async fn payment_of_something_else_is_refused_with_a_fresh_challenge() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    let changes = [
        (json!({ "amount": "999" }), "no matching transfer call"),
        (json!({ "amount": "1001" }), "no matching transfer call"),
        (json!({ "recipient": "0x3333333333333333333333333333333333333333" }), "no matching transfer call"),
        (json!({ "challengeId": "another" }), "memo is not bound to this challenge"),
        (json!({ "nonce": 7 }), "another nonce"),
    ];
    for (change, why) in changes {
        let asked = challenge(&node).await;
        let paid = chain.pay(&asked, json!({ "change": change })).await;
        let refused = post(&node, LIST, Some(&paid), &json!({})).await;
        assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED, "{change}");
        assert_eq!(text(&refused, "content-type"), "application/problem+json");
        assert!(refused.json["type"].as_str().unwrap().ends_with("/verification-failed"));
        let detail = refused.json["detail"].as_str().unwrap();
        assert!(detail.contains(why), "{change}: {detail}");
        assert_ne!(text(&refused, "www-authenticate"), asked);
    }
    assert_eq!(chain.balance(PAY_TO).await, 0);
    assert_eq!(node.books.store.settled_claims().await.unwrap(), []);
}

#[tokio::test]
async fn transfer_without_funds_is_refused_before_it_is_sent() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    let broke = json!({ "key": format!("0x{}", "5a".repeat(32)) });
    let paid = chain.pay(&challenge(&node).await, broke).await;
    let refused = post(&node, LIST, Some(&paid), &json!({})).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED, "{:?}", refused.json);
    assert!(refused.json["detail"].as_str().unwrap().starts_with("the transfer fails"));
    assert_eq!(states(&node).await, [ClaimState::Reserved, ClaimState::Released]);
}

#[tokio::test]
async fn challenge_of_another_node_pays_nothing() {
    let chain = Chain::start().await;
    let (node, other) = (selling(&chain).await, selling(&chain).await);
    let paid = chain.pay(&challenge(&other).await, json!({})).await;
    let refused = post(&node, LIST, Some(&paid), &json!({})).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!((chain.balance(PAY_TO).await, states(&node).await), (0, Vec::new()));
}

#[tokio::test]
async fn chain_that_is_gone_charges_nothing_and_the_payment_stays_good() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    let paid = chain.pay(&challenge(&node).await, json!({})).await;
    drop(chain);
    let unavailable = post(&node, LIST, Some(&paid), &json!({})).await;
    assert_eq!(unavailable.status, StatusCode::SERVICE_UNAVAILABLE, "{:?}", unavailable.json);
    assert_eq!(states(&node).await, [ClaimState::Reserved, ClaimState::Released]);
}

#[tokio::test]
async fn transaction_of_a_changed_challenge_is_not_sent() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    let changed = {
        let issued = challenge(&node).await;
        let at = issued.find("expires=").unwrap() + 9;
        format!("{}2099{}", &issued[..at], &issued[at + 4..])
    };
    let paid = chain.pay(&changed, json!({})).await;
    let refused = post(&node, LIST, Some(&paid), &json!({})).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(chain.balance(PAY_TO).await, 0);
}

#[tokio::test]
async fn operators_key_needs_no_payment_and_other_schemes_are_none() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    for scheme in ["Bearer wrong", "Basic YTpi"] {
        let asked = post(&node, LIST, Some(scheme), &json!({})).await;
        assert_eq!(asked.status, StatusCode::PAYMENT_REQUIRED, "{scheme}");
    }
    let malformed = post(&node, LIST, Some("Payment e30"), &json!({})).await;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST, "{:?}", malformed.json);
    let call = node.post("/api/call", support::least()).await;
    assert_eq!(call.status, StatusCode::OK, "{:?}", call.json);
}

#[tokio::test]
async fn health_knows_the_chain() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    let health = node.get("/health").await;
    assert!(health.json.to_string().contains("its token is as expected"), "{}", health.json);
}
