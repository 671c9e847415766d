//! From the name in the configuration to a running engine.
//!
//! In comes a [`Config`] and what the node knows of the disk ([`Surroundings`]); out come [`Engines`]:
//! cheap to clone and never changed, so that a call keeps the engines it began with while a swap
//! installs others. The old ones end when the last call drops them. A new engine is one line in one of
//! the tables below.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Asr, EngineError, Llm, Tts, Turn, Vad,
    asr::{
        RemoteAsr, ScriptedAsr,
        openai::{OpenAiAsr, OpenAiAsrConfig},
        scripted::AsrScript,
    },
    llm::{
        RemoteLlm, ScriptedLlm,
        openai::{OpenAiLlm, OpenAiLlmConfig},
        scripted::LlmScript,
    },
    native,
    process::Program,
    tts::{
        RemoteTts, ScriptedTts,
        openai::{OpenAiTts, OpenAiTtsConfig},
        scripted::TtsScript,
    },
    turn::{
        scripted::ScriptedTurn,
        smart_turn::{SmartTurn, SmartTurnConfig},
    },
    vad::{
        energy::EnergyGateConfig,
        gated::Gated,
        scripted::LoudnessVad,
        silero::{SileroConfig, SileroVad},
    },
    worker::{AsrHandle, Factory, LlmHandle, TtsHandle, TurnHandle, VadHandle, WorkerConfig},
};

/// Reads an engine's configuration and gives what builds it. Fails early on what is plainly wrong.
type Constructor<E> = fn(&Blueprint<'_>) -> Result<Factory<E>, EngineError>;

const ASR: &[(&str, Constructor<dyn Asr>)] = &[
    ("whisper", |b| native::whisper(b).map(asr_process)),
    ("openai", |b| {
        let config = b.options::<OpenAiAsrConfig>()?;
        Ok(Arc::new(move || Ok(Box::new(OpenAiAsr::new(config.clone())?))))
    }),
    ("process", |b| native::any(b).map(asr_process)),
    ("scripted", |b| {
        let script = Arc::new(b.options::<AsrScript>()?);
        Ok(Arc::new(move || Ok(Box::new(ScriptedAsr::new(script.clone())))))
    }),
];

const LLM: &[(&str, Constructor<dyn Llm>)] = &[
    ("llama", |b| native::llama(b).map(llm_process)),
    ("openai", |b| {
        let config = b.options::<OpenAiLlmConfig>()?;
        Ok(Arc::new(move || Ok(Box::new(OpenAiLlm::new(config.clone())?))))
    }),
    ("process", |b| native::any(b).map(llm_process)),
    ("scripted", |b| {
        let script = Arc::new(b.options::<LlmScript>()?);
        Ok(Arc::new(move || Ok(Box::new(ScriptedLlm::new(script.clone())))))
    }),
];

const TTS: &[(&str, Constructor<dyn Tts>)] = &[
    ("piper", |b| native::piper(b).map(tts_process)),
    ("openai", |b| {
        let config = b.options::<OpenAiTtsConfig>()?;
        Ok(Arc::new(move || Ok(Box::new(OpenAiTts::new(config.clone())?))))
    }),
    ("process", |b| native::any(b).map(tts_process)),
    ("scripted", |b| {
        let script = Arc::new(b.options::<TtsScript>()?);
        Ok(Arc::new(move || Ok(Box::new(ScriptedTts::new(script.clone())))))
    }),
];

const VAD: &[(&str, Constructor<dyn Vad>)] = &[
    ("silero", |b| {
        let config = SileroConfig::new(b.model()?);
        Ok(Arc::new(move || Ok(Box::new(Gated::new(SileroVad::load(&config)?, EnergyGateConfig::default())))))
    }),
    ("scripted", |_| Ok(Arc::new(|| Ok(Box::new(LoudnessVad::default()))))),
];

const TURN: &[(&str, Constructor<dyn Turn>)] = &[
    ("smart-turn", |b| {
        let config = SmartTurnConfig { path: b.model()?, threads: b.config.threads };
        Ok(Arc::new(move || Ok(Box::new(SmartTurn::load(&config)?))))
    }),
    ("scripted", |_| Ok(Arc::new(|| Ok(Box::new(ScriptedTurn::always(0.9)))))),
];

fn asr_process(program: Program) -> Factory<dyn Asr> {
    Arc::new(move || Ok(Box::new(RemoteAsr::spawn(&program)?)))
}

fn llm_process(program: Program) -> Factory<dyn Llm> {
    Arc::new(move || Ok(Box::new(RemoteLlm::spawn(&program)?)))
}

fn tts_process(program: Program) -> Factory<dyn Tts> {
    Arc::new(move || Ok(Box::new(RemoteTts::spawn(&program)?)))
}

/// `[engines]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub asr: EngineConfig,
    pub llm: EngineConfig,
    /// A second language model, for calls that ask for `turbo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm_turbo: Option<EngineConfig>,
    pub tts: EngineConfig,
    pub vad: EngineConfig,
    pub turn: EngineConfig,
}

