//! The published clients as they are in their packages, each on the same errand: buy a number, list, call from
//! it, read the call to its end, top up.

use std::{process::Stdio, time::Duration};

use callbox::{base::Usd, store::claims::ClaimState};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    CALL, NUMBER, TOPUP,
    chain::Chain,
    node::{Callee, Node},
    packages,
    payer::Payer,
};

const ERRAND: Duration = Duration::from_secs(120);
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pay");

/// Prices of BlockRun's API.
const LEASE: Usd = Usd::from_micros(5_000_000);
const LIST: Usd = Usd::from_micros(1_000);
const LOOKUP: Usd = Usd::from_micros(10_000);

struct Errand {
    chain: Chain,
    node: Node,
    payer: Payer,
    had: Usd,
    answers: Value,
}

impl Errand {
    async fn of(client: &str) -> Errand {
        let chain = Chain::new().await;
        let node = Node::new(&chain, Callee::Answers).await;
        let payer = Payer::funded(&chain).await;
        let had = chain.balance(&payer.wallet).await;
        let mut command = tokio::task::spawn_blocking({
            let client = client.to_owned();
            move || program(&client)
        })
        .await
        .unwrap();
        let home = tempfile::tempdir().unwrap();
        command.env("CLIENT", client).env("NODE_URL", node.url()).env("WALLET_KEY", payer.secret());
        command.env("CHAIN_URL", &chain.url).env("HOME", home.path()).env_remove("XDG_CONFIG_HOME");
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(ERRAND, output).await.expect("the client ends").unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{client}: {said}");
        let answers = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{client}: {e}: {}\n{said}", String::from_utf8_lossy(&output.stdout)));
        Errand { chain, node, payer, had, answers }
    }

    /// What the chain, the ledger and the books of payments say must be the same to the last unit.
    async fn costs(&self, prices: &[Usd]) {
        let sum: u64 = prices.iter().map(|price| price.micros()).sum();
        let paid = self.had.micros() - self.chain.balance(&self.payer.wallet).await.micros();
        assert_eq!(paid, sum, "what the wallet paid");
        assert_eq!(self.chain.balance(&self.node.till).await.micros(), sum, "what came in");
        assert_eq!(self.node.earned().await.micros(), sum, "what the ledger says");
        assert_eq!(self.node.states().await, vec![ClaimState::Delivered; prices.len()]);
        let settled = self.node.settled().await;
        assert_eq!(settled.len(), prices.len());
        for (claim, price) in settled.iter().zip(prices) {
            assert_eq!(claim.offer.amount, *price);
            let receipt = self.chain.receipt(&json!(claim.settlement)).await;
            assert_eq!(receipt["status"], "0x1");
        }
    }

    /// x402phone and StablePhone answer alike.
    fn answers_as_stablephone(&self) {
        let Errand { answers, .. } = self;
        let number = number(answers);
        expires(&answers["bought"]["expires_at"], 30);
        let listed = &answers["list"]["numbers"];
        assert_eq!((listed.as_array().unwrap().len(), &listed[0]["phone_number"]), (1, number));
        assert_eq!((&listed[0]["area_code"], &listed[0]["country_code"]), (&json!("415"), &json!("US")));
        assert_eq!(answers["call"]["message"], "Call initiated");
        let told = &answers["told"];
        assert_eq!((&told["status"], &told["completed"]), (&json!("completed"), &json!(true)));
        assert_eq!((&told["from"], &told["to"]), (number, &json!("+14155550123")));
        assert_eq!((&told["price"], &told["error_message"]), (&json!(0.54), &Value::Null));
        assert_eq!(&answers["renewed"]["phone_number"], number);
        expires(&answers["renewed"]["expires_at"], 60);
    }

