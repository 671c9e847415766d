//! A paid call without money: a chain on this machine, an agent with a wallet, and an operator who sells.
//! In the end the chain and the ledger must say the same.

use std::sync::Arc;

use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, anyhow};
use callbox::base::{Usd, Wallet};
use callbox::eval::buyer::{Bought, Buyer, wallet_of};
use callbox::eval::chain::{Chain, ChainError, Kit, Token};
use callbox::eval::figures::table;
use callbox::models;
use callbox::pay::network::{NETWORKS, Network};
use callbox::pay::{self, Mode};
use callbox::service::number_file;
use callbox::store::{Store, claims::ClaimState};
use chrono::DateTime;
use serde_json::{Value, json};

use crate::stage::{Sale, TRUNK};

/// The chain that is shown.
const BASE: &Network = &NETWORKS[0];
/// Numbers that are reserved for fiction.
const NUMBERS: [&str; 2] = ["+14155550100", "+14155550101"];
const AREA_CODE: &str = "415";
/// What the agent has.
const PURSE: Usd = Usd::from_micros(100_000_000);
/// A package client may take so long: the models were fetched before, so there is a network or there is none.
const STALL_SECS: u64 = 15;
const FETCH_SECS: u64 = 300;

pub struct Market {
    chain: Chain,
    agent: Buyer,
    operator: Wallet,
    settler_key: String,
    before: Balances,
    /// Each payment's sum and the transaction that moved it.
    paid: Vec<(Usd, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Balances {
    agent: Usd,
    operator: Usd,
}

/// What the ledger says of all payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Booked {
    payments: usize,
    moved_micros: i64,
    /// Every one was handed over.
    delivered: bool,
}

impl Market {
    /// `Err` in the inner result says in words why there can be none here.
    pub async fn open(models: &models::Config) -> anyhow::Result<Result<Market, String>> {
        let chain = match start(models).await? {
            Ok(chain) => chain,
            Err(why) => return Ok(Err(why)),
        };
        let agent = Buyer::new(PURSE)?;
        let (operator, settler) = (PrivateKeySigner::random(), PrivateKeySigner::random());
        let (operator, settler_wallet) = (wallet_of(&operator), wallet_of(&settler));
        chain.give_gas(&settler_wallet).await?;
        chain.mint(&agent.wallet, PURSE).await?;
        let settler_key = format!("0x{}", hex::encode(settler.to_bytes()));
        let before = Balances::read(&chain, &agent.wallet, &operator).await?;
        Ok(Ok(Market { chain, agent, operator, settler_key, before, paid: Vec::new() }))
    }

    /// Who is who, for people.
    pub fn introduction(&self) -> String {
        let (Market { chain, agent, operator, before, .. }, contract) = (self, BASE.asset);
        format!(
            "anvil is Base (chain id {}) at {}, with Circle's USDC at {contract}\n  \
             the agent's wallet {} has {} USDC, the operator's {operator} {}",
            BASE.chain_id,
            chain.url(),
            agent.wallet,
            before.agent,
            before.operator,
        )
    }

    /// At the configuration's prices.
    pub fn sale(&self, mut payments: pay::Config) -> anyhow::Result<Sale> {
        payments.mode = Mode::On;
        payments.pay_to = self.operator.to_string();
        let (rpc, settler_key) = (self.chain.url(), &self.settler_key);
        let network = json!({ "network": BASE.name, "rpc": rpc, "settler_key": settler_key });
        payments.networks = vec![serde_json::from_value(network).context("the chain's configuration")?];
        let file = format!("number\n{}\n", NUMBERS.join("\n"));
        let numbers = number_file::parse(&file, &[TRUNK.to_owned()]);
        let numbers = numbers.map_err(|errors| anyhow!("the numbers for lease: {errors:?}"))?;
        Ok(Sale { payments, numbers })
    }

