//! The chains on which payments are taken, and the stablecoin of each.
//!
//! Name and version of a token are those of its EIP-712 domain; they were compared with the contracts'
//! `DOMAIN_SEPARATOR`, and a node does so again at start ([`super::evm`]). Solana has neither these nor a number
//! for its chains.

/// A chain and its US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// x402 version 1 calls it so.
    pub name: &'static str,
    /// CAIP-2; x402 version 2 calls it so.
    pub caip2: &'static str,
    /// Of EVM chains; else 0.
    pub chain_id: u64,
    /// The token's contract in EIP-55 spelling, on Solana its mint.
    pub asset: &'static str,
    pub asset_name: &'static str,
    /// Of EVM chains; else empty.
    pub asset_version: &'static str,
}

/// Circle's USDC has six decimals on each: one unit is one millionth of a dollar.
pub const NETWORKS: [Network; 4] = [
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
    Network {
        name: "solana",
        caip2: "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
        chain_id: 0,
        asset: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
        asset_name: "USDC",
        asset_version: "",
    },
    Network {
        name: "solana-devnet",
        caip2: "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
        chain_id: 0,
        asset: "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
        asset_name: "USDC",
        asset_version: "",
    },
];

impl Network {
    /// By either of its names.
    pub fn find(name: &str) -> Option<&'static Network> {
        NETWORKS.iter().find(|network| network.name == name || network.caip2 == name)
    }

    /// The token's contract as it is compared and stored. Solana's addresses differ by case.
    pub fn asset_key(&self) -> String {
        if self.is_solana() { self.asset.to_owned() } else { self.asset.to_ascii_lowercase() }
    }

    pub fn is_solana(&self) -> bool {
        self.caip2.starts_with("solana:")
    }
}
