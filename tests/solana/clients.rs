//! The published clients as they are in their packages, each on the same errand: buy a number, list, call from it,
//! read the call to its end, top up.

use std::process::Stdio;

use callbox::{base::Usd, pay::network::NETWORKS, store::claims::ClaimState};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    CALL, FOLDER, NUMBER, PATIENCE, TOPUP,
    chain::{Chain, Program, SETTLER_KEY, fee_payer},
    node::{Callee, Node},
    packages,
    payer::Payer,
    program::callbox,
    selling, selling_by,
};

async fn errand(client: &str, chain: &Chain, node: &Node) {
    let payer = Payer::funded(chain).await;
    let had = chain.balance(&payer.wallet).await;
    let packages = tokio::task::spawn_blocking(packages::npm).await.unwrap();
    let mut command = Command::new("node");
    command.arg(format!("{FOLDER}/clients.mjs")).current_dir(packages);
    command.env("CLIENT", client).env("NODE_URL", node.url()).env("CHAIN_URL", &chain.url);
    let output = command.env("WALLET_KEY", payer.base58()).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("the client ends").unwrap();
    assert!(output.status.success(), "{client}: {}", String::from_utf8_lossy(&output.stderr));
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();

    let number = &answers["bought"]["phone_number"];
    assert!(number.as_str().is_some_and(|number| number.starts_with("+1415")), "{answers}");
    assert_eq!(&answers["list"]["numbers"][0]["phone_number"], number);
    let told = &answers["told"];
    assert_eq!(
        (&told["status"], &told["completed"], &told["from"]),
        (&json!("completed"), &json!(true), number)
    );
    assert_eq!(&answers["renewed"]["phone_number"], number);

    // What the chain, the ledger and the books of payments say is the same to the last unit.
    let prices = [NUMBER, CALL, TOPUP];
    let sum: Usd = prices.into_iter().sum();
    assert_eq!(
        had.micros() - chain.balance(&payer.wallet).await.micros(),
        sum.micros(),
        "what the wallet paid"
    );
    assert_eq!(chain.balance(&node.till).await, sum, "what came in");
    assert_eq!(node.earned().await, sum, "what the ledger says");
    assert_eq!(node.states().await, [ClaimState::Delivered; 3]);
    let landed = chain.landed().await;
    assert_eq!(landed.len(), 3);
    let settled = node.settled().await;
    assert_eq!(settled.len(), 3);
    for (place, claim) in settled.iter().enumerate() {
        let receipt = &answers["receipts"][place];
        assert_eq!((&receipt["success"], &receipt["payer"]), (&json!(true), &json!(payer.wallet)));
        assert_eq!(
            (receipt["transaction"].as_str(), claim.offer.amount),
            (claim.settlement.as_deref(), prices[place])
        );
        assert!(landed.contains(claim.settlement.as_ref().unwrap()));
    }
    let reconciled = callbox(node.dir.path()).args(["ledger", "reconcile"]).output().unwrap();
    let said = String::from_utf8_lossy(&reconciled.stdout);
    assert!(reconciled.status.success() && said.contains("3 of 3 payments agree"), "{said}");
}

#[tokio::test]
async fn x402_fetch_of_version_1_buys_calls_and_tops_up() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Answers).await;
    let had = chain.lamports(&fee_payer()).await;
    errand("x402-fetch", &chain, &node).await;
    let fees = had - chain.lamports(&fee_payer()).await;
    assert!((30_000..31_000).contains(&fees), "the node has paid the fees of three transactions: {fees}");
}

#[tokio::test]
async fn x402_fetch_of_version_2_buys_calls_and_tops_up() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Answers).await;
    errand("@x402/fetch", &chain, &node).await;
}

#[tokio::test]
async fn published_facilitator_settles_for_a_node_without_a_key() {
    let chain = Chain::new().await;
    let (_facilitator, url) = facilitator(&chain, false).await;
    let node = selling_by(&chain, &format!("facilitator = \"{url}\""), Callee::Answers).await;
    offered(&node).await;
    errand("@x402/fetch", &chain, &node).await;
}

/// A facilitator has to say first who pays the fees.
pub async fn offered(node: &Node) {
    crate::awaited("Solana is offered", async || {
        let asked = node.ask(Method::POST, "/api/x402/call", &[], None).await;
        (asked.json["accepts"][0]["network"] == "solana").then_some(())
    })
    .await;
}

/// Signs with the key that the nodes of other tests have.
pub async fn facilitator(chain: &Chain, silent: bool) -> (Program, String) {
    let (url, key) = (chain.url.clone(), hex::encode(Payer::read(SETTLER_KEY).secret()));
    let start = move || {
        let mut environment = vec![("CHAIN_URL", url.as_str()), ("FEE_KEY", key.as_str())];
        environment.extend(silent.then_some(("SILENT", "yes")));
        Program::start("facilitator.mjs", &environment)
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

#[tokio::test]
async fn one_402_offers_solana_beside_base_and_tempo() {
    let chain = Chain::new().await;
    let till = Payer::random().wallet;
    chain.fund(&till, Usd::ZERO).await;
    // Nobody pays on the other two.
    let payments = format!(
        r#"
pay_to = "0x2222222222222222222222222222222222222222"
[[payments.networks]]
network = "base"
rpc = "http://127.0.0.1:9"
settler_key = "0x{key}"
[[payments.networks]]
network = "solana"
rpc = "{url}"
pay_to = "{till}"
settler_key = "{SETTLER_KEY}"
[[payments.networks]]
network = "tempo"
rpc = "http://127.0.0.1:9"
"#,
        key = "12".repeat(32),
        url = chain.url,
    );
    let node = Node::paid(till.clone(), &payments, Callee::Rings).await;
    let asked = node.ask(Method::POST, "/api/call", &[], None).await;
    let (v1, v2) = (&asked.json["accepts"], crate::payer::decode(&asked, "payment-required"));
    assert_eq!((&v1[0]["network"], &v1[1]["network"]), (&json!("base"), &json!("solana")));
    let solana = &v2["accepts"][1];
    assert_eq!(
        (&solana["network"], &solana["asset"]),
        (&json!(NETWORKS[2].caip2), &json!(NETWORKS[2].asset))
    );
    assert_eq!((&solana["payTo"], &solana["extra"]), (&json!(till), &json!({ "feePayer": fee_payer() })));
    assert_eq!(v1[0]["extra"], json!({ "name": "USD Coin", "version": "2" }), "a client compares this");
    assert!(asked.headers["www-authenticate"].to_str().unwrap().starts_with("Payment "));
    let doctor =
        String::from_utf8(callbox(node.dir.path()).args(["doctor"]).output().unwrap().stdout).unwrap();
    assert!(doctor.contains("ok    chain solana  "), "{doctor}");
    assert!(doctor.contains(&format!("{} has 1.000000 SOL for fees", fee_payer())), "{doctor}");
}
