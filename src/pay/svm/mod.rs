//! x402's scheme `exact` on Solana (github.com/coinbase/x402, specs/schemes/exact/scheme_exact_svm.md).
//!
//! The client signs a transaction that moves its tokens and names somebody else as the payer of its fee. It is
//! worth nothing until that one has signed, too: only the fee payer can settle, and a transaction lands once or,
//! when its blockhash has aged, never.
//!
//! | file | phenomenon |
//! |---|---|
//! | [`message`] | a transaction's bytes, read and written |
//! | [`exact`] | a payment on the wire, and the rules it must keep |
//! | [`rpc`] | the chain's JSON-RPC |
//! | [`fate`] | what became of a transaction, and what it moved |
//! | [`settle`] | settlement by a facilitator |
//! | [`own`], [`purse`] | settlement and refunds by keys of this node's own, [`mod@key`] |
//!
//! A program signs with keys of its own where it is built with the feature `solana`.

pub mod exact;
pub mod fate;
pub mod key;
pub mod message;
pub mod own;
pub mod purse;
pub mod rpc;
pub mod settle;

use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

use crate::base::Wallet;

/// An address: a public key, or what a program owns.
pub type Key = [u8; 32];

/// Addresses of programs, in base58.
pub const TOKEN_PROGRAM: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
pub const COMPUTE_BUDGET: &str = "ComputeBudget111111111111111111111111111111";
pub const MEMO: &str = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr";
/// Wallets add its assertions to what they sign.
pub const LIGHTHOUSE: &str = "L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95";
const ASSOCIATED_TOKEN: &str = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL";

/// Who pays the fees of settlements on a network, once that is known: a facilitator has to be asked.
#[derive(Debug, Clone, Default)]
pub struct FeePayer(Arc<RwLock<Option<Wallet>>>);

impl FeePayer {
    pub fn set(&self, wallet: Wallet) {
        *self.0.write() = Some(wallet);
    }

    pub fn get(&self) -> Option<Wallet> {
        self.0.read().clone()
    }
}

/// The 32 bytes of an address.
pub fn key(address: &str) -> Option<Key> {
    bs58::decode(address).into_vec().ok()?.try_into().ok()
}

/// A program of the list above.
pub(super) fn program(address: &'static str) -> Key {
    key(address).expect("the list of programs holds addresses")
}

pub fn wallet(key: &Key) -> Wallet {
    bs58::encode(key).into_string().parse().expect("32 bytes are 32 to 44 characters of base58")
}

/// The account in which a wallet holds a token of the token program, by the rule that all wallets use.
pub fn token_account(owner: &Key, mint: &Key) -> Key {
    derive(&[owner, &program(TOKEN_PROGRAM), mint], &program(ASSOCIATED_TOKEN))
}

/// A program's address for these seeds: the first hash, counting down, that is no public key.
fn derive(seeds: &[&Key], owner: &Key) -> Key {
    let hash = |bump: u8| -> Key {
        let mut hash = Sha256::new();
        seeds.iter().for_each(|seed| hash.update(seed));
        hash.update([bump]);
        hash.update(owner);
        hash.update(b"ProgramDerivedAddress");
        hash.finalize().into()
    };
    let found = (0..=u8::MAX).rev().map(hash).find(|hash| VerifyingKey::from_bytes(hash).is_err());
    found.expect("half of all hashes are no public keys, and 256 were tried")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_account_is_the_one_that_wallets_derive() {
        // As npm `@solana-program/token` derives it; the second takes another bump than 255.
        let mint = key("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v").unwrap();
        for (owner, account) in [
            ("2wmVCSfPxGPjrnMMn7rchp4uaeoTqN39mXFC2zhPdri9", "Boa4U4LqByXXxDndijcYHHpfA8qf47SNYLV16zLYKxph"),
            (TOKEN_PROGRAM, "Fd2FPt3s4Z532B3kvVxmimxqZgxeEXS9sRhuaSnEcMKU"),
        ] {
            let owner = key(owner).unwrap();
            assert_eq!(wallet(&token_account(&owner, &mint)).as_str(), account);
        }
    }

    #[test]
    fn address_has_32_bytes() {
        assert_eq!(
            key(TOKEN_PROGRAM).map(|key| wallet(&key).as_str().to_owned()).as_deref(),
            Some(TOKEN_PROGRAM)
        );
        assert_eq!(key("So1"), None);
        assert_eq!(key("0OIl"), None);
    }
}
