//! One way to pay that a 402 names, and the payment it takes: scheme `exact` on an EVM chain, an EIP-3009
//! authorisation that is signed as EIP-712 typed data.

use std::ops::Range;

use alloy::{
    primitives::{Address, B256, U256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol,
    sol_types::{Eip712Domain, SolStruct, eip712_domain},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::wallet;
use crate::base::{Usd, Wallet};

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// An entry of `accepts`. It goes back as it came, beside the payment.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    entry: Value,
    terms: Terms,
    chain_id: u64,
    units: u64,
}

/// Why a 402 cannot be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUnderstood {
    #[error("the 402 has no header `{0}` in base64 of JSON")]
    Header(&'static str),
    #[error("the 402 offers nothing that an EIP-3009 authorisation pays")]
    NoOffer,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terms {
    scheme: String,
    network: String,
    amount: String,
    asset: Address,
    pay_to: Address,
    max_timeout_seconds: u64,
    extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Extra {
    name: String,
    version: String,
}

impl Offer {
    /// The first of a challenge's offers that is understood.
    pub fn among(challenge: &Value) -> Result<Offer, NotUnderstood> {
        let offers = challenge["accepts"].as_array().into_iter().flatten();
        offers.cloned().find_map(Offer::read).ok_or(NotUnderstood::NoOffer)
    }

    /// `None` where it is another scheme's, or has not what the scheme wants.
    pub fn read(entry: Value) -> Option<Offer> {
        let terms = Terms::deserialize(&entry).ok().filter(|terms| terms.scheme == "exact")?;
        let chain_id = terms.network.strip_prefix("eip155:")?.parse().ok()?;
        let units = terms.amount.parse().ok()?;
        Some(Offer { entry, terms, chain_id, units })
    }

    pub fn price(&self) -> Usd {
        Usd::from_micros(self.units)
    }

    /// The wallet that is paid.
    pub fn pay_to(&self) -> Wallet {
        wallet(self.terms.pay_to)
    }

    /// CAIP-2.
    pub fn network(&self) -> &str {
        &self.terms.network
    }

    /// For how long the payment must be valid.
    pub fn timeout_secs(&self) -> u64 {
        self.terms.max_timeout_seconds
    }

    /// What the payment header carries: an authorisation that is valid between two moments, in seconds
    /// since 1970, and usable once by its nonce.
    pub fn pay(&self, key: &PrivateKeySigner, valid: Range<i64>, nonce: B256) -> Value {
        let transfer = TransferWithAuthorization {
            from: key.address(),
            to: self.terms.pay_to,
            value: U256::from(self.units),
            validAfter: U256::from(valid.start.max(0)),
            validBefore: U256::from(valid.end.max(0)),
            nonce,
        };
        let signature = key.sign_hash_sync(&transfer.eip712_signing_hash(&self.domain()));
        let signature = signature.expect("a key in memory signs every hash");
        json!({
            "x402Version": 2,
            "accepted": self.entry,
            "payload": {
                "signature": signature.to_string(),
                "authorization": {
                    "from": transfer.from,
                    "to": transfer.to,
                    "value": transfer.value.to_string(),
                    "validAfter": transfer.validAfter.to_string(),
                    "validBefore": transfer.validBefore.to_string(),
                    "nonce": nonce,
                },
            },
        })
    }

    fn domain(&self) -> Eip712Domain {
        eip712_domain! {
            name: self.terms.extra.name.clone(),
            version: self.terms.extra.version.clone(),
            chain_id: self.chain_id,
            verifying_contract: self.terms.asset,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Signature;

    use super::*;

    fn entry() -> Value {
        json!({
            "scheme": "exact",
            "network": "eip155:8453",
            "amount": "540000",
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
            "payTo": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            "maxTimeoutSeconds": 300,
            "extra": { "name": "USD Coin", "version": "2" },
            "more": "goes back, too",
        })
    }

    #[test]
    fn first_offer_that_can_be_paid_is_taken() {
        let solana = json!({ "scheme": "exact", "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp" });
        let challenge = json!({ "x402Version": 2, "accepts": [solana, entry()] });
        let offer = Offer::among(&challenge).unwrap();
        assert_eq!((offer.price().to_string(), offer.network()), ("0.54".into(), "eip155:8453"));
        assert_eq!(offer.timeout_secs(), 300);
        for nothing in [json!({}), json!({ "accepts": [solana] }), json!({ "accepts": 1 }), json!(null)] {
            assert_eq!(Offer::among(&nothing), Err(NotUnderstood::NoOffer), "{nothing}");
        }
    }

    #[test]
    fn offer_with_a_wrong_field_is_none() {
        let wrong = [
            ("/scheme", json!("upto")),
            ("/network", json!("eip155:x")),
            ("/amount", json!("-1")),
            ("/amount", json!(540_000)),
            ("/asset", json!("0x1234")),
            ("/payTo", json!("")),
            ("/extra", json!({})),
        ];
        for (at, value) in wrong {
            let mut entry = entry();
            *entry.pointer_mut(at).unwrap() = value;
            assert_eq!(Offer::read(entry), None, "{at}");
        }
    }

    #[test]
    fn payment_is_the_wallets_and_names_all_that_it_signs() {
        let key = PrivateKeySigner::random();
        let payment = Offer::read(entry()).unwrap().pay(&key, 100..400, B256::repeat_byte(7));
        assert_eq!(payment["accepted"], entry());
        let told = &payment["payload"]["authorization"];
        assert_eq!((&told["validAfter"], &told["validBefore"]), (&json!("100"), &json!("400")));
        let number = |name: &str| told[name].as_str().unwrap().parse().unwrap();
        let signed = TransferWithAuthorization {
            from: key.address(),
            to: told["to"].as_str().unwrap().parse().unwrap(),
            value: number("value"),
            validAfter: number("validAfter"),
            validBefore: number("validBefore"),
            nonce: told["nonce"].as_str().unwrap().parse().unwrap(),
        };
        let hash = signed.eip712_signing_hash(&Offer::read(entry()).unwrap().domain());
        let signature: Signature = payment["payload"]["signature"].as_str().unwrap().parse().unwrap();
        assert_eq!(signature.recover_address_from_prehash(&hash).unwrap(), key.address());
    }
}
