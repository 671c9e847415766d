//! Topping up numbers whose lease is over, by HTTP.

use axum::http::StatusCode;
use callbox::{
    base::E164,
    service::BuyRequest,
    store::numbers::{Lease, Owner},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    support::Node,
    till::{Wallet, buy, header, post_with, read, selling, stock},
};

const NUMBER: &str = "+14155550199";

fn of_number() -> Value {
    json!({ "phone_number": NUMBER })
}

/// A lease that began so many days ago.
async fn leased(node: &Node, claim: &str, wallet: &Wallet, days_ago: i64) -> Lease {
    let then = Utc::now() - TimeDelta::days(days_ago);
    let criteria = node.api.numbers.quote_buy(&BuyRequest::default(), then).await.unwrap();
    node.api.numbers.buy(claim, &criteria, &wallet.wallet(), "x402phone", then).await.unwrap()
}

fn days_left(expires_at: &Value) -> i64 {
    let at: DateTime<Utc> = expires_at.as_str().unwrap().parse().unwrap();
    // The hour allows for what passes meanwhile.
    (at - Utc::now() + TimeDelta::hours(1)).num_days()
}

#[tokio::test]
async fn a_number_that_went_back_is_the_old_owners_again_whoever_tops_it_up() {
    for path in ["/api/number/topup", "/api/x402/number/topup"] {
        let node = selling(&[]).await;
        stock(&node, &[NUMBER]).await;
        let (owner, friend) = (Wallet::new(), Wallet::new());
        leased(&node, "pay_1", &owner, 200).await;
        assert_eq!(read(&node, &owner, "/api/numbers").await.json["numbers"], json!([]));
        let answer = buy(&node, &friend, path, &of_number()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.json);
        assert_eq!(days_left(&answer.json["expires_at"]), 30, "from today");
        let numbers = read(&node, &owner, "/api/numbers").await.json["numbers"].clone();
        assert_eq!(numbers[0]["phone_number"], NUMBER);
        assert_eq!(read(&node, &friend, "/api/numbers").await.json["numbers"], json!([]));
        let again = buy(&node, &owner, path, &of_number()).await;
        assert_eq!(days_left(&again.json["expires_at"]), 60, "top-ups stack");
    }
}

#[tokio::test]
async fn a_number_that_another_leases_by_now_costs_its_former_owner_nothing() {
    let node = selling(&[]).await;
    stock(&node, &[NUMBER]).await;
    let (former, owner) = (Wallet::new(), Wallet::new());
    leased(&node, "pay_1", &former, 200).await;
    leased(&node, "pay_2", &owner, 10).await;
    let refused = buy(&node, &former, "/api/x402/number/topup", &of_number()).await;
    assert_eq!((refused.status, &refused.json["error"]["code"]), (StatusCode::CONFLICT, &json!("taken")));
    assert_eq!(header(&refused.headers, "x-payment-response"), "");
    assert!(node.books.store.settled_claims().await.unwrap().is_empty(), "nothing was charged");
    let topped = buy(&node, &Wallet::new(), "/api/x402/number/topup", &of_number()).await;
    assert_eq!(days_left(&topped.json["expires_at"]), 50, "anybody else tops up whoever has it");
}

#[tokio::test]
async fn a_number_that_somebody_is_about_to_buy_is_asked_for_later() {
    let node = selling(&[]).await;
    stock(&node, &[NUMBER]).await;
    leased(&node, "pay_1", &Wallet::new(), 200).await;
    let criteria = node.api.numbers.quote_buy(&BuyRequest::default(), Utc::now()).await.unwrap();
    node.api.numbers.reserve("pay_2", &criteria, Utc::now()).await.unwrap();
    let refused = post_with(&node, "/api/number/topup", &of_number(), None).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.json);
    let seconds: u64 = header(&refused.headers, "retry-after").parse().unwrap();
    assert!((1..=180).contains(&seconds), "as long as the hold: {seconds}");
    assert_eq!(refused.json["retry_after"], seconds);
    node.api.numbers.cancel("pay_2").await.unwrap();
    assert_eq!(post_with(&node, "/api/number/topup", &of_number(), None).await.status, 402);
}

#[tokio::test]
async fn blockrun_renews_while_the_lease_or_its_grace_lasts_and_for_the_owner_alone() {
    let node = selling(&[]).await;
    stock(&node, &[NUMBER]).await;
    let owner = Wallet::new();
    let path = "/api/v1/phone/numbers/renew";
    leased(&node, "pay_1", &owner, 33).await;
    let foreign = buy(&node, &Wallet::new(), path, &of_number()).await;
    assert_eq!((foreign.status, &foreign.json["error"]), (StatusCode::FORBIDDEN, &json!("wrong_wallet")));
    assert_eq!(foreign.json["actualOwner"], json!(owner.wallet()));
    assert_eq!(foreign.json["your_active_numbers"], json!([]));
    let renewed = buy(&node, &owner, path, &of_number()).await;
    assert_eq!(days_left(&renewed.json["expires_at"]), 30);
    assert_eq!(renewed.json["transaction"], "0xabc");

    let one: E164 = NUMBER.parse().unwrap();
    node.api.numbers.release(one.as_str(), &owner.wallet(), Utc::now()).await.unwrap();
    leased(&node, "pay_2", &owner, 100).await;
    let late = post_with(&node, path, &of_number(), None).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN, "{}", late.json);
    let refused = node.api.numbers.quote_renew(NUMBER, Owner::Only(&owner.wallet()), Utc::now()).await;
    assert!(refused.is_err());
}
