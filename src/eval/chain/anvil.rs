//! The process, and its JSON-RPC.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::Client;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::ChildStdout,
    time::timeout,
};

use super::{ChainError, rpc};

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// A running anvil on a port of loopback that the system chose. It ends when this is dropped, and by the
/// kernel's hand when the thread that started it ends: start it from a thread that stays.
pub struct Anvil {
    _process: Owned,
    url: String,
    client: Client,
}

impl Anvil {
    /// `program` with these arguments beside those for its address.
    pub async fn start(program: &Path, arguments: &[&str]) -> Result<Anvil, ChainError> {
        let fail = |source| ChainError::Start { program: program.to_owned(), source };
        let mut process = Owned(command(program, arguments).spawn().map_err(fail)?);
        let stdout = process.0.stdout.take().ok_or(ChainError::Silent)?;
        let mut lines = BufReader::new(ChildStdout::from_std(stdout).map_err(fail)?).lines();
        let address = timeout(STARTS_WITHIN, listening(&mut lines)).await.ok().flatten();
        let address = address.ok_or(ChainError::Silent)?;
        // What it prints afterwards is read, so that a full pipe does not stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let client = Client::builder().no_proxy().timeout(ANSWERS_WITHIN).build();
        let client = client.map_err(|error| fail(std::io::Error::other(error)))?;
        Ok(Anvil { _process: process, url: format!("http://{address}"), client })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn ask(&self, method: &str, params: Value) -> Result<Value, ChainError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let sent = self.client.post(&self.url).json(&body).send().await;
        let mut answer: Value = match sent {
            Ok(response) => response.json().await.map_err(|error| rpc(method, error))?,
            Err(error) => return Err(rpc(method, error)),
        };
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            return Err(rpc(method, error));
        }
        Ok(answer["result"].take())
    }
}

struct Owned(Child);

/// A killed process is there to be waited for at once.
impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port", "0"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own: an interrupt at the terminal is for its owner, who may still want it.
    command.process_group(0);
    let owner = getpid();
    // SAFETY: between fork and exec only two system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(move || end_with(owner)) };
    command
}

/// In the child: ends with its parent, which may have ended already.
fn end_with(owner: Pid) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(owner) { Ok(()) } else { Err(std::io::ErrorKind::BrokenPipe.into()) }
}

async fn listening(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(address) = line.strip_prefix("Listening on ") {
            return Some(address.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn program_that_is_none_is_named() {
        let error = Anvil::start(Path::new("/nonexistent/anvil"), &[]).await.err().unwrap();
        assert!(error.to_string().starts_with("/nonexistent/anvil does not start: "), "{error}");
    }

    #[tokio::test]
    async fn program_that_ends_at_once_is_told_from_one_that_listens() {
        let error = Anvil::start(Path::new("/bin/true"), &[]).await.err().unwrap();
        assert!(matches!(error, ChainError::Silent), "{error}");
    }
}
