//! The engines of a node: which models they run, and how a model is swapped under live calls.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::engine::registry::{self, EngineConfig, Engines, Surroundings};
use crate::engine::{EngineError, worker};
use crate::models::voices::{Chosen, nearest_voice};
use crate::models::{self, Kind};
use crate::node::health::HealthBoard;
use crate::service::AdminError;
use crate::voice::driver::Voices;
use crate::voice::mouth::VoiceChoice;

/// In a configuration: the model of the default set for this machine.
const AUTO: &str = "auto";
/// A model that has not loaded by now will not.
pub const LOAD: Duration = Duration::from_secs(150);

/// The engines in force, and what it takes to start others. A call keeps the ones it began with; the
/// old ones end when the last call has let go of them.
pub struct EngineRoom {
    current: ArcSwap<Engines>,
    config: Mutex<registry::Config>,
    /// One swap at a time: each begins from what the one before it left.
    swapping: tokio::sync::Mutex<()>,
    surroundings: Surroundings,
    models: models::Store,
}

impl EngineRoom {
    /// Starts every engine. Returns before the models are loaded: see [`EngineRoom::ready`].
    pub fn start(config: &registry::Config, models: models::Store) -> Result<Self, EngineError> {
        let store = models.clone();
        let surroundings = Surroundings::new(move |name| {
            store.resolve(name).map_err(|error| EngineError::Start(error.to_string()))
        });
        let config = fill_in(config, &models)?;
        let engines = Engines::start(&config, &surroundings)?;
        Ok(EngineRoom {
            current: ArcSwap::from_pointee(engines),
            config: Mutex::new(config),
            swapping: tokio::sync::Mutex::new(()),
            surroundings,
            models,
        })
    }

    pub fn current(&self) -> Arc<Engines> {
        self.current.load_full()
    }

    pub async fn ready(&self) -> Result<(), EngineError> {
        self.current().ready(LOAD).await
    }

    /// The engines as a conversation takes them.
    pub fn voices(&self) -> Voices {
        let Engines { asr, llm, tts, vad, turn } = self.current().as_ref().clone();
        Voices { asr, llm, tts, vad, turn }
    }

    /// The voice that speaks where `asked` is wanted: itself where it is installed, else the nearest in
    /// language and gender.
    pub fn pick_voice(&self, asked: &str, language: &str) -> VoiceChoice {
        let installed: Vec<String> =
            self.current().tts.voices().into_iter().map(|voice| voice.name).collect();
        let chosen = self.nearest(asked, language, &installed);
        VoiceChoice { name: chosen.map_or_else(|| asked.to_owned(), |chosen| chosen.voice), speed: 1.0 }
    }

    /// A voice of the call's language, if the one asked for speaks another.
    fn nearest(&self, asked: &str, language: &str, installed: &[String]) -> Option<Chosen> {
        if let Some(own) = installed.iter().find(|voice| voice.eq_ignore_ascii_case(asked)) {
            return Some(Chosen { voice: own.clone(), exact: true });
        }
        let foreign = !language.to_ascii_lowercase().starts_with("en");
        nearest_voice(self.models.catalog(), if foreign { language } else { asked }, installed)
    }

    /// Names a caller of the API may ask for: the presets, and what is installed.
    pub fn voice_names(&self) -> Vec<String> {
        let presets = self.models.catalog().voice_presets.iter().map(|preset| preset.name.clone());
        presets.chain(self.current().tts.voices().into_iter().map(|voice| voice.name)).collect()
    }

    /// Puts the engines of another configuration in force; gives the kinds that changed.
    pub async fn reload(&self, config: &registry::Config) -> Result<Vec<String>, AdminError> {
        let wanted = fill_in(config, &self.models).map_err(failed)?;
        let mut changed = Vec::new();
        for kind in KINDS {
            let config = of_kind(&wanted, kind).clone();
            if *of_kind(&self.config.lock(), kind) != config {
                self.put(kind, config).await?;
                changed.push(format!("engines.{kind}"));
            }
        }
        Ok(changed)
    }

    /// Makes an installed model answer from the next call on.
    pub async fn use_model(&self, kind: &str, name: &str) -> Result<(), AdminError> {
        let kind = KINDS.into_iter().find(|known| *known == kind).ok_or_else(|| AdminError::Request {
            field: "kind",
            problem: format!("`{kind}` is no kind of engine"),
            fix: format!("use one of {}", KINDS.join(", ")),
        })?;
        if let Some(model) = self.models.catalog().model(name).filter(|model| model.kind.as_str() != kind) {
            return Err(AdminError::Request {
                field: "name",
                problem: format!("`{name}` is a model of kind {}", model.kind.as_str()),
                fix: format!("name one of kind {kind}"),
            });
        }
        self.models.resolve(name).map_err(|error| AdminError::Request {
            field: "name",
            problem: error.to_string(),
            fix: "`callbox models list` shows what can be used".into(),
        })?;
        let engine = of_kind(&self.config.lock(), kind).engine.clone();
        if !of_kind(&self.config.lock(), kind).uses_model() {
            return Err(AdminError::Request {
                field: "kind",
                problem: format!("engines.{kind}.engine is `{engine}`, which brings its own model"),
                fix: format!("change engines.{kind} in the configuration and reload"),
            });
        }
        let mut config =
            EngineConfig { model: name.to_owned(), ..of_kind(&self.config.lock(), kind).clone() };
        if config.engine == "piper" {
            add_installed_voices(&mut config, &self.models);
        }
        self.put(kind, config).await
    }

