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

/// What npm puts before each line of a complaint.
const NPM: [&str; 2] = ["npm error ", "npm ERR! "];

/// The end of what was written, on one line; of npm's many lines the one that says what is wrong.
fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = reason_of_npm(&text).unwrap_or(&text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = text.chars().count().saturating_sub(COMPLAINT_CHARS);
    text.chars().skip(skipped).collect()
}

/// The first line after its codes for programs; a stack and general advice follow it.
fn reason_of_npm(text: &str) -> Option<&str> {
    let is_code = |line: &str| ["code ", "errno ", "syscall "].iter().any(|word| line.starts_with(word));
    let mut lines = text.lines().filter_map(|line| NPM.iter().find_map(|prefix| line.strip_prefix(prefix)));
    lines.find(|line| !is_code(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npms_complaint_is_cut_to_its_reason() {
        let told = "npm warn old lockfile\nnpm error code ENOTFOUND\nnpm error errno ENOTFOUND\n\
                    npm error network request failed, reason: not found\nnpm error     at f (lib/a.js:1:1)\n";
        assert_eq!(complaint(told.as_bytes()), "network request failed, reason: not found");
        let older = told.replace("npm error", "npm ERR!");
        assert_eq!(complaint(older.as_bytes()), "network request failed, reason: not found");
    }

    #[test]
    fn other_complaints_are_passed_on_from_their_end() {
        assert_eq!(complaint(b"no matching\n  distribution\n"), "no matching distribution");
        assert_eq!(complaint("\u{e9}".repeat(700).as_bytes()).chars().count(), COMPLAINT_CHARS);
    }
}
