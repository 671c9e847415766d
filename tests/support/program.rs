//! `callbox` as it is shipped, in a folder of its own with its configuration (`callbox.toml`) and its log.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A child that is killed with its value.
pub struct Owned(pub Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `callbox` in `dir`, without this process's own configuration.
pub fn callbox(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callbox"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CALLBOX_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).arg("--config").arg("callbox.toml").stdin(Stdio::null());
    command
}

/// `callbox serve`, which writes to the log.
pub fn serve(dir: &Path) -> Owned {
    let log = OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
    Owned(callbox(dir).arg("serve").stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
}

pub fn log(dir: &Path) -> String {
    String::from_utf8_lossy(&fs::read(dir.join("log")).unwrap_or_default()).into_owned()
}

/// A test that fails shows what its node logged: call it where the node is dropped.
pub fn show_log_of_failure(dir: &Path) {
    const LINES: usize = 150;
    if std::thread::panicking() {
        let log = log(dir);
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("--- callbox\n{}", lines[lines.len().saturating_sub(LINES)..].join("\n"));
    }
}
