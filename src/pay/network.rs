//! The chains on which payments are taken, and the stablecoin of each.
//!
//! Name and version of a token are those of its EIP-712 domain; they were compared with the contracts'
//! `DOMAIN_SEPARATOR`, and a node does so again at start ([`super::evm`]).

/// A chain and its US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// x402 version 1 calls it so.
    pub name: &'static str,
    /// CAIP-2; x402 version 2 calls it so.
    pub caip2: &'static str,
    pub chain_id: u64,
    /// The token's contract, in EIP-55 spelling.
    pub asset: &'static str,
    pub asset_name: &'static str,
    pub asset_version: &'static str,
}

/// Circle's USDC has six decimals on each: one unit is one millionth of a dollar.
pub const NETWORKS: [Network; 2] = [
    Network {
        name: "base",
        caip2: "eip155:8453",
        chain_id: 8453,
        asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        asset_name: "USD Coin",
        asset_version: "2",
    },
    Network {
        name: "base-sepolia",
        caip2: "eip155:84532",
        chain_id: 84532,
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        asset_name: "USDC",
        asset_version: "2",
    },
];

impl Network {
    /// By either of its names.
    pub fn find(name: &str) -> Option<&'static Network> {
        NETWORKS.iter().find(|network| network.name == name || network.caip2 == name)
    }

    /// The token's contract as it is compared and stored.
    pub fn asset_key(&self) -> String {
        self.asset.to_ascii_lowercase()
    }
}
