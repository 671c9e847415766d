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

/// The end of what was written, on one line, without what npm puts before each line and its stack.
fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(|line| line.strip_prefix("npm error").unwrap_or(line).trim());
    let words = lines.filter(|line| !line.starts_with("at ")).flat_map(str::split_whitespace);
    let text = words.collect::<Vec<_>>().join(" ");
    let skipped = text.chars().count().saturating_sub(COMPLAINT_CHARS);
    text.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaint_is_one_line_without_the_stack() {
        let told =
            "npm error code ENOTFOUND\nnpm error Error: not found\nnpm error     at f (lib/a.js:1:1)\n";
        assert_eq!(complaint(told.as_bytes()), "code ENOTFOUND Error: not found");
        assert_eq!(complaint("é".repeat(700).as_bytes()).chars().count(), COMPLAINT_CHARS);
    }
}
