//! x402 as it is on the wire, versions 1 and 2 of the protocol (github.com/coinbase/x402,
//! specs/x402-specification-v1.md and -v2.md), scheme `exact` on EVM chains: an EIP-3009 authorisation. What is
//! paid on Solana has the same envelope and is read by [`super::svm::exact`].
//!
//! Both versions describe one thing, so both are read into one [`Payment`]. Only stable fields are compared
//! with what was offered: clients rebuild `extra`, add extensions and spell addresses as they like.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::network::Network;
use super::svm::FeePayer;
use crate::base::{Usd, Wallet};
use crate::store::claims::NewClaim;

/// Header of a payment, version 2.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// Header of a payment, version 1; some clients send version 2 in it.
pub const X_PAYMENT: &str = "x-payment";
/// Header of a challenge, version 2.
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// Header of a settlement, version 2.
pub const PAYMENT_RESPONSE: &str = "payment-response";
/// Header of a settlement, version 1.
pub const X_PAYMENT_RESPONSE: &str = "x-payment-response";

/// Longest payment header read, in bytes. A real one has about a thousand.
const LONGEST: usize = 16 * 1024;

/// What a client is asked for on one network.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    pub network: &'static Network,
    pub pay_to: Wallet,
    pub amount: Usd,
    pub timeout_secs: u64,
    /// Of Solana: who pays the fee of the settlement.
    pub fee_payer: Option<Wallet>,
}

/// Where x402 is taken: a chain, and whose wallet on it.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub network: &'static Network,
    pub pay_to: Wallet,
    /// Of Solana; an EVM chain has none.
    pub fee_payer: Option<FeePayer>,
}

impl Receiver {
    pub fn evm(network: &'static Network, pay_to: Wallet) -> Receiver {
        Receiver { network, pay_to, fee_payer: None }
    }

    /// `None` while nobody is known who would pay for the settlement.
    pub fn requirement(&self, amount: Usd, timeout_secs: u64) -> Option<Requirement> {
        let fee_payer = match &self.fee_payer {
            Some(known) => Some(known.get()?),
            None => None,
        };
        let (network, pay_to) = (self.network, self.pay_to.clone());
        Some(Requirement { network, pay_to, amount, timeout_secs, fee_payer })
    }
}

/// What is sold under a URL.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub url: String,
    pub description: String,
}

impl Requirement {
    /// An entry of `accepts`, version 2; also what a facilitator gets.
    pub fn v2(&self) -> Value {
        json!({
            "scheme": "exact",
            "network": self.network.caip2,
            "amount": self.amount.micros().to_string(),
            "asset": self.network.asset,
            "payTo": self.pay_to,
            "maxTimeoutSeconds": self.timeout_secs,
            "extra": self.extra(),
        })
    }

    /// An entry of `accepts`, version 1.
    pub fn v1(&self, resource: &Resource) -> Value {
        json!({
            "scheme": "exact",
            "network": self.network.name,
            "maxAmountRequired": self.amount.micros().to_string(),
            "asset": self.network.asset,
            "payTo": self.pay_to,
            "resource": resource.url,
            "description": resource.description,
            "mimeType": "application/json",
            "maxTimeoutSeconds": self.timeout_secs,
            "extra": self.extra(),
        })
    }

    /// No other key: a published SDK rebuilds this from these two and compares.
    fn extra(&self) -> Value {
        if let Some(fee_payer) = &self.fee_payer {
            return json!({ "feePayer": fee_payer });
        }
        json!({ "name": self.network.asset_name, "version": self.network.asset_version })
    }
}

/// The body of a 402, version 1.
pub fn challenge_v1(requirements: &[Requirement], resource: &Resource, error: &str) -> Value {
    let accepts: Vec<Value> = requirements.iter().map(|requirement| requirement.v1(resource)).collect();
    json!({ "x402Version": 1, "error": error, "accepts": accepts })
}

/// What the header [`PAYMENT_REQUIRED`] of a 402 carries in base64, version 2.
pub fn challenge_v2(requirements: &[Requirement], resource: &Resource, error: &str) -> Value {
    let accepts: Vec<Value> = requirements.iter().map(Requirement::v2).collect();
    json!({
        "x402Version": 2,
        "error": error,
        "resource": {
            "url": resource.url,
            "description": resource.description,
            "mimeType": "application/json",
        },
        "accepts": accepts,
    })
}

pub fn encode(value: &Value) -> String {
    STANDARD.encode(value.to_string())
}

