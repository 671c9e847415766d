//! The house rules, held by reading the sources: one package means that the compiler cannot.
//!
//! - A module imports only floors below its own, and no neighbour (`src/lib.rs` has the map).
//! - A library that only one place may know is named nowhere else.
//! - Pure cores know no runtime and no clock.
//! - A file stays readable.
//! - What is fuzzed is built of what is shipped.

mod fuzz;
mod planted;
mod reading;

use std::{
    fs,
    path::{Path, PathBuf},
};

use reading::{Token, bare_code, tokens};

/// The floors of `src/lib.rs`. `node` sees all.
const FLOORS: [(&str, u8); 13] = [
    ("base", 0),
    ("sip", 1),
    ("media", 1),
    ("models", 1),
    ("engine", 2),
    ("voice", 3),
    ("call", 4),
    ("eval", 4),
    ("store", 5),
    ("pay", 6),
    ("service", 7),
    ("api", 8),
    ("node", 10),
];

/// Crates, and the only places that may name them.
const CONFINED: [(&[&str], &[&str]); 3] = [
    (
        &["whisper_rs", "llama_cpp_2", "piper_rs", "espeak_rs", "ort"],
        &["src/bin/callbox-asr/", "src/bin/callbox-llm/", "src/bin/callbox-tts/"],
    ),
    (&["rsipstack"], &["src/sip/"]),
    (&["anyhow"], &["src/bin/", "src/node/"]),
];

/// Files and folders (with a `/` at their end) of logic that takes the time as an argument. Add a
/// core here when it is written.
const PURE: [&str; 99] = [
    "src/api/wares/call/charging.rs",
    "src/base/",
    "src/call/transfer.rs",
    "src/eval/buyer/offer.rs",
    "src/eval/figures.rs",
    "src/eval/phone/hearing.rs",
    "src/eval/phone/report.rs",
    "src/eval/phone/turns.rs",
    "src/eval/wer.rs",
    "src/eval/words.rs",
    "src/media/codec/",
    "src/media/comfort.rs",
    "src/media/conceal.rs",
    "src/media/demux.rs",
    "src/media/demux/",
    "src/media/dtmf.rs",
    "src/media/inband.rs",
    "src/media/jitter.rs",
    "src/media/jitter/",
    "src/media/pacer.rs",
    "src/media/playout.rs",
    "src/media/quality.rs",
    "src/media/reception.rs",
    "src/media/relay.rs",
    "src/media/ringback.rs",
    "src/media/rtcp.rs",
    "src/media/rtp.rs",
    "src/media/session.rs",
    "src/media/session/",
    "src/media/srtp.rs",
    "src/media/srtp/",
    "src/media/tone.rs",
    "src/pay/challenge.rs",
    "src/pay/mpp.rs",
    "src/pay/network.rs",
    "src/pay/price.rs",
    "src/pay/svm/exact.rs",
    "src/pay/svm/key.rs",
    "src/pay/svm/message.rs",
    "src/pay/tender.rs",
    "src/pay/x402.rs",
    "src/service/look_up/line.rs",
    "src/service/nearest.rs",
    "src/service/number_file.rs",
    "src/service/opt_out.rs",
    "src/service/opt_out/",
    "src/service/policy/",
    "src/service/request.rs",
    "src/sip/backoff.rs",
    "src/sip/binding.rs",
    "src/sip/called.rs",
    "src/sip/calls.rs",
    "src/sip/challenge.rs",
    "src/sip/dialog.rs",
    "src/sip/digest.rs",
    "src/sip/early.rs",
    "src/sip/identity.rs",
    "src/sip/next_hop.rs",
    "src/sip/nonce.rs",
    "src/sip/numbering.rs",
    "src/sip/pace.rs",
    "src/sip/party.rs",
    "src/sip/quoting.rs",
    "src/sip/rate.rs",
    "src/sip/referral.rs",
    "src/sip/reliable.rs",
    "src/sip/routes.rs",
    "src/sip/schedule.rs",
    "src/sip/screen/",
    "src/sip/sdp/",
    "src/sip/session_timer.rs",
    "src/sip/stun.rs",
    "src/sip/translate.rs",
    "src/sip/vouched.rs",
    "src/store/numbers/region.rs",
    "src/voice/activity.rs",
    "src/voice/answer.rs",
    "src/voice/answer/",
    "src/voice/caller_turn.rs",
    "src/voice/chunk.rs",
    "src/voice/conversation.rs",
    "src/voice/effect.rs",
    "src/voice/event.rs",
    "src/voice/greeting.rs",
    "src/voice/greeting/",
    "src/voice/heard.rs",
    "src/voice/introduction.rs",
    "src/voice/introduction/",
    "src/voice/keys.rs",
    "src/voice/keys/",
    "src/voice/latency.rs",
    "src/voice/prompt.rs",
    "src/voice/recovery.rs",
    "src/voice/silence.rs",
    "src/voice/tongues.rs",
    "src/voice/transfer.rs",
    "src/voice/transfer/",
    "src/voice/voicemail.rs",
    "src/voice/words.rs",
];

