//! `callbox serve` that sells on a chain, its carrier, and its books.

use std::{fs, net::SocketAddr, time::Duration};

use callbox::{
    base::{Usd, Wallet},
    store::{
        self, Store,
        claims::{Claim, ClaimState},
    },
};
use chrono::DateTime;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{
    PATIENCE, awaited,
    carrier::Carrier,
    chain::{Chain, SETTLER_KEY},
    ports::free_address,
    program::{Owned, callbox, log, serve, show_log_of_failure},
};

pub use crate::carrier::Callee;

/// One of anvil's accounts pays refunds. It has no dollars unless a test gives it some.
const REFUND_KEY: &str = "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97";
pub const REFUNDER: &str = "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8F";

pub const KEY: &str = "cbx_0123456789abcdef0123456789abcdef";

/// What is for sale.
pub const STOCK: [&str; 3] = ["+14155550100", "+14155550101", "+12125550102"];

pub struct Node {
    process: Owned,
    pub dir: TempDir,
    http: SocketAddr,
    sip: SocketAddr,
    /// Where the money goes.
    pub till: Wallet,
    client: reqwest::Client,
    pub store: Store,
    _carrier: Carrier,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
}

impl Answer {
    async fn of(response: reqwest::Response) -> reqwest::Result<Answer> {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await?;
        Ok(Answer { status, headers, json: serde_json::from_slice(&bytes).unwrap_or_default() })
    }
}

impl Node {
    pub async fn new(chain: &Chain, callee: Callee) -> Node {
        Node::over(&chain.url, callee).await
    }

    /// A node that reaches its chain by this URL.
    pub async fn over(rpc: &str, callee: Callee) -> Node {
        let till: Wallet = format!("0x{}", hex::encode(rand::random::<[u8; 20]>())).parse().unwrap();
        let payments = format!(
            r#"
pay_to = "{till}"
[[payments.networks]]
network = "base"
rpc = "{rpc}"
settler_key = "{SETTLER_KEY}"
refund_key = "{REFUND_KEY}"
"#
        );
        Node::paid(till, &payments, callee).await
    }

