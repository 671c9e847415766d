//! What was paid for is handed over by a node that has started again.

use callbox::{
    api::wares,
    pay::gate::{Answer, Work},
    service::BuyRequest,
    store::{
        Numbers,
        claims::{Claim, ClaimState, NewClaim},
        numbers::{Capability, Number, Owner},
    },
};
use chrono::Utc;
use serde_json::{Value, json};

use crate::support::Node;

const BUYER: &str = "0x1111111111111111111111111111111111111111";
const CLAIM: &str = "pay_00000000000070008000000000000001";

/// The claim of a number, with what its reservation said.
fn claim(criteria: Value) -> Claim {
    Claim {
        id: CLAIM.parse().unwrap(),
        offer: NewClaim {
            scheme: "x402".into(),
            network: "eip155:8453".into(),
            asset: "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913".into(),
            payer: BUYER.parse().unwrap(),
            nonce: "0x01".into(),
            amount: "20.00".parse().unwrap(),
            pay_to: BUYER.parse().unwrap(),
            valid_before: Utc::now(),
            route: "POST /api/number".into(),
            body_sha256: "aa".into(),
            proof: json!({}),
        },
        state: ClaimState::Settled,
        work: Some(json!({
            "kind": "number", "claim": CLAIM, "wallet": BUYER, "family": "stablephone", "criteria": criteria,
        })),
        settlement: Some("0xabc".into()),
        answer: None,
        refund: None,
        created_at: Utc::now(),
        updated_at: Utc::now(),
    }
}

async fn stock(node: &Node, number: &str, area_code: &str) {
    let number = Number {
        number: number.parse().unwrap(),
        trunk: "carrier".into(),
        country: "US".parse().unwrap(),
        area_code: area_code.into(),
        capabilities: vec![Capability::Voice],
    };
    let config = callbox::node::config::Sources::default().load().unwrap().config.numbers;
    Numbers::new(node.books.store.clone(), config).import(&[number], Utc::now()).await.unwrap();
}

async fn deliver(node: &Node, criteria: Value) -> Result<Answer, Answer> {
    let mut work: Box<dyn Work> = wares::restore(&node.api, &claim(criteria)).expect("a number is restored");
    work.deliver("0xabc").await
}

#[tokio::test]
async fn paid_number_whose_hold_was_lost_is_replaced_by_one_like_it() {
    let node = Node::new().await;
    stock(&node, "+12125550100", "212").await;
    let wanted = json!({ "country": "US", "area": { "exact": "415" } });
    assert!(deliver(&node, wanted.clone()).await.is_err(), "none in this area");
    stock(&node, "+14155550177", "415").await;
    let first = deliver(&node, wanted.clone()).await.unwrap();
    assert!(first.body.to_string().contains("+14155550177"), "{}", first.body);
    let again = deliver(&node, wanted).await.unwrap();
    assert_eq!(again, first, "handed over twice, leased once");
}

#[tokio::test]
async fn paid_number_of_which_nothing_else_is_known_is_owed() {
    let node = Node::new().await;
    stock(&node, "+14155550177", "415").await;
    assert!(deliver(&node, Value::Null).await.is_err());
}

/// A top-up of a lease that is over: the number was held for it when the node stopped.
#[tokio::test]
async fn a_paid_top_up_of_a_lease_that_is_over_is_handed_over_or_given_back() {
    for paid in [true, false] {
        let node = Node::new().await;
        stock(&node, "+14155550177", "415").await;
        let (desk, now) = (&node.api.numbers, Utc::now());
        let then = now - chrono::TimeDelta::days(200);
        let wallet = BUYER.parse().unwrap();
        let criteria = desk.quote_buy(&BuyRequest::default(), then).await.unwrap();
        let number = desk.buy("pay_1", &criteria, &wallet, "x402phone", then).await.unwrap().number;
        desk.reserve_top_up(CLAIM, &number, Owner::Anyone, now).await.unwrap();
        let ticket = json!({
            "kind": "renewal", "claim": CLAIM, "number": number, "wallet": BUYER, "family": "x402phone",
        });
        let claim = Claim { work: Some(ticket), ..claim(Value::Null) };
        let mut work = wares::restore(&node.api, &claim).expect("a top-up is restored");
        if paid {
            let first = work.deliver("0xabc").await.unwrap();
            assert_eq!(work.deliver("0xabc").await.unwrap(), first, "handed over twice, added once");
            assert_eq!(desk.list(&wallet, now).await.unwrap().len(), 1);
        } else {
            work.cancel().await;
            assert!(desk.quote_buy(&BuyRequest::default(), now).await.is_ok(), "the number is free again");
        }
    }
}
