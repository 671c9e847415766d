//! Identifiers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Names a call: `call_` and 32 hexadecimal digits. Version 7, so that ids sort by time; 74 of the
/// bits are random, so that an id cannot be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(uuid::Uuid);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("call id must be `call_` followed by 32 hexadecimal digits")]
pub struct InvalidCallId;

impl CallId {
    pub fn generate() -> Self {
        CallId(uuid::Uuid::now_v7())
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call_{}", self.0.simple())
    }
}

impl FromStr for CallId {
    type Err = InvalidCallId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.strip_prefix("call_").filter(|hex| hex.len() == 32).ok_or(InvalidCallId)?;
        uuid::Uuid::try_parse(hex).map(CallId).map_err(|_| InvalidCallId)
    }
}

impl Serialize for CallId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_id_round_trips_through_text() {
        let id = CallId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("call_xyz".parse::<CallId>(), Err(InvalidCallId));
    }
}
