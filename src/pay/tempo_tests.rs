use chrono::DateTime;
use mpp::protocol::core::parse_www_authenticate;

use super::*;
use crate::base::Usd;
use crate::pay::mpp::Charges;

fn terms() -> Terms {
    Terms {
        chain_id: 4217,
        currency: "0x20c0000000000000000000000000000000000000".parse().unwrap(),
        pay_to: "0x2222222222222222222222222222222222222222".parse().unwrap(),
        lifetime_secs: 300,
    }
}

/// A chain that nobody serves: what is known without it is known at once.
fn unreachable() -> Tempo {
    Tempo::new(&Pii::new("http://127.0.0.1:1".into()), terms()).unwrap()
}

fn offer(issued: DateTime<Utc>, payload: PaymentPayload) -> NewClaim {
    let charges = Charges::new("https://a.example", "0".repeat(32).into(), terms()).unwrap();
    let price = Usd::from_micros(540_000);
    let challenge = parse_www_authenticate(&charges.challenge(price, issued)).unwrap();
    let source = "did:pkh:eip155:4217:0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    let sent = PaymentCredential::with_source(challenge.to_echo(), source, payload);
    let header = mpp::protocol::core::format_authorization(&sent).unwrap();
    let credential = Credential::decode(&header).unwrap();
    charges.offer(&credential, price, "POST /api/call".into(), "00".into()).unwrap()
}

fn hash() -> PaymentPayload {
    PaymentPayload::hash(format!("0x{}", "ab".repeat(32)))
}

#[tokio::test]
async fn expired_challenge_is_refused_without_asking_the_chain() {
    let offer = offer(Utc::now() - TimeDelta::hours(1), hash());
    assert_eq!(unreachable().verify(&offer).await, Err(refused("the challenge has expired")));
}

#[tokio::test]
async fn chain_that_does_not_answer_is_not_the_payers_fault() {
    let offer = offer(Utc::now(), hash());
    let verified = unreachable().verify(&offer).await;
    assert!(matches!(verified, Err(Rejection::Unavailable(_))), "{verified:?}");
    let known = unreachable().look_up(&offer).await;
    assert!(matches!(known, Outcome::Unknown { .. }), "{known:?}");
}

#[test]
fn only_a_transaction_that_is_sent_already_is_prepaid() {
    let transaction = PaymentPayload::transaction("0x76c0");
    assert!(unreachable().is_prepaid(&offer(Utc::now(), hash())));
    assert!(!unreachable().is_prepaid(&offer(Utc::now(), transaction)));
}

#[test]
fn transaction_that_may_still_come_is_not_refused() {
    assert!(is_refusal(-32000, "insufficient funds for gas"));
    assert!(is_refusal(-32003, "nonce too low"));
    assert!(!is_refusal(NOT_MINED_YET, "not in a block in time"));
    assert!(!is_refusal(-32000, "already known"));
}
