//! Sign-in with a wallet (CAIP-122, as x402's extension `sign-in-with-x` carries it): proof of who asks,
//! without a payment.
//!
//! The 402 of a free but private route holds a challenge; the client signs it and repeats the request with
//! the header [`SIGN_IN_WITH_X`]. A challenge is this node's own (its nonce carries a MAC), counts for five
//! minutes, and is used once. Domain and origin come from the configuration, never from the request.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use siwx::{AuthOpts, SiwxMessage, authenticate};

use super::network::Network;
use super::x402;
use crate::base::{Pii, Wallet};

/// Header of a signed challenge.
pub const SIGN_IN_WITH_X: &str = "sign-in-with-x";

/// How long a challenge counts.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(5);
/// How far a client's clock may be ahead.
const SKEW: TimeDelta = TimeDelta::seconds(60);
const LONGEST: usize = 16 * 1024;
const STATEMENT: &str = "Sign in to verify your wallet identity";
const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";

/// Issues challenges and reads their signatures. Cheap to clone.
#[derive(Clone)]
pub struct SignIn {
    /// `https://phone.example.com`, without a path.
    origin: String,
    /// Host and, where it is not the scheme's own, port.
    domain: String,
    secret: Pii<Vec<u8>>,
}

/// Who has signed. The nonce is still to be marked as used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    pub wallet: Wallet,
    pub nonce: String,
}

/// Why a signature does not count. The word is what clients read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    #[error("the {SIGN_IN_WITH_X} header is malformed: {0}")]
    Malformed(String),
    #[error("the challenge has expired; ask for a new one")]
    Expired,
    #[error("the challenge was used before; ask for a new one")]
    NonceUsed,
    #[error("the signature does not belong to the address")]
    InvalidSignature,
}

impl SignInError {
    pub fn word(&self) -> &'static str {
        match self {
            SignInError::Malformed(_) => "siwx_malformed",
            SignInError::Expired => "siwx_expired",
            SignInError::NonceUsed => "siwx_nonce_used",
            SignInError::InvalidSignature => "siwx_invalid_signature",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    domain: String,
    address: String,
    statement: Option<String>,
    uri: String,
    version: String,
    chain_id: String,
    nonce: String,
    issued_at: String,
    expiration_time: Option<String>,
    not_before: Option<String>,
    request_id: Option<String>,
    resources: Option<Vec<String>>,
    signature: String,
}

impl SignIn {
    /// `base_url` is the node's public URL. `secret` authenticates nonces; a new one voids those that are
    /// out.
    pub fn new(base_url: &str, secret: Pii<Vec<u8>>) -> SignIn {
        let (scheme, rest) = base_url.split_once("://").unwrap_or(("http", base_url));
        let domain = rest.split('/').next().unwrap_or(rest).to_owned();
        SignIn { origin: format!("{scheme}://{domain}"), domain, secret }
    }

    /// The body of a 402, and what its header carries in base64.
    pub fn challenge(&self, resource: &x402::Resource, networks: &[&Network], now: DateTime<Utc>) -> Value {
        let evm = || networks.iter().filter(|network| !network.is_solana());
        let mut supported: Vec<Value> =
            evm().map(|n| json!({ "chainId": n.caip2, "type": "eip191" })).collect();
        let evm = evm().next().map_or("eip155:8453", |network| network.caip2);
        if supported.is_empty() {
            supported.push(json!({ "chainId": evm, "type": "eip191" }));
        }
        supported.push(json!({ "chainId": SOLANA, "type": "ed25519" }));
        json!({
            "x402Version": 2,
            "error": "SIWX authentication required",
            "resource": {
                "url": resource.url,
                "description": resource.description,
                "mimeType": "application/json",
            },
            "accepts": [],
            "extensions": { "sign-in-with-x": {
                "info": {
                    "domain": self.domain,
                    "uri": resource.url,
                    "version": "1",
                    "chainId": evm,
                    "type": "eip191",
                    "nonce": self.nonce(now),
                    "issuedAt": text(now),
                    "expirationTime": text(now + LIFETIME),
                    "statement": STATEMENT,
                },
                "supportedChains": supported,
                "schema": schema(),
            } },
        })
    }

    /// Who signed the header's challenge.
    pub async fn verify(&self, header: &str, now: DateTime<Utc>) -> Result<SignedIn, SignInError> {
        let sent = decode(header)?;
        self.check_place(&sent)?;
        self.check_nonce(&sent.nonce, now)?;
        check_time(&sent, now)?;
        let message = message(&sent).map_err(|error| malformed(&error.to_string()))?;
        // The times are checked already; the library looks at them again by the same clock.
        let clock = time::OffsetDateTime::from_unix_timestamp(now.timestamp())
            .map_err(|_| malformed("the node's clock is off"))?;
        let opts = AuthOpts::new(&sent.domain, &sent.nonce).with_timestamp(clock);
        let verified = if sent.chain_id.starts_with("solana:") {
            let text = message.to_sign_string(siwx_svm::CHAIN_NAME);
            let signature = bs58::decode(&sent.signature)
                .into_vec()
                .map_err(|_| malformed("`signature` is not base58"))?;
            authenticate(&siwx_svm::Ed25519Verifier::new(), &text, &signature, &opts).await
        } else {
            let text = message.to_sign_string(siwx_evm::CHAIN_NAME);
            let digits = sent.signature.strip_prefix("0x").unwrap_or(&sent.signature);
            let signature = hex::decode(digits).map_err(|_| malformed("`signature` is not hexadecimal"))?;
            authenticate(&siwx_evm::EvmVerifier::new(), &text, &signature, &opts).await
        };
        verified.map_err(|_| SignInError::InvalidSignature)?;
        let wallet = sent.address.parse().map_err(|_| malformed("`address` is not a wallet's address"))?;
        Ok(SignedIn { wallet, nonce: sent.nonce })
    }