/// Lines a file may have before its tests.
const LONGEST: usize = 500;

#[test]
fn modules_import_only_floors_below() {
    check(|source| {
        imports(source).filter_map(|(line, to)| Some((line, forbidden_import(source, &to)?))).collect()
    });
}

#[test]
fn libraries_stay_where_they_belong() {
    check(escaped_libraries);
}

#[test]
fn pure_cores_know_no_runtime_and_no_clock() {
    check(|source| if is_pure(&source.path) { impurities(source) } else { Vec::new() });
}

#[test]
fn every_listed_core_exists_once_its_module_is_written() {
    let missing: Vec<_> =
        PURE.iter().filter(|core| !root().join(core).exists() && is_written(core)).collect();
    assert!(
        missing.is_empty(),
        "PURE lists what is not there: {missing:?}; correct the list in tests/arch/main.rs"
    );
}

#[test]
fn files_stay_readable() {
    check(|source| {
        let lines = source.lines_before_tests();
        let long = !source.is_tests() && lines > LONGEST;
        long.then(|| (lines, format!("has {lines} lines without its tests; split it below {LONGEST}")))
            .into_iter()
            .collect()
    });
}

/// Runs a rule over every source and fails with all it finds.
fn check(rule: impl Fn(&Source) -> Vec<(usize, String)>) {
    let sources = sources();
    assert!(sources.len() > 20, "the sources are not where this test looks for them");
    let found: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            rule(source).into_iter().map(|(line, what)| format!("{}:{line}: {what}", source.path))
        })
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// A source file: its path from the repository's root, and its text without comments and literals.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), code: bare_code(text) }
    }

    /// `["api", "operator"]` for `src/api/operator.rs`; `None` outside the library's modules.
    fn module(&self) -> Option<Vec<&str>> {
        let inner = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let mut parts: Vec<_> = inner.split('/').collect();
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        FLOORS.iter().any(|(name, _)| *name == parts[0]).then_some(parts)
    }

    /// A file of tests alone.
    fn is_tests(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }

    fn lines_before_tests(&self) -> usize {
        let lines: Vec<_> = self.text.lines().collect();
        let begins = |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
        lines.windows(2).position(begins).unwrap_or(lines.len())
    }

    /// The code, with what follows the beginning of inline tests blanked.
    fn code_before_tests(&self) -> String {
        self.code.lines().take(self.lines_before_tests()).collect::<Vec<_>>().join("\n")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the sources can be read").flatten() {
            match entry.path() {
                path if path.is_dir() => walk(&path, found),
                path if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
                _ => {}
            }
        }
    }
    let mut files = Vec::new();
    walk(&root().join("src"), &mut files);
    files.sort();
    let load = |file: &PathBuf| {
        let path = file.strip_prefix(root()).expect("found below the root").to_string_lossy().into_owned();
        Source::new(&path, &fs::read_to_string(file).expect("the sources are text"))
    };
    files.iter().map(load).collect()
}

