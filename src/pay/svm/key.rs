//! A key of the node's own.

use ed25519_dalek::{Signer, SigningKey};

use super::Key;
use super::message::Transaction;
use crate::base::{Pii, Wallet};

/// An Ed25519 key that signs transactions.
pub struct Keypair(SigningKey);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a Solana private key: 64 bytes in base58, or the list of numbers in a file of solana-keygen"
)]
pub struct NoKeypair;

impl Keypair {
    /// Secret and public half, as wallets export them and `solana-keygen` writes them.
    pub fn read(text: &Pii<String>) -> Result<Keypair, NoKeypair> {
        let text = text.expose().trim();
        let bytes: Vec<u8> = match text.starts_with('[') {
            true => serde_json::from_str(text).map_err(|_| NoKeypair)?,
            false => bs58::decode(text).into_vec().map_err(|_| NoKeypair)?,
        };
        let bytes: [u8; 64] = bytes.try_into().map_err(|_| NoKeypair)?;
        SigningKey::from_keypair_bytes(&bytes).map(Keypair).map_err(|_| NoKeypair)
    }

    pub fn public(&self) -> Key {
        self.0.verifying_key().to_bytes()
    }

    pub fn wallet(&self) -> Wallet {
        super::wallet(&self.public())
    }

    /// Puts this key's signature where the transaction has its place, if it has one.
    pub fn sign(&self, transaction: &mut Transaction) {
        let signature = self.0.sign(transaction.signed()).to_bytes();
        let place = transaction.message.accounts.iter().position(|account| *account == self.public());
        if let Some(place) = place.and_then(|place| transaction.signatures.get_mut(place)) {
            *place = signature;
        }
    }
}

/// The name of a transaction: its first signature, the fee payer's.
pub fn name(transaction: &Transaction) -> String {
    transaction.signatures.first().map(|signature| bs58::encode(signature).into_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_read_as_wallets_and_tools_write_it() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let bytes = key.to_keypair_bytes();
        let (base58, list) =
            (bs58::encode(bytes).into_string(), serde_json::to_string(&bytes.to_vec()).unwrap());
        for text in [base58, list] {
            assert_eq!(Keypair::read(&text.into()).unwrap().public(), key.verifying_key().to_bytes());
        }
    }

    #[test]
    fn half_a_key_and_halves_that_do_not_match_are_refused() {
        let mut bytes = SigningKey::from_bytes(&[7; 32]).to_keypair_bytes();
        let half = bs58::encode(&bytes[..32]).into_string();
        bytes[40] ^= 1;
        for text in [half, bs58::encode(bytes).into_string(), "0x12".into(), String::new()] {
            assert!(Keypair::read(&text.into()).is_err());
        }
    }
}
