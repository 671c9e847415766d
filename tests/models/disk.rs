use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::{Command, Output},
};

use callbox::models::ModelError;

use crate::{Bench, noise, origin::Origin, sha256};

/// Set in the child process that may write only small files.
const CHILD: &str = "CALLBOX_TEST_SMALL_FILES";

#[tokio::test]
async fn file_that_cannot_fit_is_refused_at_once() {
    let origin = Origin::serving(b"x").await;
    let size = i64::MAX;
    let bench = Bench::new(&format!(
        "size = {size}\nsha256 = \"{}\"\nsources = [{{ url = \"{}\" }}]",
        sha256(b"x"),
        origin.url("m.bin")
    ));
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::NotEnoughSpace { .. }), "{error}");
    assert!(origin.ranges().is_empty() && bench.left().is_empty());
}

#[test]
fn disk_that_fills_up_leaves_only_a_resumable_part() {
    let child = small_files("disk::pull_with_small_files_only");
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{:?}: {text}", child.status.signal());
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn pull_with_small_files_only() {
    if env::var_os(CHILD).is_none() {
        return; // Runs in the child of the test above.
    }
    let content = noise(1, 300_000);
    let origin = Origin::serving(&content).await;
    let bench = Bench::new(&format!(
        "sha256 = \"{}\"\nsources = [{{ url = \"{}\" }}]",
        sha256(&content),
        origin.url("m.bin")
    ));
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::DiskFull { .. }), "{error}");
    let left = bench.left();
    assert!(left.len() == 1 && left[0].ends_with(".part"), "{left:?}");
}

/// Runs one test of this program under a limit of 64 KiB a file, past which a write fails as on a
/// full disk once the signal that says so is ignored.
fn small_files(test: &str) -> Output {
    Command::new("sh")
        .args(["-c", r#"trap '' XFSZ; ulimit -f 128; exec "$0" --exact "$1""#])
        .arg(env::current_exe().unwrap())
        .arg(test)
        .env(CHILD, "1")
        .output()
        .unwrap()
}
