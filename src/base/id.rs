//! Identifiers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id must be `{prefix}` followed by 32 hexadecimal digits")]
pub struct InvalidId {
    pub prefix: &'static str,
}

/// Declares an id: a prefix and the 32 hexadecimal digits of a version 7 UUID, so that ids sort by time;
/// 74 of the bits are random, so that an id cannot be guessed.
macro_rules! prefixed_id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(uuid::Uuid);

        impl $name {
            pub fn generate() -> Self {
                $name(uuid::Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let invalid = InvalidId { prefix: $prefix };
                let hex = text.strip_prefix($prefix).filter(|hex| hex.len() == 32);
                let hex = hex.ok_or_else(|| invalid.clone())?;
                uuid::Uuid::try_parse(hex).map($name).map_err(|_| invalid)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

prefixed_id!(
    /// Names a call.
    CallId,
    "call_"
);
prefixed_id!(
    /// Names a payment that an agent has offered.
    ClaimId,
    "pay_"
);
prefixed_id!(
    /// Names what was looked up about a number.
    LookupId,
    "lookup_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_through_text() {
        let id = CallId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("call_xyz".parse::<CallId>(), Err(InvalidId { prefix: "call_" }));
        assert!(ClaimId::generate().to_string().parse::<CallId>().is_err());
    }
}
