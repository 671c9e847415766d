//! This program as another process, in a role of its own: the two tell each other lines of JSON.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Tells it to the process that started this one.
pub fn tell(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

/// A process that ends with this value.
pub struct Process {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// `callbox bench-part` with `args`.
    pub fn start(args: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bench-part")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("a process without an input")?;
        let output = child.stdout.take().context("a process without an output")?;
        Ok(Process { _child: child, input, output: BufReader::new(output).lines() })
    }

    pub async fn hear<T: DeserializeOwned>(&mut self, within: Duration) -> anyhow::Result<T> {
        let line = tokio::time::timeout(within, self.output.next_line()).await;
        let line = line.context("a process of the bench does not answer")??;
        serde_json::from_str(&line.context("a process of the bench has ended early")?).context("its answer")
    }

    pub async fn say(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        Ok(self.input.write_all((serde_json::to_string(value)? + "\n").as_bytes()).await?)
    }
}
