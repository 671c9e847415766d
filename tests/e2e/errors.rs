//! What the executable says when something is wrong: the key, the reason, the way out.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    process::Output,
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    NUMBER, PATIENCE,
    node::{KEY, Node, SCRIPTED, config},
    ports::free_address,
    program::callbox,
};

const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// A folder with a configuration that works, and `more`.
fn folder(more: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let sip = free_address();
    fs::write(dir.path().join("callbox.toml"), config(free_address(), sip, NOBODY, more)).unwrap();
    dir
}

async fn output(dir: &TempDir, args: &[&str], env: &[(&str, &str)]) -> (Output, String) {
    let mut command = tokio::process::Command::from(callbox(dir.path()));
    command.args(args).envs(env.iter().copied()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("callbox ends").unwrap();
    let text = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    (output, text)
}

/// Runs `callbox` and expects it to fail with all these words, and without a panic.
async fn fails(dir: &TempDir, args: &[&str], env: &[(&str, &str)], expected: &[&str]) {
    let (output, text) = output(dir, args, env).await;
    assert!(output.status.code().is_some_and(|code| code != 0), "{args:?}: {}\n{text}", output.status);
    for words in expected {
        assert!(text.contains(words), "{args:?} does not say `{words}`:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[tokio::test]
async fn port_in_use_names_the_key_and_the_address() {
    let dir = folder(SCRIPTED);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = taken.local_addr().unwrap();
    let set = format!("http.bind={http}");
    fails(&dir, &["--set", &set, "serve"], &[], &["http.bind", &http.to_string()]).await;
    drop(taken);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sip = taken.local_addr().unwrap().to_string();
    let set = format!("sip.bind={sip}");
    fails(&dir, &["--set", &set, "serve"], &[], &["sip.bind", &sip]).await;
}

#[tokio::test]
async fn mistyped_key_is_told_where_it_stands_and_what_was_meant() {
    let dir = folder("[polcy]\nallowed_prefixes = []\n");
    fails(&dir, &["serve"], &[], &["polcy", "callbox.toml", "did you mean `policy`"]).await;
    let dir = folder("[call]\nring_timeout_sec = 3\n");
    fails(&dir, &["serve"], &[], &["ring_timeout_sec", "did you mean `call.ring_timeout_secs`"]).await;
    let env = [("CALLBOX__HTTP__BNID", "127.0.0.1:1")];
    let expected = ["CALLBOX__HTTP__BNID", "did you mean `http.bind`"];
    fails(&folder(""), &["serve"], &env, &expected).await;
    let set = ["--set", "call.max_concurent=3", "serve"];
    fails(&folder(""), &set, &[], &["call.max_concurent", "did you mean `call.max_concurrent`"]).await;
}

#[tokio::test]
async fn missing_model_is_told_with_the_command_that_fetches_it() {
    let dir = folder("[models]\ndir = \"none\"\n[engines.llm]\nmodel = \"smollm2-135m-instruct\"\n");
    fails(&dir, &["serve"], &[], &["callbox models pull"]).await;
    let llm = SCRIPTED.replace(
        r#"llm = { engine = "scripted", model = "" }"#,
        r#"llm = { engine = "llama", model = "smollm2-135m-instruct" }"#,
    );
    let dir = folder(&format!("[models]\ndir = \"none\"\n{llm}"));
    fails(&dir, &["serve"], &[], &["callbox models pull smollm2-135m-instruct"]).await;
}

#[tokio::test]
async fn clients_without_a_node_say_how_to_start_one() {
    let dir = folder("");
    let call = ["call", NUMBER, "--task", "Ask for the opening hours."];
    fails(&dir, &call, &[], &["no node answers at http://127.0.0.1:", "callbox serve"]).await;
    let swap = ["models", "use", "llm", "smollm2-135m-instruct"];
    fails(&dir, &swap, &[], &["no node answers at http://127.0.0.1:", "callbox serve"]).await;
    let no_key = ["--set", "http.api_key=", "call", NUMBER, "--task", "Ask."];
    fails(&dir, &no_key, &[], &["http.api_key", "CALLBOX__HTTP__API_KEY"]).await;
}

#[tokio::test]
async fn configuration_is_printed_without_its_secrets() {
    let password = "correct-horse-battery";
    let trunk =
        format!("sip.trunks=[{{name=\"t\",server=\"192.0.2.1\",username=\"u\",password=\"{password}\"}}]");
    let (output, text) = output(&folder(""), &["--set", &trunk, "config"], &[]).await;
    assert!(output.status.success() && text.contains("192.0.2.1"), "{text}");
    assert!(!text.contains(password) && !text.contains(KEY), "{text}");
}

#[tokio::test]
async fn refused_request_names_the_field_and_the_fix() {
    let node = Node::with(NOBODY, SCRIPTED).await;
    let ask = |changes: Value| {
        let mut body = json!({ "phone_number": NUMBER, "task": "Ask for the opening hours." });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        body
    };
    let table = [
        (json!({ "phone_number": "555-0123" }), StatusCode::BAD_REQUEST, "phone_number"),
        (json!({ "phone_number": 14155550123_u64 }), StatusCode::BAD_REQUEST, "phone_number"),
        (json!({ "phone_number": "+19005550123" }), StatusCode::FORBIDDEN, "phone_number"),
        (json!({ "phone_number": "+18765550123" }), StatusCode::FORBIDDEN, "phone_number"),
        (json!({ "phone_number": "+442079460123" }), StatusCode::FORBIDDEN, "phone_number"),
        (json!({ "voice": "nobody" }), StatusCode::BAD_REQUEST, "voice"),
        (json!({ "max_duration": 900 }), StatusCode::BAD_REQUEST, "max_duration"),
        (json!({ "max_duraton": 3 }), StatusCode::BAD_REQUEST, "max_duraton"),
        (json!({ "task": "" }), StatusCode::BAD_REQUEST, "task"),
    ];
    for (changes, status, field) in table {
        let (answered, answer) = node.post("/api/call", &ask(changes)).await;
        assert_eq!((answered, &answer["error"]["field"]), (status, &field.into()), "{answer}");
        assert!(answer["error"]["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(field), "{answer}");
    }
}
