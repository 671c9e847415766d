//! Circle's USDC: a proxy before FiatTokenV2_2, as it stands on public chains.

use std::{fs, path::Path};

use alloy::{
    primitives::{Address, U256, address},
    sol,
    sol_types::{SolCall, SolConstructor},
};
use serde_json::{Value, json};

use super::{Chain, ChainError, Kit, rpc};
use crate::base::Usd;

sol! {
    contract Usdc {
        function initialize(string name, string symbol, string currency, uint8 decimals,
            address masterMinter, address pauser, address blacklister, address owner);
        function initializeV2(string name);
        function initializeV2_1(address lostAndFound);
        function initializeV2_2(address[] blacklisted, string symbol);
        function configureMinter(address minter, uint256 allowance);
        function mint(address to, uint256 amount);
        function balanceOf(address account) returns (uint256);
    }
    contract Proxy {
        constructor(address implementation);
    }
}

/// anvil's own accounts, whose keys it has: the first deploys, the second owns the token.
const DEPLOYER: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
const OWNER: Address = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
/// What the owner may make: a billion dollars.
const ALLOWANCE: u64 = 1_000_000_000_000_000;

/// Where the proxy keeps the address of its implementation, and who may change it.
const IMPLEMENTATION_SLOT: &str = "0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3";
const ADMIN_SLOT: &str = "0x10d6a54a4754c8869d6886b5f5d7fbfa5b4522237ea5c60d11bc4e7a1ff9390b";
/// The admin may not use the token, so it is nobody here.
const NOBODY: &str = "0x000000000000000000000000000000000000000000000000000000000000dead";
/// The library that settles wants to see these contracts; an ordinary account's payment calls none of them.
const STUBBED: [&str; 3] = [
    "0xdAcD51A54883eb67D95FAEb2BBfdC4a9a6BD2a3B",
    "0x000000000022D473030F116dDEE9F6B43aC78BA3",
    "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
];
/// Code that reverts.
const STUB: &str = "0x60006000fd";

/// Deploys the contracts, moves the proxy to the token's address, and sets it up.
pub async fn deploy(chain: &Chain, kit: &Kit) -> Result<(), ChainError> {
    let library = create(chain, Artefact::read(&kit.library)?.code).await?;
    let implementation = create(chain, Artefact::read(&kit.token)?.linked(library)?).await?;
    let constructor = hex::encode(Proxy::constructorCall { implementation }.abi_encode());
    let proxy = create(chain, Artefact::read(&kit.proxy)?.code + &constructor).await?;
    move_to_its_address(chain, proxy).await?;
    for contract in STUBBED {
        chain.ask("anvil_setCode", json!([contract, STUB])).await?;
    }
    set_up(chain).await
}

pub async fn mint(chain: &Chain, to: Address, amount: Usd) -> Result<(), ChainError> {
    call(chain, "minting", Usdc::mintCall { to, amount: U256::from(amount.micros()) }).await
}

/// The data of a call.
pub fn balance_of(account: Address) -> String {
    data(&Usdc::balanceOfCall { account })
}

async fn move_to_its_address(chain: &Chain, proxy: Address) -> Result<(), ChainError> {
    let token = chain.token.contract;
    let code = chain.ask("eth_getCode", json!([proxy, "latest"])).await?;
    chain.ask("anvil_setCode", json!([token, code])).await?;
    let slot = chain.ask("eth_getStorageAt", json!([proxy, IMPLEMENTATION_SLOT, "latest"])).await?;
    chain.ask("anvil_setStorageAt", json!([token, IMPLEMENTATION_SLOT, slot])).await?;
    chain.ask("anvil_setStorageAt", json!([token, ADMIN_SLOT, NOBODY])).await.map(drop)
}

