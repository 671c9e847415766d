//! A cluster of one for a test, and what it says of balances.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use callbox::base::{Usd, Wallet};
use serde_json::{Value, json};

use crate::{FOLDER, packages, payer::Payer};

/// The fee payer of every node.
pub const SETTLER_KEY: &str =
    "5HWZciAPEi8b3LrUdKH5SLpFYUbSj7pdtazc3tsRfPr3Z2vSsR77y9STDWdjiwhN1dB9mWUWpHVYLdScFysNnEFA";

/// A program of this folder that tells its port first and ends with the test.
pub struct Program(Child);

impl Program {
    pub fn start(name: &str, environment: &[(&str, &str)]) -> (Program, String) {
        let mut command = Command::new("node");
        command
            .arg(format!("{FOLDER}/{name}"))
            .current_dir(packages::npm())
            .envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        assert!(!port.is_empty(), "{name} does not start");
        (Program(child), format!("http://127.0.0.1:{}", port.trim()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Chain {
    _validator: Program,
    pub url: String,
    client: reqwest::Client,
}

impl Chain {
    /// With a fee payer who can pay.
    pub async fn new() -> Chain {
        let started = tokio::task::spawn_blocking(|| Program::start("validator.mjs", &[])).await;
        let (validator, url) = started.unwrap();
        let chain = Chain { _validator: validator, url, client: reqwest::Client::new() };
        chain.ask("test_lamports", json!([fee_payer(), 1_000_000_000])).await;
        chain
    }

    pub async fn ask(&self, method: &str, params: Value) -> Value {
        let question = json!({ "id": 1, "method": method, "params": params });
        let answer = self.client.post(&self.url).json(&question).send().await.expect("the chain answers");
        let mut answer: Value = answer.json().await.unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Opens a wallet's USDC account.
    pub async fn fund(&self, wallet: &Wallet, amount: Usd) {
        self.ask("test_fund", json!([wallet, amount.micros()])).await;
    }

    pub async fn balance(&self, wallet: &Wallet) -> Usd {
        let account = callbox::pay::svm::wallet(&callbox::pay::svm::token_account(
            &callbox::pay::svm::key(wallet.as_str()).unwrap(),
            &crate::payer::mint(),
        ));
        let found = self.ask("getTokenAccountBalance", json!([account])).await;
        Usd::from_micros(found["value"]["amount"].as_str().unwrap().parse().unwrap())
    }

    pub async fn lamports(&self, wallet: &Wallet) -> u64 {
        self.ask("getBalance", json!([wallet])).await["value"].as_u64().unwrap()
    }

    /// The signatures of all that has landed.
    pub async fn landed(&self) -> Vec<String> {
        serde_json::from_value(self.ask("test_landed", json!([])).await).unwrap()
    }

    /// How often a method was asked.
    pub async fn asked(&self, method: &str) -> u64 {
        self.ask("test_asked", json!([])).await[method].as_u64().unwrap_or_default()
    }

    pub async fn blockhash(&self) -> [u8; 32] {
        let found = self.ask("getLatestBlockhash", json!([])).await;
        callbox::pay::svm::key(found["value"]["blockhash"].as_str().unwrap()).unwrap()
    }
}

pub fn fee_payer() -> Wallet {
    Payer::read(SETTLER_KEY).wallet
}
