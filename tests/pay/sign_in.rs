//! Sign-in with a wallet: a challenge counts once, for its wallet, for this node, and not for long.

use chrono::{SecondsFormat, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    CALL,
    chain::Chain,
    node::{Answer, Callee, Node},
    payer::{Cheque, Payer, decode, encode},
};

const LIST: &str = "/api/numbers";

async fn with(node: &Node, path: &str, signed: &Value) -> Answer {
    node.get(path, &[("sign-in-with-x", &encode(signed))]).await
}

#[tokio::test]
async fn a_call_is_told_to_the_wallet_that_paid_alone() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Answers).await;
    let (payer, other) = (Payer::funded(&chain).await, Payer::poor());
    let body = json!({ "phone_number": "+14155550123", "task": "Ask for the opening hours." });
    let placed = payer.pay(&node, &Cheque::new(&node, CALL), "/api/call", &body).await;
    assert_eq!(placed.status, StatusCode::OK, "{}", placed.json);
    let path = format!("/api/call/{}", placed.json["call_id"].as_str().unwrap());

    let own = node.get(&path, &[("sign-in-with-x", &payer.signed_in(&node, &path).await)]).await;
    assert_eq!((own.status, &own.json["price"]), (StatusCode::OK, &json!(0.54)));
    let foreign = node.get(&path, &[("sign-in-with-x", &other.signed_in(&node, &path).await)]).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let unsigned = node.get(&path, &[]).await;
    assert_eq!(unsigned.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(decode(&unsigned, "payment-required"), unsigned.json);
    assert_eq!(unsigned.json["extensions"]["sign-in-with-x"]["info"]["domain"], node.host());
}

#[tokio::test]
async fn a_challenge_counts_once() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let signed = Payer::poor().signed_in(&node, LIST).await;
    assert_eq!(node.get(LIST, &[("sign-in-with-x", &signed)]).await.status, StatusCode::OK);
    let replayed = node.get(LIST, &[("sign-in-with-x", &signed)]).await;
    assert_eq!(refusal(&replayed), "siwx_nonce_used");
}

#[tokio::test]
async fn a_challenge_that_is_not_as_it_was_issued_counts_nothing() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let payer = Payer::poor();
    let fresh = async || node.get(LIST, &[]).await.json;
    let past =
        |minutes| (Utc::now() - TimeDelta::minutes(minutes)).to_rfc3339_opts(SecondsFormat::Millis, true);

    let expired = payer.sign_in(&fresh().await, |message| message["expirationTime"] = past(1).into());
    assert_eq!(refusal(&with(&node, LIST, &expired).await), "siwx_expired");
    let old = payer.sign_in(&fresh().await, |message| message["issuedAt"] = past(6).into());
    assert_eq!(refusal(&with(&node, LIST, &old).await), "siwx_expired");
    let elsewhere = payer.sign_in(&fresh().await, |message| message["domain"] = "phone.example.com".into());
    assert_eq!(refusal(&with(&node, LIST, &elsewhere).await), "siwx_malformed");
    let elsewhere =
        payer.sign_in(&fresh().await, |message| message["uri"] = "https://phone.example.com/".into());
    assert_eq!(refusal(&with(&node, LIST, &elsewhere).await), "siwx_malformed");
    let own_nonce = payer.sign_in(&fresh().await, |message| message["nonce"] = "0".repeat(32).into());
    assert_eq!(refusal(&with(&node, LIST, &own_nonce).await), "siwx_malformed");

    // Signed by one wallet, sent as another's; and changed after it was signed.
    let mut forged = Payer::poor().sign_in(&fresh().await, |_| {});
    forged["address"] = json!(payer.wallet);
    assert_ne!(with(&node, LIST, &forged).await.status, StatusCode::OK);
    let mut forged = payer.sign_in(&fresh().await, |_| {});
    forged["statement"] = "Something else".into();
    assert_eq!(refusal(&with(&node, LIST, &forged).await), "siwx_invalid_signature");
}

fn refusal(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.json);
    answer.json["error"]["code"].as_str().or(answer.json["error"].as_str()).unwrap_or_default()
}
