//! Payments that must not buy, or not twice.

use std::{pin::pin, time::Duration};

use callbox::{base::Usd, pay::network::NETWORKS, store::claims::ClaimState};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    CALL, NUMBER,
    chain::Chain,
    node::{Callee, KEY, Node},
    payer::{Cheque, Payer, decode, encode},
};

const BUY: &str = "/api/x402/number";

fn call_body() -> Value {
    json!({ "phone_number": "+14155550123", "task": "Ask for the opening hours." })
}

/// Nobody has paid, and nobody has got anything.
async fn nothing_moved(chain: &Chain, node: &Node, payer: &Payer, had: Usd) {
    assert_eq!(chain.balance(&payer.wallet).await, had);
    assert_eq!(chain.balance(&node.till).await, Usd::ZERO);
    assert_eq!(node.earned().await, Usd::ZERO);
    assert!(node.leases(&payer.wallet).await.is_empty());
    assert!(node.settled().await.is_empty());
}

#[tokio::test]
async fn one_authorisation_sent_fifty_times_at_once_buys_one_number() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.sign(&Cheque::new(&node, NUMBER));
    let (headers, body) = ([("payment-signature", payment.as_str())], json!({ "area_code": "415" }));
    let answers = join_all((0..50).map(|_| node.post(BUY, &headers, &body))).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.json), (StatusCode::OK, &answers[0].json));
    }
    assert_eq!(node.leases(&payer.wallet).await.len(), 1);
    assert_eq!(chain.balance(&node.till).await, NUMBER);
    assert_eq!(node.earned().await, NUMBER);
    assert_eq!(node.states().await, [ClaimState::Delivered]);

    // Long after, it still answers as it did, and buys nothing.
    let replayed = node.post(BUY, &headers, &body).await;
    assert_eq!((replayed.status, &replayed.json), (StatusCode::OK, &answers[0].json));
    assert_eq!(decode(&replayed, "payment-response"), decode(&answers[0], "payment-response"));
    assert_eq!(chain.balance(&node.till).await, NUMBER);
}

#[tokio::test]
async fn one_authorisation_sent_fifty_times_at_once_places_one_call() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Answers).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.sign(&Cheque::new(&node, CALL));
    let (headers, body) = ([("payment-signature", payment.as_str())], call_body());
    let answers = join_all((0..50).map(|_| node.post("/api/x402/call", &headers, &body))).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.json), (StatusCode::OK, &answers[0].json));
    }
    assert_eq!(node.calls().await.len(), 1);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (CALL, CALL));
}

#[tokio::test]
async fn a_payment_of_anything_else_is_refused() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let had = chain.balance(&payer.wallet).await;
    let right = Cheque::new(&node, NUMBER);
    let one_less = Usd::from_micros(NUMBER.micros() - 1);
    let one_more = Usd::from_micros(NUMBER.micros() + 1);
    let elsewhere =
        Cheque { network: NETWORKS[1].caip2.into(), asset: NETWORKS[1].asset.into(), ..right.clone() };
    let wrong = [
        ("too little", Cheque { value: one_less, ..right.clone() }),
        ("too much", Cheque { value: one_more, ..right.clone() }),
        ("another token", Cheque { asset: NETWORKS[1].asset.into(), ..right.clone() }),
        ("another network", elsewhere),
        ("an unknown network", Cheque { network: "eip155:1".into(), ..right.clone() }),
        ("another recipient", Cheque { to: Payer::poor().wallet, ..right.clone() }),
        ("expired", Cheque { valid_before: right.valid_after + 300, ..right.clone() }),
        ("not yet valid", Cheque { valid_after: right.valid_before - 100, ..right.clone() }),
    ];
    for (what, cheque) in wrong {
        let answer = payer.pay(&node, &cheque, BUY, &json!({})).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{what}: {}", answer.json);
        let challenge = decode(&answer, "payment-required");
        assert_eq!(challenge["accepts"][0]["amount"], NUMBER.micros().to_string(), "{what}");
    }
    nothing_moved(&chain, &node, &payer, had).await;
}