    /// Leases a number; it is the caller id of the call.
    pub async fn lease(&mut self, node: &str) -> anyhow::Result<String> {
        let bought = self.buy(node, "/api/x402/number", &json!({ "area_code": AREA_CODE })).await?;
        let answer = &bought.answer;
        let number = answer["phone_number"].as_str().context("the node leases a number without naming it")?;
        let until = answer["expires_at"].as_str().and_then(|at| at.parse::<DateTime<chrono::Utc>>().ok());
        let until = until.map_or("?".into(), |at| at.format("%Y-%m-%d").to_string());
        println!("  the agent leases {number} until {until}");
        Ok(number.to_owned())
    }

    /// Places a call; its id.
    pub async fn call(&mut self, node: &str, request: &Value) -> anyhow::Result<String> {
        let bought = self.buy(node, "/api/x402/call", request).await?;
        let id = bought.answer["call_id"].as_str().context("the node sells a call without naming it")?;
        Ok(id.to_owned())
    }

    async fn buy(&mut self, node: &str, path: &str, body: &Value) -> anyhow::Result<Bought> {
        println!("\nPOST {node}{path}\n{body:#}");
        let url = format!("{node}{path}");
        let offer = self.agent.ask(&url, body).await.context("asking for the price")?;
        let price = offer.price();
        println!("  402 Payment Required: {price} USDC on {} to {}", offer.network(), offer.pay_to());
        println!("  the agent signs an authorisation for {price} USDC and asks again");
        let bought = self.agent.pay(&offer, &url, body).await.context("paying")?;
        println!("  200 OK, settled by {}", bought.transaction);
        self.paid.push((price, bought.transaction.clone()));
        Ok(bought)
    }

