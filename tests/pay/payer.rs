//! A wallet that signs what it likes: x402 payments and sign-ins, right or wrong in one place.

use alloy::{
    primitives::{B256, eip191_hash_message},
    signers::{SignerSync, local::PrivateKeySigner},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use callbox::{
    base::{Usd, Wallet},
    eval::buyer::{Offer, wallet_of},
    pay::network::NETWORKS,
};
use chrono::Utc;
use serde_json::{Value, json};

use crate::{
    chain::Chain,
    node::{Answer, Node},
};

pub struct Payer {
    key: PrivateKeySigner,
    pub wallet: Wallet,
}

/// An EIP-3009 authorisation before it is signed, and what the envelope says about it.
#[derive(Debug, Clone)]
pub struct Cheque {
    pub to: Wallet,
    pub value: Usd,
    pub valid_after: i64,
    pub valid_before: i64,
    pub nonce: B256,
    /// Of the signature's domain and of the envelope.
    pub asset: String,
    pub network: String,
}

impl Cheque {
    pub fn new(node: &Node, value: Usd) -> Cheque {
        let now = Utc::now().timestamp();
        Cheque {
            to: node.till.clone(),
            value,
            valid_after: now - 600,
            valid_before: now + 300,
            nonce: B256::from(rand::random::<[u8; 32]>()),
            asset: NETWORKS[0].asset.to_owned(),
            network: NETWORKS[0].caip2.to_owned(),
        }
    }
}

impl Payer {
    /// With a hundred dollars.
    pub async fn funded(chain: &Chain) -> Payer {
        let payer = Payer::poor();
        chain.mint(&payer.wallet, Usd::from_micros(100_000_000)).await;
        payer
    }

    pub fn poor() -> Payer {
        let key = PrivateKeySigner::random();
        Payer { wallet: wallet_of(&key), key }
    }

    /// The private key, 0x and 64 digits, for clients that take one.
    pub fn secret(&self) -> String {
        format!("0x{}", hex::encode(self.key.to_bytes()))
    }

    /// The value of `PAYMENT-SIGNATURE`.
    pub fn sign(&self, cheque: &Cheque) -> String {
        encode(&self.envelope(cheque))
    }

    pub fn envelope(&self, cheque: &Cheque) -> Value {
        let offer = Offer::read(json!({
            "scheme": "exact",
            "network": cheque.network,
            "amount": cheque.value.micros().to_string(),
            "asset": cheque.asset,
            "payTo": cheque.to,
            "maxTimeoutSeconds": 300,
            "extra": { "name": NETWORKS[0].asset_name, "version": NETWORKS[0].asset_version },
        }));
        offer.unwrap().pay(&self.key, cheque.valid_after..cheque.valid_before, cheque.nonce)
    }

    /// Signs the challenge of a 402. `change` may spoil the message before it is signed.
    pub fn sign_in(&self, challenge: &Value, change: impl FnOnce(&mut Value)) -> Value {
        let mut message = challenge["extensions"]["sign-in-with-x"]["info"].clone();
        message["address"] = self.key.address().to_string().into();
        change(&mut message);
        let text = eip4361(&message);
        let signature = self.key.sign_hash_sync(&eip191_hash_message(text)).unwrap();
        message["signature"] = signature.to_string().into();
        message
    }

    /// The value of `SIGN-IN-WITH-X` for a fresh challenge of this path.
    pub async fn signed_in(&self, node: &Node, path: &str) -> String {
        encode(&self.sign_in(&node.get(path, &[]).await.json, |_| {}))
    }

    /// Sends a request with this payment.
    pub async fn pay(&self, node: &Node, cheque: &Cheque, path: &str, body: &Value) -> Answer {
        node.post(path, &[("payment-signature", &self.sign(cheque))], body).await
    }
}

pub fn encode(value: &Value) -> String {
    STANDARD.encode(value.to_string())
}

/// The content of a header in base64.
pub fn decode(answer: &Answer, header: &str) -> Value {
    let text = answer.headers.get(header).unwrap_or_else(|| panic!("no header {header}: {answer:?}"));
    serde_json::from_slice(&STANDARD.decode(text.as_bytes()).unwrap()).unwrap()
}

fn eip4361(message: &Value) -> String {
    let field = |name: &str| message[name].as_str().unwrap();
    let chain = field("chainId").rsplit_once(':').unwrap().1;
    format!(
        "{} wants you to sign in with your Ethereum account:\n{}\n\n{}\n\nURI: {}\nVersion: 1\nChain ID: {chain}\n\
         Nonce: {}\nIssued At: {}\nExpiration Time: {}",
        field("domain"),
        field("address"),
        field("statement"),
        field("uri"),
        field("nonce"),
        field("issuedAt"),
        field("expirationTime"),
    )
}
