//! Settlements whose answer is lost, and money that goes back.

use callbox::{base::Usd, store::claims::ClaimState};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    NUMBER, SETTLER_KEY, awaited,
    chain::Chain,
    clients::{facilitator, offered},
    node::Callee,
    payer::Payer,
    program::callbox,
    selling, selling_by,
};

const BUY: &str = "/api/x402/number";

#[tokio::test]
async fn settlement_whose_answer_is_lost_is_looked_for_and_delivered() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.header(&payer.cheque(&chain, &node, NUMBER).await);
    chain.ask("test_fault", json!(["lost"])).await;
    let paid = node.post(BUY, &[("payment-signature", &payment)], &json!({})).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.json);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER, NUMBER));
    assert_eq!((chain.landed().await.len(), chain.asked("sendTransaction").await), (1, 1), "not sent again");
}

#[tokio::test]
async fn transaction_that_the_cluster_drops_is_sent_again() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.header(&payer.cheque(&chain, &node, NUMBER).await);
    chain.ask("test_fault", json!(["dropped"])).await;
    let paid = node.post(BUY, &[("payment-signature", &payment)], &json!({})).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.json);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER, NUMBER));
    assert_eq!((chain.landed().await.len(), chain.asked("sendTransaction").await), (1, 2));
}

#[tokio::test]
async fn facilitator_that_settles_and_does_not_say_so_is_found_on_the_chain() {
    let chain = Chain::new().await;
    let (_facilitator, url) = facilitator(&chain, true).await;
    let node = selling_by(&chain, &format!("facilitator = \"{url}\""), Callee::Rings).await;
    offered(&node).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.header(&payer.cheque(&chain, &node, NUMBER).await);
    let paid = node.post(BUY, &[("payment-signature", &payment)], &json!({})).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.json);
    assert_eq!(node.settled().await[0].settlement, chain.landed().await.into_iter().next());
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER, NUMBER));
}

#[tokio::test]
async fn node_that_dies_while_it_settles_delivers_when_it_is_back() {
    let chain = Chain::new().await;
    let mut node = selling(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.header(&payer.cheque(&chain, &node, NUMBER).await);
    // What was settled cannot be noted.
    node.refuse(ClaimState::Delivered).await;
    let asking = node.send(BUY, &[("payment-signature", &payment)], &json!({}));
    awaited("it has landed", async || (chain.landed().await.len() == 1).then_some(())).await;
    node.kill();
    let _ = asking.await;
    node.refuse_nothing().await;
    node.restart().await;
    node.reaches(ClaimState::Delivered).await;
    assert_eq!(node.settled().await[0].settlement, chain.landed().await.into_iter().next());
    assert_eq!((node.leases(&payer.wallet).await.len(), node.earned().await), (1, NUMBER));
    let again = node.post(BUY, &[("payment-signature", &payment)], &json!({})).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.json);
}

#[tokio::test]
async fn transaction_that_never_lands_is_waited_for_until_it_cannot_and_not_charged() {
    let chain = Chain::new().await;
    let mut node = selling(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let had = chain.balance(&payer.wallet).await;
    let payment = payer.header(&payer.cheque(&chain, &node, NUMBER).await);
    chain.ask("test_fault", json!(["swallowed"])).await;
    let asking = node.send(BUY, &[("payment-signature", &payment)], &json!({}));
    awaited("it is sent", async || (chain.asked("sendTransaction").await > 0).then_some(())).await;
    node.kill();
    let _ = asking.await;
    assert_eq!(node.states().await, [ClaimState::Settling]);

    // Its time is over by the clock, and not by the chain: it may still come.
    node.execute("UPDATE claims SET valid_before = '2026-01-01 00:00:00+00:00'".into()).await;
    let looks = chain.asked("getSignatureStatuses").await;
    node.restart().await;
    awaited("it is looked for", async || {
        (chain.asked("getSignatureStatuses").await > looks + 1).then_some(())
    })
    .await;
    assert_eq!(node.states().await, [ClaimState::Settling]);

    chain.ask("test_age", json!([])).await;
    node.reaches(ClaimState::Released).await;
    assert_eq!((chain.balance(&payer.wallet).await, node.earned().await), (had, Usd::ZERO));
    assert!(node.leases(&payer.wallet).await.is_empty());
}

#[tokio::test]
async fn what_is_owed_is_paid_back_once_and_the_chain_agrees() {
    let chain = Chain::new().await;
    let purse = Payer::funded(&chain).await;
    chain.ask("test_lamports", json!([purse.wallet, 100_000_000])).await;
    let keys = format!("settler_key = \"{SETTLER_KEY}\"\nrefund_key = \"{}\"", purse.base58());
    let node = selling_by(&chain, &keys, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let had = chain.balance(&payer.wallet).await;
    for _ in 0..2 {
        let payment = payer.header(&payer.cheque(&chain, &node, NUMBER).await);
        let paid = node.post(BUY, &[("payment-signature", &payment)], &json!({})).await;
        assert_eq!(paid.status, StatusCode::OK, "{}", paid.json);
    }
    node.execute("UPDATE claims SET state = 'refund_due'".into()).await;
    awaited("both are paid back", async || (node.states().await == [ClaimState::Refunded; 2]).then_some(()))
        .await;
    assert_eq!(chain.balance(&payer.wallet).await, had);
    let spent = Usd::from_micros(100_000_000 - 2 * NUMBER.micros());
    assert_eq!((chain.balance(&purse.wallet).await, chain.landed().await.len()), (spent, 4));
    assert_eq!(node.earned().await, Usd::ZERO);
    let reconciled = callbox(node.dir.path()).args(["ledger", "reconcile"]).output().unwrap();
    let said = String::from_utf8_lossy(&reconciled.stdout);
    assert!(reconciled.status.success() && said.contains("2 of 2 payments agree"), "{said}");
}

#[tokio::test]
async fn settlement_that_a_fork_has_dropped_is_named_by_the_ledger() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.header(&payer.cheque(&chain, &node, NUMBER).await);
    let paid = node.post(BUY, &[("payment-signature", &payment)], &json!({})).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.json);
    chain.ask("test_drop", json!([chain.landed().await[0]])).await;
    let reconciled = callbox(node.dir.path()).args(["ledger", "reconcile"]).output().unwrap();
    let said = String::from_utf8_lossy(&reconciled.stdout);
    assert!(!reconciled.status.success() && said.contains("re-organised"), "{said}");
}

#[tokio::test]
async fn refund_paid_by_hand_is_booked_where_the_chain_has_it() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let payment = payer.header(&payer.cheque(&chain, &node, NUMBER).await);
    node.post(BUY, &[("payment-signature", &payment)], &json!({})).await;
    node.execute("UPDATE claims SET state = 'refund_due'".into()).await;
    let id = node.settled().await[0].id.to_string();
    let book = |transaction: &str| {
        callbox(node.dir.path())
            .args(["ledger", "refunded", &id, "--transaction", transaction])
            .output()
            .unwrap()
    };
    let said = String::from_utf8(book("0x12").stderr).unwrap();
    assert!(said.contains("64 bytes in base58"), "{said}");
    // The payment itself pays nothing back.
    let said = String::from_utf8(book(&chain.landed().await[0]).stderr).unwrap();
    assert!(said.contains("the refund moved 0"), "{said}");
    assert_eq!(node.states().await, [ClaimState::RefundDue]);
}
