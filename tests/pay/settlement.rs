//! Chains that are slow, that lose an answer, that change their mind between two questions, or are gone.

use callbox::{base::Usd, store::claims::ClaimState};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    NUMBER, awaited,
    node::Answer,
    payer::{Cheque, Payer, decode},
    proxy::{Held, SEND},
    scene::{BUY, Scene},
};

fn is_pending(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.json);
    assert_eq!(answer.json["error"]["code"], "payment_pending");
    assert!(!answer.headers.contains_key("payment-required"), "it is not asked to pay again");
    assert!(answer.headers.contains_key("retry-after"));
}

/// The client waits as long as a node has patience, is told to wait on, and gets what it paid for.
#[tokio::test]
async fn a_slow_settlement_is_waited_for_and_paid_once() {
    let scene = Scene::buying().await;
    scene.chain.automine(false).await;
    is_pending(&scene.again().await);
    assert_eq!(scene.node.states().await, [ClaimState::Settling]);
    assert_eq!(scene.chain.waiting().await, 1);

    // Meanwhile nobody else gets the number.
    let other = Payer::poor();
    let taken = other.pay(&scene.node, &Cheque::new(&scene.node, NUMBER), BUY, &scene.body).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "{}", taken.json);

    let again = scene.send();
    scene.chain.mine().await;
    let bought = again.await.unwrap().unwrap();
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.json);
    let receipt = scene.chain.receipt(&decode(&bought, "payment-response")["transaction"]).await;
    assert_eq!(receipt["status"], "0x1");
    scene.has_bought().await;
}

/// The request that would have sent it hangs, until the node gives up. Its buyer asks again, and it is sent; so is
/// what comes after it.
#[tokio::test]
async fn a_settlement_that_was_never_sent_is_sent_when_its_buyer_asks_again() {
    let scene = Scene::buying().await;
    scene.proxy.hold(SEND, Held::Request);
    is_pending(&scene.again().await);
    assert_eq!(scene.chain.waiting().await, 0);
    scene.proxy.hold_no_more();
    awaited("the number is bought", async || {
        let answer = scene.again().await;
        assert!(!answer.headers.contains_key("payment-required"), "it is not asked to pay again");
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    scene.has_bought().await;

    let next = Payer::funded(&scene.chain).await;
    let bought = next.pay(&scene.node, &Cheque::new(&scene.node, NUMBER), BUY, &json!({})).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.json);
}

/// The money leaves the wallet after the payment was found good and before it is taken.
#[tokio::test]
async fn a_settlement_that_reverts_gives_the_number_back() {
    let scene = Scene::buying().await;
    let next = Payer::funded(&scene.chain).await;
    scene.proxy.hold(SEND, Held::Request);
    let buying = scene.send();
    scene.proxy.holds().await;
    scene.chain.empty(&scene.payer.wallet).await;
    scene.proxy.let_go();
    let answer = buying.await.unwrap().unwrap();
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.json);
    assert_eq!(scene.node.states().await, [ClaimState::Released]);
    scene.is_paid(Usd::ZERO).await;
    assert!(scene.node.leases(&scene.payer.wallet).await.is_empty());

    let bought = next.pay(&scene.node, &Cheque::new(&scene.node, NUMBER), BUY, &scene.body).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.json);
    scene.is_paid(NUMBER).await;
}

/// The chain takes the transaction; the node never hears so, and looks for the money itself.
#[tokio::test]
async fn a_lost_answer_charges_once() {
    let scene = Scene::buying().await;
    scene.proxy.hold(SEND, Held::Answer);
    let first = scene.send();
    scene.proxy.holds().await;
    let till = &scene.node.till;
    awaited("the money moves", async || (scene.chain.balance(till).await == NUMBER).then_some(())).await;
    // The client gives up and asks again.
    first.abort();
    let bought = awaited("the money is found", async || {
        let answer = scene.again().await;
        assert!(!answer.headers.contains_key("payment-required"), "it is not asked to pay again");
        (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.json);
    let receipt = scene.chain.receipt(&decode(&bought, "payment-response")["transaction"]).await;
    assert_eq!(receipt["status"], "0x1");
    scene.has_bought().await;
}

#[tokio::test]
async fn without_its_chain_a_node_takes_no_payment() {
    let scene = Scene::buying().await;
    scene.proxy.fails(true);
    let answer = scene.again().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.json);
    assert_eq!(answer.json["error"]["code"], "payment_unavailable");
    assert!(!answer.headers.contains_key("payment-required"));
    assert_eq!(scene.node.states().await, [ClaimState::Released]);

    // The same payment is good once the chain is back.
    scene.proxy.fails(false);
    scene.has_bought().await;
}