    async fn answers_as_blockrun(&self) {
        let Errand { answers, .. } = self;
        let number = number(answers);
        let wallet = json!(self.payer.wallet);
        let bought = &answers["bought"];
        assert_eq!((&bought["owner_wallet"], &bought["country"]), (&wallet, &json!("US")));
        expires(&bought["expires_at"], 30);
        let list = &answers["list"];
        assert_eq!((&list["count"], &list["wallet"]), (&json!(1), &wallet));
        assert_eq!(
            (&list["numbers"][0]["phone_number"], &list["numbers"][0]["active"]),
            (number, &json!(true))
        );
        let looked = &answers["looked"];
        assert_eq!((&looked["country_code"], &looked["valid"]), (&json!("US"), &json!(true)));
        assert_eq!(answers["fraud"], 501, "nobody here knows signs of fraud, and nobody pays for them");
        let call = &answers["call"];
        assert_eq!(
            (&call["from"], &call["to"], &call["status"]),
            (number, &json!("+14155550123"), &json!("started"))
        );
        assert!(call["poll_url"].as_str().unwrap().ends_with(call["call_id"].as_str().unwrap()));
        let told = &answers["told"];
        assert_eq!((&told["status"], &told["ended_by"]), (&json!("completed"), &json!("USER")));
        expires(&answers["renewed"]["expires_at"], 60);
        assert_eq!(
            (&answers["released"]["released"], &answers["released"]["phone_number"]),
            (&json!(true), number)
        );
        for paid in [bought, list, looked, call, &answers["renewed"]] {
            let transaction = &paid["transaction"];
            assert!(transaction.as_str().is_some_and(|hash| hash.starts_with("0x")), "{paid}");
            assert_eq!(self.chain.receipt(transaction).await["status"], "0x1");
            if let Some(hash) = paid.get("txHash") {
                assert_eq!(hash, transaction, "the header says the same");
            }
        }
        assert!(self.node.leases(&self.payer.wallet).await.is_empty(), "the number was given back");
    }
}

fn number(answers: &Value) -> &Value {
    let number = &answers["bought"]["phone_number"];
    assert!(number.as_str().is_some_and(|number| number.starts_with("+1415")), "{answers}");
    number
}

/// In so many days, to the hour.
fn expires(at: &Value, days: i64) {
    let at: DateTime<Utc> = at.as_str().unwrap().parse().unwrap();
    let distance = at - (Utc::now() + TimeDelta::days(days));
    assert!(distance.abs() < TimeDelta::hours(1), "{at} is not in {days} days");
}

fn program(client: &str) -> Command {
    if client == "blockrun-llm" {
        let mut command = Command::new(packages::python());
        command.arg(format!("{FOLDER}/blockrun.py"));
        return command;
    }
    let mut command = Command::new("node");
    command.arg(format!("{FOLDER}/clients.mjs")).current_dir(packages::npm());
    command
}

#[tokio::test]
async fn x402_fetch_of_version_1_buys_calls_and_tops_up() {
    let errand = Errand::of("x402-fetch").await;
    errand.answers_as_stablephone();
    assert_eq!(errand.answers["receipt"]["success"], true);
    errand.costs(&[NUMBER, CALL, TOPUP]).await;
}

#[tokio::test]
async fn x402_fetch_of_version_2_buys_calls_and_tops_up() {
    let errand = Errand::of("@x402/fetch").await;
    errand.answers_as_stablephone();
    assert_eq!(errand.answers["receipt"]["success"], true);
    errand.costs(&[NUMBER, CALL, TOPUP]).await;
}

#[tokio::test]
async fn agentcash_buys_signs_in_calls_and_tops_up() {
    let errand = Errand::of("agentcash").await;
    errand.answers_as_stablephone();
    errand.costs(&[NUMBER, CALL, TOPUP]).await;
}

#[tokio::test]
async fn blockruns_client_for_javascript_buys_calls_and_renews() {
    let errand = Errand::of("@blockrun/llm").await;
    errand.answers_as_blockrun().await;
    errand.costs(&[LEASE, LIST, LOOKUP, CALL, LEASE, Usd::ZERO]).await;
}

#[tokio::test]
async fn blockruns_client_for_python_buys_calls_and_renews() {
    let errand = Errand::of("blockrun-llm").await;
    errand.answers_as_blockrun().await;
    errand.costs(&[LEASE, LIST, LOOKUP, CALL, LEASE, Usd::ZERO]).await;
}
