use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use chrono::TimeZone;

use super::*;
use crate::pay::network::NETWORKS;

const HOST: &str = "https://phone.example.com:8402";

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 9, 0, 0).unwrap()
}

fn node() -> SignIn {
    SignIn::new(HOST, vec![7; 32].into())
}

fn info(node: &SignIn) -> Value {
    let resource = x402::Resource { url: format!("{HOST}/api/numbers"), description: "Your numbers".into() };
    let challenge = node.challenge(&resource, &[&NETWORKS[0]], now());
    challenge["extensions"]["sign-in-with-x"]["info"].clone()
}

/// What a client sends for a challenge.
fn signed(info: &Value, signer: &PrivateKeySigner) -> Value {
    let mut sent = info.clone();
    sent["address"] = signer.address().to_string().into();
    sent["signature"] = "".into();
    let message = message(&serde_json::from_value(sent.clone()).unwrap()).unwrap();
    let text = message.to_sign_string(siwx_evm::CHAIN_NAME);
    sent["signature"] = signer.sign_message_sync(text.as_bytes()).unwrap().to_string().into();
    sent
}

async fn verified(sent: &Value, at: DateTime<Utc>) -> Result<Wallet, SignInError> {
    node().verify(&x402::encode(sent), at).await.map(|signed| signed.wallet)
}

#[tokio::test]
async fn signed_challenge_says_who_asks() {
    let signer = PrivateKeySigner::random();
    let sent = signed(&info(&node()), &signer);
    assert_eq!(verified(&sent, now()).await, Ok(signer.address().to_string().parse().unwrap()));
}

#[tokio::test]
async fn foreign_wallet_cannot_use_anothers_signature() {
    let mut sent = signed(&info(&node()), &PrivateKeySigner::random());
    sent["address"] = PrivateKeySigner::random().address().to_string().into();
    assert_eq!(verified(&sent, now()).await, Err(SignInError::InvalidSignature));
}

#[tokio::test]
async fn old_challenge_has_expired() {
    let sent = signed(&info(&node()), &PrivateKeySigner::random());
    assert_eq!(verified(&sent, now() + LIFETIME + TimeDelta::seconds(1)).await, Err(SignInError::Expired));
    // A later date in the signed text does not prolong the node's own nonce.
    let mut info = info(&node());
    let later = now() + TimeDelta::minutes(6);
    info["issuedAt"] = text(later).into();
    info["expirationTime"] = text(later + LIFETIME).into();
    let sent = signed(&info, &PrivateKeySigner::random());
    assert_eq!(verified(&sent, later).await, Err(SignInError::Expired));
}

#[tokio::test]
async fn challenge_of_another_place_is_refused() {
    for (field, value) in [
        ("domain", "evil.example.com"),
        ("uri", "https://evil.example.com/api/numbers"),
        ("uri", "https://phone.example.com:84020/"),
        ("nonce", "00000000000000000000000000000000"),
        ("issuedAt", "2030-01-01T00:00:00.000Z"),
        ("version", "2"),
    ] {
        let mut info = info(&node());
        info[field] = value.into();
        let sent = signed(&info, &PrivateKeySigner::random());
        assert!(matches!(verified(&sent, now()).await, Err(SignInError::Malformed(_))), "{field}");
    }
}

#[tokio::test]
async fn host_without_its_port_is_this_node_too() {
    let mut info = info(&node());
    info["domain"] = "phone.example.com".into();
    let sent = signed(&info, &PrivateKeySigner::random());
    assert!(verified(&sent, now()).await.is_ok());
}

#[tokio::test]
async fn nonce_of_another_node_is_foreign() {
    let other = SignIn::new(HOST, vec![8; 32].into());
    let sent = signed(&info(&other), &PrivateKeySigner::random());
    assert!(matches!(verified(&sent, now()).await, Err(SignInError::Malformed(_))));
}

#[tokio::test]
async fn noise_in_the_header_is_malformed() {
    for header in ["", "!", "e30=", &"A".repeat(20_000)] {
        assert!(matches!(node().verify(header, now()).await, Err(SignInError::Malformed(_))));
    }
}