    /// Clients compare with the host alone or with host and port; both are this node.
    fn check_place(&self, sent: &Sent) -> Result<(), SignInError> {
        let hostname = self.domain.rsplit_once(':').map_or(self.domain.as_str(), |(host, _)| host);
        if sent.domain != self.domain && sent.domain != hostname {
            return Err(malformed("`domain` is not this node's"));
        }
        let rest = sent.uri.strip_prefix(&self.origin);
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])) {
            return Err(malformed("`uri` is not this node's"));
        }
        Ok(())
    }

    /// 32 hexadecimal digits: the time, chance, and a MAC over both.
    fn nonce(&self, now: DateTime<Utc>) -> String {
        let mut bytes = [0; 16];
        let seconds = u32::try_from(now.timestamp()).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4..8].copy_from_slice(&rand::random::<[u8; 4]>());
        let mac = self.mac(&bytes[..8]);
        bytes[8..].copy_from_slice(&mac[..8]);
        hex::encode(bytes)
    }

    fn check_nonce(&self, nonce: &str, now: DateTime<Utc>) -> Result<(), SignInError> {
        let bytes =
            hex::decode(nonce).ok().filter(|bytes| bytes.len() == 16 && nonce == nonce.to_lowercase());
        let bytes = bytes.ok_or_else(|| malformed("`nonce` was not issued by this node"))?;
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&self.mac(&bytes[..8])[..8], &bytes[8..])) {
            return Err(malformed("`nonce` was not issued by this node"));
        }
        let seconds = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let issued = DateTime::from_timestamp(i64::from(seconds), 0).unwrap_or(DateTime::UNIX_EPOCH);
        if now - issued > LIFETIME { Err(SignInError::Expired) } else { Ok(()) }
    }

    fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.expose()).expect("HMAC takes keys of any length");
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}

fn malformed(why: &str) -> SignInError {
    SignInError::Malformed(why.to_owned())
}

fn decode(header: &str) -> Result<Sent, SignInError> {
    if header.len() > LONGEST {
        return Err(malformed("it is too long"));
    }
    let bytes = STANDARD.decode(header.trim()).map_err(|_| malformed("it is not base64"))?;
    let sent: Sent = serde_json::from_slice(&bytes)
        .map_err(|_| malformed("it lacks a field, or one has the wrong type"))?;
    if sent.version != "1" {
        return Err(malformed("`version` is not 1"));
    }
    Ok(sent)
}

fn check_time(sent: &Sent, now: DateTime<Utc>) -> Result<(), SignInError> {
    let read = |text: &str| DateTime::parse_from_rfc3339(text).map(|t| t.with_timezone(&Utc));
    let issued = read(&sent.issued_at).map_err(|_| malformed("`issuedAt` is not an RFC 3339 time"))?;
    if issued > now + SKEW {
        return Err(malformed("`issuedAt` lies in the future"));
    }
    if now - issued > LIFETIME {
        return Err(SignInError::Expired);
    }
    let expires = sent.expiration_time.as_deref().map(read).transpose();
    match expires.map_err(|_| malformed("`expirationTime` is not an RFC 3339 time"))? {
        Some(expires) if expires <= now => Err(SignInError::Expired),
        _ => Ok(()),
    }
}

/// The text that the wallet showed and signed.
fn message(sent: &Sent) -> Result<SiwxMessage, siwx::SiwxError> {
    let reference = sent.chain_id.split_once(':').map_or(sent.chain_id.as_str(), |(_, reference)| reference);
    let mut message = SiwxMessage::new(&sent.domain, &sent.address, &sent.uri, reference, &sent.nonce)?
        .with_issued_at_raw(&sent.issued_at)?;
    if let Some(statement) = &sent.statement {
        message = message.with_statement(statement)?;
    }
    if let Some(time) = &sent.expiration_time {
        message = message.with_expiration_time_raw(time)?;
    }
    if let Some(time) = &sent.not_before {
        message = message.with_not_before_raw(time)?;
    }
    if let Some(id) = &sent.request_id {
        message = message.with_request_id(id)?;
    }
    match &sent.resources {
        Some(resources) if !resources.is_empty() => message.with_resources(resources.clone()),
        _ => Ok(message),
    }
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// JSON Schema of the header's content, which clients check theirs against.
fn schema() -> Value {
    let string = json!({ "type": "string" });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "domain": string, "address": string, "statement": string, "uri": string, "version": string,
            "chainId": string, "type": string, "nonce": string, "issuedAt": string,
            "expirationTime": string, "notBefore": string, "requestId": string,
            "resources": { "type": "array", "items": string }, "signature": string,
        },
        "required": ["domain", "address", "uri", "version", "chainId", "type", "nonce", "issuedAt", "signature"],
    })
}

#[cfg(test)]
#[path = "siwx_tests.rs"]
mod tests;
