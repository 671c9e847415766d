//! Whoever pays: the address of a wallet, which is an agent's only account.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An EVM address (`0x` and 40 hexadecimal digits, kept in lower case, so that two spellings of one
/// address are equal) or a Solana address (32 to 44 characters of base58, where case matters).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wallet(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a wallet address: 0x and 40 hexadecimal digits, or a Solana address")]
pub struct InvalidWallet;

impl Wallet {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The zero address, which nobody holds the key of.
    pub fn nobody() -> Wallet {
        Wallet(format!("0x{}", "0".repeat(40)))
    }

    pub fn is_evm(&self) -> bool {
        self.0.starts_with("0x")
    }
}

impl FromStr for Wallet {
    type Err = InvalidWallet;

    fn from_str(text: &str) -> Result<Self, InvalidWallet> {
        if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            let valid = hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit());
            return if valid {
                Ok(Wallet(format!("0x{}", hex.to_ascii_lowercase())))
            } else {
                Err(InvalidWallet)
            };
        }
        let base58 = |b: u8| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l');
        let valid = (32..=44).contains(&text.len()) && text.bytes().all(base58);
        if valid { Ok(Wallet(text.to_owned())) } else { Err(InvalidWallet) }
    }
}

impl TryFrom<String> for Wallet {
    type Error = InvalidWallet;

    fn try_from(text: String) -> Result<Self, InvalidWallet> {
        text.parse()
    }
}

impl From<Wallet> for String {
    fn from(wallet: Wallet) -> String {
        wallet.0
    }
}

impl fmt::Display for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_evm_address_are_equal() {
        let checksummed: Wallet = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".parse().unwrap();
        assert_eq!(Ok(checksummed), "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913".parse());
    }

    #[test]
    fn only_addresses_parse() {
        assert!("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v".parse::<Wallet>().is_ok());
        for bad in [
            "",
            "0x",
            "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA0291",
            "0xzz3589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
            "hello",
        ] {
            assert_eq!(bad.parse::<Wallet>(), Err(InvalidWallet), "{bad}");
        }
    }
}
