//! A running `callbox serve`, and its HTTP API.

use std::{fs, net::SocketAddr, path::PathBuf, process::Output};

use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    NUMBER, PATIENCE, awaited,
    ports::free_address,
    process,
    program::{self, Owned, callbox, serve, show_log_of_failure},
};

pub const KEY: &str = "cbx_0123456789abcdef0123456789abcdef";

/// The smallest real models.
pub const REAL: &str = r#"
[engines.asr]
model = "whisper-tiny.en"
[engines.llm]
model = "smollm2-135m-instruct"
[engines.tts]
model = "en_US-joe-medium"
"#;

/// Engines that need no models.
pub const SCRIPTED: &str = r#"
[engines]
asr = { engine = "scripted", model = "" }
llm = { engine = "scripted", model = "" }
tts = { engine = "scripted", model = "" }
vad = { engine = "scripted", model = "" }
turn = { engine = "scripted", model = "" }
"#;

pub struct Node {
    process: Owned,
    dir: TempDir,
    pub http: SocketAddr,
    pub sip: SocketAddr,
    client: reqwest::Client,
}

impl Node {
    /// A node with the small models whose one trunk leads to `telephone`, once all its parts are well.
    pub async fn real(telephone: SocketAddr) -> Node {
        Node::with(telephone, REAL).await
    }

    pub async fn with(telephone: SocketAddr, more: &str) -> Node {
        Node::changed(telephone, more, &[]).await
    }

    /// With the latter of each pair in the place of the former, in its configuration.
    pub async fn changed(telephone: SocketAddr, more: &str, changes: &[(&str, &str)]) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let (http, sip) = (free_address(), free_address());
        let config = changes.iter().fold(config(http, sip, telephone, more), |config, (old, new)| {
            assert!(config.contains(old), "{old} is not in the configuration");
            config.replace(old, new)
        });
        fs::write(dir.path().join("callbox.toml"), config).unwrap();
        let process = serve(dir.path());
        let node = Node { process, dir, http, sip, client: reqwest::Client::new() };
        node.is_well().await;
        node
    }

    /// Kills the node, as a crash does, and starts it again on the same data.
    pub async fn crash_and_restart(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
        self.process = serve(self.dir.path());
        self.is_well().await;
    }

    /// Replaces a text of the configuration file and has it read again.
    pub fn reload_with(&self, old: &str, new: &str) {
        let file = self.dir.path().join("callbox.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{old} is not in the configuration");
        fs::write(file, text.replace(old, new)).unwrap();
        process::signal(self.pid(), Signal::HUP);
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Processes of one kind of engine (`llm`), the oldest first.
    pub fn engines(&self, kind: &str) -> Vec<u32> {
        process::children(self.pid(), &format!("callbox-{kind}"))
    }

    /// The one process of a kind of engine.
    pub fn engine(&self, kind: &str) -> u32 {
        match self.engines(kind)[..] {
            [pid] => pid,
            ref other => panic!("{} processes of callbox-{kind}", other.len()),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self) -> String {
        program::log(self.dir.path())
    }

    /// Runs `callbox` with this node's configuration.
    pub async fn callbox(&self, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(callbox(self.dir.path()));
        let output = command.args(args).kill_on_drop(true).output();
        tokio::time::timeout(PATIENCE, output).await.expect("callbox ends").unwrap()
    }

    pub async fn health(&self) -> Option<(StatusCode, Value)> {
        self.ask(Method::GET, "/health", None).await
    }

    /// Waits until every part works.
    pub async fn is_well(&self) {
        awaited("every part of the node works", async || {
            let (status, _) = self.health().await?;
            (status == StatusCode::OK).then_some(())
        })
        .await;
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Option<(StatusCode, Value)> {
        let mut request = self.client.request(method, format!("http://{}{path}", self.http)).bearer_auth(KEY);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.timeout(PATIENCE).send().await.ok()?;
        Some((response.status(), response.json().await.unwrap_or_default()))
    }

    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, Some(body)).await.expect("the node answers")
    }

    /// A new call's id.
    pub async fn place(&self) -> String {
        let body = json!({
            "phone_number": NUMBER,
            "task": "Ask the dentist for the opening hours on Friday.",
            "first_sentence": "I would like to know your opening hours.",
            "max_duration": 2,
        });
        let (status, answer) = self.post("/api/call", &body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["call_id"].as_str().unwrap().to_owned()
    }

    pub async fn call(&self, id: &str) -> Value {
        let (status, call) =
            self.ask(Method::GET, &format!("/api/call/{id}"), None).await.expect("the node answers");
        assert_eq!(status, StatusCode::OK, "{call}");
        call
    }

    /// Waits until the call is `so`.
    pub async fn until(&self, id: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        awaited(what, async || Some(self.call(id).await).filter(&so)).await
    }

    /// Waits until the agent has said something.
    pub async fn talks(&self, id: &str) -> Value {
        self.until(id, "the agent speaks", |call| turns(call, "assistant").next().is_some()).await
    }

    /// The call once nothing more comes: it has ended, its recording and its summary are there.
    pub async fn finished(&self, id: &str) -> Value {
        self.until(id, "the call is over", |call| call["completed"] == true).await;
        let events = self.client.get(format!("http://{}/api/call/{id}/events", self.http)).bearer_auth(KEY);
        let stream = events.timeout(PATIENCE).send().await.unwrap();
        stream.bytes().await.expect("the live view ends with the call");
        self.call(id).await
    }

    /// Places a call, waits until the agent has answered what it heard, and hangs up.
    pub async fn place_short(&self) -> Value {
        let id = self.place().await;
        self.until(&id, "the agent answers what it heard", |call| {
            turns(call, "user").next().is_some() && turns(call, "assistant").count() >= 2
        })
        .await;
        let (status, answer) = self.post(&format!("/api/call/{id}/hangup"), &json!({})).await;
        assert!(matches!(status, StatusCode::OK | StatusCode::CONFLICT), "{answer}");
        self.finished(&id).await
    }

    pub async fn only_call(&self) -> Value {
        awaited("a call comes in", async || {
            let (_, list) = self.ask(Method::GET, "/api/calls", None).await?;
            list["calls"].as_array()?.first().cloned()
        })
        .await
    }

    /// Fetches the recording by the address that the call names.
    pub async fn recording(&self, call: &Value) -> PathBuf {
        let url = call["recording_url"].as_str().expect("the call is recorded");
        let response = self.client.get(url).bearer_auth(KEY).timeout(PATIENCE).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let file = self.path("fetched.wav");
        fs::write(&file, response.bytes().await.unwrap()).unwrap();
        file
    }
}

/// The turns of one side, `assistant` or `user`.
pub fn turns<'a>(call: &'a Value, user: &'static str) -> impl Iterator<Item = &'a Value> {
    call["transcripts"].as_array().into_iter().flatten().filter(move |turn| turn["user"] == user)
}

pub fn config(http: SocketAddr, sip: SocketAddr, telephone: SocketAddr, more: &str) -> String {
    format!(
        r#"
[http]
bind = "{http}"
api_key = "{KEY}"
[sip]
bind = "{sip}"
trunks = [{{ name = "phone", server = "{telephone}", allow = ["127.0.0.1"] }}]
[media]
bind = "127.0.0.1"
[policy]
hours = ""
caps = {{ destination = {{ hour = 0, day = 0 }}, prefix = {{ hour = 0, day = 0 }}, live_per_callee = 0 }}
[store]
data_dir = "data"
[log]
level = "debug"
{more}"#
    )
}

impl Drop for Node {
    fn drop(&mut self) {
        show_log_of_failure(self.dir.path());
    }
}
