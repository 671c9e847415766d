//! Chains that are slow, that lose an answer, that change their mind between two questions, or are gone.

use callbox::{base::Usd, store::claims::ClaimState};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    NUMBER, awaited,
    chain::Chain,
    node::{Callee, Node},
    payer::{Cheque, Payer, decode},
    proxy::{Held, Proxy},
};

const BUY: &str = "/api/x402/number";

/// The client waits as long as a node has patience, is told to wait on, and gets what it paid for.
#[tokio::test]
async fn a_slow_settlement_is_waited_for_and_paid_once() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.sign(&Cheque::new(&node, NUMBER));
    let (headers, body) = ([("payment-signature", payment.as_str())], json!({ "area_code": "212" }));
    chain.automine(false).await;
    let waiting = node.post(BUY, &headers, &body).await;
    assert_eq!(waiting.status, StatusCode::SERVICE_UNAVAILABLE, "{}", waiting.json);
    assert_eq!(waiting.json["error"]["code"], "payment_pending");
    assert!(!waiting.headers.contains_key("payment-required"), "it is not asked to pay again");
    assert!(waiting.headers.contains_key("retry-after"));
    assert_eq!(node.states().await, [ClaimState::Settling]);
    assert_eq!(chain.waiting().await, 1);

    // Meanwhile nobody else gets the number.
    let other = Payer::poor();
    let taken = other.pay(&node, &Cheque::new(&node, NUMBER), BUY, &body).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "{}", taken.json);

    let again = node.send(BUY, &headers, &body);
    chain.mine().await;
    let bought = again.await.unwrap().unwrap();
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.json);
    assert_eq!(node.leases(&payer.wallet).await.len(), 1);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER, NUMBER));
    let receipt = chain.receipt(&decode(&bought, "payment-response")["transaction"]).await;
    assert_eq!(receipt["status"], "0x1");
}

/// The money leaves the wallet after the payment was found good and before it is taken.
#[tokio::test]
async fn a_settlement_that_reverts_gives_the_number_back() {
    let chain = Chain::new().await;
    let proxy = Proxy::before(&chain.url).await;
    let node = Node::over(&proxy.url, Callee::Rings).await;
    let (payer, next) = (Payer::funded(&chain).await, Payer::funded(&chain).await);
    let payment = payer.sign(&Cheque::new(&node, NUMBER));
    let body = json!({ "area_code": "212" });
    proxy.hold("eth_sendRawTransaction", Held::Request);
    let buying = node.send(BUY, &[("payment-signature", &payment)], &body);
    proxy.holds().await;
    chain.empty(&payer.wallet).await;
    proxy.let_go();
    let answer = buying.await.unwrap().unwrap();
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.json);
    assert_eq!(node.states().await, [ClaimState::Released]);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (Usd::ZERO, Usd::ZERO));
    assert!(node.leases(&payer.wallet).await.is_empty());

    let bought = next.pay(&node, &Cheque::new(&node, NUMBER), BUY, &body).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.json);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER, NUMBER));
}

/// The chain takes the transaction; the node never hears so, and looks for the money itself.
#[tokio::test]
async fn a_lost_answer_charges_once() {
    let chain = Chain::new().await;
    let proxy = Proxy::before(&chain.url).await;
    let node = Node::over(&proxy.url, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.sign(&Cheque::new(&node, NUMBER));
    let (headers, body) = ([("payment-signature", payment.as_str())], json!({}));
    proxy.hold("eth_sendRawTransaction", Held::Answer);
    let first = node.send(BUY, &headers, &body);
    proxy.holds().await;
    awaited("the money moves", async || (chain.balance(&node.till).await == NUMBER).then_some(())).await;
    // The client gives up and asks again.
    first.abort();
    let bought = awaited("the money is found", async || {
        let answer = node.post(BUY, &headers, &body).await;
        assert!(!answer.headers.contains_key("payment-required"), "it is not asked to pay again");
        (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.json);
    let receipt = chain.receipt(&decode(&bought, "payment-response")["transaction"]).await;
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(node.leases(&payer.wallet).await.len(), 1);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER, NUMBER));
}

#[tokio::test]
async fn without_its_chain_a_node_takes_no_payment() {
    let chain = Chain::new().await;
    let proxy = Proxy::before(&chain.url).await;
    let node = Node::over(&proxy.url, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.sign(&Cheque::new(&node, NUMBER));
    let (headers, body) = ([("payment-signature", payment.as_str())], json!({}));
    proxy.fails(true);
    let answer = node.post(BUY, &headers, &body).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.json);
    assert_eq!(answer.json["error"]["code"], "payment_unavailable");
    assert!(!answer.headers.contains_key("payment-required"));
    assert_eq!(node.states().await, [ClaimState::Released]);

    // The same payment is good once the chain is back.
    proxy.fails(false);
    let bought = node.post(BUY, &headers, &body).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.json);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER, NUMBER));
}
