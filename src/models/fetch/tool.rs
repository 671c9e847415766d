//! Running a package client as a process.

use std::{ffi::OsString, process::Stdio};

use tokio::process::Command;

use super::super::ModelError;

/// Most of a client's complaint that is passed on, in characters.
const COMPLAINT_CHARS: usize = 600;

/// Runs to the end; the process dies with the future. A failure carries the end of what it wrote to
/// standard error.
pub async fn run(
    program: &[String],
    arguments: Vec<OsString>,
    dir: &std::path::Path,
) -> Result<(), ModelError> {
    let fail = |detail: String| ModelError::Tool { command: program.join(" "), detail };
    let (first, rest) = program.split_first().ok_or_else(|| fail("names no program".into()))?;
    let output = Command::new(first)
        .args(rest)
        .args(arguments)
        .current_dir(dir)
        // Wheels are unpacked and checked in the client's temporary folder, which may be a small tmpfs.
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|e| fail(format!("cannot run: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(fail(format!("failed ({}): {}", output.status, complaint(&output.stderr))))
}

/// The first of `candidates` that answers `--version`.
pub async fn first_working(candidates: &[&[&str]]) -> Option<Vec<String>> {
    for candidate in candidates {
        let program: Vec<String> = candidate.iter().map(|word| (*word).to_owned()).collect();
        if run(&program, vec!["--version".into()], std::path::Path::new("/")).await.is_ok() {
            return Some(program);
        }
    }
    None
}

fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = text.chars().count().saturating_sub(COMPLAINT_CHARS);
    text.chars().skip(skipped).collect()
}