/// `[engines.asr]` and its kin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// A name from this module's tables.
    pub engine: String,
    /// A name in the catalogue of models, or a path; `auto` is for the node to fill in.
    #[serde(default)]
    pub model: String,
    /// Threads one instance computes with.
    #[serde(default = "two")]
    pub threads: usize,
    /// Engines of this kind, each with its own model in memory and its own queue.
    #[serde(default = "one")]
    pub instances: usize,
    /// Requests that may wait for one instance.
    #[serde(default = "sixty_four")]
    pub queue: usize,
    /// What the family alone understands.
    #[serde(default)]
    pub options: toml::Table,
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn sixty_four() -> usize {
    64
}

impl EngineConfig {
    pub fn new(engine: &str, model: &str) -> Self {
        EngineConfig {
            engine: engine.to_owned(),
            model: model.to_owned(),
            threads: two(),
            instances: one(),
            queue: sixty_four(),
            options: toml::Table::new(),
        }
    }

    /// Whether `model` names what the engine runs; a remote or scripted engine has a model of its own.
    pub fn uses_model(&self) -> bool {
        !matches!(self.engine.as_str(), "openai" | "process" | "scripted")
    }

    fn worker(&self, name: &'static str) -> WorkerConfig {
        WorkerConfig { name, instances: self.instances, queue: self.queue }
    }
}

impl Default for Config {
    fn default() -> Self {
        let light = |engine, model| EngineConfig { threads: 1, ..EngineConfig::new(engine, model) };
        Config {
            asr: EngineConfig::new("whisper", "auto"),
            llm: EngineConfig::new("llama", "auto"),
            llm_turbo: None,
            tts: EngineConfig::new("piper", "auto"),
            vad: light("silero", "auto"),
            turn: EngineConfig::new("smart-turn", "auto"),
        }
    }
}

/// Gives the file of a model, from its name in the catalogue or its path.
pub type ResolveModel = Arc<dyn Fn(&str) -> Result<PathBuf, EngineError> + Send + Sync>;

/// What engines need to know of the machine.
#[derive(Clone)]
pub struct Surroundings {
    pub resolve_model: ResolveModel,
    /// Where `callbox-asr`, `callbox-llm` and `callbox-tts` lie.
    pub programs: PathBuf,
}

impl Surroundings {
    /// The engine executables beside this one; one floor up for a test, which lies in `deps/`.
    pub fn new(resolve_model: impl Fn(&str) -> Result<PathBuf, EngineError> + Send + Sync + 'static) -> Self {
        Surroundings { resolve_model: Arc::new(resolve_model), programs: beside_this_program() }
    }
}

fn beside_this_program() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let dir = exe.parent().unwrap_or(Path::new("."));
    let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    dir.to_owned()
}

/// What a constructor works from.
pub struct Blueprint<'a> {
    /// `asr`, `llm`, …: the table of the configuration.
    pub kind: &'static str,
    pub config: &'a EngineConfig,
    pub surroundings: &'a Surroundings,
}

impl Blueprint<'_> {
    /// The family's options, refused with the field's name when they do not fit.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T, EngineError> {
        self.config.options.clone().try_into().map_err(|error: toml::de::Error| {
            EngineError::Start(format!("[engines.{}.options]: {}", self.kind, error.message()))
        })
    }

    /// The model's file.
    pub fn model(&self) -> Result<PathBuf, EngineError> {
        if self.config.model.is_empty() {
            return Err(EngineError::Start(format!("engines.{}.model is not set", self.kind)));
        }
        (self.surroundings.resolve_model)(&self.config.model)
    }
}

/// Handles to all engines of a node.
#[derive(Clone)]
pub struct Engines {
    pub asr: AsrHandle,
    pub llm: LlmHandle,
    /// `None` where `llm` answers every call.
    pub llm_turbo: Option<LlmHandle>,
    pub tts: TtsHandle,
    pub vad: VadHandle,
    pub turn: TurnHandle,
}

