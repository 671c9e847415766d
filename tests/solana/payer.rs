//! A wallet on Solana that signs what it likes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use callbox::{
    base::{Usd, Wallet},
    pay::{
        network::NETWORKS,
        svm::{
            self, COMPUTE_BUDGET, Key, MEMO, TOKEN_PROGRAM,
            message::{Instruction, Message, Transaction},
        },
    },
};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use crate::{
    chain::{Chain, fee_payer},
    node::{Answer, Node},
};

pub struct Payer {
    key: SigningKey,
    pub wallet: Wallet,
}

pub fn mint() -> Key {
    svm::key(NETWORKS[2].asset).unwrap()
}

/// A payment before it is signed. `change` may spoil it.
pub struct Cheque {
    pub message: Message,
    /// What the envelope says was accepted.
    pub accepted: Value,
}

impl Payer {
    /// With a hundred dollars.
    pub async fn funded(chain: &Chain) -> Payer {
        let payer = Payer::random();
        chain.fund(&payer.wallet, Usd::from_micros(100_000_000)).await;
        payer
    }

    pub fn random() -> Payer {
        Payer::of(SigningKey::from_bytes(&rand::random()))
    }

    pub fn read(base58: &str) -> Payer {
        let bytes = bs58::decode(base58).into_vec().unwrap();
        Payer::of(SigningKey::from_keypair_bytes(&bytes.try_into().unwrap()).unwrap())
    }

    fn of(key: SigningKey) -> Payer {
        let wallet = svm::wallet(&key.verifying_key().to_bytes());
        Payer { key, wallet }
    }

    pub fn public(&self) -> Key {
        self.key.verifying_key().to_bytes()
    }

    /// Both halves.
    pub fn secret(&self) -> [u8; 64] {
        self.key.to_keypair_bytes()
    }

    pub fn base58(&self) -> String {
        bs58::encode(self.secret()).into_string()
    }

    /// The payment that is asked for.
    pub async fn cheque(&self, chain: &Chain, node: &Node, amount: Usd) -> Cheque {
        let (payer, till) = (self.public(), svm::key(node.till.as_str()).unwrap());
        let place = |address: &str| svm::key(address).unwrap();
        let data = |kind: u8, value: &[u8]| [&[kind][..], value].concat();
        let transfer = [&data(12, &amount.micros().to_le_bytes())[..], &[6]].concat();
        let instruction =
            |program, accounts: &[u8], data| Instruction { program, accounts: accounts.to_vec(), data };
        let message = Message {
            version: Some(0),
            signers: 2,
            read_only_signers: 1,
            read_only_others: 4,
            accounts: vec![
                place(fee_payer().as_str()),
                payer,
                svm::token_account(&payer, &mint()),
                svm::token_account(&till, &mint()),
                mint(),
                place(COMPUTE_BUDGET),
                place(TOKEN_PROGRAM),
                place(MEMO),
            ],
            blockhash: chain.blockhash().await,
            instructions: vec![
                instruction(5, &[], data(2, &20_000_u32.to_le_bytes())),
                instruction(5, &[], data(3, &1_u64.to_le_bytes())),
                instruction(6, &[2, 4, 3, 1], transfer),
                instruction(7, &[], hex::encode(rand::random::<[u8; 16]>()).into_bytes()),
            ],
        };
        let accepted = json!({
            "scheme": "exact",
            "network": NETWORKS[2].caip2,
            "amount": amount.micros().to_string(),
            "asset": NETWORKS[2].asset,
            "payTo": node.till,
            "maxTimeoutSeconds": 300,
            "extra": { "feePayer": fee_payer() },
        });
        Cheque { message, accepted }
    }

    pub fn sign(&self, cheque: &Cheque) -> Transaction {
        let mut transaction = Transaction::unsigned(cheque.message.clone());
        let signature = self.key.sign(transaction.signed()).to_bytes();
        if let Some(place) = transaction.signatures.get_mut(1) {
            *place = signature;
        }
        transaction
    }

    /// The value of `PAYMENT-SIGNATURE`.
    pub fn header(&self, cheque: &Cheque) -> String {
        envelope(&cheque.accepted, &self.sign(cheque))
    }
}

pub fn envelope(accepted: &Value, transaction: &Transaction) -> String {
    let payload = json!({ "transaction": base64(transaction) });
    encode(&json!({ "x402Version": 2, "accepted": accepted, "payload": payload }))
}

pub fn encode(value: &Value) -> String {
    STANDARD.encode(value.to_string())
}

pub fn base64(transaction: &Transaction) -> String {
    STANDARD.encode(transaction.encode())
}

/// The content of a header in base64.
pub fn decode(answer: &Answer, header: &str) -> Value {
    let text = answer.headers.get(header).unwrap_or_else(|| panic!("no header {header}: {answer:?}"));
    serde_json::from_slice(&STANDARD.decode(text.as_bytes()).unwrap()).unwrap()
}
