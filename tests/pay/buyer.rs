//! The library's own buyer, with which the demonstration pays.

use callbox::{
    base::Usd,
    eval::buyer::{BuyError, Buyer},
};
use serde_json::json;

use crate::{
    CALL, NUMBER,
    chain::Chain,
    node::{Callee, Node},
};

#[tokio::test]
async fn buyer_leases_a_number_and_calls_from_it() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Answers).await;
    let buyer = Buyer::new(NUMBER).unwrap();
    chain.mint(&buyer.wallet, NUMBER + CALL).await;
    let (lease, call) = (format!("{}/api/x402/number", node.url()), format!("{}/api/x402/call", node.url()));

    let body = json!({ "area_code": "415" });
    let offer = buyer.ask(&lease, &body).await.unwrap();
    assert_eq!((offer.price(), offer.pay_to()), (NUMBER, node.till.clone()));
    let bought = buyer.pay(&offer, &lease, &body).await.unwrap();
    assert_eq!(chain.receipt(&json!(bought.transaction)).await["status"], "0x1");
    let body = json!({
        "phone_number": "+14155550123",
        "task": "Ask for the opening hours.",
        "from": bought.answer["phone_number"],
    });
    let offer = buyer.ask(&call, &body).await.unwrap();
    let placed = buyer.pay(&offer, &call, &body).await.unwrap();
    assert!(placed.answer["call_id"].as_str().is_some_and(|id| id.starts_with("call_")), "{}", placed.answer);
    assert_eq!(chain.balance(&buyer.wallet).await, Usd::ZERO);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER + CALL, NUMBER + CALL));

    // An empty wallet signs as well, and gets nothing.
    let refused = buyer.pay(&offer, &call, &body).await.unwrap_err();
    assert!(matches!(refused, BuyError::Refused { .. }), "{refused}");
    assert_eq!(node.calls().await.len(), 1);
}

#[tokio::test]
async fn buyer_signs_nothing_beyond_its_limit_and_asks_nothing_that_is_free() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Rings).await;
    let buyer = Buyer::new(CALL).unwrap();
    chain.mint(&buyer.wallet, NUMBER).await;
    let url = format!("{}/api/x402/number", node.url());
    let offer = buyer.ask(&url, &json!({})).await.unwrap();
    let dear = buyer.pay(&offer, &url, &json!({})).await.unwrap_err();
    assert_eq!(dear.to_string(), "it costs 20.00 dollars, and at most 0.54 are paid for one thing");
    let wrong = buyer.ask(&url, &json!({ "area_code": 1 })).await.unwrap_err();
    assert!(matches!(wrong, BuyError::NotForSale { .. }), "{wrong}");
    assert_eq!((chain.balance(&buyer.wallet).await, node.states().await.len()), (NUMBER, 0));
}
