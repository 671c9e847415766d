//! README's example of an agent that buys a call, as it is printed there.

use std::process::Stdio;

use callbox::store::claims::ClaimState;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    CALL, PATIENCE,
    chain::Chain,
    node::{Callee, Node},
    packages,
    payer::Payer,
};

const README: &str = include_str!("../../README.md");

/// The one block of JavaScript.
fn example() -> &'static str {
    let blocks: Vec<&str> = README.split("```js\n").skip(1).collect();
    assert_eq!(blocks.len(), 1, "README has one example in JavaScript");
    blocks[0].split_once("```").expect("the block ends").0
}

#[tokio::test]
async fn readmes_example_buys_a_call_as_it_stands() {
    let chain = Chain::new().await;
    let node = Node::new(&chain, Callee::Answers).await;
    let payer = Payer::funded(&chain).await;
    let had = chain.balance(&payer.wallet).await;
    let folder = tokio::task::spawn_blocking(packages::npm).await.unwrap();
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-"]).current_dir(folder).kill_on_drop(true);
    command.env("NODE_URL", node.url()).env("PRIVATE_KEY", payer.secret());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut reader = command.spawn().unwrap();
    reader.stdin.take().unwrap().write_all(example().as_bytes()).await.unwrap();
    let output = tokio::time::timeout(PATIENCE, reader.wait_with_output()).await.expect("it ends").unwrap();
    let (told, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaint}");
    assert!(told.starts_with("completed "), "{told}{complaint}");

    let paid = had.micros() - chain.balance(&payer.wallet).await.micros();
    assert_eq!(paid, CALL.micros());
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (CALL, CALL));
    assert_eq!((node.states().await, node.calls().await.len()), (vec![ClaimState::Delivered], 1));
}
