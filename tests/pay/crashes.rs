//! A node that is killed (SIGKILL) at each state of a payment. After its restart nothing is charged twice, and
//! nothing is paid without being delivered or noted as a refund.
//!
//! A state is held still from outside: the chain's endpoint keeps a request, mining pauses, the carrier is
//! silent, or the database refuses the next state as a full disk does.

use callbox::{base::Usd, store::claims::ClaimState};
use chrono::Utc;
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    CALL, LIST, LOOKUP, NUMBER, TOPUP, awaited,
    node::Callee,
    payer::Cheque,
    proxy::{Held, IS_USED, SEND},
    scene::{Scene, terms},
};

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
    scene.node.refuse(ClaimState::Settling).await;
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
    assert_eq!(scene.proxy.seen(SEND), 1, "what is on its way is not sent again");
}

#[tokio::test]
async fn killed_before_the_chains_answer() {
    killed_while_held(Held::Answer).await;
}

/// The authorisation is good still: the number is settled and handed over without its buyer.
#[tokio::test]
async fn killed_before_the_chain_has_the_transaction() {
    killed_while_held(Held::Request).await;
}

async fn killed_while_held(held: Held) {
    let mut scene = Scene::buying().await;
    scene.proxy.hold(SEND, held);
    scene.begin();
    scene.proxy.holds().await;
    scene.node.reaches(ClaimState::Settling).await;
    scene.kill_and_restart().await;
    scene.node.reaches(ClaimState::Delivered).await;
    scene.has_bought().await;
}

/// The call died with the node, so that nobody is to pay for it: its payment waits until it can come no more, and
/// so does the client.
#[tokio::test]
async fn killed_before_the_chain_has_the_transaction_of_a_call() {
    let mut scene = Scene::calling(Callee::Rings).await;
    let valid_before = Utc::now().timestamp() + 15;
    scene.payment = scene.payer.sign(&Cheque { valid_before, ..Cheque::new(&scene.node, CALL) });
    scene.proxy.hold(SEND, Held::Request);
    scene.begin();
    scene.proxy.holds().await;
    scene.node.reaches(ClaimState::Settling).await;
    scene.kill_and_restart().await;
    let waiting = scene.again().await;
    assert_eq!(waiting.status, StatusCode::SERVICE_UNAVAILABLE, "{}", waiting.json);
    assert_eq!(waiting.json["error"]["code"], "payment_pending");
    assert!(!waiting.headers.contains_key("payment-required"), "it is not asked to pay again");
    scene.node.reaches(ClaimState::Released).await;
    assert_eq!(scene.again().await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!((scene.proxy.seen(SEND), scene.node.calls().await.len()), (1, 1));
    scene.is_paid(Usd::ZERO).await;
}

#[tokio::test]
async fn killed_before_a_number_is_booked_as_sold() {
    let mut scene = Scene::buying().await;
    scene.is_paid_and_not_booked(NUMBER).await;
    scene.mend_and_restart().await;
    scene.node.reaches(ClaimState::Delivered).await;
    scene.has_bought().await;
}

/// The disk has room again before anybody restarts the node.
#[tokio::test]
async fn not_killed_where_a_sale_cannot_be_booked() {
    let scene = Scene::buying().await;
    scene.is_paid_and_not_booked(NUMBER).await;
    scene.node.refuse_nothing().await;
    scene.node.reaches(ClaimState::Delivered).await;
    scene.has_bought().await;
}

/// A call that goes on is the buyer's, though its payment was taken up by another task.
#[tokio::test]
async fn not_killed_where_a_call_cannot_be_booked() {
    let scene = Scene::calling(Callee::Rings).await;
    scene.is_paid_and_not_booked(CALL).await;
    scene.node.refuse_nothing().await;
    let told = scene.again().await;
    assert_eq!((told.status, &told.json["success"]), (StatusCode::OK, &json!(true)), "{}", told.json);
    assert_eq!(told.json["call_id"], scene.node.calls().await[0]["call_id"]);
    scene.node.reaches(ClaimState::Delivered).await;
    scene.is_paid(CALL).await;
}

#[tokio::test]
async fn killed_before_a_lookup_is_booked_as_sold() {
    let body = json!({ "phone_number": "+14155552671" });
    let mut scene = Scene::new(Callee::Rings, "/api/lookup", LOOKUP, body).await;
    scene.is_paid_and_not_booked(LOOKUP).await;
    scene.mend_and_restart().await;
    scene.node.reaches(ClaimState::Delivered).await;
    let told = scene.again().await;
    assert_eq!(told.status, StatusCode::ACCEPTED, "{}", told.json);
    assert!(told.json["token"].is_string(), "{}", told.json);
    scene.is_paid(LOOKUP).await;
}

/// What was read is not read to anybody later.
#[tokio::test]
async fn killed_before_a_list_is_booked_as_sold() {
    let mut scene = Scene::new(Callee::Rings, "/api/v1/phone/numbers/list", LIST, json!({})).await;
    scene.is_paid_and_not_booked(LIST).await;
    scene.mend_and_restart().await;
    scene.node.reaches(ClaimState::RefundDue).await;
    scene.is_paid(LIST).await;
}

/// The lease is longer already when the node dies, and is not made longer again.
#[tokio::test]
async fn killed_before_a_renewal_is_booked_as_sold() {
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
async fn killed_before_a_call_is_booked_as_sold() {
    let mut scene = Scene::calling(Callee::Rings).await;
    scene.is_paid_and_not_booked(CALL).await;
    scene.mend_and_restart().await;
    scene.node.reaches(ClaimState::RefundDue).await;
    scene.is_paid(CALL).await;
    let told = scene.again().await;
    assert_eq!(told.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", told.json);
    assert_eq!(scene.node.calls().await.len(), 1);
    scene.is_paid(CALL).await;
}
