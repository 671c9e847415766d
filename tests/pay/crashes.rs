//! A node that is killed (SIGKILL) at each state of a payment. After its restart nothing is charged twice, and
//! nothing is paid without being delivered or noted as a refund.
//!
//! A state is held still from outside: the chain's endpoint keeps a request, mining pauses, the carrier is
//! silent, or the database refuses the next state as a full disk does.

use callbox::{base::Usd, store::claims::ClaimState};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    CALL, NUMBER, TOPUP, awaited,
    chain::Chain,
    node::{Answer, Callee, Node},
    payer::{Cheque, Payer},
    proxy::{Held, IS_USED, Proxy},
};

const BUY: &str = "/api/x402/number";
const PLACE: &str = "/api/x402/call";

struct Scene {
    chain: Chain,
    proxy: Proxy,
    node: Node,
    payer: Payer,
    payment: String,
    path: &'static str,
    body: Value,
}

impl Scene {
    async fn buying() -> Scene {
        Scene::new(Callee::Rings, BUY, NUMBER, json!({ "area_code": "212" })).await
    }

    async fn calling(callee: Callee) -> Scene {
        let body = json!({ "phone_number": "+14155550123", "task": "Ask for the opening hours." });
        Scene::new(callee, PLACE, CALL, body).await
    }

    async fn new(callee: Callee, path: &'static str, price: Usd, body: Value) -> Scene {
        let chain = Chain::new().await;
        let proxy = Proxy::before(&chain.url).await;
        let node = Node::over(&proxy.url, callee).await;
        let payer = Payer::funded(&chain).await;
        let payment = payer.sign(&Cheque::new(&node, price));
        Scene { chain, proxy, node, payer, payment, path, body }
    }

    /// The request that is under way when the node dies.
    fn begin(&self) {
        drop(self.node.send(self.path, &[("payment-signature", &self.payment)], &self.body));
    }

    /// The same request with the same payment.
    async fn again(&self) -> Answer {
        self.node.post(self.path, &[("payment-signature", &self.payment)], &self.body).await
    }

    async fn kill_and_restart(&mut self) {
        self.node.kill();
        self.proxy.forget();
        self.node.restart().await;
    }

    /// After a write was refused: the disk has room again.
    async fn mend_and_restart(&mut self) {
        self.node.kill();
        self.node.refuse_nothing().await;
        self.node.restart().await;
    }

    /// As the chain and as the ledger have it.
    async fn is_paid(&self, sum: Usd) {
        assert_eq!(self.chain.balance(&self.node.till).await, sum);
        assert_eq!(self.node.earned().await, sum);
    }

    /// The payment was let go; sent again, it buys.
    async fn buys_after_release(&self) {
        self.node.reaches(ClaimState::Released).await;
        self.is_paid(Usd::ZERO).await;
        assert!(self.node.leases(&self.payer.wallet).await.is_empty());
        self.has_bought().await;
    }

