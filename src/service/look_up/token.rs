//! The token that a lookup is asked for with: a JWT (RFC 7519) signed with HMAC-SHA256. It names the lookup and
//! the wallet that paid, and no number.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::base::{LookupId, Pii, Wallet};

/// How long a token counts.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(60);

/// The only header that is written and read: what a token says about its own signature decides nothing.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Signs tokens and reads them again. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    secret: Pii<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("was not issued by this node")]
    Foreign,
    #[error("has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: Wallet,
    jti: String,
    iat: i64,
    exp: i64,
}

impl Tokens {
    pub fn new(secret: Pii<Vec<u8>>) -> Tokens {
        Tokens { secret }
    }

    pub fn issue(&self, lookup: LookupId, wallet: &Wallet, now: DateTime<Utc>) -> String {
        let (iat, exp) = (now.timestamp(), (now + LIFETIME).timestamp());
        let claims = Claims { sub: wallet.clone(), jti: lookup.to_string(), iat, exp };
        let claims = serde_json::to_vec(&claims).expect("claims are plain data with text keys");
        let signed = format!("{}.{}", BASE64.encode(HEADER), BASE64.encode(claims));
        let signature = BASE64.encode(self.mac(&signed).finalize().into_bytes());
        format!("{signed}.{signature}")
    }

    /// What it was issued for.
    pub fn read(&self, token: &str, now: DateTime<Utc>) -> Result<(LookupId, Wallet), TokenError> {
        let claims = self.claims(token).ok_or(TokenError::Foreign)?;
        let lookup = claims.jti.parse().map_err(|_| TokenError::Foreign)?;
        if now.timestamp() >= claims.exp { Err(TokenError::Expired) } else { Ok((lookup, claims.sub)) }
    }

    fn claims(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        self.mac(signed).verify_slice(&BASE64.decode(signature).ok()?).ok()?;
        let (header, claims) = signed.split_once('.')?;
        if header != BASE64.encode(HEADER) {
            return None;
        }
        serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.expose()).expect("HMAC takes keys of any length");
        mac.update(signed.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(secret: u8) -> Tokens {
        Tokens::new(vec![secret; 32].into())
    }

    #[test]
    fn token_counts_for_an_hour_and_only_where_it_was_issued() {
        let (now, lookup, wallet) = (Utc::now(), LookupId::generate(), Wallet::nobody());
        let token = tokens(1).issue(lookup, &wallet, now);
        assert_eq!(tokens(1).read(&token, now), Ok((lookup, wallet)));
        assert_eq!(tokens(1).read(&token, now + LIFETIME), Err(TokenError::Expired));
        assert_eq!(tokens(2).read(&token, now), Err(TokenError::Foreign));
    }

    #[test]
    fn altered_and_unsigned_tokens_are_foreign() {
        let now = Utc::now();
        let token = tokens(1).issue(LookupId::generate(), &Wallet::nobody(), now);
        let parts: Vec<&str> = token.split('.').collect();
        let unsigned = BASE64.encode(r#"{"alg":"none","typ":"JWT"}"#);
        for altered in [
            String::new(),
            "a.b.c".to_owned(),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{unsigned}.{}.", parts[1]),
            format!("{unsigned}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], BASE64.encode("{}"), parts[2]),
            format!("{token}x"),
        ] {
            assert_eq!(tokens(1).read(&altered, now), Err(TokenError::Foreign), "{altered}");
        }
    }
}
