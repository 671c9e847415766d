//! The parent's side: an engine executable, its socket, its end.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    path::PathBuf,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    message::{Answer, Hello, Info, Kind, PROTOCOL},
    wire::{WireError, read_message, write_message},
};
use crate::engine::EngineError;

/// An executable that serves an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub path: PathBuf,
    pub args: Vec<String>,
    pub timeouts: Timeouts,
}

impl Program {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Program { path: path.into(), args: Vec::new(), timeouts: Timeouts::default() }
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }
}

/// How long an answer may take before the engine counts as hung and is killed, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// To the answer to hello: loading the model.
    pub load_s: u32,
    /// Every other request.
    pub request_s: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { load_s: 120, request_s: 30 }
    }
}

/// A running engine executable. Dropping it kills the process and waits for it.
#[derive(Debug)]
pub struct EngineProcess {
    program: Program,
    child: Child,
    socket: UnixStream,
    info: Info,
    /// Why it is gone, once it is.
    dead: Option<EngineError>,
}

impl EngineProcess {
    /// Starts the executable and waits for its model to load.
    pub fn spawn(program: &Program, kind: Kind) -> Result<Self, EngineError> {
        let (socket, childs_end) = UnixStream::pair().map_err(|error| cannot_start(program, &error))?;
        let mut child = Command::new(&program.path)
            .args(&program.args)
            .stdin(Stdio::from(OwnedFd::from(childs_end)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| cannot_start(program, &error))?;
        if let Some(stderr) = child.stderr.take() {
            log_lines(program, child.id(), stderr);
        }
        let info = Info { protocol: PROTOCOL, kind, name: String::new(), voices: Vec::new() };
        let mut process = EngineProcess { program: program.clone(), child, socket, info, dead: None };
        process.greet(kind)?;
        Ok(process)
    }

    fn greet(&mut self, kind: Kind) -> Result<(), EngineError> {
        let hello = Hello::Hello { protocol: PROTOCOL, kind };
        let load = Duration::from_secs(self.program.timeouts.load_s.into());
        let (info, _) = self.call_within::<Info>(&hello, &[], load)?;
        if (info.protocol, info.kind) != (PROTOCOL, kind) {
            return Err(EngineError::Start(format!(
                "{} serves {:?} in protocol {}; {kind:?} in protocol {PROTOCOL} is wanted",
                self.program.path.display(),
                info.kind,
                info.protocol
            )));
        }
        tracing::info!(program = %self.program.path.display(), pid = self.child.id(), model = info.name, "engine ready");
        self.info = info;
        Ok(())
    }

    pub fn info(&self) -> &Info {
        &self.info
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// [`EngineError::Died`] when the process has ended by itself.
    pub fn check(&mut self) -> Result<(), EngineError> {
        if let Some(dead) = &self.dead {
            return Err(dead.clone());
        }
        let Ok(Some(status)) = self.child.try_wait() else { return Ok(()) };
        let died = EngineError::Died(format!("{} {}", self.name(), describe(status)));
        self.dead = Some(died.clone());
        Err(died)
    }

    /// Asks and waits for the answer and its audio. After [`EngineError::Died`] the process is gone and
    /// every further call answers the same.
    pub fn call<T: DeserializeOwned>(
        &mut self,
        request: &impl Serialize,
        pcm: &[i16],
    ) -> Result<(T, Vec<i16>), EngineError> {
        self.call_within(request, pcm, Duration::from_secs(self.program.timeouts.request_s.into()))
    }

    fn call_within<T: DeserializeOwned>(
        &mut self,
        request: &impl Serialize,
        pcm: &[i16],
        within: Duration,
    ) -> Result<(T, Vec<i16>), EngineError> {
        if let Some(dead) = &self.dead {
            return Err(dead.clone());
        }
        match self.exchange(request, pcm, within) {
            Ok((answer, pcm)) => Result::from(answer).map(|value| (value, pcm)),
            Err(error) => {
                let died = EngineError::Died(self.end(error, within));
                self.dead = Some(died.clone());
                Err(died)
            }
        }
    }

    fn exchange<T: DeserializeOwned>(
        &mut self,
        request: &impl Serialize,
        pcm: &[i16],
        within: Duration,
    ) -> Result<(Answer<T>, Vec<i16>), WireError> {
        let mut socket = BoundedSocket { socket: &self.socket, until: Instant::now() + within };
        write_message(&mut socket, request, pcm)?;
        read_message(&mut socket)?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }

    /// Makes sure the process is gone and says what became of it.
    fn end(&mut self, error: WireError, within: Duration) -> String {
        let timed_out = matches!(&error, WireError::Io(e) if e.kind() == io::ErrorKind::TimedOut);
        let hung_up = matches!(&error, WireError::Io(e) if is_hang_up(e.kind()));
        // A process that is already on its way out keeps its own status: the kill does not change it.
        let status = self.kill();
        let program = self.name();
        match status {
            _ if timed_out => format!("{program} gave no answer within {within:?} and was killed"),
            Ok(status) if hung_up => format!("{program} {}", describe(status)),
            Err(failed) if hung_up => format!("{program} hung up ({failed})"),
            _ => format!("{program} broke the protocol: {error}"),
        }
    }

    /// The executable's file name.
    fn name(&self) -> String {
        self.program.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!(program = %self.program.path.display(), "cannot end an engine: {error}");
        }
    }
}

fn cannot_start(program: &Program, error: &io::Error) -> EngineError {
    EngineError::Start(format!("cannot run {}: {error}", program.path.display()))
}

fn is_hang_up(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// `was killed by SIGSEGV`, `exited with status 1`.
fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by {}", signal_name(signal)),
        (_, Some(code)) => format!("exited with status {code}"),
        _ => "ended".to_owned(),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// A socket whose reads and writes all end at one moment.
struct BoundedSocket<'a> {
    socket: &'a UnixStream,
    until: Instant,
}

impl BoundedSocket<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

/// A socket timeout surfaces as `WouldBlock`.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

impl Read for BoundedSocket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer).map_err(timed_out)
    }
}

impl Write for BoundedSocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The engine's standard error as log lines, until it ends. A line is cut at 4 KiB.
fn log_lines(program: &Program, pid: u32, stderr: ChildStderr) {
    const LONGEST: u64 = 4096;
    let name = program.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let read = move || {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        while matches!(stderr.by_ref().take(LONGEST).read_until(b'\n', &mut line), Ok(1..)) {
            tracing::info!(engine = name, pid, "{}", String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("engine-log".to_owned()).spawn(read) {
        tracing::warn!("an engine's messages are lost: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_told_by_the_name_of_its_signal() {
        assert_eq!(describe(ExitStatus::from_raw(11)), "was killed by SIGSEGV");
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), "exited with status 3");
    }
}
