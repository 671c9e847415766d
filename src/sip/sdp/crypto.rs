//! `a=crypto` (RFC 4568): the key of an SRTP stream, told in the description. It is as secret as the
//! signalling that carries it, which is why a trunk that wants it wants TLS.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::base::Pii;

/// Bytes of a master key and its salt, one behind the other: 16 and 14.
pub const KEY_LEN: usize = 30;

/// A crypto suite (RFC 4568 section 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Tags of 80 bits.
    AesCm128HmacSha1_80,
    /// Tags of 32 bits on RTP, of 80 on RTCP.
    AesCm128HmacSha1_32,
}

impl Suite {
    /// In order of preference.
    pub const ALL: [Suite; 2] = [Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];

    pub const fn name(self) -> &'static str {
        match self {
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        // Names are case-insensitive, as every token of the attribute that is no key.
        Suite::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }
}

/// One `a=crypto` line: how its writer encrypts what it sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Ties an answer to the line of the offer that it takes; at most nine digits.
    pub tag: u32,
    pub suite: Suite,
    /// The master key and its salt.
    pub key: Pii<[u8; KEY_LEN]>,
}

impl Crypto {
    /// Reads what stands behind `a=crypto:`. `None` for what is not spoken here: another suite, several
    /// keys or a key identifier (MKI), and parameters that change the packets. A line of that kind is
    /// passed over (section 5.1.2); a lifetime is longer than any call and skipped.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|tag| tag.len() <= 9)?.parse().ok()?;
        let suite = Suite::from_name(words.next()?)?;
        let key = parse_key(words.next()?)?;
        // Behind a minus a parameter may be ignored (section 6.3.7).
        words.all(|parameter| parameter.starts_with('-')).then_some(Crypto { tag, suite, key })
    }
}

impl fmt::Display for Crypto {
    /// The value as it stands in a description, key included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} inline:{}", self.tag, self.suite.name(), STANDARD.encode(self.key.expose()))
    }
}

fn parse_key(parameter: &str) -> Option<Pii<[u8; KEY_LEN]>> {
    let (method, info) = parameter.split_once(':')?;
    let mut fields = info.split('|');
    let key = fields.next().filter(|_| method.eq_ignore_ascii_case("inline"))?;
    // `2^20` or a count is a lifetime; a colon makes it an MKI, a semicolon begins another key.
    let known = |field: &str| !field.contains([':', ';']);
    let key: [u8; KEY_LEN] = STANDARD.decode(key).ok()?.try_into().ok()?;
    fields.all(known).then_some(key.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    fn parse(rest: &str) -> Option<Crypto> {
        Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{rest}"))
    }

    #[test]
    fn line_of_the_rfc_survives_the_round() {
        let crypto = parse("").unwrap();
        assert_eq!((crypto.tag, crypto.suite), (1, Suite::AesCm128HmacSha1_80));
        assert_eq!(crypto.to_string(), format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"));
        assert_eq!(Crypto::parse(&crypto.to_string()), Some(crypto));
    }

    #[test]
    fn lifetimes_and_parameters_to_ignore_are_skipped() {
        assert!(parse("|2^20").is_some());
        assert!(parse("|1048576 -x").is_some());
    }

    #[test]
    fn what_would_change_the_packets_is_passed_over() {
        for rest in ["|2^20|1:4", "|1:4", " UNENCRYPTED_SRTP", " KDR=1", &format!(";inline:{KEY}")] {
            assert_eq!(parse(rest), None, "{rest}");
        }
        for line in ["", "1", "x AES_CM_128_HMAC_SHA1_80 inline:AA", "1 F8_128_HMAC_SHA1_80 inline:AA"] {
            assert_eq!(Crypto::parse(line), None, "{line}");
        }
        let long = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}AAAA");
        assert_eq!(Crypto::parse(&long), None, "a key of another length");
    }

    #[test]
    fn keys_never_print() {
        assert!(!format!("{:?}", parse("").unwrap()).contains("WVN"));
    }
}
