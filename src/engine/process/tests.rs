//! Engine processes, played by Python where one is there.

use std::process::Command;

use super::{
    EngineProcess, Program, Timeouts,
    message::{AsrRequest, Kind},
};
use crate::engine::{Asr, EngineError, SpeechHint, StreamId, asr::RemoteAsr};

/// A whole engine in Python: it hears nothing but how many samples there are.
const PYTHON: &str = r#"
import json, socket, struct, sys, os, time
s = socket.socket(fileno=0); f = s.makefile("rb")
def read():
    n = f.read(4)
    if not n: sys.exit()
    header = json.loads(f.read(struct.unpack("<I", n)[0]))
    return header, f.read(struct.unpack("<I", f.read(4))[0])
def reply(value, key="ok"):
    h = json.dumps({key: value}).encode()
    s.sendall(struct.pack("<I", len(h)) + h + struct.pack("<I", 0))
heard = {}
while True:
    r, pcm = read()
    if r["call"] == "hello": reply({"protocol": 1, "kind": "asr", "name": "counter"})
    elif r["call"] == "push":
        heard[r["stream"]] = heard.get(r["stream"], 0) + len(pcm) // 2; reply(None)
    elif r["call"] == "partial": reply({"kind": "request", "detail": "no partials"}, "error")
    elif r["call"] == "finish": n = heard.pop(r["stream"], 0); reply({"text": str(n), "samples": n})
    elif r["call"] == "cancel": os.kill(os.getpid(), 11)
    elif r["call"] == "start" and r["hint"]["language"] == "hang": time.sleep(3600)
    else: reply(None)
"#;

fn python(request_s: u32) -> Option<Program> {
    Command::new("python3").arg("--version").output().ok()?;
    let mut program = Program::new("python3").arg("-c").arg(PYTHON);
    program.timeouts = Timeouts { load_s: 60, request_s };
    Some(program)
}

#[test]
fn an_engine_in_thirty_lines_of_python_is_an_engine() {
    let Some(program) = python(30) else { return };
    let mut asr = RemoteAsr::spawn(&program).unwrap();
    let stream = StreamId(7);
    asr.start(stream, &SpeechHint::default()).unwrap();
    asr.push(stream, &[1; 480]).unwrap();
    asr.push(stream, &[1; 20]).unwrap();
    assert!(matches!(asr.partial(stream), Err(EngineError::Request(_))));
    assert_eq!(asr.finish(stream).unwrap().text, "500");
}

#[test]
fn a_crash_is_a_death_with_the_signals_name() {
    let Some(program) = python(30) else { return };
    let mut process = EngineProcess::spawn(&program, Kind::Asr).unwrap();
    let crash = process.call::<()>(&AsrRequest::Cancel { stream: StreamId(1) }, &[]);
    assert!(matches!(&crash, Err(EngineError::Died(detail)) if detail.contains("SIGSEGV")), "{crash:?}");
    let after = process.call::<()>(&AsrRequest::Cancel { stream: StreamId(1) }, &[]);
    assert!(matches!(after, Err(EngineError::Died(_))));
}

#[test]
fn a_hung_engine_is_killed() {
    let Some(program) = python(1) else { return };
    let mut process = EngineProcess::spawn(&program, Kind::Asr).unwrap();
    let hint = SpeechHint { language: Some("hang".to_owned()), vocabulary: Vec::new() };
    let hung = process.call::<()>(&AsrRequest::Start { stream: StreamId(1), hint }, &[]);
    assert!(
        matches!(&hung, Err(EngineError::Died(detail)) if detail.contains("no answer within")),
        "{hung:?}"
    );
    assert!(gone(process.pid()));
}

#[test]
fn a_dropped_engine_leaves_no_process() {
    let Some(program) = python(30) else { return };
    let process = EngineProcess::spawn(&program, Kind::Asr).unwrap();
    let pid = process.pid();
    drop(process);
    assert!(gone(pid));
}

#[test]
fn a_program_that_is_not_there_cannot_start() {
    let missing = EngineProcess::spawn(&Program::new("/nonexistent/engine"), Kind::Asr);
    assert!(matches!(missing, Err(EngineError::Start(_))));
    let silent = EngineProcess::spawn(&Program::new("true"), Kind::Asr);
    assert!(matches!(silent, Err(EngineError::Died(detail)) if detail.contains("exited with status 0")));
}

/// Whether no process has `pid`, not even a zombie.
fn gone(pid: u32) -> bool {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    pidfd_open(pid, PidfdFlags::empty()).is_err()
}
