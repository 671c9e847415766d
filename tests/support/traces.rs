//! What peers and the wire saw of a test: a folder for each test under `target/traces`, kept where the test
//! fails and removed where it passes. The panic that fails a test says where its folder is.
//!
//! In: a peer asks for its [`folder`] and writes its trace there. Out: beside the peers' folders `wire.pcap`,
//! the loopback traffic of the last moments before the failure. A test that passes leaves a line in
//! `target/traces/passed`: its name and its peers, by which `tests/matrix` knows that it ran.

use std::{
    cell::RefCell,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    panic,
    path::{Path, PathBuf},
    sync::Once,
};

#[path = "wire.rs"]
mod wire;

thread_local! {
    /// Of the test that runs on this thread: the harness gives each a thread of its own, named after it.
    static TRACES: RefCell<Option<Traces>> = const { RefCell::new(None) };
}

struct Traces {
    test: String,
    folder: PathBuf,
    peers: Vec<String>,
    failed: bool,
}

/// An empty folder for what this peer (`sipp`, `baresip`, …) of the running test sees.
pub fn folder(peer: &str) -> PathBuf {
    TRACES.with_borrow_mut(|traces| traces.get_or_insert_with(Traces::begin).add(peer))
}

/// Where all tests' traces lie.
pub fn root() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).join("traces")
}

/// Lets go of the traffic that is kept in memory.
pub fn forget_wire() {
    wire::forget();
}

impl Traces {
    fn begin() -> Traces {
        static HOOK: Once = Once::new();
        HOOK.call_once(keep_traces_of_panics);
        wire::listen();
        let thread = std::thread::current();
        let test = format!("{}::{}", env!("CARGO_CRATE_NAME"), thread.name().unwrap_or("a thread"));
        let folder = root().join(test.replace("::", "."));
        // Of a run that failed before.
        let _ = fs::remove_dir_all(&folder);
        Traces { test, folder, peers: Vec::new(), failed: false }
    }

    fn add(&mut self, peer: &str) -> PathBuf {
        self.peers.push(peer.to_owned());
        let folder = self.folder.join(format!("{peer}-{}", self.peers.len()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn keep(&mut self) -> String {
        self.failed = true;
        let mut told = format!("traces of {} are kept in {}", self.test, self.folder.display());
        match wire::write(&self.folder.join("wire.pcap")) {
            Ok(packets) => drop(write!(told, ", with {packets} packets of loopback in wire.pcap")),
            Err(error) => drop(write!(told, "; no wire.pcap: {error}")),
        }
        told
    }
}

/// Runs when the test's thread ends, after the harness has caught its panic.
impl Drop for Traces {
    fn drop(&mut self) {
        if self.failed {
            return;
        }
        let _ = fs::remove_dir_all(&self.folder);
        let passed = OpenOptions::new().create(true).append(true).open(root().join("passed"));
        // One write: lines of several processes do not mix.
        let line = format!("{} {}\n", self.test, self.peers.join(" "));
        let _ = passed.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

fn keep_traces_of_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        // A panic inside of `folder` holds the cell.
        let told = TRACES.try_with(|traces| traces.try_borrow_mut().ok()?.as_mut().map(Traces::keep));
        if let Ok(Some(told)) = told {
            eprintln!("{told}");
        }
    }));
}
