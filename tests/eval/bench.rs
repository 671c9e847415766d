//! `callbox bench` as it is run: its own processes, a second of each figure, and the file of figures.

use std::process::Command;

use serde_json::Value;

/// Runs sections of the bench.
fn bench(args: &[&str]) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_callbox"))
        .arg("bench")
        .args(args)
        .args(["--seconds", "1", "--json", file.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap()
}

#[test]
fn the_bench_loads_media_and_counts_every_call() {
    let figures = bench(&["media", "--media-calls", "2"]);
    let calls = figures["media"]["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2, "ports of their own and shared ones: {figures}");
    for call in calls {
        assert_eq!(call["cost"]["calls"], 2, "{figures}");
        assert_eq!(call["peer"]["lost"], 0, "{figures}");
        assert!(call["peer"]["gap_ms"]["p50"].as_f64().is_some_and(|gap| gap > 0.0), "{figures}");
    }
    let bare = figures["media"]["bare"].as_array().unwrap();
    let kinds: Vec<_> = bare.iter().map(|pair| pair["sockets"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["own", "shared"], "{figures}");
    for end in bare.iter().flat_map(|pair| [&pair["used"], &pair["peer"]]) {
        assert_eq!(end["streams"], 2, "{figures}");
        assert!(end["received"].as_u64() > Some(0), "{figures}");
    }
}

#[test]
fn the_bench_sets_calls_up_and_leaves_none_behind() {
    let figures = bench(&["sip"]);
    let calls = figures["sip"]["calls"].as_array().unwrap();
    let ours: Vec<&Value> = calls.iter().filter(|line| line["what"] != "bare").collect();
    assert!(ours.len() >= 2, "calls in and out: {figures}");
    for line in ours {
        assert!(line["outcome"]["answered"].as_u64().is_some_and(|calls| calls > 0), "{figures}");
        assert_eq!(line["spent"]["left"], 0, "{figures}");
    }
}
