//! The matrix of must-haves and real peers: no must-have without a test, no row without a test that ran.
//!
//! `tests/MATRIX.md` is made of it: `MATRIX=write cargo test --test matrix`.

// A failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod must_haves;
mod rows;

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use must_haves::{MUST_HAVES, NOT_OURS};
use rows::{ROWS, Row};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn none(problem: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{problem}:\n{}\n", found.join("\n"));
}

#[test]
fn every_must_have_has_a_test() {
    let covered: HashSet<_> = ROWS.iter().map(|row| row.id).collect();
    let bare = MUST_HAVES.iter().filter(|must| !covered.contains(must.id));
    let lines = bare
        .map(|must| format!("    row({:?}, &[PEER], \"BINARY::MODULE::TEST\"), // {}", must.id, must.what));
    none("must-haves without a test; add to ROWS in tests/matrix/rows.rs", lines.collect());
}

#[test]
fn every_row_is_one_of_a_must_have_and_stands_once() {
    let known: HashSet<_> = MUST_HAVES.iter().map(|must| must.id).collect();
    assert_eq!(known.len(), MUST_HAVES.len(), "an id stands twice in MUST_HAVES");
    let mut seen = HashSet::new();
    let odd = ROWS.iter().filter(|row| !known.contains(row.id) || !seen.insert((row.id, row.test)));
    none("rows of no must-have, or twice", odd.map(|row| format!("{} {}", row.id, row.test)).collect());
}

#[test]
fn every_row_names_a_test_that_is_not_left_out() {
    let missing = ROWS.iter().filter_map(|row| source_of(row).err());
    none("rows that name no test", missing.collect());
}

/// Where a row's test stands: file and line.
fn source_of(row: &Row) -> Result<(PathBuf, usize), String> {
    let (path, function) = row.test.rsplit_once("::").ok_or("no module")?;
    let mut parts = path.split("::");
    let binary = parts.next().unwrap_or_default();
    let module = parts.next().unwrap_or("main");
    let file = PathBuf::from("tests").join(binary).join(module).with_extension("rs");
    let text = fs::read_to_string(root().join(&file)).map_err(|e| format!("{}: {e}", row.test))?;
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains(&format!("fn {function}(")));
    let at = at.ok_or_else(|| format!("{}: {} has no such function", row.test, file.display()))?;
    let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    let attributes: Vec<_> = attributes.collect();
    let is_test =
        attributes.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    match is_test && attributes.iter().all(|line| !line.contains("ignore") && !line.contains("cfg")) {
        true => Ok((file, at + 1)),
        false => Err(format!("{}: no test, or one that is left out", row.test)),
    }
}

/// Tests that passed, and the peers whose traces they had, as `tests/support/traces.rs` notes them.
fn passed() -> HashMap<String, HashSet<String>> {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = tmp.parent().unwrap().join("traces/passed");
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut passed = HashMap::<String, HashSet<String>>::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        if let Some(test) = words.next() {
            passed.entry(test).or_default().extend(words);
        }
    }
    passed
}

#[test]
#[ignore = "after all other tests: make test"]
fn every_row_ran_with_its_peers() {
    let passed = passed();
    // A peer of our own leaves no trace; that its test exists is all that is known here.
    let with_peers = ROWS.iter().filter(|row| !row.peers.is_empty());
    let missing = with_peers.filter_map(|row| match passed.get(row.test) {
        None => Some(format!("{} did not run to its end", row.test)),
        Some(peers) => {
            let absent = row.peers.iter().find(|peer| !peers.contains(**peer))?;
            Some(format!("{} ran without {absent}", row.test))
        }
    });
    none("rows that nothing shows", missing.collect());
}

#[test]
fn page_says_what_the_table_does() {
    let file = root().join("tests/MATRIX.md");
    let page = page();
    if std::env::var_os("MATRIX").is_some_and(|wish| wish == "write") {
        fs::write(&file, &page).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "tests/MATRIX.md is out of date: MATRIX=write cargo test --test matrix");
}

/// The table for people. A test's line number would change with every edit, so links lead to files.
fn page() -> String {
    let mut page = "# What trunks require, and which test shows it\n\n\
        Made of `tests/matrix/must_haves.rs` and `rows.rs` by `MATRIX=write cargo test --test matrix`. Each test runs against the\n\
        peers named beside it; its traces lie in `target/traces` where it fails.\n\n\
        | must-have | known from | peers | test |\n|---|---|---|---|\n"
        .to_owned();
    for must in MUST_HAVES {
        let (mut what, mut source) = (must.what, must.source);
        for row in ROWS.iter().filter(|row| row.id == must.id) {
            let file = source_of(row).map_or_else(|_| String::new(), |(file, _)| file.display().to_string());
            let link = file.strip_prefix("tests/").unwrap_or(&file);
            let name = row.test.rsplit("::").next().unwrap_or_default();
            let peers = if row.peers.is_empty() { "our own".into() } else { row.peers.join(", ") };
            writeln!(page, "| {what} | {source} | {peers} | [`{name}`]({link}) |").unwrap();
            (what, source) = ("", "");
        }
    }
    page += "\nNot part of this:\n\n";
    for (what, why) in NOT_OURS {
        writeln!(page, "- {what}: {why}.").unwrap();
    }
    page
}