/// Reads the value of [`PAYMENT_SIGNATURE`] or [`X_PAYMENT`], whatever it pays by.
pub fn open(header: &str) -> Result<Value, Malformed> {
    if header.len() > LONGEST {
        return Err(Malformed(format!("it is longer than {LONGEST} bytes")));
    }
    let bytes = STANDARD.decode(header.trim()).map_err(|_| Malformed("it is not base64".into()))?;
    serde_json::from_slice(&bytes).map_err(|e| describe(&e))
}

/// A payment as a client sent it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// 1 or 2: the answer speaks the same version.
    pub version: u8,
    pub network: String,
    /// What the client says it accepted; version 1 does not say.
    #[serde(default)]
    pub accepted: Option<Accepted>,
    pub signature: String,
    pub authorization: Authorization,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    pub amount: String,
    pub asset: String,
    pub pay_to: String,
}

/// EIP-3009 `TransferWithAuthorization`. Numbers are decimal text, in the token's units and in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    pub from: Wallet,
    pub to: Wallet,
    pub value: String,
    pub valid_after: String,
    pub valid_before: String,
    pub nonce: String,
}

/// A header that is no payment: the client has to mend it, another payment does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payment header is malformed: {0}")]
pub struct Malformed(String);

impl Malformed {
    pub(super) fn new(what: &str) -> Malformed {
        Malformed(what.into())
    }
}

/// A payment that is not the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("invalid_network")]
    Network,
    #[error("invalid_asset")]
    Asset,
    #[error("recipient_mismatch")]
    Recipient,
    #[error("invalid_amount")]
    Amount,
    #[error("expired")]
    Expired,
    #[error("not_yet_valid")]
    NotYetValid,
}

impl Payment {
    pub fn decode(sent: Value) -> Result<Payment, Malformed> {
        let sent: Sent = serde_json::from_value(sent).map_err(|e| describe(&e))?;
        sent.into_payment()
    }

    /// The requirement this pays, if it pays one exactly.
    pub fn pays<'a>(
        &self,
        requirements: &'a [Requirement],
        now: DateTime<Utc>,
    ) -> Result<&'a Requirement, Mismatch> {
        let network = Network::find(&self.network).ok_or(Mismatch::Network)?;
        let found = requirements.iter().find(|requirement| requirement.network == network);
        let requirement = found.ok_or(Mismatch::Network)?;
        self.matches(requirement)?;
        self.is_timely(now)?;
        Ok(requirement)
    }

    fn matches(&self, requirement: &Requirement) -> Result<(), Mismatch> {
        let amount = requirement.amount.micros().to_string();
        if let Some(accepted) = &self.accepted {
            if !accepted.asset.eq_ignore_ascii_case(requirement.network.asset) {
                return Err(Mismatch::Asset);
            }
            if !accepted.pay_to.eq_ignore_ascii_case(requirement.pay_to.as_str()) {
                return Err(Mismatch::Recipient);
            }
            if accepted.amount != amount {
                return Err(Mismatch::Amount);
            }
        }
        if self.authorization.to != requirement.pay_to {
            return Err(Mismatch::Recipient);
        }
        // More is refused like less: nobody is charged another sum than the one named.
        if self.authorization.value != amount {
            return Err(Mismatch::Amount);
        }
        Ok(())
    }

    fn is_timely(&self, now: DateTime<Utc>) -> Result<(), Mismatch> {
        if self.valid_before() <= now {
            return Err(Mismatch::Expired);
        }
        match seconds(&self.authorization.valid_after) {
            after if after > now => Err(Mismatch::NotYetValid),
            _ => Ok(()),
        }
    }

    /// Year 9999 where the client wrote something later: it is only compared with the clock.
    pub fn valid_before(&self) -> DateTime<Utc> {
        seconds(&self.authorization.valid_before)
    }

    /// The header of an answer after settlement: its name and its value.
    pub fn receipt(&self, transaction: &str) -> (&'static str, String) {
        receipt(self.version, &self.network, &self.authorization.from, transaction)
    }
}

pub(super) fn receipt(
    version: u8,
    network: &str,
    payer: &Wallet,
    transaction: &str,
) -> (&'static str, String) {
    let name = if version == 1 { X_PAYMENT_RESPONSE } else { PAYMENT_RESPONSE };
    let receipt = json!({ "success": true, "transaction": transaction, "network": network, "payer": payer });
    (name, encode(&receipt))
}

