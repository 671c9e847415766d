//! The rules catch what is planted.

use super::*;

fn import_errors(path: &str, text: &str) -> Vec<String> {
    let source = Source::new(path, text);
    imports(&source).filter_map(|(_, to)| forbidden_import(&source, &to)).collect()
}

#[test]
fn planted_upward_and_sideways_imports_are_caught() {
    assert_eq!(import_errors("src/media/mod.rs", "use crate::voice::X;").len(), 1);
    assert_eq!(import_errors("src/media/rtp.rs", "use crate::{base::E164, sip::Sdp};").len(), 1);
    assert_eq!(import_errors("src/store/mod.rs", "fn f() { crate::api::router(x) }").len(), 1);
    assert_eq!(
        import_errors("src/call/mod.rs", "use crate::{\n    base::{Pii, E164},\n    store,\n};").len(),
        1
    );
    assert_eq!(import_errors("src/call/dial.rs", "use super::super::store::Store;").len(), 1);
}

#[test]
fn allowed_imports_pass() {
    assert!(
        import_errors("src/api/mod.rs", "use crate::{base::{Pii, E164}, service::X, store::Y};").is_empty()
    );
    assert!(import_errors("src/call/dial.rs", "use super::store; use super::record::X;").is_empty());
    assert!(import_errors("src/node/mod.rs", "use crate::api;").is_empty());
    assert!(import_errors("src/media/mod.rs", "// use crate::voice\nlet s = \"crate::voice\";").is_empty());
    assert!(import_errors("src/media/mod.rs", "let c = '\"'; let d = '\\''; // crate::voice").is_empty());
    assert!(import_errors("src/media/mod.rs", "let s = r#\"a \" crate::voice\"#;").is_empty());
}

#[test]
fn planted_libraries_are_caught() {
    let caught = |path: &str, text: &str| !escaped_libraries(&Source::new(path, text)).is_empty();
    assert!(caught("src/engine/asr/mod.rs", "use whisper_rs::WhisperContext;"));
    assert!(caught("src/bin/callbox/main.rs", "fn f() { ort::init(); }"));
    assert!(caught("src/eval/mod.rs", "use rsipstack as stack;"));
    assert!(caught("src/store/mod.rs", "fn f() -> anyhow::Result<()>"));
    assert!(!caught("src/bin/callbox-asr/main.rs", "use whisper_rs::WhisperContext;"));
    assert!(!caught("src/node/mod.rs", "use anyhow::Context;"));
    assert!(!caught("src/voice/mod.rs", "let ort = 1; self.ort(); mine::ort::f()"));
}

#[test]
fn planted_clocks_are_caught_and_tests_are_left_alone() {
    let caught = |text: &str| !impurities(&Source::new("src/media/jitter.rs", text)).is_empty();
    assert!(caught("let now = Instant::now();"));
    assert!(caught("use tokio::time;"));
    assert!(caught("let at = chrono::Utc::now();"));
    assert!(!caught("fn poll(now: Instant) {}"));
    assert!(!caught("fn f() {}\n#[cfg(test)]\nmod tests {\n    use tokio::time;\n}"));
}

#[test]
fn long_files_are_measured_without_their_tests() {
    let text = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(7), "\n".repeat(600));
    assert_eq!(Source::new("src/base/x.rs", &text).lines_before_tests(), 7);
}
