//! Telephone numbers as ITU-T E.164 writes them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// `+`, a country code that does not begin with 0, and 7 to 15 digits in all. `Debug` hides all but
/// the first three and last two digits; `Display` prints the whole number and belongs on the wire,
/// never in a log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an E.164 number: `+`, country code and number, 7 to 15 digits, such as +14155550123")]
pub struct InvalidE164;

impl E164 {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without the leading `+`.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// Whether the number has the form of the North American plan: +1, an area code and an exchange
    /// that begin with 2 to 9, and no N11 service code in either.
    pub fn is_nanp(&self) -> bool {
        let Some(national) = self.0.strip_prefix("+1") else { return false };
        let d = national.as_bytes();
        let valid_group = |g: &[u8]| (b'2'..=b'9').contains(&g[0]) && &g[1..3] != b"11";
        d.len() == 10 && valid_group(&d[0..3]) && valid_group(&d[3..6])
    }

    /// Whether the one who is called pays: +800, and +1 with an area code kept for it.
    pub fn is_toll_free(&self) -> bool {
        const AREAS: [&str; 7] = ["800", "833", "844", "855", "866", "877", "888"];
        let american = self.0.strip_prefix("+1").filter(|_| self.is_nanp());
        self.0.starts_with("+800") || american.is_some_and(|number| AREAS.contains(&&number[..3]))
    }
}

impl FromStr for E164 {
    type Err = InvalidE164;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('+').ok_or(InvalidE164)?;
        let valid = (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if valid { Ok(E164(text.to_owned())) } else { Err(InvalidE164) }
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…{}", &self.0[..3], &self.0[self.0.len() - 2..])
    }
}

impl Serialize for E164 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for E164 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_e164_parses() {
        for good in ["+14155550123", "+493012345678", "+1234567"] {
            assert!(good.parse::<E164>().is_ok(), "{good}");
        }
        for bad in
            ["14155550123", "+0123456789", "+1 415 555 0123", "+1", "", "+1234567890123456", "+١٢٣٤٥٦٧"]
        {
            assert_eq!(bad.parse::<E164>(), Err(InvalidE164), "{bad}");
        }
    }

    #[test]
    fn nanp_excludes_service_codes() {
        let nanp = |text: &str| text.parse::<E164>().unwrap().is_nanp();
        assert!(nanp("+14155550123"));
        assert!(!nanp("+19115550123"));
        assert!(!nanp("+14159110123"));
        assert!(!nanp("+11155550123"));
        assert!(!nanp("+493012345678"));
    }

    #[test]
    fn toll_free_numbers_are_known() {
        let free = |text: &str| text.parse::<E164>().unwrap().is_toll_free();
        assert!(free("+18005550123") && free("+18335550123") && free("+80012345678"));
        assert!(!free("+14155550123") && !free("+498001234567") && !free("+1800555"));
    }

    #[test]
    fn debug_hides_the_middle() {
        assert_eq!(format!("{:?}", "+14155550123".parse::<E164>().unwrap()), "+14…23");
    }
}
