//! Real peers: processes that die with their value, and SIPp as one of them.

#![allow(dead_code)] // not every group of tests uses all of it

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
};

pub use crate::ports::free_port;
use crate::{
    eventually,
    ports::{free_pairs, is_used},
};

#[path = "traces.rs"]
pub mod traces;

/// A process in its own group, killed with all its children.
pub struct Group(Child);

impl Group {
    /// How it ended, once it has.
    pub fn finished(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let id = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

pub fn spawn(program: &str, package: &str, command: &mut Command) -> Group {
    match command.stdin(Stdio::null()).process_group(0).spawn() {
        Ok(child) => Group(child),
        Err(e) => panic!("{program} does not start ({e}): install the package `{package}`"),
    }
}

fn scenario_text(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sip/scenarios");
    std::fs::read_to_string(folder.join(name).with_extension("xml")).unwrap()
}

fn fill(scenario: &str, filled: &[(&str, &str)]) -> String {
    let fill = |text: String, (name, value): &(&str, &str)| text.replace(name, value);
    filled.iter().fold(scenario_text(scenario), fill)
}

pub struct Sipp {
    process: Group,
    pub address: SocketAddr,
    dir: PathBuf,
}

impl Sipp {
    /// Waits for `calls` calls and plays `scenario`.
    pub async fn uas(scenario: &str, calls: u32, extra: &[&str]) -> Sipp {
        Sipp::answering(&scenario_text(scenario), calls, extra).await
    }

    /// Waits for one call over TCP.
    pub async fn uas_over_tcp(scenario: &str) -> Sipp {
        Sipp::answering(&scenario_text(scenario), 1, &["-t", "t1"]).await
    }

    /// Waits for a call and refuses it with `status` and its reason.
    pub async fn refusing(status: &str) -> Sipp {
        Sipp::uas_filled("uas_reject", &[("@STATUS@", status)], 1, &[]).await
    }

    /// Waits for `calls` calls and plays `scenario`, with the latter of each pair in the place of the former.
    pub async fn uas_filled(scenario: &str, filled: &[(&str, &str)], calls: u32, extra: &[&str]) -> Sipp {
        Sipp::answering(&fill(scenario, filled), calls, extra).await
    }

    /// Places a call likewise.
    pub fn uac_filled(
        scenario: &str,
        filled: &[(&str, &str)],
        to: SocketAddr,
        port: u16,
        extra: &[&str],
    ) -> Sipp {
        Sipp::start(port, &fill(scenario, filled), 1, Some(to), extra)
    }

    /// Places `calls` calls from `port` to `to`.
    pub fn uac(scenario: &str, to: SocketAddr, port: u16, calls: u32, extra: &[&str]) -> Sipp {
        Sipp::start(port, &scenario_text(scenario), calls, Some(to), extra)
    }

    /// Calls with audio as `profile` and must be refused with `status`.
    pub fn refused(to: SocketAddr, port: u16, status: &str, profile: &str) -> Sipp {
        Sipp::uac_filled("uac_refused", &[("486", status), ("RTP/AVP", profile)], to, port, &[])
    }

    async fn answering(scenario: &str, calls: u32, extra: &[&str]) -> Sipp {
        let mut sipp = Sipp::start(free_port(), scenario, calls, None, extra);
        eventually("SIPp listens", || {
            assert_eq!(sipp.process.finished(), None, "SIPp ended before it listened");
            is_used(sipp.address.port())
        })
        .await;
        sipp
    }

    fn start(port: u16, scenario: &str, calls: u32, to: Option<SocketAddr>, extra: &[&str]) -> Sipp {
        let dir = traces::folder("sipp");
        std::fs::write(dir.join("scenario.xml"), scenario).unwrap();
        let mut command = Command::new("sipp");
        command.args(to.map(|to| to.to_string())).current_dir(&dir);
        let (port_text, calls) = (port.to_string(), calls.to_string());
        command.args(["-sf", "scenario.xml", "-i", "127.0.0.1", "-p", &port_text, "-m", &calls, "-nostdin"]);
        command.args(["-s", "+14155550123", "-timeout", "40", "-timeout_error", "-recv_timeout", "20000"]);
        // It takes this port for audio and the one two above for video; two that look for some at once may take
        // each other's.
        command.args(["-mp", &free_pairs(2).to_string()]);
        command.args(["-trace_err", "-trace_msg"]).args(extra);
        let log = File::create(dir.join("screen")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = spawn("sipp", "sip-tester", &mut command);
        Sipp { process, address: (Ipv4Addr::LOCALHOST, port).into(), dir }
    }

    /// Waits for the end and panics with what SIPp says if a call went off script.
    pub async fn succeeds(mut self) {
        let mut status = None;
        let process = &mut self.process;
        eventually("SIPp finishes", || {
            status = process.finished();
            status.is_some()
        })
        .await;
        assert!(status.unwrap().success(), "SIPp: {:?}\n{}", status.unwrap(), self.log());
    }

    /// The messages so far.
    pub fn trace(&self) -> String {
        let files = std::fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        let messages = files.filter(|path| path.to_string_lossy().ends_with("_messages.log"));
        messages.map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()).collect()
    }

    /// Every message of its calls so far, and what it says of them.
    pub fn log(&self) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(&self.dir).unwrap() {
            let path = entry.unwrap().path();
            let content = std::fs::read(&path).unwrap_or_default();
            let tail = String::from_utf8_lossy(&content).chars().take(12_000).collect::<String>();
            text += &format!("--- {}\n{tail}\n", path.file_name().unwrap().to_string_lossy());
        }
        text
    }
}

/// A test that fails shows what its peer saw.
impl Drop for Sipp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