    /// Prints what everyone has now, and gives all that does not add up.
    pub async fn close(&self, store: &Store) -> anyhow::Result<Vec<String>> {
        let after = Balances::read(&self.chain, &self.agent.wallet, &self.operator).await?;
        let booked = Booked::read(store).await?;
        println!("{}", account(self.before, after, booked));
        let mut wrong = disagreements(self.before, after, booked, &self.paid);
        for (_, transaction) in &self.paid {
            if self.chain.receipt(transaction).await?["status"] != "0x1" {
                wrong.push(format!("a settlement that the chain does not know: {transaction}"));
            }
        }
        Ok(wrong)
    }
}

/// The chain, or why this machine cannot have one.
async fn start(models: &models::Config) -> anyhow::Result<Result<Chain, String>> {
    let models = models::Config {
        stall_timeout_s: models.stall_timeout_s.min(STALL_SECS),
        pull_timeout_s: models.pull_timeout_s.min(FETCH_SECS),
        retries: models.retries.min(1),
        ..models.clone()
    };
    let store = models::Store::open(&models)?;
    if !Kit::is_there(&store) {
        println!("  fetching what a local chain is made of, once: anvil and USDC's contracts");
    }
    let kit = match Kit::pull(&store, Arc::new(())).await {
        Ok(kit) => kit,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let contract = BASE.asset.parse().context("the token's address")?;
    let token = Token { chain_id: BASE.chain_id, contract, name: BASE.asset_name };
    match Chain::start(&kit, token).await {
        Ok(chain) => Ok(Ok(chain)),
        Err(error @ (ChainError::Start { .. } | ChainError::Silent)) => Ok(Err(error.to_string())),
        Err(error) => Err(error).context("the chain of this demonstration"),
    }
}

impl Balances {
    async fn read(chain: &Chain, agent: &Wallet, operator: &Wallet) -> Result<Balances, ChainError> {
        Ok(Balances { agent: chain.balance(agent).await?, operator: chain.balance(operator).await? })
    }
}

impl Booked {
    async fn read(store: &Store) -> anyhow::Result<Booked> {
        let claims = store.claims_since(DateTime::UNIX_EPOCH).await?;
        let entries = store.ledger(DateTime::UNIX_EPOCH).await?;
        Ok(Booked {
            payments: claims.len(),
            moved_micros: entries.iter().map(|entry| entry.moved_micros).sum(),
            delivered: claims.iter().all(|claim| claim.state == ClaimState::Delivered),
        })
    }
}

fn account(before: Balances, after: Balances, booked: Booked) -> String {
    let row = |who: &str, before: Usd, after: Usd| {
        [who.into(), before.to_string(), after.to_string(), signed(difference(before, after))].to_vec()
    };
    let rows = [
        ["USDC", "before", "after", "change"].map(String::from).to_vec(),
        row("the agent, on the chain", before.agent, after.agent),
        row("the operator, on the chain", before.operator, after.operator),
        ["the operator's ledger".into(), "–".into(), "–".into(), signed(booked.moved_micros)].to_vec(),
    ];
    let each = if booked.delivered { "each" } else { "not each" };
    format!("{}{} payments in the ledger, {each} delivered", table(&rows), booked.payments)
}

/// All that must be equal and is not, to the millionth of a dollar.
fn disagreements(before: Balances, after: Balances, booked: Booked, paid: &[(Usd, String)]) -> Vec<String> {
    let prices = paid.iter().map(|(price, _)| price.micros()).sum::<u64>().cast_signed();
    let sums = [
        ("the agent's wallet lost", -difference(before.agent, after.agent)),
        ("the operator's wallet gained", difference(before.operator, after.operator)),
        ("the ledger's rows add up to", booked.moved_micros),
    ];
    let mut wrong: Vec<String> = sums
        .into_iter()
        .filter(|(_, sum)| *sum != prices)
        .map(|(what, sum)| format!("prices of {} USDC, but {what} {}", signed(prices), signed(sum)))
        .collect();
    if booked.payments != paid.len() || !booked.delivered {
        wrong.push(format!("{} payments, but not each is delivered in the ledger", paid.len()));
    }
    wrong
}

/// In millionths.
fn difference(before: Usd, after: Usd) -> i64 {
    after.micros().cast_signed() - before.micros().cast_signed()
}

fn signed(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "+" };
    format!("{sign}{}", Usd::from_micros(micros.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Balances = Balances { agent: PURSE, operator: Usd::ZERO };
    const AFTER: Balances =
        Balances { agent: Usd::from_micros(79_460_000), operator: Usd::from_micros(20_540_000) };
    const BOOKED: Booked = Booked { payments: 2, moved_micros: 20_540_000, delivered: true };

    fn paid() -> Vec<(Usd, String)> {
        [20_000_000, 540_000].map(|micros| (Usd::from_micros(micros), "0x1".to_owned())).to_vec()
    }

    #[test]
    fn sums_that_agree_are_shown_and_nothing_is_wrong() {
        assert_eq!(disagreements(BEFORE, AFTER, BOOKED, &paid()), Vec::<String>::new());
        let expected = "\
USDC                        before  after  change
the agent, on the chain     100.00  79.46  -20.54
the operator, on the chain    0.00  20.54  +20.54
the operator's ledger            –      –  +20.54
2 payments in the ledger, each delivered";
        assert_eq!(account(BEFORE, AFTER, BOOKED), expected);
    }

    #[test]
    fn a_millionth_too_much_anywhere_is_told() {
        let more = Usd::from_micros(1);
        let wrong = [
            (Balances { agent: AFTER.agent + more, ..AFTER }, BOOKED),
            (Balances { operator: AFTER.operator + more, ..AFTER }, BOOKED),
            (AFTER, Booked { moved_micros: BOOKED.moved_micros + 1, ..BOOKED }),
            (AFTER, Booked { payments: 3, ..BOOKED }),
            (AFTER, Booked { delivered: false, ..BOOKED }),
        ];
        for (after, booked) in wrong {
            assert_eq!(disagreements(BEFORE, after, booked, &paid()).len(), 1, "{after:?} {booked:?}");
        }
    }
}