/// Whether the module of a listed core has more than the line it begins with.
fn is_written(core: &str) -> bool {
    let module = core.split('/').take(2).collect::<Vec<_>>().join("/");
    let Ok(text) = fs::read_to_string(root().join(module).join("mod.rs")) else { return false };
    text.lines().any(|line| !line.trim().is_empty() && !line.starts_with("//"))
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

fn forbidden_import(source: &Source, to: &str) -> Option<String> {
    let from = source.module()?[0].to_owned();
    if from == "node" || from == to {
        return None;
    }
    let (here, there) = (floor(&from)?, floor(to)?);
    let way = match there.cmp(&here) {
        std::cmp::Ordering::Less => return None,
        std::cmp::Ordering::Equal => "sideways",
        std::cmp::Ordering::Greater => "upward",
    };
    Some(format!("`{from}` (floor {here}) imports `{to}` (floor {there}) {way}"))
}

fn escaped_libraries(source: &Source) -> Vec<(usize, String)> {
    let tokens = tokens(&source.code);
    let mut found = Vec::new();
    for (names, homes) in CONFINED {
        if homes.iter().any(|home| source.path.starts_with(home)) {
            continue;
        }
        for (index, token) in tokens.iter().enumerate() {
            if names.contains(&token.text) && is_crate_name(&tokens, index) {
                found.push((token.line, format!("`{}` is named outside {}", token.text, homes.join(", "))));
            }
        }
    }
    found
}

/// The first part of a path: `name::…`, `use name`, `extern crate name`.
fn is_crate_name(tokens: &[Token], index: usize) -> bool {
    let text = |index: usize| tokens.get(index).map(|token| token.text);
    let before = index.checked_sub(1).and_then(text);
    let begins_path = text(index + 1) == Some("::") && before != Some("::");
    begins_path || matches!(before, Some("use" | "crate")) && text(index + 1) != Some("::")
}

fn is_pure(path: &str) -> bool {
    PURE.iter().any(|core| path == *core || core.ends_with('/') && path.starts_with(core))
}

/// Tests beside a core may do as they like.
fn impurities(source: &Source) -> Vec<(usize, String)> {
    if source.is_tests() {
        return Vec::new();
    }
    let code = source.code_before_tests();
    let tokens = tokens(&code);
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let next: Vec<_> = tokens[index..].iter().take(3).map(|token| token.text).collect();
        let clock = matches!(next[..], ["Instant" | "SystemTime" | "Utc", "::", "now"]);
        if clock || token.text == "tokio" {
            found.push((
                token.line,
                format!("a pure core names `{}`", if clock { next.concat() } else { "tokio".into() }),
            ));
        }
    }
    found
}

/// The top-level modules a source names: `crate::x`, `callbox::x`, groups of both, and `super` chains
/// that reach the root.
fn imports(source: &Source) -> impl Iterator<Item = (usize, String)> {
    let depth = source.module().map_or(usize::MAX, |module| module.len());
    let tokens = tokens(&source.code);
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let root = match tokens[index].text {
            "crate" | "callbox" => Some(index + 1),
            "super" => {
                let chain =
                    tokens[index..].iter().step_by(2).take_while(|token| token.text == "super").count();
                let end = index + 2 * chain - 1;
                index = end.max(index);
                (chain >= depth).then_some(end)
            }
            _ => None,
        };
        if let Some(after) = root.filter(|after| tokens.get(*after).is_some_and(|token| token.text == "::")) {
            heads(&tokens, after + 1, &mut found);
        }
        index += 1;
    }
    found.into_iter()
}

/// The first names at `start`: one name, or those of a group in braces.
fn heads(tokens: &[Token], start: usize, found: &mut Vec<(usize, String)>) {
    let Some(first) = tokens.get(start) else { return };
    if first.text != "{" {
        found.push((first.line, first.text.to_owned()));
        return;
    }
    let mut depth = 0;
    let mut at_head = false;
    for token in &tokens[start..] {
        match token.text {
            "{" => {
                depth += 1;
                at_head = depth == 1;
            }
            "}" if depth == 1 => return,
            "}" => depth -= 1,
            "," => at_head = depth == 1,
            name if at_head => {
                found.push((token.line, name.to_owned()));
                at_head = false;
            }
            _ => {}
        }
    }
}
