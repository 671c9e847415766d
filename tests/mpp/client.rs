//! The published client as it is, from its first request to its last answer.

use std::net::Ipv4Addr;

use axum::http::StatusCode;
use callbox::store::claims::ClaimState;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{LIST, PATIENCE, PAY_TO, PRICE, STEP, chain::Chain, selling, states, support::Node};

/// A node on a socket of this machine.
struct Shop {
    url: String,
    server: JoinHandle<()>,
}

impl Shop {
    async fn of(node: &Node) -> Shop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}{LIST}", listener.local_addr().unwrap());
        let router = node.router.clone();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Shop { url, server }
    }

    /// What the client got in the end.
    async fn sells(&self, chain: &Chain, wallet: bool) -> Value {
        let told = chain.pay("", json!({ "url": self.url, "wallet": wallet })).await;
        serde_json::from_str(&told).unwrap()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// With an account of a wallet, the client has the transaction sent and shows its hash.
#[tokio::test]
async fn published_client_with_a_wallet_pays_and_gets_its_list() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    let told = Shop::of(&node).await.sells(&chain, true).await;
    assert_eq!(told["status"], u16::from(StatusCode::OK), "{told}");
    let receipt = mpp::protocol::core::parse_receipt(told["receipt"].as_str().unwrap()).unwrap();
    assert!(receipt.is_success());
    assert_eq!(chain.balance(PAY_TO).await, PRICE);
    assert_eq!(states(&node).await.last(), Some(&ClaimState::Delivered));
}

/// With a key of its own, the client signs a transaction whose nonce expires, which this chain puts into no block.
/// It is good as far as the node can see, and is sent; the client is told to wait, and is never charged.
#[tokio::test]
async fn published_client_whose_transaction_no_block_takes_is_told_to_wait_and_not_charged() {
    let chain = Chain::start().await;
    let node = selling(&chain).await;
    let told = Shop::of(&node).await.sells(&chain, false).await;
    assert_eq!(told["status"], u16::from(StatusCode::SERVICE_UNAVAILABLE), "{told}");
    assert!(told["receipt"].is_null());
    assert_eq!(states(&node).await, [ClaimState::Reserved, ClaimState::Settling], "verified, and sent");
    let released = async {
        while states(&node).await.last() != Some(&ClaimState::Released) {
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(PATIENCE, released).await.expect("it expires");
    assert_eq!(chain.balance(PAY_TO).await, 0);
    assert_eq!(node.books.store.settled_claims().await.unwrap(), []);
}
