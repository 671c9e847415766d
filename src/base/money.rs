//! Money, in millionths of a US dollar: the unit of USDC and of every other six-decimal stablecoin.

use std::{fmt, iter::Sum, ops::Add, str::FromStr};

use serde::{Deserialize, Serialize};

const MICROS: u64 = 1_000_000;

/// An amount of US dollars, never negative. Reads and writes decimal text such as `0.54`; on a chain it is
/// a whole number of millionths ([`Usd::micros`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(u64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an amount of dollars with at most six decimals, such as \"0.54\"")]
pub struct InvalidUsd;

impl Usd {
    pub const ZERO: Usd = Usd(0);

    pub const fn from_micros(micros: u64) -> Usd {
        Usd(micros)
    }

    /// Millionths of a dollar: what a six-decimal token transfers.
    pub const fn micros(self) -> u64 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// For answers that are specified as JSON numbers; exact to far beyond any price.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / MICROS as f64
    }
}

impl FromStr for Usd {
    type Err = InvalidUsd;

    fn from_str(text: &str) -> Result<Self, InvalidUsd> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
            return Err(InvalidUsd);
        }
        let whole: u64 = whole.parse().map_err(|_| InvalidUsd)?;
        let fraction: u64 = format!("{fraction:0<6}").parse().map_err(|_| InvalidUsd)?;
        whole.checked_mul(MICROS).and_then(|w| w.checked_add(fraction)).map(Usd).ok_or(InvalidUsd)
    }
}

/// At least two decimals, as prices are written: `0.54`, `20.00`, `0.001`.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:06}", self.0 % MICROS);
        let kept = fraction.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / MICROS, &fraction[..kept])
    }
}

impl Add for Usd {
    type Output = Usd;

    fn add(self, other: Usd) -> Usd {
        Usd(self.0.saturating_add(other.0))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Usd>>(amounts: I) -> Usd {
        amounts.fold(Usd::ZERO, Add::add)
    }
}

impl Serialize for Usd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written_as_prices_are() {
        for (text, micros, written) in [
            ("0.54", 540_000, "0.54"),
            ("20", 20_000_000, "20.00"),
            ("0.001", 1_000, "0.001"),
            ("5.5", 5_500_000, "5.50"),
            ("0.000001", 1, "0.000001"),
        ] {
            let amount: Usd = text.parse().unwrap();
            assert_eq!((amount.micros(), amount.to_string().as_str()), (micros, written), "{text}");
        }
    }

    #[test]
    fn what_is_no_exact_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0.0000001", "1,50", "99999999999999999999"] {
            assert_eq!(text.parse::<Usd>(), Err(InvalidUsd), "{text}");
        }
    }
}
