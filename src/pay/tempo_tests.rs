use super::*;
use crate::pay::mpp::tests::{claimed, terms};

/// A chain that nobody serves: what is known without it is known at once.
fn unreachable() -> Tempo {
    Tempo::new(&Pii::new("http://127.0.0.1:1".into()), terms()).unwrap()
}

fn hash() -> PaymentPayload {
    PaymentPayload::hash(format!("0x{}", "ab".repeat(32)))
}

#[tokio::test]
async fn expired_challenge_is_refused_without_asking_the_chain() {
    let offer = claimed(Utc::now() - TimeDelta::hours(1), hash());
    assert_eq!(unreachable().verify(&offer).await, Err(refused("the challenge has expired")));
}

#[tokio::test]
async fn chain_that_does_not_answer_is_not_the_payers_fault() {
    let offer = claimed(Utc::now(), hash());
    let verified = unreachable().verify(&offer).await;
    assert!(matches!(verified, Err(Rejection::Unavailable(_))), "{verified:?}");
    let known = unreachable().look_up(&offer).await;
    assert!(matches!(known, Outcome::Unknown { .. }), "{known:?}");
}

#[test]
fn only_a_transaction_that_is_sent_already_is_prepaid() {
    let transaction = PaymentPayload::transaction("0x76c0");
    assert!(unreachable().is_prepaid(&claimed(Utc::now(), hash())));
    assert!(!unreachable().is_prepaid(&claimed(Utc::now(), transaction)));
}

#[test]
fn transaction_that_may_still_come_is_not_refused() {
    assert!(is_refusal(-32000, "insufficient funds for gas"));
    assert!(is_refusal(-32003, "nonce too low"));
    assert!(!is_refusal(NOT_MINED_YET, "not in a block in time"));
    assert!(!is_refusal(-32000, "already known"));
}
