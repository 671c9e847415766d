//! Engines that are killed or hang, and their return.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use callbox::engine::{
    EngineError, SpeechHint,
    asr::RemoteAsr,
    process::Program,
    worker::{AsrHandle, Health, WorkerConfig},
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::{PATIENCE, whisper};

/// A handle that tells the process id of its newest engine.
async fn asr_with_pid(program: Program) -> (AsrHandle, Arc<AtomicU32>) {
    let pid = Arc::new(AtomicU32::new(0));
    let told = pid.clone();
    let factory = Arc::new(move || {
        let engine = RemoteAsr::spawn(&program)?;
        told.store(engine.process().pid(), Ordering::SeqCst);
        Ok(Box::new(engine) as Box<_>)
    });
    let asr = AsrHandle::spawn(&WorkerConfig::new("asr"), factory);
    asr.ready(PATIENCE).await.unwrap();
    (asr, pid)
}

fn signal(pid: &AtomicU32, signal: Signal) {
    let pid = Pid::from_raw(pid.load(Ordering::SeqCst) as i32).unwrap();
    kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn a_killed_engine_fails_its_request_and_comes_back() {
    let (asr, pid) = asr_with_pid(whisper("ggml-tiny.en.bin")).await;
    let stream = asr.stream(SpeechHint::default());
    stream.push(vec![5_000; 160_000]).unwrap();
    // Stopped first, so that the request is surely under way when the kill comes.
    signal(&pid, Signal::STOP);
    let request = stream.finish();
    signal(&pid, Signal::KILL);
    let died = request.await;
    assert!(matches!(&died, Err(EngineError::Died(detail)) if detail.contains("SIGKILL")), "{died:?}");
    assert!(matches!(&*asr.health().borrow(), Health::Down { .. }));
    asr.ready(PATIENCE).await.unwrap();
    stream.push(vec![0; 16_000]).unwrap();
    assert!(stream.finish().await.is_ok());
}

#[tokio::test]
async fn a_hung_engine_is_killed_after_its_timeout() {
    let mut program = whisper("ggml-tiny.en.bin");
    program.timeouts.request_s = 3;
    let (asr, pid) = asr_with_pid(program).await;
    signal(&pid, Signal::STOP);
    let hung = asr.stream(SpeechHint::default()).finish().await;
    assert!(matches!(&hung, Err(EngineError::Died(detail)) if detail.contains("no answer")), "{hung:?}");
    asr.ready(PATIENCE).await.unwrap();
    assert!(asr.stream(SpeechHint::default()).finish().await.is_ok());
}

#[tokio::test]
async fn a_swapped_engine_ends_with_the_last_call_that_holds_it() {
    let (asr, pid) = asr_with_pid(whisper("ggml-tiny.en.bin")).await;
    let call = asr.stream(SpeechHint::default());
    let running = Pid::from_raw(pid.load(Ordering::SeqCst) as i32).unwrap();
    drop(asr);
    assert!(call.finish().await.is_ok());
    drop(call);
    // Either it waits to be reaped, or it is reaped already and no child of ours any more.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let ended = tokio::task::spawn_blocking(move || waitid(WaitId::Pid(running), options));
    let _ = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_engine_that_cannot_start_says_why() {
    let factory = Arc::new(|| {
        let program = Program::new(env!("CARGO_BIN_EXE_callbox-asr")).arg("--model").arg("/nonexistent.bin");
        Ok(Box::new(RemoteAsr::spawn(&program)?) as Box<_>)
    });
    let asr = AsrHandle::spawn(&WorkerConfig::new("asr"), factory);
    let mut health = asr.health();
    let down = health.wait_for(|health| matches!(health, Health::Down { .. })).await.unwrap().clone();
    assert!(matches!(&down, Health::Down { detail } if detail.contains("/nonexistent.bin")), "{down:?}");
}
