//! Where the weights are.

use std::{env, path::PathBuf};

/// The path of a file of weights that is there.
pub fn path(file: &str) -> PathBuf {
    let folder = env::var_os("CALLBOX_TEST_MODELS").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache/callbox/models"),
        PathBuf::from,
    );
    let path = folder.join(file);
    assert!(
        path.is_file(),
        "{} is missing: run `callbox models pull --set test`, or name the folder in CALLBOX_TEST_MODELS",
        path.display()
    );
    path
}
