//! Lookups as an agent buys them.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    support::{Answer, Node},
    till::{Wallet, buy, get_with, header, post_with, read, selling},
};

fn of(number: &str) -> Value {
    json!({ "phone_number": number })
}

fn status_of(token: &Value) -> String {
    format!("/api/lookup/status?token={}", token.as_str().unwrap())
}

pub async fn completed(node: &Node, wallet: &Wallet, path: &str) -> Answer {
    let poll = async {
        loop {
            let answer = read(node, wallet, path).await;
            if answer.json["status"] != "pending" {
                return answer;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), poll).await.expect("the lookup ends")
}

#[tokio::test]
async fn a_lookup_is_paid_for_and_read_by_the_wallet_that_paid() {
    let (node, wallet) = (selling(&[]).await, Wallet::new());
    let bought = buy(&node, &wallet, "/api/lookup", &of("+14155550123")).await;
    assert_eq!(bought.status, StatusCode::ACCEPTED, "{:?}", bought.json);
    assert_eq!(bought.json.as_object().unwrap().len(), 1, "the token alone");
    assert!(!header(&bought.headers, "x-payment-response").is_empty());
    let path = status_of(&bought.json["token"]);

    let told = completed(&node, &wallet, &path).await.json;
    let today = chrono::Utc::now().date_naive();
    let mut expected = json!({
        "status": "complete",
        "phone_number": "+14155550123",
        "imessage": "unknown",
        "facetime": "unknown",
        "carrier": { "carrier": "unknown", "number_type": "landline_or_mobile" },
        "country": { "name": "United States", "iso2": "US", "flag": "🇺🇸" },
        "checked_at": today,
    });
    if told["checked_at"] != expected["checked_at"] {
        expected["checked_at"] = json!(today.pred_opt());
    }
    assert_eq!(told, expected);
    assert_eq!(read(&node, &Wallet::new(), &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(node.get(&path).await.status, StatusCode::OK, "the operator reads it too");
}

#[tokio::test]
async fn the_same_wallet_is_not_charged_twice_within_the_hour() {
    let (node, wallet) = (selling(&[]).await, Wallet::new());
    buy(&node, &wallet, "/api/lookup", &of("+14155550123")).await;
    let again = buy(&node, &wallet, "/api/lookup", &of("+14155550123")).await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    assert_eq!(header(&again.headers, "x-payment-response"), "", "nothing was settled");
    assert_eq!(completed(&node, &wallet, &status_of(&again.json["token"])).await.json["status"], "complete");
    assert_eq!(node.books.store.settled_claims().await.unwrap().len(), 1);

    let other = buy(&node, &Wallet::new(), "/api/lookup", &of("+14155550123")).await;
    assert!(!header(&other.headers, "x-payment-response").is_empty(), "another wallet pays");
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_refused_unpaid() {
    let node = selling(&[]).await;
    for body in
        [of("+1415555012"), of("+442079460123"), of("4155550123"), json!({}), json!({ "number": "+1" })]
    {
        let answer = post_with(&node, "/api/lookup", &body, None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn tokens_that_tell_nothing_name_the_field() {
    let (node, wallet) = (selling(&[]).await, Wallet::new());
    for path in ["/api/lookup/status", "/api/lookup/status?token=", "/api/lookup/status?token=a.b.c"] {
        let answer = read(&node, &wallet, path).await;
        assert_eq!(
            (answer.status, &answer.json["error"]["field"]),
            (StatusCode::BAD_REQUEST, &json!("token"))
        );
    }
    let unsigned = get_with(&node, "/api/lookup/status?token=a.b.c", None).await;
    assert_eq!(unsigned.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn blockrun_tells_what_the_numbering_plan_says() {
    let (node, wallet) = (selling(&[]).await, Wallet::new());
    // The published client writes the field so.
    let told = buy(&node, &wallet, "/api/v1/phone/lookup", &json!({ "phoneNumber": "+447400123456" })).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!((&told.json["country_code"], &told.json["transaction"]), (&json!("GB"), &json!("0xabc")));
    assert_eq!(told.json["line_type_intelligence"]["type"], "mobile");
    assert_eq!(told.json["carrier"]["name"], "unknown");
}

#[tokio::test]
async fn a_node_that_sells_nothing_looks_up_for_its_operator() {
    let node = Node::new().await;
    let bought = node.post("/api/lookup", of("+14155550123")).await;
    assert_eq!(bought.status, StatusCode::ACCEPTED);
    assert_eq!(node.get(&status_of(&bought.json["token"])).await.status, StatusCode::OK);
    assert_eq!(post_with(&node, "/api/lookup", &of("+14155550123"), None).await.status, 401);
}
