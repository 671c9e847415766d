//! `a=crypto` (RFC 4568): the key of an SRTP stream, told in the description. It is as secret as the
//! signalling that carries it, which is why a trunk that wants it wants TLS.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::base::srtp::{MASTER_KEY_LEN, MasterKey, Suite};

/// One `a=crypto` line: how its writer encrypts what it sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Ties an answer to the line of the offer that it takes; at most nine digits.
    pub tag: u32,
    pub suite: Suite,
    pub key: MasterKey,
}

impl Crypto {
    /// Reads what stands behind `a=crypto:`. `None` for what is not spoken here: another suite, several
    /// keys or a key identifier (MKI), and parameters that change the packets. A line of that kind is
    /// passed over (section 5.1.2); a lifetime is longer than any call and skipped.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|tag| tag.len() <= 9 && is_digits(tag))?.parse().ok()?;
        let suite = suite_of(words.next()?)?;
        let key = parse_key(words.next()?)?;
        words.all(may_be_ignored).then_some(Crypto { tag, suite, key })
    }
}

impl fmt::Display for Crypto {
    /// The value as it stands in a description, key included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} inline:{}", self.tag, name_of(self.suite), STANDARD.encode(self.key.expose()))
    }
}

/// What we encrypt with, whichever suite is agreed on: made for one call, and kept as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys([MasterKey; Suite::ALL.len()]);

impl Keys {
    /// New ones, from the system's generator.
    pub fn draw() -> Self {
        Keys(Suite::ALL.map(|_| rand::random::<[u8; MASTER_KEY_LEN]>().into()))
    }

    pub fn of(&self, suite: Suite) -> MasterKey {
        let place = Suite::ALL.iter().position(|known| *known == suite);
        self.0[place.expect("every suite is in the list of all")]
    }

    /// The lines of an offer. Their tags are the same in every offer of a call.
    pub fn lines(&self) -> impl Iterator<Item = Crypto> + '_ {
        (1..).zip(Suite::ALL).map(|(tag, suite)| self.line(tag, suite))
    }

    /// The line of an answer to the one that has `tag`.
    pub fn line(&self, tag: u32, suite: Suite) -> Crypto {
        Crypto { tag, suite, key: self.of(suite) }
    }
}

const fn name_of(suite: Suite) -> &'static str {
    match suite {
        Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
    }
}

/// Names are case-insensitive, as everything in the attribute's grammar that is no key.
fn suite_of(name: &str) -> Option<Suite> {
    Suite::ALL.into_iter().find(|suite| name_of(*suite).eq_ignore_ascii_case(name))
}

fn parse_key(parameter: &str) -> Option<MasterKey> {
    let (method, info) = parameter.split_once(':')?;
    let mut fields = info.split('|');
    let key = fields.next().filter(|_| method.eq_ignore_ascii_case("inline"))?;
    // A colon would make it an MKI, a semicolon begin another key.
    let lifetime = |field: &str| is_digits(field.strip_prefix("2^").unwrap_or(field));
    let key: [u8; MASTER_KEY_LEN] = STANDARD.decode(key).ok()?.try_into().ok()?;
    (fields.next().is_none_or(lifetime) && fields.next().is_none()).then(|| key.into())
}

/// A session parameter behind a minus (section 6.3.8), and a hint on the size of our replay window.
fn may_be_ignored(parameter: &str) -> bool {
    let hint = parameter.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("WSH="));
    parameter.starts_with('-') || hint
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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
        let short = Crypto::parse(&format!("999999999 aes_cm_128_hmac_sha1_32 INLINE:{KEY}")).unwrap();
        assert_eq!((short.tag, short.suite), (999_999_999, Suite::AesCm128HmacSha1_32));
    }

    #[test]
    fn lifetimes_hints_and_parameters_to_ignore_are_skipped() {
        for rest in ["|2^20", "|1048576", " WSH=128", "|2^48 -x wsh=64"] {
            assert!(parse(rest).is_some(), "{rest}");
        }
    }

    #[test]
    fn what_would_change_the_packets_is_passed_over() {
        let another = format!(";inline:{KEY}");
        for rest in [
            "|2^20|1:4",
            "|1:4",
            "|2^20|2^20",
            "|",
            "|2^",
            &another,
            " UNENCRYPTED_SRTP",
            " UNENCRYPTED_SRTCP",
            " UNAUTHENTICATED_SRTP",
            " KDR=1",
            " FEC_ORDER=FEC_SRTP",
            " FEC_KEY=inline:x",
            " NEW=1",
        ] {
            assert_eq!(parse(rest), None, "{rest}");
        }
    }

    #[test]
    fn what_is_no_line_of_ours_is_passed_over() {
        let line = |tag: &str, suite: &str, key: &str| format!("{tag} {suite} {key}");
        let (suite, key) = ("AES_CM_128_HMAC_SHA1_80", format!("inline:{KEY}"));
        for line in [
            line("", "", ""),
            line("1", suite, ""),
            line("+1", suite, &key),
            line("x", suite, &key),
            line("1234567890", suite, &key),
            line("1", "F8_128_HMAC_SHA1_80", &key),
            line("1", suite, KEY),
            line("1", suite, &format!("{key}AAAA")),
            line("1", suite, "inline:AA"),
            line("1", suite, "inline:****************************************"),
        ] {
            assert_eq!(Crypto::parse(&line), None, "{line}");
        }
    }

    #[test]
    fn keys_never_print_and_never_repeat() {
        assert!(!format!("{:?}", parse("").unwrap()).contains("WVN"));
        let keys = Keys::draw();
        assert_ne!(keys, Keys::draw());
        assert_ne!(keys.of(Suite::AesCm128HmacSha1_80), keys.of(Suite::AesCm128HmacSha1_32));
        assert!(format!("{keys:?}").contains("redacted"));
    }
}