impl Engines {
    /// Starts every engine. Returns at once; models load on their threads: see [`Engines::ready`].
    pub fn start(config: &Config, surroundings: &Surroundings) -> Result<Self, EngineError> {
        Ok(Engines {
            asr: start_asr(&config.asr, surroundings)?,
            llm: start_llm(&config.llm, surroundings)?,
            llm_turbo: match &config.llm_turbo {
                Some(turbo) => Some(start_llm_turbo(turbo, surroundings)?),
                None => None,
            },
            tts: start_tts(&config.tts, surroundings)?,
            vad: start_vad(&config.vad, surroundings)?,
            turn: start_turn(&config.turn, surroundings)?,
        })
    }

    /// Waits until every engine can be asked.
    pub async fn ready(&self, within: Duration) -> Result<(), EngineError> {
        let turbo = async {
            match &self.llm_turbo {
                Some(turbo) => turbo.ready(within).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(
            self.asr.ready(within),
            self.llm.ready(within),
            turbo,
            self.tts.ready(within),
            self.vad.ready(within),
            self.turn.ready(within),
        )
        .map(|_| ())
    }
}

pub fn start_asr(config: &EngineConfig, surroundings: &Surroundings) -> Result<AsrHandle, EngineError> {
    Ok(AsrHandle::spawn(&config.worker("asr"), construct(ASR, "asr", config, surroundings)?))
}

pub fn start_llm(config: &EngineConfig, surroundings: &Surroundings) -> Result<LlmHandle, EngineError> {
    Ok(LlmHandle::spawn(&config.worker("llm"), construct(LLM, "llm", config, surroundings)?))
}

/// A second language model, with workers of its own.
pub fn start_llm_turbo(config: &EngineConfig, surroundings: &Surroundings) -> Result<LlmHandle, EngineError> {
    let factory = construct(LLM, "llm_turbo", config, surroundings)?;
    Ok(LlmHandle::spawn(&config.worker("llm_turbo"), factory))
}

pub fn start_tts(config: &EngineConfig, surroundings: &Surroundings) -> Result<TtsHandle, EngineError> {
    Ok(TtsHandle::spawn(&config.worker("tts"), construct(TTS, "tts", config, surroundings)?))
}

pub fn start_vad(config: &EngineConfig, surroundings: &Surroundings) -> Result<VadHandle, EngineError> {
    Ok(VadHandle::spawn(&config.worker("vad"), construct(VAD, "vad", config, surroundings)?))
}

pub fn start_turn(config: &EngineConfig, surroundings: &Surroundings) -> Result<TurnHandle, EngineError> {
    Ok(TurnHandle::spawn(&config.worker("turn"), construct(TURN, "turn", config, surroundings)?))
}

fn construct<E: ?Sized>(
    table: &[(&str, Constructor<E>)],
    kind: &'static str,
    config: &EngineConfig,
    surroundings: &Surroundings,
) -> Result<Factory<E>, EngineError> {
    let Some((_, constructor)) = table.iter().find(|(name, _)| *name == config.engine) else {
        let known: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        return Err(EngineError::Start(format!(
            "engines.{kind}.engine is `{}`; it can be {}",
            config.engine,
            known.join(", ")
        )));
    };
    constructor(&Blueprint { kind, config, surroundings })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings() -> Surroundings {
        Surroundings::new(|name| match name {
            "known" => Ok(PathBuf::from("/models/known")),
            _ => Err(EngineError::Start(format!("there is no model `{name}`"))),
        })
    }

    fn message<T>(result: Result<T, EngineError>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn an_unknown_engine_is_refused_with_the_names_that_exist() {
        let error = message(start_asr(&EngineConfig::new("wisper", "known"), &surroundings()));
        assert!(
            error.contains("engines.asr.engine") && error.contains("whisper, openai, process"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_option_is_refused_by_its_name() {
        let mut config = EngineConfig::new("scripted", "");
        config.options.insert("pitch".to_owned(), toml::Value::Integer(3));
        let error = message(start_tts(&config, &surroundings()));
        assert!(error.contains("[engines.tts.options]") && error.contains("pitch"), "{error}");
    }

    #[test]
    fn the_model_is_found_through_the_catalogue() {
        let config = EngineConfig::new("whisper", "known");
        let surroundings = surroundings();
        let program =
            native::whisper(&Blueprint { kind: "asr", config: &config, surroundings: &surroundings })
                .unwrap();
        assert!(program.args.windows(2).any(|pair| pair == ["--model", "/models/known"]), "{program:?}");
    }

    #[test]
    fn a_partial_table_keeps_the_defaults() {
        let config: Config = toml::from_str("[asr]\nengine = 'whisper'\nmodel = 'tiny'").unwrap();
        assert_eq!((config.asr.threads, config.asr.queue), (2, 64));
        assert_eq!(config.llm, Config::default().llm);
        assert!(toml::from_str::<Config>("[asr]\nengine = 'whisper'\nthread = 3").is_err());
    }
}