    /// A node that is paid so, by what follows `[payments]` in its configuration, once all its parts are well.
    pub async fn paid(till: Wallet, payments: &str, callee: Callee) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let (carrier, address) = Carrier::start(callee).await;
        let (http, sip) = (free_address(), free_address());
        fs::write(dir.path().join("callbox.toml"), config(http, sip, &callee.trunks(address), payments))
            .unwrap();
        let stock: String = STOCK.iter().map(|number| format!("{number},carrier\n")).collect();
        fs::write(dir.path().join("numbers.csv"), format!("number,trunk\n{stock}")).unwrap();
        let imported = callbox(dir.path()).args(["numbers", "import", "numbers.csv"]).output().unwrap();
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        let data_dir = dir.path().join("data");
        let store = Store::open(&store::Config { data_dir, url: String::new() }).await.unwrap();
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let process = serve(dir.path());
        let mut node = Node { process, dir, http, sip, till, client, store, _carrier: carrier };
        node.answers().await;
        node
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    pub fn host(&self) -> String {
        self.http.to_string()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    pub async fn restart(&mut self) {
        self.process = serve(self.dir.path());
        self.answers().await;
    }

    /// Waits until the node is well, or begins again where another process was faster at one of its ports.
    async fn answers(&mut self) {
        awaited("the node is well", async || {
            if self.process.0.try_wait().unwrap().is_some() {
                let log = log(self.dir.path());
                let last = log.lines().last().unwrap_or_default();
                assert!(last.contains("Address already in use"), "the node ends: {last}");
                self.move_ports();
                self.process = serve(self.dir.path());
            }
            self.is_well().await
        })
        .await;
    }

    fn move_ports(&mut self) {
        let file = self.dir.path().join("callbox.toml");
        let text = fs::read_to_string(&file).unwrap();
        let (http, sip) = (free_address(), free_address());
        let text = text.replace(&self.http.to_string(), &http.to_string());
        fs::write(file, text.replace(&self.sip.to_string(), &sip.to_string())).unwrap();
        (self.http, self.sip) = (http, sip);
    }

    /// Whether every part but the chain works: that one may be held.
    async fn is_well(&self) -> Option<()> {
        let health = self.client.get(format!("{}/health", self.url())).bearer_auth(KEY);
        let told: Value = health.timeout(Duration::from_secs(20)).send().await.ok()?.json().await.ok()?;
        let is_chain = |part: &Value| part["name"].as_str().is_some_and(|name| name.starts_with("chain"));
        let is_well = |part: &Value| part["ok"] == true || is_chain(part);
        told["parts"].as_array()?.iter().all(is_well).then_some(())
    }

    /// Sends a request and goes on; an error where the node dies before it answers.
    pub fn send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> JoinHandle<reqwest::Result<Answer>> {
        let mut request = self.client.post(format!("{}{path}", self.url())).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        tokio::spawn(async move { Answer::of(request.send().await?).await })
    }

    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::of(request.send().await.expect("the node answers")).await.expect("the node answers")
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.ask(Method::POST, path, headers, Some(body)).await
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, path, headers, None).await
    }

    /// The numbers that a wallet leases.
    pub async fn leases(&self, wallet: &Wallet) -> Vec<Value> {
        let answer = self.get(&format!("/api/x402/numbers?wallet={wallet}"), &[]).await;
        answer.json["numbers"].as_array().expect("a list").clone()
    }

    /// Calls that were placed, by the operator's list.
    pub async fn calls(&self) -> Vec<Value> {
        let answer = self.get("/api/calls", &[("authorization", &format!("Bearer {KEY}"))]).await;
        answer.json["calls"].as_array().expect("a list").clone()
    }

    /// What has come in less what has gone out, by the ledger.
    pub async fn earned(&self) -> Usd {
        let entries = self.store.ledger(DateTime::UNIX_EPOCH).await.unwrap();
        let sum: i64 = entries.iter().map(|entry| entry.moved_micros).sum();
        Usd::from_micros(u64::try_from(sum).expect("no more goes out than comes in"))
    }

    /// All payments, by their state.
    pub async fn states(&self) -> Vec<ClaimState> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT state FROM claims ORDER BY id")
            .fetch_all(&mut self.database().await)
            .await
            .unwrap();
        rows.iter().map(|state| state.parse().unwrap()).collect()
    }

    /// The one payment, once it is in this state.
    pub async fn reaches(&self, state: ClaimState) {
        awaited(&format!("the payment is {state:?}"), async || {
            (self.states().await == [state]).then_some(())
        })
        .await;
    }

    /// From now on the database fails where a payment would come into this state, as a full disk does.
    pub async fn refuse(&self, state: ClaimState) {
        let word = state.as_str();
        let trigger = format!(
            "CREATE TRIGGER refused BEFORE UPDATE ON claims WHEN NEW.state = '{word}' \
             BEGIN SELECT RAISE(ABORT, 'refused by the test'); END"
        );
        self.execute(trigger).await;
    }

    pub async fn refuse_nothing(&self) {
        self.execute("DROP TRIGGER refused".into()).await;
    }

    pub async fn execute(&self, sql: String) {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut self.database().await).await.unwrap();
    }

    async fn database(&self) -> sqlx::SqliteConnection {
        let file = self.dir.path().join("data/callbox.db");
        SqliteConnectOptions::new().filename(file).busy_timeout(PATIENCE).connect().await.unwrap()
    }

    pub async fn settled(&self) -> Vec<Claim> {
        self.store.settled_claims().await.unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        show_log_of_failure(self.dir.path());
    }
}

fn config(http: SocketAddr, sip: SocketAddr, trunks: &str, payments: &str) -> String {
    format!(
        r#"
[http]
bind = "{http}"
api_key = "{KEY}"
[sip]
bind = "{sip}"
trunks = {trunks}
[media]
bind = "127.0.0.1"
[policy]
hours = ""
caps = {{ destination = {{ hour = 0, day = 0 }}, prefix = {{ hour = 0, day = 0 }}, live_per_callee = 0 }}
caller_ids = ["+14155550199"]
[store]
data_dir = "data"
[log]
level = "info"
[payments]
mode = "on"
{payments}
[engines]
asr = {{ engine = "scripted", model = "" }}
llm = {{ engine = "scripted", model = "" }}
tts = {{ engine = "scripted", model = "" }}
vad = {{ engine = "scripted", model = "" }}
turn = {{ engine = "scripted", model = "" }}
"#
    )
}