/// The claim of a payment: what is bound together.
pub fn offer(payment: &Payment, requirement: &Requirement, route: String, body_sha256: String) -> NewClaim {
    NewClaim {
        scheme: "x402".into(),
        network: requirement.network.caip2.into(),
        asset: requirement.network.asset_key(),
        payer: payment.authorization.from.clone(),
        nonce: payment.authorization.nonce.to_ascii_lowercase(),
        amount: requirement.amount,
        pay_to: requirement.pay_to.clone(),
        valid_before: payment.valid_before(),
        route,
        body_sha256,
        proof: serde_json::to_value(payment).expect("a payment is plain data with text keys"),
    }
}

/// The payment of a claim, and what it pays; `None` where another protocol's claim is asked about.
pub fn offered(offer: &NewClaim) -> Option<(Payment, Requirement)> {
    let payment: Payment = serde_json::from_value(offer.proof.clone()).ok()?;
    let valid_for = payment.valid_before() - seconds(&payment.authorization.valid_after);
    let requirement = Requirement {
        network: Network::find(&offer.network)?,
        pay_to: offer.pay_to.clone(),
        amount: offer.amount,
        timeout_secs: valid_for.num_seconds().unsigned_abs(),
        fee_payer: None,
    };
    Some((payment, requirement))
}

fn seconds(text: &str) -> DateTime<Utc> {
    const LAST: i64 = 253_402_300_799;
    let seconds = text.parse::<u128>().map_or(LAST, |s| i64::try_from(s).unwrap_or(LAST).min(LAST));
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// What surrounds a payment of any kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Terms {
    x402_version: u8,
    scheme: Option<String>,
    network: Option<String>,
    accepted: Option<SentAccepted>,
}

#[derive(Deserialize)]
struct SentAccepted {
    scheme: String,
    network: String,
    #[serde(flatten)]
    accepted: Accepted,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(flatten)]
    terms: Terms,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    signature: String,
    authorization: Authorization,
}

impl Terms {
    /// Version, network, and what the client accepted.
    pub(super) fn read(self) -> Result<(u8, String, Option<Accepted>), Malformed> {
        let (scheme, network, accepted) = match (self.x402_version, self.accepted) {
            (1, _) => (self.scheme, self.network, None),
            (2, Some(accepted)) => (Some(accepted.scheme), Some(accepted.network), Some(accepted.accepted)),
            (2, None) => return Err(Malformed("`accepted` is missing".into())),
            (version, _) => return Err(Malformed(format!("x402Version {version} is not 1 or 2"))),
        };
        if scheme.as_deref() != Some("exact") {
            return Err(Malformed("`scheme` is not `exact`".into()));
        }
        let network = network.ok_or_else(|| Malformed("`network` is missing".into()))?;
        Ok((self.x402_version, network, accepted))
    }
}

impl Sent {
    fn into_payment(self) -> Result<Payment, Malformed> {
        let (version, network, accepted) = self.terms.read()?;
        let Payload { signature, authorization } = self.payload;
        let payment = Payment { version, network, accepted, signature, authorization };
        payment.check_shape()?;
        Ok(payment)
    }
}

impl Payment {
    fn check_shape(&self) -> Result<(), Malformed> {
        let Authorization { from, to, value, valid_after, valid_before, nonce } = &self.authorization;
        if !from.is_evm() || !to.is_evm() {
            return Err(Malformed("`from` and `to` must be EVM addresses".into()));
        }
        let decimal = |text: &str| (1..=78).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if ![value, valid_after, valid_before].into_iter().all(|text| decimal(text)) {
            return Err(Malformed("value, validAfter and validBefore must be decimal numbers".into()));
        }
        if !is_hex(nonce, Some(32)) {
            return Err(Malformed("`nonce` must be 0x and 32 bytes in hexadecimal".into()));
        }
        if !is_hex(&self.signature, None) {
            return Err(Malformed("`signature` must be 0x and hexadecimal digits".into()));
        }
        Ok(())
    }
}

fn is_hex(text: &str, bytes: Option<usize>) -> bool {
    let Some(digits) = text.strip_prefix("0x") else { return false };
    let right_length = bytes.map_or(!digits.is_empty() && digits.len() % 2 == 0, |n| digits.len() == 2 * n);
    right_length && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Where it is wrong, and nothing of what stands there.
pub(super) fn describe(error: &serde_json::Error) -> Malformed {
    use serde_json::error::Category;
    Malformed(match error.classify() {
        Category::Data => {
            "it lacks a field of an x402 payment of scheme `exact`, or one has the wrong type".into()
        }
        _ => format!("no valid JSON at line {} column {}", error.line(), error.column()),
    })
}

#[cfg(test)]
#[path = "x402_tests.rs"]
mod tests;
