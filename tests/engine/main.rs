//! The engine executables with real models, through the worker handles the voice loop uses.

// A failed expectation is what a test is for, in its helpers too.
#![allow(clippy::unwrap_used)]

mod conversation;
mod death;
#[path = "../support/models.rs"]
mod models;
mod speech;

use std::{sync::Arc, time::Duration};

use callbox::engine::{
    asr::RemoteAsr,
    llm::RemoteLlm,
    process::{Program, Timeouts},
    tts::RemoteTts,
    worker::{AsrHandle, LlmHandle, TtsHandle, WorkerConfig},
};
use models::model;

/// Long enough for any machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(120);

fn whisper(model_file: &str) -> Program {
    patient(env!("CARGO_BIN_EXE_callbox-asr")).arg("--model").arg(model(model_file).to_string_lossy())
}

/// A busy machine makes an engine slow, not dead.
fn patient(program: &str) -> Program {
    let timeouts = Timeouts { load_s: 120, request_s: 120 };
    Program { timeouts, ..Program::new(program) }
}

fn llama() -> Program {
    patient(env!("CARGO_BIN_EXE_callbox-llm"))
        .arg("--model")
        .arg(model("smollm2-135m-instruct-q4_1.gguf").to_string_lossy())
}

fn piper() -> Program {
    patient(env!("CARGO_BIN_EXE_callbox-tts"))
        .arg("--voice")
        .arg(format!("joe={}", model("en_US-joe-medium.onnx").display()))
        .arg("--onnxruntime")
        .arg(model("libonnxruntime.so.1.24.4").to_string_lossy())
}

async fn asr(program: Program) -> AsrHandle {
    let factory = Arc::new(move || Ok(Box::new(RemoteAsr::spawn(&program)?) as Box<_>));
    let asr = AsrHandle::spawn(&WorkerConfig::new("asr"), factory);
    asr.ready(PATIENCE).await.unwrap();
    asr
}

async fn llm(program: Program) -> LlmHandle {
    let factory = Arc::new(move || Ok(Box::new(RemoteLlm::spawn(&program)?) as Box<_>));
    let llm = LlmHandle::spawn(&WorkerConfig::new("llm"), factory);
    llm.ready(PATIENCE).await.unwrap();
    llm
}

async fn tts(program: Program) -> TtsHandle {
    let factory = Arc::new(move || Ok(Box::new(RemoteTts::spawn(&program)?) as Box<_>));
    let tts = TtsHandle::spawn(&WorkerConfig::new("tts"), factory);
    tts.ready(PATIENCE).await.unwrap();
    tts
}
