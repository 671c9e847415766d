//! MPP, the Machine Payments Protocol, as it is on the wire: HTTP authentication with the scheme `Payment`
//! (IETF draft "The Payment HTTP Authentication Scheme"), method `tempo`, intent `charge`: a TIP-20 transfer
//! on a Tempo chain whose memo is bound to the challenge.
//!
//! The node keeps nothing about a challenge: its id is a MAC over all the rest, so that a challenge that
//! comes back is known again. What makes it one of its kind is `opaque`.

use std::fmt;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use mpp::protocol::core::{
    Base64UrlJson, ChallengeEcho, PaymentChallenge, PaymentCredential, PaymentPayload, Receipt,
    format_receipt, parse_authorization,
};
use mpp::protocol::intents::{ChargeRequest, INTENT_CHARGE};
use mpp::protocol::methods::tempo::METHOD_NAME;
use serde_json::{Value, json};

use crate::base::{Pii, Usd, Wallet};
use crate::store::claims::NewClaim;

/// Header of a challenge.
pub const WWW_AUTHENTICATE: &str = "www-authenticate";
/// Header of a payment, where its scheme is `Payment`.
pub const AUTHORIZATION: &str = "authorization";
/// Header of a settlement.
pub const PAYMENT_RECEIPT: &str = "payment-receipt";

/// Shortest secret that challenges may be authenticated with, in bytes: who guesses it sets prices.
pub const SHORTEST_SECRET: usize = 32;

/// What is charged, and on which chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub chain_id: u64,
    /// Contract of a TIP-20 dollar; those have six decimals.
    pub currency: Wallet,
    pub pay_to: Wallet,
    /// How long a challenge counts, in seconds.
    pub lifetime_secs: u64,
}

impl Terms {
    /// CAIP-2.
    pub fn network(&self) -> String {
        format!("eip155:{}", self.chain_id)
    }

    fn request(&self, amount: Usd) -> Base64UrlJson {
        let request = ChargeRequest {
            amount: amount.micros().to_string(),
            currency: self.currency.to_string(),
            recipient: Some(self.pay_to.to_string()),
            method_details: Some(json!({ "chainId": self.chain_id })),
            ..ChargeRequest::default()
        };
        Base64UrlJson::from_typed(&request).expect("a request is plain data with text keys")
    }
}

/// Issues challenges and knows them again. Cheap to clone.
#[derive(Clone)]
pub struct Charges {
    /// The host of the public URL; it goes into each transfer's memo.
    realm: String,
    secret: Pii<String>,
    terms: Terms,
}

/// A configuration that no challenge can be made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the host of the public URL cannot stand in a header")]
    Realm,
    #[error("the secret has fewer than {SHORTEST_SECRET} bytes")]
    Secret,
}

/// A payment that is not the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("the challenge is not one that this node has issued")]
    NotIssued,
    #[error("the challenge was issued for another price or recipient")]
    OtherCharge,
}

