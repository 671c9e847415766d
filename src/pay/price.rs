//! What each endpoint of each family costs. The defaults are the published prices.

use serde::{Deserialize, Serialize};

use crate::base::Usd;

/// Everything that is sold, by family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub x402phone: X402Phone,
    pub stablephone: StablePhone,
    pub blockrun: BlockRun,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct X402Phone {
    pub call: Usd,
    pub number: Usd,
    pub topup: Usd,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StablePhone {
    pub call: Usd,
    pub number: Usd,
    pub topup: Usd,
    pub lookup: Usd,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockRun {
    pub buy: Usd,
    pub renew: Usd,
    pub list: Usd,
    pub call: Usd,
    pub lookup: Usd,
    pub lookup_fraud: Usd,
}

/// What one request costs, and for what.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    pub amount: Usd,
    /// One line for whoever pays.
    pub description: String,
}

impl Price {
    pub fn new(amount: Usd, description: impl Into<String>) -> Price {
        Price { amount, description: description.into() }
    }
}