#[tokio::test]
async fn a_signature_that_is_not_the_payers_is_refused() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let had = chain.balance(&payer.wallet).await;
    let cheque = Cheque::new(&node, NUMBER);
    let own = payer.envelope(&cheque);

    // Another's signature under the payer's name, and one digit changed.
    let mut foreign = own.clone();
    foreign["payload"]["signature"] = Payer::poor().envelope(&cheque)["payload"]["signature"].clone();
    let mut tampered = own.clone();
    let signature = own["payload"]["signature"].as_str().unwrap();
    let digit = if &signature[10..11] == "0" { "1" } else { "0" };
    tampered["payload"]["signature"] = format!("{}{digit}{}", &signature[..10], &signature[11..]).into();
    // The payer has signed less than the envelope says.
    let mut raised = payer.envelope(&Cheque { value: CALL, ..cheque.clone() });
    raised["payload"]["authorization"]["value"] = NUMBER.micros().to_string().into();
    raised["accepted"]["amount"] = NUMBER.micros().to_string().into();
    for envelope in [foreign, tampered, raised] {
        let answer = node.post(BUY, &[("payment-signature", &encode(&envelope))], &json!({})).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.json);
    }
    nothing_moved(&chain, &node, &payer, had).await;

    // The same authorisation, well signed, still buys.
    let answer = payer.pay(&node, &cheque, BUY, &json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    assert_eq!(chain.balance(&node.till).await, NUMBER);
}

#[tokio::test]
async fn a_wallet_without_money_gets_nothing() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let payer = Payer::poor();
    let answer = payer.pay(&node, &Cheque::new(&node, NUMBER), BUY, &json!({})).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.json);
    nothing_moved(&chain, &node, &payer, Usd::ZERO).await;
    assert_eq!(node.states().await, [ClaimState::Released]);
}

#[tokio::test]
async fn a_payment_counts_for_the_body_it_was_sent_with() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let cheque = Cheque::new(&node, NUMBER);
    let bought = payer.pay(&node, &cheque, BUY, &json!({ "area_code": "415" })).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.json);
    let other_body = payer.pay(&node, &cheque, BUY, &json!({ "area_code": "212" })).await;
    assert_eq!(other_body.status, StatusCode::CONFLICT, "{}", other_body.json);
    let other_path = payer.pay(&node, &cheque, "/api/number", &json!({ "area_code": "415" })).await;
    assert_eq!(other_path.status, StatusCode::CONFLICT, "{}", other_path.json);

    // Payer and nonce stand on the chain for all to read: without the signature they open nothing.
    let mut read_off = payer.envelope(&cheque);
    read_off["payload"]["signature"] = Payer::poor().envelope(&cheque)["payload"]["signature"].clone();
    let header = encode(&read_off);
    let foreign = node.post(BUY, &[("payment-signature", &header)], &json!({ "area_code": "415" })).await;
    assert_eq!(foreign.status, StatusCode::CONFLICT, "{}", foreign.json);
    assert_eq!(node.leases(&payer.wallet).await.len(), 1);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER, NUMBER));
}

#[tokio::test]
async fn what_is_refused_is_never_asked_to_be_paid() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let had = chain.balance(&payer.wallet).await;
    let cases = [
        ("/api/call", json!({ "phone_number": "+14155550123" }), StatusCode::BAD_REQUEST),
        ("/api/call", json!({ "phone_number": "911", "task": "Say hello." }), StatusCode::FORBIDDEN),
        (
            "/api/x402/call",
            json!({ "phone_number": "+19005550123", "task": "Say hello." }),
            StatusCode::FORBIDDEN,
        ),
        ("/api/x402/number", json!({ "area_code": "650" }), StatusCode::CONFLICT),
        ("/api/number", json!({ "area": "415" }), StatusCode::BAD_REQUEST),
        ("/api/x402/number/topup", json!({ "phone_number": "+14155550100" }), StatusCode::FORBIDDEN),
        ("/api/v1/voice/call", json!({ "to": "+14155550123" }), StatusCode::BAD_REQUEST),
    ];
    for (path, body, status) in cases {
        let payment = payer.sign(&Cheque::new(&node, CALL));
        let paid: &[(&str, &str)] = &[("payment-signature", &payment)];
        for headers in [&[][..], paid] {
            let answer = node.post(path, headers, &body).await;
            assert_eq!(answer.status, status, "{path} {body}: {}", answer.json);
        }
    }
    nothing_moved(&chain, &node, &payer, had).await;
    assert!(node.states().await.is_empty(), "no authorisation was taken");
}