    /// Starts an engine, waits until it answers, then puts it in the place of its predecessor.
    async fn put(&self, kind: &'static str, config: EngineConfig) -> Result<(), AdminError> {
        let _alone = self.swapping.lock().await;
        let mut engines = self.current().as_ref().clone();
        let around = &self.surroundings;
        match kind {
            "asr" => {
                engines.asr = registry::start_asr(&config, around).map_err(failed)?;
                engines.asr.ready(LOAD).await
            }
            "llm" => {
                engines.llm = registry::start_llm(&config, around).map_err(failed)?;
                engines.llm.ready(LOAD).await
            }
            "tts" => {
                engines.tts = registry::start_tts(&config, around).map_err(failed)?;
                engines.tts.ready(LOAD).await
            }
            "vad" => {
                engines.vad = registry::start_vad(&config, around).map_err(failed)?;
                engines.vad.ready(LOAD).await
            }
            _ => {
                engines.turn = registry::start_turn(&config, around).map_err(failed)?;
                engines.turn.ready(LOAD).await
            }
        }
        .map_err(failed)?;
        tracing::info!(kind, model = %config.model, "engine swapped; live calls keep the old one");
        *of_kind_mut(&mut self.config.lock(), kind) = config;
        self.current.store(Arc::new(engines));
        Ok(())
    }

    /// Adds a part to the health board for each engine.
    pub fn watch(room: &Arc<Self>, board: &HealthBoard) {
        for kind in KINDS {
            let room = room.clone();
            board.add(&format!("engine {kind}"), move || {
                let health = room.health(kind);
                async move {
                    match health {
                        worker::Health::Ready => Ok("answers".to_owned()),
                        worker::Health::Starting => Err("is loading its model".to_owned()),
                        worker::Health::Down { detail } => Err(detail),
                    }
                }
            });
        }
    }

    fn health(&self, kind: &str) -> worker::Health {
        let engines = self.current();
        let health = match kind {
            "asr" => engines.asr.health(),
            "llm" => engines.llm.health(),
            "tts" => engines.tts.health(),
            "vad" => engines.vad.health(),
            _ => engines.turn.health(),
        };
        health.borrow().clone()
    }
}

const KINDS: [&str; 5] = ["asr", "llm", "tts", "vad", "turn"];

fn failed(error: EngineError) -> AdminError {
    AdminError::Failed(error.to_string())
}

fn of_kind<'a>(config: &'a registry::Config, kind: &str) -> &'a EngineConfig {
    match kind {
        "asr" => &config.asr,
        "llm" => &config.llm,
        "tts" => &config.tts,
        "vad" => &config.vad,
        _ => &config.turn,
    }
}

fn of_kind_mut<'a>(config: &'a mut registry::Config, kind: &str) -> &'a mut EngineConfig {
    match kind {
        "asr" => &mut config.asr,
        "llm" => &mut config.llm,
        "tts" => &mut config.tts,
        "vad" => &mut config.vad,
        _ => &mut config.turn,
    }
}

/// Replaces `auto` by the default set's model for this machine, and gives Piper every installed voice.
pub fn fill_in(config: &registry::Config, models: &models::Store) -> Result<registry::Config, EngineError> {
    let mut config = config.clone();
    for kind in KINDS {
        let engine = of_kind_mut(&mut config, kind);
        if engine.model == AUTO && engine.uses_model() {
            engine.model = default_model(kind, models)?;
        }
        if engine.engine == "piper" {
            add_installed_voices(engine, models);
        }
    }
    Ok(config)
}

/// The default set's model of a kind, or else one that is installed.
fn default_model(kind: &str, models: &models::Store) -> Result<String, EngineError> {
    let of_this_kind = |model: &&models::Model| model.kind.as_str() == kind;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let set =
        models.catalog().set("default", cores).map_err(|error| EngineError::Start(error.to_string()))?;
    let preferred = set.into_iter().find(of_this_kind);
    let installed = preferred.filter(|model| models.is_installed(model));
    let chosen = installed.or_else(|| models.installed().find(of_this_kind)).or(preferred);
    chosen.map(|model| model.name.clone()).ok_or_else(|| {
        EngineError::Start(format!("engines.{kind}.model is `auto`, and the catalogue has no {kind} model"))
    })
}

/// The engine's own model speaks without an entry.
fn add_installed_voices(engine: &mut EngineConfig, models: &models::Store) {
    let installed = models.installed().filter(|model| model.kind == Kind::Tts && model.name != engine.model);
    let voices: toml::Table =
        installed.map(|m| (m.name.clone(), toml::Value::from(m.name.clone()))).collect();
    if let toml::Value::Table(table) =
        engine.options.entry("voices").or_insert_with(|| toml::Value::Table(toml::Table::new()))
    {
        table.retain(|name, model| *name != engine.model || model.as_str() != Some(&engine.model));
        for (name, model) in voices {
            table.entry(name).or_insert(model);
        }
    }
}
