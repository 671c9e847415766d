//! What was paid by MPP and could not be had is paid back: by a TIP-20 transfer, once.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use callbox::{
    node::{NodeConfig, config::Sources, payments},
    pay::audit::{self, Verdict},
    service::PlaceError,
    store::claims::ClaimState,
};
use serde_json::{Value, json};

use crate::{
    PATIENCE, PAY_TO, STEP,
    chain::{Chain, PATH_USD, PAYER},
    post, selling_with, states, support,
    support::{Answer, Node},
    text,
};

const CALL: &str = "/api/call";
const PRICE: u64 = 540_000;
/// anvil's second account, which has funds, too.
const REFUND_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const REFUNDER: &str = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";

async fn shop(chain: &Chain) -> Node {
    selling_with(chain, &format!(r#", refund_key = "{REFUND_KEY}""#)).await
}

/// What looks after payments in a node that serves.
fn look_after(chain: &Chain, node: &Node) {
    payments::look_after(&config(chain), &node.books.store).unwrap();
}

fn config(chain: &Chain) -> NodeConfig {
    let networks = format!(
        r#"[{{ network = "tempo", rpc = "{}", currency = "{PATH_USD}", refund_key = "{REFUND_KEY}" }}]"#,
        chain.rpc
    );
    let set = [("payments.mode", "on"), ("payments.pay_to", PAY_TO), ("payments.networks", &networks)];
    let set = set.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Sources { set, ..Sources::default() }.load().unwrap().config
}

/// A call that is paid for by a transaction which its payer has sent alone.
async fn prepaid(chain: &Chain, node: &Node, body: &Value) -> String {
    let asked = post(node, CALL, None, body).await;
    assert_eq!(asked.status, StatusCode::PAYMENT_REQUIRED, "{:?}", asked.json);
    chain.pay(&text(&asked, "www-authenticate"), json!({ "push": true })).await
}

async fn ends_in(node: &Node, state: ClaimState) {
    let reached = async {
        while states(node).await.last() != Some(&state) {
            tokio::time::sleep(STEP).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok(), "{:?}", states(node).await);
}

/// The payer has all but what the gas of their transaction has cost, and the refund was paid once.
async fn is_refunded(chain: &Chain, node: &Node, had: [u64; 2]) {
    ends_in(node, ClaimState::Refunded).await;
    assert_eq!(chain.balance(PAYER).await, had[0] + PRICE);
    let spent = had[1] - chain.balance(REFUNDER).await;
    assert!((PRICE..PRICE + PRICE / 2).contains(&spent), "the price and some gas: {spent}");
    assert_eq!(chain.balance(PAY_TO).await, PRICE);
    let ledger = node.books.store.ledger(chrono::DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(ledger.iter().map(|entry| entry.moved_micros).sum::<i64>(), 0);
    agrees(chain, node).await;
}

/// The chain's own log has the payment and the refund.
async fn agrees(chain: &Chain, node: &Node) {
    let config = config(chain);
    let tempo = payments::tempo(&config, &config.payments.networks[0]).unwrap();
    for claim in node.books.store.settled_claims().await.unwrap() {
        let finding = audit::judge(&claim, &audit::evidence(&tempo, &claim).await.unwrap());
        assert_eq!((finding.verdict, finding.on_chain), (Verdict::Agrees, 0), "{}", finding.detail);
    }
}

async fn balances(chain: &Chain) -> [u64; 2] {
    [chain.balance(PAYER).await, chain.balance(REFUNDER).await]
}

fn says_that_a_refund_is_due(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{:?}", answer.json);
    assert_eq!(answer.json["refund"], "due", "{:?}", answer.json);
    assert!(!answer.headers.contains_key("www-authenticate"), "it is not asked to pay again");
}

#[tokio::test]
async fn prepaid_call_that_no_line_is_free_for_is_paid_back_once() {
    let chain = Chain::start().await;
    let node = shop(&chain).await;
    let body = support::least();
    let paid = prepaid(&chain, &node, &body).await;
    *node.calls.refusal.lock() = Some(PlaceError::AtCapacity { limit: 1 });
    let refused = post(&node, CALL, Some(&paid), &body).await;
    says_that_a_refund_is_due(&refused);
    // The line is free again: the payment is on its way back and buys nothing.
    *node.calls.refusal.lock() = None;
    let again = post(&node, CALL, Some(&paid), &body).await;
    assert_eq!((again.status, &again.json), (refused.status, &refused.json));

    let had = balances(&chain).await;
    look_after(&chain, &node);
    is_refunded(&chain, &node, had).await;
}

/// The node dies between the claim and the work.
#[tokio::test]
async fn prepaid_call_of_a_node_that_died_is_paid_back_once() {
    let chain = Chain::start().await;
    let node = shop(&chain).await;
    let body = support::least();
    let paid = prepaid(&chain, &node, &body).await;
    // A bug in its work stands for the end of the node.
    node.calls.panics.store(true, Ordering::Relaxed);
    let pending = post(&node, CALL, Some(&paid), &body).await;
    assert_eq!(pending.status, StatusCode::SERVICE_UNAVAILABLE, "{:?}", pending.json);
    assert_eq!(states(&node).await, [ClaimState::Reserved]);

    payments::recover(&node.api);
    ends_in(&node, ClaimState::RefundDue).await;
    assert_eq!(node.calls.plans.lock().len(), 0);
    let had = balances(&chain).await;
    look_after(&chain, &node);
    is_refunded(&chain, &node, had).await;
}
