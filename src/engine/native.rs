//! The engine executables that come with Callbox, and any other that serves the engine protocol: from
//! configuration to a command line.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use super::{
    EngineError,
    process::{Program, Timeouts},
    registry::Blueprint,
};

/// `[engines.asr.options]` of `whisper`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Whisper {
    /// BCP 47 primary language of callers of whom nothing is known; detected where absent.
    language: Option<String>,
    gpu: bool,
    timeouts: Timeouts,
}

/// `[engines.llm.options]` of `llama`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Llama {
    /// Conversations that keep their state at once.
    conversations: u32,
    /// Tokens of one conversation, prompt and answer.
    context: u32,
    /// Layers to put on the GPU.
    gpu_layers: u32,
    /// `auto`, `on` or `off`.
    flash_attention: String,
    timeouts: Timeouts,
}

impl Default for Llama {
    fn default() -> Self {
        Llama {
            conversations: 4,
            context: 2048,
            gpu_layers: 0,
            flash_attention: "auto".to_owned(),
            timeouts: Timeouts::default(),
        }
    }
}

/// `[engines.tts.options]` of `piper`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Piper {
    /// More voices than `model`: the name callers ask for, and the model.
    voices: BTreeMap<String, String>,
    /// ONNX Runtime 1.24 or later, in the catalogue or as a path.
    onnxruntime: String,
    /// The directory that holds `espeak-ng-data`.
    espeak_data: Option<PathBuf>,
    timeouts: Timeouts,
}

impl Default for Piper {
    fn default() -> Self {
        Piper {
            voices: BTreeMap::new(),
            onnxruntime: "onnxruntime".to_owned(),
            espeak_data: None,
            timeouts: Timeouts::default(),
        }
    }
}

/// `[engines.*.options]` of `process`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Any {
    program: PathBuf,
    args: Vec<String>,
    timeouts: Timeouts,
}

pub(super) fn whisper(blueprint: &Blueprint<'_>) -> Result<Program, EngineError> {
    let Whisper { language, gpu, timeouts } = blueprint.options()?;
    let mut program =
        ours(blueprint, "callbox-asr", timeouts).arg("--model").arg(blueprint.model()?.to_string_lossy());
    if let Some(language) = language {
        program = program.arg("--language").arg(language);
    }
    Ok(if gpu { program.arg("--gpu") } else { program })
}

pub(super) fn llama(blueprint: &Blueprint<'_>) -> Result<Program, EngineError> {
    let Llama { conversations, context, gpu_layers, flash_attention, timeouts } = blueprint.options()?;
    Ok(ours(blueprint, "callbox-llm", timeouts)
        .arg("--model")
        .arg(blueprint.model()?.to_string_lossy())
        .arg("--conversations")
        .arg(conversations.to_string())
        .arg("--context")
        .arg(context.to_string())
        .arg("--gpu-layers")
        .arg(gpu_layers.to_string())
        .arg("--flash-attention")
        .arg(flash_attention))
}

pub(super) fn piper(blueprint: &Blueprint<'_>) -> Result<Program, EngineError> {
    let Piper { voices, onnxruntime, espeak_data, timeouts } = blueprint.options()?;
    let resolve = &blueprint.surroundings.resolve_model;
    let mut program = ours(blueprint, "callbox-tts", timeouts)
        .arg("--voice")
        .arg(format!("{}={}", voice_name(&blueprint.config.model), blueprint.model()?.display()))
        .arg("--onnxruntime")
        .arg(resolve(&onnxruntime)?.to_string_lossy());
    for (name, model) in voices {
        program = program.arg("--voice").arg(format!("{name}={}", resolve(&model)?.display()));
    }
    if let Some(dir) = espeak_data {
        program = program.arg("--espeak-data").arg(dir.to_string_lossy());
    }
    Ok(program)
}

pub(super) fn any(blueprint: &Blueprint<'_>) -> Result<Program, EngineError> {
    let Any { program, args, timeouts } = blueprint.options()?;
    if program.as_os_str().is_empty() {
        return Err(EngineError::Start(format!("engines.{}.options.program is not set", blueprint.kind)));
    }
    Ok(Program { path: program, args, timeouts })
}

fn ours(blueprint: &Blueprint<'_>, name: &str, timeouts: Timeouts) -> Program {
    let path = blueprint.surroundings.programs.join(name);
    let threads = blueprint.config.threads.max(1).to_string();
    Program { path, args: vec!["--threads".to_owned(), threads], timeouts }
}

/// The name callers ask for: the model's, without directory and ending.
fn voice_name(model: &str) -> &str {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.strip_suffix(".onnx").unwrap_or(name)
}