    /// The number is the payer's, and was paid once; the payment buys nothing else.
    async fn has_bought(&self) {
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
fn terms(lease: &Value) -> i64 {
    let until: DateTime<Utc> = lease["expires_at"].as_str().unwrap().parse().unwrap();
    ((until - Utc::now() + TimeDelta::days(15)).num_days()) / 30
}

#[tokio::test]
async fn killed_while_a_payment_is_verified() {
    let mut scene = Scene::buying().await;
    scene.proxy.hold(IS_USED, Held::Request);
    scene.begin();
    scene.proxy.holds().await;
    scene.node.reaches(ClaimState::Reserved).await;
    scene.kill_and_restart().await;
    scene.buys_after_release().await;
}

#[tokio::test]
async fn killed_before_the_work_is_noted() {
    let mut scene = Scene::buying().await;
    scene.node.refuse(ClaimState::Worked).await;
    assert_eq!(scene.again().await.status, StatusCode::INTERNAL_SERVER_ERROR);
    scene.node.reaches(ClaimState::Reserved).await;
    scene.mend_and_restart().await;
    scene.buys_after_release().await;
}

#[tokio::test]
async fn killed_while_the_carrier_is_silent() {
    let mut scene = Scene::calling(Callee::Mute).await;
    scene.begin();
    awaited("the call is placed", async || (scene.node.calls().await.len() == 1).then_some(())).await;
    assert_eq!(scene.node.states().await, [ClaimState::Reserved]);
    scene.kill_and_restart().await;
    scene.node.reaches(ClaimState::Released).await;
    scene.is_paid(Usd::ZERO).await;
    let call = &scene.node.calls().await[0];
    assert_eq!((&call["status"], &call["completed"]), (&json!("failed"), &json!(true)));
}

#[tokio::test]
async fn killed_between_the_work_and_the_settlement() {
    let mut scene = Scene::buying().await;
    scene.node.refuse(ClaimState::Settling).await;
    assert_eq!(scene.again().await.status, StatusCode::INTERNAL_SERVER_ERROR);
    scene.node.reaches(ClaimState::Worked).await;
    scene.mend_and_restart().await;
    scene.buys_after_release().await;
}

#[tokio::test]
async fn killed_while_the_transaction_waits_to_be_mined() {
    let mut scene = Scene::buying().await;
    scene.chain.automine(false).await;
    scene.begin();
    awaited("it is sent", async || (scene.chain.waiting().await == 1).then_some(())).await;
    scene.node.reaches(ClaimState::Settling).await;
    scene.kill_and_restart().await;
    assert_eq!(scene.node.states().await, [ClaimState::Settling], "nobody knows yet");
    scene.chain.mine().await;
    scene.node.reaches(ClaimState::Delivered).await;
    scene.has_bought().await;
}

#[tokio::test]
async fn killed_before_the_chains_answer() {
    let mut scene = Scene::buying().await;
    scene.proxy.hold("eth_sendRawTransaction", Held::Answer);
    scene.begin();
    scene.proxy.holds().await;
    scene.node.reaches(ClaimState::Settling).await;
    scene.kill_and_restart().await;
    scene.node.reaches(ClaimState::Delivered).await;
    scene.has_bought().await;
}

/// Nobody can know that it was never sent before the authorisation has expired; until then the client waits.
#[tokio::test]
async fn killed_before_the_chain_has_the_transaction() {
    let mut scene = Scene::buying().await;
    let valid_before = Utc::now().timestamp() + 15;
    scene.payment = scene.payer.sign(&Cheque { valid_before, ..Cheque::new(&scene.node, NUMBER) });
    scene.proxy.hold("eth_sendRawTransaction", Held::Request);
    scene.begin();
    scene.proxy.holds().await;
    scene.node.reaches(ClaimState::Settling).await;
    scene.kill_and_restart().await;
    let waiting = scene.again().await;
    assert_eq!(waiting.status, StatusCode::SERVICE_UNAVAILABLE, "{}", waiting.json);
    assert_eq!(waiting.json["error"]["code"], "payment_pending");
    scene.node.reaches(ClaimState::Released).await;
    scene.is_paid(Usd::ZERO).await;
    // The number is free for another payment; this one is worth nothing any more.
    let answer = scene.again().await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.json);
    scene.is_paid(Usd::ZERO).await;
}

#[tokio::test]
async fn killed_before_the_money_is_booked() {
    let mut scene = Scene::buying().await;
    scene.node.refuse(ClaimState::Settled).await;
    assert_eq!(scene.again().await.status, StatusCode::INTERNAL_SERVER_ERROR);
    scene.node.reaches(ClaimState::Settling).await;
    assert_eq!(scene.chain.balance(&scene.node.till).await, NUMBER);
    scene.mend_and_restart().await;
    scene.node.reaches(ClaimState::Delivered).await;
    scene.has_bought().await;
}

#[tokio::test]
async fn killed_before_a_number_is_handed_over() {
    let mut scene = Scene::buying().await;
    scene.node.refuse(ClaimState::Delivered).await;
    assert_eq!(scene.again().await.status, StatusCode::INTERNAL_SERVER_ERROR);
    scene.node.reaches(ClaimState::Settled).await;
    scene.mend_and_restart().await;
    scene.node.reaches(ClaimState::Delivered).await;
    scene.has_bought().await;
}

/// The lease is longer already when the node dies, and is not made longer again.
#[tokio::test]
async fn killed_before_a_renewal_is_handed_over() {
    let mut scene = Scene::buying().await;
    let bought = scene.again().await;
    let number = bought.json["phone_number"].clone();
    scene.payment = scene.payer.sign(&Cheque::new(&scene.node, TOPUP));
    (scene.path, scene.body) = ("/api/x402/number/topup", json!({ "phone_number": number }));
    scene.node.refuse(ClaimState::Delivered).await;
    assert_eq!(scene.again().await.status, StatusCode::INTERNAL_SERVER_ERROR);
    scene.mend_and_restart().await;
    awaited("it is delivered", async || {
        (scene.node.states().await == [ClaimState::Delivered; 2]).then_some(())
    })
    .await;
    assert_eq!(scene.again().await.status, StatusCode::OK);
    assert_eq!(terms(&scene.node.leases(&scene.payer.wallet).await[0]), 2);
    let both = Usd::from_micros(NUMBER.micros() + TOPUP.micros());
    scene.is_paid(both).await;
}

/// The call died with the node, and was paid.
#[tokio::test]
async fn killed_before_a_call_is_handed_over() {
    let mut scene = Scene::calling(Callee::Rings).await;
    scene.node.refuse(ClaimState::Delivered).await;
    assert_eq!(scene.again().await.status, StatusCode::INTERNAL_SERVER_ERROR);
    scene.node.reaches(ClaimState::Settled).await;
    scene.mend_and_restart().await;
    scene.node.reaches(ClaimState::RefundDue).await;
    scene.is_paid(CALL).await;
    let told = scene.again().await;
    assert_eq!(told.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", told.json);
    assert_eq!(scene.node.calls().await.len(), 1);
    scene.is_paid(CALL).await;
}
