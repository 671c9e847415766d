//! `callbox call`, the executable, against a node on a real socket.

use std::{process::Stdio, time::Duration};

use callbox::{
    base::{CallId, Pii},
    call::{
        event::CallChange,
        record::{CallStatus, Speaker},
    },
    node::{Shutdown, http},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

use crate::support::{KEY, Node, answered, ended, turn};

const PATIENCE: Duration = Duration::from_secs(60);

struct Served {
    url: String,
    shutdown: Shutdown,
    server: JoinHandle<anyhow::Result<()>>,
}

impl Served {
    async fn begin(node: &Node) -> Served {
        let listener = http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let grace = Duration::from_millis(10);
        let server = tokio::spawn(http::serve(listener, node.router.clone(), shutdown.clone(), grace));
        Served { url, shutdown, server }
    }

    fn call(&self, key: &str, number: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_callbox"))
            .args(["call", number, "--task", "Ask for the opening hours.", "--url", &self.url])
            .env("CALLBOX__HTTP__API_KEY", key)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Live views are cut: the server ends though they do not.
    async fn end(self) {
        self.shutdown.begin();
        tokio::time::timeout(PATIENCE, self.server).await.unwrap().unwrap().unwrap();
    }
}

fn lines(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap()
}

/// The rest of what is printed.
async fn rest(lines: &mut Lines<BufReader<ChildStdout>>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
        all.push(line);
    }
    all
}

#[tokio::test]
async fn a_conversation_is_printed_as_it_happens() {
    let node = Node::new().await;
    let served = Served::begin(&node).await;
    let mut child = served.call(KEY, "+14155550123");
    let mut printed = lines(&mut child);
    let first = next(&mut printed).await;
    let call: CallId = first.split_once(": calling").unwrap().0.parse().unwrap();

    node.happen(call, answered()).await;
    node.happen(call, vec![turn(Speaker::Agent, 900, "When do you open?")]).await;
    node.happen(
        call,
        vec![
            ended(CallStatus::Completed, "the callee hung up"),
            CallChange::Summary { text: Pii::new("They open at nine.".into()) },
            CallChange::Recording { file: "a.wav".into() },
            CallChange::Closed,
        ],
    )
    .await;
    let printed = rest(&mut printed).await;
    for line in [
        " agent: When do you open?  (640 ms)",
        "completed after 1.42 minutes: the callee hung up",
        "They open at nine.",
        "total                  640     640",
        "recording: http://127.0.0.1:8402/recordings/a.wav",
    ] {
        assert!(printed.iter().any(|found| found == line), "{line:?} is not in {printed:#?}");
    }
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    served.end().await;
}

#[tokio::test]
async fn a_call_that_nobody_answers_has_its_own_exit_status() {
    let node = Node::new().await;
    let served = Served::begin(&node).await;
    let mut child = served.call(KEY, "+14155550123");
    let mut printed = lines(&mut child);
    let call = next(&mut printed).await.split_once(':').unwrap().0.parse().unwrap();
    node.happen(call, vec![ended(CallStatus::NoAnswer, "no answer (480)"), CallChange::Closed]).await;
    assert!(rest(&mut printed).await.contains(&"no_answer: no answer (480)".to_owned()));
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn an_interrupt_hangs_up_and_the_end_is_still_printed() {
    let node = Node::new().await;
    let served = Served::begin(&node).await;
    let mut child = served.call(KEY, "+14155550123");
    let mut printed = lines(&mut child);
    let call: CallId = next(&mut printed).await.split_once(':').unwrap().0.parse().unwrap();
    node.happen(call, answered()).await;
    // The ear for signals is open before the first state or change is printed.
    while next(&mut printed).await != "  in-progress" {}
    let pid = rustix::process::Pid::from_raw(child.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut hung_up = node.calls.hung_up_at.subscribe();
    tokio::time::timeout(PATIENCE, hung_up.wait_for(|at| *at == Some(call))).await.unwrap().unwrap();
    node.happen(call, vec![ended(CallStatus::Completed, "hung up"), CallChange::Closed]).await;
    assert!(rest(&mut printed).await.iter().any(|line| line.starts_with("completed")));
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn refusals_are_told_in_the_nodes_words() {
    let node = Node::new().await;
    let served = Served::begin(&node).await;
    for (key, number, words) in [
        (KEY, "+1911", "`phone_number` is an emergency service; dial it yourself"),
        ("wrong", "+14155550123", "has another API key"),
    ] {
        let mut child = served.call(key, number);
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).await.unwrap();
        assert!(told.contains(words), "{told}");
        assert_eq!(child.wait().await.unwrap().code(), Some(1));
    }
    served.end().await;
}
