//! SIPp as the far end of a load: a process that places calls at a rate or answers them, and its statistics.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::{LASTING, LoadError, Outcome};
use crate::eval::figures::Spread;

const UAC: &str = include_str!("uac.xml");
const UAS: &str = include_str!("uas.xml");

/// Whether it is installed.
pub async fn is_there() -> bool {
    let version = Command::new("sipp").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    version.is_ok()
}

/// A SIPp that answers every call. It ends with this value.
pub struct Answering {
    _process: Child,
    _folder: Folder,
    address: SocketAddr,
}

impl Answering {
    pub async fn start() -> Result<Self, LoadError> {
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()?).into();
        let folder = Folder::new()?;
        let process = command(&folder.0, "uas", UAS, address.port())?.spawn()?;
        for _ in 0..500 {
            if UdpSocket::bind(address).is_err() {
                return Ok(Answering { _process: process, _folder: folder, address });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(LoadError::Figures("it does not listen"))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Places `rate` calls a second for `lasting`, each of which it hangs up after [`LASTING`].
pub async fn call(to: SocketAddr, rate: u32, lasting: Duration) -> Result<Outcome, LoadError> {
    let folder = Folder::new()?;
    let calls = (lasting.as_secs_f64() * f64::from(rate)) as u64;
    let mut command = command(&folder.0, "uac", UAC, free_port()?)?;
    command.arg(to.to_string()).args(["-s", "+14155550123", "-l", "20000"]);
    command.args(["-r", &rate.to_string(), "-m", &calls.to_string(), "-d", &LASTING.as_millis().to_string()]);
    command.args(["-trace_stat", "-fd", "1", "-trace_rtt", "-rtt_freq", "1", "-recv_timeout", "35000"]);
    // Its status says only whether all calls succeeded.
    command.status().await?;
    outcome(&folder.0)
}

/// Where a SIPp writes. It is removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("callbox-sipp-{:016x}", rand::random::<u64>()));
        fs::create_dir(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn command(dir: &Path, name: &str, scenario: &str, port: u16) -> io::Result<Command> {
    let file = format!("{name}.xml");
    fs::write(dir.join(&file), scenario)?;
    let mut command = Command::new("sipp");
    command.args(["-sf", &file, "-i", "127.0.0.1", "-p", &port.to_string(), "-nostdin"]);
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true);
    Ok(command)
}

/// Unused, as far as anyone can know.
fn free_port() -> io::Result<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn outcome(dir: &Path) -> Result<Outcome, LoadError> {
    let (mut statistics, mut times) = (String::new(), String::new());
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.strip_prefix("uac_") {
            Some(rest) if rest.ends_with("_rtt.csv") => times = fs::read_to_string(&path)?,
            Some(rest) if rest.ends_with("_.csv") => statistics = fs::read_to_string(&path)?,
            _ => {}
        }
    }
    read(&statistics, &times)
}

/// Reads the last line of its statistics and every line of its response times.
fn read(statistics: &str, times: &str) -> Result<Outcome, LoadError> {
    let (Some(names), Some(last)) = (statistics.lines().next(), statistics.lines().last()) else {
        return Err(LoadError::Figures("its statistics are empty"));
    };
    let value = |wanted: &str| {
        let at = names.split(';').position(|name| name == wanted);
        let value = at.and_then(|at| last.split(';').nth(at)).and_then(|text| text.parse::<u64>().ok());
        value.ok_or(LoadError::Figures("its statistics lack a column"))
    };
    let setup = |line: &str| line.split(';').nth(1).and_then(|ms| ms.parse::<f64>().ok());
    let setup_ms = Spread::of(times.lines().filter_map(setup));
    Ok(Outcome {
        placed: value("TotalCallCreated")?,
        answered: setup_ms.map_or(0, |spread| spread.count as u64),
        failed: value("FailedCall(C)")?,
        setup_ms,
        retransmissions: Some(value("Retransmissions(C)")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_by_their_names() {
        let statistics = "StartTime;TotalCallCreated;FailedCall(P);FailedCall(C);Retransmissions(C)\n\
                          x;1;0;0;0\nx;3;1;1;2\n";
        let times = "Date_ms;response_time_ms;rtd_no\n12.001;4;1\n12.002;0;1\n";
        let outcome = read(statistics, times).unwrap();
        assert_eq!((outcome.placed, outcome.answered, outcome.failed), (3, 2, 1));
        assert_eq!((outcome.retransmissions, outcome.setup_ms.unwrap().max), (Some(2), 4.0));
        assert!(read("", times).is_err() && read("a;b\n1;2\n", times).is_err());
    }
}
