//! Where tests find model files.

use std::path::PathBuf;

/// The file `name` in the directory of models: `CALLBOX_TEST_MODELS`, or where `callbox models pull`
/// puts them.
pub fn model(name: &str) -> PathBuf {
    let path = directory().join(name);
    assert!(
        path.is_file(),
        "no model file {}: run `callbox models pull --set test`, or set CALLBOX_TEST_MODELS",
        path.display()
    );
    path
}

fn directory() -> PathBuf {
    match std::env::var_os("CALLBOX_TEST_MODELS") {
        Some(directory) => directory.into(),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/callbox/models"),
    }
}
