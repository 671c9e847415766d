//! A node that is killed (SIGKILL) while it pays a refund: whatever it had done, nobody is paid back twice and
//! nobody is forgotten. And a refund that offers too little for its gas.

use callbox::{
    base::{Usd, Wallet},
    store::claims::ClaimState,
};
use chrono::DateTime;
use serde_json::json;

use crate::{
    CALL, awaited,
    node::{Callee, REFUNDER},
    proxy::{Held, SEND},
    scene::Scene,
};

/// What a payer begins with.
const HUNDRED: Usd = Usd::from_micros(100_000_000);

impl Scene {
    /// A call was paid, and its node has died: the next one will owe its price, and has the money.
    async fn owing() -> Scene {
        let mut scene = Scene::calling(Callee::Rings).await;
        scene.is_paid_and_not_booked(CALL).await;
        scene.node.kill();
        scene.node.refuse_nothing().await;
        scene.chain.mint(&refunder(), HUNDRED).await;
        scene
    }

    /// Once, as the chain and as the ledger have it.
    async fn is_refunded(&self) {
        self.node.reaches(ClaimState::Refunded).await;
        assert_eq!(self.chain.balance(&self.payer.wallet).await, HUNDRED);
        let left = Usd::from_micros(HUNDRED.micros() - CALL.micros());
        assert_eq!(self.chain.balance(&refunder()).await, left, "paid once");
        assert_eq!(self.node.earned().await, Usd::ZERO);
    }

    async fn is_paid_back(&self) {
        awaited("the money is back", async || {
            (self.chain.balance(&self.payer.wallet).await == HUNDRED).then_some(())
        })
        .await;
    }
}

fn refunder() -> Wallet {
    REFUNDER.parse().unwrap()
}

#[tokio::test]
async fn killed_before_a_refund_is_sent() {
    let mut scene = Scene::owing().await;
    scene.proxy.hold(SEND, Held::Request);
    scene.node.restart().await;
    scene.proxy.holds().await;
    scene.node.reaches(ClaimState::Refunding).await;
    scene.kill_and_restart().await;
    scene.is_refunded().await;
}

#[tokio::test]
async fn killed_before_the_chain_answers_that_it_has_a_refund() {
    let mut scene = Scene::owing().await;
    scene.proxy.hold(SEND, Held::Answer);
    scene.node.restart().await;
    scene.is_paid_back().await;
    scene.node.reaches(ClaimState::Refunding).await;
    scene.kill_and_restart().await;
    scene.is_refunded().await;
}

#[tokio::test]
async fn killed_while_a_refund_waits_to_be_mined() {
    let mut scene = Scene::owing().await;
    scene.chain.automine(false).await;
    scene.node.restart().await;
    awaited("it is sent", async || (scene.chain.waiting().await == 1).then_some(())).await;
    scene.kill_and_restart().await;
    let sent = scene.proxy.seen(SEND);
    awaited("it is sent again", async || (scene.proxy.seen(SEND) > sent).then_some(())).await;
    assert_eq!(scene.chain.waiting().await, 1, "the same bytes");
    scene.chain.mine().await;
    scene.is_refunded().await;
}

/// What cannot be written down is not sent.
#[tokio::test]
async fn killed_before_a_refund_is_noted() {
    let mut scene = Scene::owing().await;
    scene.node.refuse(ClaimState::Refunding).await;
    let (signs, sent) = (scene.proxy.seen("eth_estimateGas"), scene.proxy.seen(SEND));
    scene.node.restart().await;
    // The second begins when the first is over.
    awaited("it is signed twice", async || (scene.proxy.seen("eth_estimateGas") >= signs + 2).then_some(()))
        .await;
    assert_eq!(scene.proxy.seen(SEND), sent);
    scene.node.reaches(ClaimState::RefundDue).await;
    scene.mend_and_restart().await;
    scene.is_refunded().await;
}

#[tokio::test]
async fn killed_before_a_refund_is_booked() {
    let mut scene = Scene::owing().await;
    scene.node.refuse(ClaimState::Refunded).await;
    scene.node.restart().await;
    scene.is_paid_back().await;
    scene.node.reaches(ClaimState::Refunding).await;
    scene.mend_and_restart().await;
    scene.is_refunded().await;
}

/// Gas becomes dear while the refund waits for a block. It offers more under the same number.
#[tokio::test]
async fn refund_that_offers_too_little_for_its_gas_offers_more() {
    let mut scene = Scene::owing().await;
    scene.chain.automine(false).await;
    scene.node.restart().await;
    awaited("it is sent", async || (scene.chain.waiting().await == 1).then_some(())).await;
    scene.proxy.tell("anvil_setNextBlockBaseFeePerGas", json!(["0xe8d4a51000"])).await;
    scene.chain.mine().await;
    let payer = &scene.payer.wallet;
    assert_ne!(scene.chain.balance(payer).await, HUNDRED, "it is too cheap for the block");
    awaited("it offers more", async || {
        let ledger = scene.node.store.ledger(DateTime::UNIX_EPOCH).await.unwrap();
        ledger.iter().any(|entry| entry.detail.contains("offers more")).then_some(())
    })
    .await;
    awaited("it is mined", async || {
        scene.chain.mine().await;
        (scene.node.states().await == [ClaimState::Refunded]).then_some(())
    })
    .await;
    scene.is_refunded().await;
}