async fn set_up(chain: &Chain) -> Result<(), ChainError> {
    let (name, symbol, own) = (chain.token.name.to_owned(), "USDC".to_owned(), OWNER);
    let first = Usdc::initializeCall {
        name: name.clone(),
        symbol: symbol.clone(),
        currency: "USD".into(),
        decimals: 6,
        masterMinter: own,
        pauser: own,
        blacklister: own,
        owner: own,
    };
    call(chain, "initialize", first).await?;
    call(chain, "initializeV2", Usdc::initializeV2Call { name }).await?;
    call(chain, "initializeV2_1", Usdc::initializeV2_1Call { lostAndFound: own }).await?;
    call(chain, "initializeV2_2", Usdc::initializeV2_2Call { blacklisted: Vec::new(), symbol }).await?;
    let minter = Usdc::configureMinterCall { minter: own, allowance: U256::from(ALLOWANCE) };
    call(chain, "configureMinter", minter).await
}

async fn call(chain: &Chain, what: &'static str, call: impl SolCall) -> Result<(), ChainError> {
    let call = json!({ "from": OWNER, "to": chain.token.contract, "data": data(&call) });
    chain.send(what, call).await.map(drop)
}

async fn create(chain: &Chain, code: String) -> Result<Address, ChainError> {
    let creation = json!({ "from": DEPLOYER, "data": format!("0x{code}") });
    let receipt = chain.send("a contract's creation", creation).await?;
    serde_json::from_value(receipt["contractAddress"].clone())
        .map_err(|error| rpc("eth_getTransactionReceipt", error))
}

fn data(call: &impl SolCall) -> String {
    format!("0x{}", hex::encode(call.abi_encode()))
}

/// A contract as a compiler left it, its code in hexadecimal.
struct Artefact<'a> {
    path: &'a Path,
    json: Value,
    code: String,
}

impl<'a> Artefact<'a> {
    fn read(path: &'a Path) -> Result<Artefact<'a>, ChainError> {
        let fail = |detail: String| ChainError::Artefact { path: path.to_owned(), detail };
        let text = fs::read(path).map_err(|error| fail(error.to_string()))?;
        let json: Value = serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
        let code = json["bytecode"].as_str().and_then(|code| code.strip_prefix("0x"));
        let code = code.ok_or_else(|| fail("has no `bytecode`".into()))?.to_owned();
        Ok(Artefact { path, json, code })
    }

    /// The code with the library's address where the compiler left room for it.
    fn linked(self, library: Address) -> Result<String, ChainError> {
        let fail =
            || ChainError::Artefact { path: self.path.to_owned(), detail: "has no room to link".into() };
        let places = &self.json["linkReferences"]["contracts/util/SignatureChecker.sol"]["SignatureChecker"];
        let (mut code, address) = (self.code.clone(), hex::encode(library));
        for place in places.as_array().ok_or_else(fail)? {
            let start = place["start"].as_u64().and_then(|start| usize::try_from(start).ok()?.checked_mul(2));
            let start = start.ok_or_else(fail)?;
            let room = start..start.saturating_add(address.len());
            code.get(room.clone()).ok_or_else(fail)?;
            code.replace_range(room, &address);
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artefact(json: &str) -> Result<String, ChainError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), json).unwrap();
        Artefact::read(file.path())?.linked(OWNER)
    }

    fn with_room_at(start: u64) -> Result<String, ChainError> {
        let places = json!({ "SignatureChecker": [{ "length": 20, "start": start }] });
        let references = json!({ "contracts/util/SignatureChecker.sol": places });
        let code = format!("0x6000{}6000", "_".repeat(40));
        artefact(&json!({ "bytecode": code, "linkReferences": references }).to_string())
    }

    #[test]
    fn library_is_linked_where_the_compiler_left_room() {
        assert_eq!(with_room_at(2).unwrap(), format!("6000{}6000", hex::encode(OWNER)));
    }

    #[test]
    fn contract_without_code_or_room_is_an_error() {
        for text in ["", "{}", r#"{"bytecode":1}"#, r#"{"bytecode":"0x60"}"#] {
            assert!(matches!(artefact(text), Err(ChainError::Artefact { .. })), "{text}");
        }
        for start in [20, u64::MAX] {
            assert!(matches!(with_room_at(start), Err(ChainError::Artefact { .. })), "{start}");
        }
    }
}