impl Charges {
    /// `base_url` is the node's public URL.
    pub fn new(base_url: &str, secret: Pii<String>, terms: Terms) -> Result<Charges, Unusable> {
        if secret.expose().len() < SHORTEST_SECRET {
            return Err(Unusable::Secret);
        }
        let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
        let realm = rest.split('/').next().unwrap_or(rest).to_owned();
        let visible = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\');
        if realm.is_empty() || !realm.bytes().all(visible) {
            return Err(Unusable::Realm);
        }
        Ok(Charges { realm, secret, terms })
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The value of [`WWW_AUTHENTICATE`].
    pub fn challenge(&self, amount: Usd, now: DateTime<Utc>) -> String {
        let lifetime = TimeDelta::seconds(i64::try_from(self.terms.lifetime_secs).unwrap_or(300));
        let expires = (now + lifetime).to_rfc3339_opts(SecondsFormat::Millis, true);
        let nonce = json!({ "nonce": hex::encode(rand::random::<[u8; 16]>()) });
        let opaque = Base64UrlJson::from_value(&nonce).expect("a nonce is plain data with text keys");
        let challenge = PaymentChallenge::with_secret_key_full(
            self.secret.expose(),
            &self.realm,
            METHOD_NAME,
            INTENT_CHARGE,
            self.terms.request(amount),
            Some(&expires),
            None,
            None,
            Some(opaque),
            None,
        );
        challenge.to_header().expect("the realm was looked at, and all else is base64 or this node's own")
    }

    /// The claim of a credential that pays exactly `amount`. Whether its challenge has expired is asked when
    /// it is verified: what was bought before can be asked for again later.
    pub fn offer(
        &self,
        credential: &Credential,
        amount: Usd,
        route: String,
        body_sha256: String,
    ) -> Result<NewClaim, Mismatch> {
        let claim = self.earlier(credential, amount, route, body_sha256)?;
        match credential.sent.challenge.request.raw() == self.terms.request(amount).raw() {
            true => Ok(claim),
            false => Err(Mismatch::OtherCharge),
        }
    }

    /// The claim that a credential had if it was sent before: the price may have changed since.
    pub fn earlier(
        &self,
        credential: &Credential,
        amount: Usd,
        route: String,
        body_sha256: String,
    ) -> Result<NewClaim, Mismatch> {
        let challenge = &credential.sent.challenge;
        if !self.has_issued(challenge) {
            return Err(Mismatch::NotIssued);
        }
        Ok(NewClaim {
            scheme: "mpp".into(),
            network: self.terms.network(),
            asset: self.terms.currency.to_string(),
            payer: credential.payer.clone(),
            nonce: challenge.id.clone(),
            amount,
            pay_to: self.terms.pay_to.clone(),
            valid_before: credential.expires,
            route,
            body_sha256,
            proof: credential.json(),
        })
    }

    fn has_issued(&self, echo: &ChallengeEcho) -> bool {
        let challenge = PaymentChallenge {
            id: echo.id.clone(),
            realm: self.realm.clone(),
            method: echo.method.clone(),
            intent: echo.intent.clone(),
            request: echo.request.clone(),
            expires: echo.expires.clone(),
            description: None,
            digest: echo.digest.clone(),
            opaque: echo.opaque.clone(),
            header: echo.header.clone(),
        };
        echo.realm == self.realm && challenge.verify(self.secret.expose())
    }
}

/// A header that is no payment: the client has to mend it, another payment does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payment credential is malformed: {0}")]
pub struct Malformed(&'static str);

/// A payment as a client sent it.
#[derive(Clone)]
pub struct Credential {
    pub(super) sent: PaymentCredential,
    pub(super) payload: PaymentPayload,
    /// By the credential's own word, until it is verified.
    pub payer: Wallet,
    pub expires: DateTime<Utc>,
}

impl Credential {
    /// Whether the value of [`AUTHORIZATION`] is of this protocol.
    pub fn is_one(header: &str) -> bool {
        header.split_once(' ').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("payment"))
    }

    pub fn decode(header: &str) -> Result<Credential, Malformed> {
        let sent = parse_authorization(header)
            .map_err(|_| Malformed("it is not base64url of the JSON that the challenge asks for"))?;
        Credential::read(sent)
    }

    /// The credential of a claim; `None` where another protocol's claim is asked about.
    pub(super) fn offered(offer: &NewClaim) -> Option<Credential> {
        Credential::read(serde_json::from_value(offer.proof.clone()).ok()?).ok()
    }

    fn read(sent: PaymentCredential) -> Result<Credential, Malformed> {
        let payload: PaymentPayload = sent
            .charge_payload()
            .map_err(|_| Malformed("`payload` must have `type` and `signature` or `hash`"))?;
        let data = payload.data().strip_prefix("0x").unwrap_or_default();
        if payload.is_proof() || data.is_empty() || hex::decode(data).is_err() {
            return Err(Malformed("`payload` must hold a transaction or the hash of one, in hexadecimal"));
        }
        if payload.is_hash() && data.len() != 64 {
            return Err(Malformed("`payload.hash` must have 32 bytes"));
        }
        let payer = sent.source.as_deref().and_then(payer);
        let payer = payer.ok_or(Malformed("`source` must be did:pkh:eip155:<chain>:<address>"))?;
        let expires = sent.challenge.expires.as_deref().map(DateTime::parse_from_rfc3339);
        let expires = expires.and_then(Result::ok).ok_or(Malformed("`challenge.expires` is no time"))?;
        Ok(Credential { sent, payload, payer, expires: expires.to_utc() })
    }

    fn json(&self) -> Value {
        serde_json::to_value(&self.sent).expect("a credential is plain data with text keys")
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("payer", &self.payer).finish_non_exhaustive()
    }
}

fn payer(source: &str) -> Option<Wallet> {
    let (_, address) = source.strip_prefix("did:pkh:eip155:")?.split_once(':')?;
    address.parse().ok().filter(Wallet::is_evm)
}

/// The value of [`PAYMENT_RECEIPT`].
pub fn receipt(transaction: &str) -> String {
    format_receipt(&Receipt::success(METHOD_NAME, transaction)).unwrap_or_default()
}

/// The body of a 402 that follows a payment (RFC 9457).
pub fn problem(detail: &str) -> Value {
    json!({
        "type": "https://paymentauth.org/problems/verification-failed",
        "title": "Verification Failed",
        "status": 402,
        "detail": detail,
    })
}

#[cfg(test)]
#[path = "mpp_tests.rs"]
pub(super) mod tests;