#[tokio::test]
async fn a_header_that_is_no_payment_is_the_clients_to_mend() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let good = payer.envelope(&Cheque::new(&node, NUMBER));
    let mut unknown_version = good.clone();
    unknown_version["x402Version"] = 3.into();
    let mut unknown_scheme = good.clone();
    unknown_scheme["accepted"]["scheme"] = "upto".into();
    let mut no_number = good.clone();
    no_number["payload"]["authorization"]["value"] = "-1".into();
    let mut short_nonce = good.clone();
    short_nonce["payload"]["authorization"]["nonce"] = "0x01".into();
    let values = [
        "!".to_owned(),
        encode(&json!(1)),
        encode(&json!({})),
        encode(&unknown_version),
        encode(&unknown_scheme),
        encode(&no_number),
        encode(&short_nonce),
    ];
    for value in values {
        for name in ["payment-signature", "x-payment"] {
            let answer = node.post(BUY, &[(name, &value)], &json!({})).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {}", answer.json);
        }
    }
    assert!(node.states().await.is_empty());
}

/// A call to such a carrier is answered as one that could not be made, and no money moves.
async fn costs_nothing(carrier: Callee) {
    let chain = Chain::new().await;
    let node = Node::new(&chain, carrier).await;
    let payer = Payer::funded(&chain).await;
    let had = chain.balance(&payer.wallet).await;
    let answer = payer.pay(&node, &Cheque::new(&node, CALL), "/api/x402/call", &call_body()).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{}", answer.json);
    nothing_moved(&chain, &node, &payer, had).await;
    assert_eq!(node.states().await, [ClaimState::Released]);
}

#[tokio::test]
async fn a_call_that_the_carrier_refuses_costs_nothing() {
    costs_nothing(Callee::Refuses(503)).await;
}

/// Two carriers, each silent for the ten seconds that it is given: longer than a carrier may keep a call that it
/// has taken.
#[tokio::test]
async fn a_call_that_no_carrier_says_a_word_to_costs_nothing() {
    costs_nothing(Callee::MuteTwice).await;
}

/// It waits for its turn for longer than a carrier may keep a call that it has taken.
#[tokio::test]
async fn a_call_is_not_charged_while_it_waits_for_its_turn() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::RingsInTurn).await;
    let operator = ("authorization", format!("Bearer {KEY}"));
    let first = node.post("/api/call", &[(operator.0, &operator.1)], &call_body()).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.json);
    let payer = Payer::funded(&chain).await;
    let (cheque, body) = (Cheque::new(&node, CALL), call_body());
    let mut buying = pin!(payer.pay(&node, &cheque, "/api/x402/call", &body));
    // Who waits after a look at the payments has waited before it.
    let state = async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (states, calls) = (node.states().await, node.calls().await);
        let queued = calls.iter().any(|call| call["status"] == "queued");
        (queued && calls.len() == 2).then_some(states)
    };
    let mut waited = Vec::new();
    let answer = loop {
        tokio::select! {
            answer = &mut buying => break answer,
            found = state() => waited.extend(found),
        }
    };
    let undecided = waited.iter().flatten().all(|state| *state == ClaimState::Reserved);
    assert!(waited.len() > 1 && undecided, "{waited:?}");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (CALL, CALL));
}

/// A busy line is a call: it was made, and nobody could speak.
#[tokio::test]
async fn a_call_to_a_busy_line_is_paid() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Refuses(486)).await;
    let payer = Payer::funded(&chain).await;
    let answer = payer.pay(&node, &Cheque::new(&node, CALL), "/api/x402/call", &call_body()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (CALL, CALL));
    let call = answer.json["call_id"].as_str().unwrap();
    let told = node.get(&format!("/api/x402/call/{call}"), &[]).await.json;
    assert_eq!((&told["status"], &told["completed"]), (&json!("busy"), &json!(true)));
}

#[tokio::test]
async fn the_last_number_is_sold_to_one_of_many_and_the_others_keep_their_money() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let mut payers = Vec::new();
    for _ in 0..6 {
        payers.push(Payer::funded(&chain).await);
    }
    let body = json!({ "area_code": "212" });
    let buy = |payer: &Payer| (payer.sign(&Cheque::new(&node, NUMBER)), body.clone());
    let answers = join_all(payers.iter().map(|payer| {
        let (payment, body) = buy(payer);
        let node = &node;
        async move { node.ask(Method::POST, BUY, &[("payment-signature", &payment)], Some(&body)).await }
    }))
    .await;
    let sold = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    let refused = answers.iter().filter(|answer| answer.status == StatusCode::CONFLICT).count();
    assert_eq!((sold, refused), (1, 5));
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER, NUMBER));
}
