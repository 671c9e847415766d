//! One purchase, with hands on everything that it goes through.

use callbox::{base::Usd, store::claims::ClaimState};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    CALL, NUMBER,
    chain::Chain,
    node::{Answer, Callee, Node},
    payer::{Cheque, Payer},
    proxy::Proxy,
};

pub const BUY: &str = "/api/x402/number";
pub const PLACE: &str = "/api/x402/call";

/// A request with a payment, and all that it needs.
pub struct Scene {
    pub chain: Chain,
    pub proxy: Proxy,
    pub node: Node,
    pub payer: Payer,
    pub payment: String,
    pub path: &'static str,
    pub body: Value,
}

impl Scene {
    pub async fn buying() -> Scene {
        Scene::new(Callee::Rings, BUY, NUMBER, json!({ "area_code": "212" })).await
    }

    pub async fn calling(callee: Callee) -> Scene {
        let body = json!({ "phone_number": "+14155550123", "task": "Ask for the opening hours." });
        Scene::new(callee, PLACE, CALL, body).await
    }

    pub async fn new(callee: Callee, path: &'static str, price: Usd, body: Value) -> Scene {
        let chain = Chain::new().await;
        let proxy = Proxy::before(&chain.url).await;
        let node = Node::over(&proxy.url, callee).await;
        let payer = Payer::funded(&chain).await;
        let payment = payer.sign(&Cheque::new(&node, price));
        Scene { chain, proxy, node, payer, payment, path, body }
    }

    /// The request that is under way when the node dies.
    pub fn begin(&self) {
        drop(self.send());
    }

    /// Does not wait for the answer.
    pub fn send(&self) -> JoinHandle<reqwest::Result<Answer>> {
        self.node.send(self.path, &[("payment-signature", &self.payment)], &self.body)
    }

    /// The same request with the same payment.
    pub async fn again(&self) -> Answer {
        self.node.post(self.path, &[("payment-signature", &self.payment)], &self.body).await
    }

    pub async fn kill_and_restart(&mut self) {
        self.node.kill();
        self.proxy.forget();
        self.node.restart().await;
    }

    /// After a write was refused: the disk has room again.
    pub async fn mend_and_restart(&mut self) {
        self.node.kill();
        self.node.refuse_nothing().await;
        self.node.restart().await;
    }

    /// As the chain and as the ledger have it.
    pub async fn is_paid(&self, sum: Usd) {
        assert_eq!(self.chain.balance(&self.node.till).await, sum);
        assert_eq!(self.node.earned().await, sum);
    }

    /// The payment was let go; sent again, it buys.
    pub async fn buys_after_release(&self) {
        self.node.reaches(ClaimState::Released).await;
        self.is_paid(Usd::ZERO).await;
        assert!(self.node.leases(&self.payer.wallet).await.is_empty());
        self.has_bought().await;
    }

    /// The goods are handed over, and the money moves, but nobody can write so down.
    pub async fn is_paid_and_not_booked(&self, sum: Usd) {
        self.node.refuse(ClaimState::Delivered).await;
        assert_eq!(self.again().await.status, StatusCode::INTERNAL_SERVER_ERROR);
        self.node.reaches(ClaimState::Settling).await;
        assert_eq!(self.chain.balance(&self.node.till).await, sum);
        assert_eq!(self.node.earned().await, Usd::ZERO);
    }

    /// The number is the payer's, and was paid once; the payment buys nothing else.
    pub async fn has_bought(&self) {
        let first = self.again().await;
        assert_eq!(first.status, StatusCode::OK, "{}", first.json);
        let second = self.again().await;
        assert_eq!((second.status, &second.json), (StatusCode::OK, &first.json));
        assert_eq!(self.node.states().await, [ClaimState::Delivered]);
        let leases = self.node.leases(&self.payer.wallet).await;
        assert_eq!(leases.len(), 1);
        assert_eq!(terms(&leases[0]), 1);
        self.is_paid(NUMBER).await;
    }
}

/// How many times thirty days a lease still has.
pub fn terms(lease: &Value) -> i64 {
    let until: DateTime<Utc> = lease["expires_at"].as_str().unwrap().parse().unwrap();
    ((until - Utc::now() + TimeDelta::days(15)).num_days()) / 30
}
