//! The engines of a node: which models they run, and how a model is swapped under live calls.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::call::directory::Wanted;
use crate::engine::registry::{self, EngineConfig, Engines, Surroundings};
use crate::engine::{EngineError, worker};
use crate::models::voices::{Chosen, nearest_voice};
use crate::models::{self, Kind};
use crate::node::health::HealthBoard;
use crate::node::languages;
use crate::service::AdminError;
use crate::voice::driver::Voices;
use crate::voice::mouth::VoiceChoice;

/// In a configuration: the model of the default set for this machine.
const AUTO: &str = "auto";
/// In a call's plan: the second language model, where there is one.
const TURBO: &str = "turbo";
/// Languages that were complained about; more are not.
const COMPLAINTS: usize = 64;
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
    /// Recognisers and the languages they do not know, each logged once.
    complaints: Mutex<HashSet<(String, String)>>,
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
            complaints: Mutex::default(),
        })
    }

    pub fn current(&self) -> Arc<Engines> {
        self.current.load_full()
    }

    pub async fn ready(&self) -> Result<(), EngineError> {
        self.current().ready(LOAD).await
    }

    /// The engines as a conversation takes them. `llm` answers for a `turbo` that is not configured.
    pub fn voices(&self, wanted: Wanted<'_>) -> Voices {
        let Engines { asr, llm, llm_turbo, tts, vad, turn } = self.current().as_ref().clone();
        let llm = llm_turbo.filter(|_| wanted.model == TURBO).unwrap_or(llm);
        Voices { asr, llm, tts, vad, turn, hears: self.hears(wanted.language) }
    }

    /// The language the recogniser is told; `None` where it does not know the call's.
    fn hears(&self, language: &str) -> Option<String> {
        let asr = self.config.lock().asr.clone();
        let catalogued = self.models.catalog().model(&asr.model).map(|model| model.languages.as_slice());
        if languages::recognises(&asr, catalogued, language) {
            return Some(language.to_owned());
        }
        let mut complaints = self.complaints.lock();
        if complaints.len() < COMPLAINTS && complaints.insert((asr.model.clone(), language.to_owned())) {
            tracing::warn!(
                model = %asr.model,
                language,
                "the recogniser does not know this language: its transcripts of such calls are poor"
            );
        }
        None
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
        let preset =
            self.models.catalog().voice_presets.iter().find(|preset| preset.name.eq_ignore_ascii_case(asked));
        let speaks = preset.map_or("en", |preset| preset.language.as_str());
        let foreign = !languages::same(speaks, language);
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
            let (old, new) = (self.configured(kind), of_kind(&wanted, kind).cloned());
            if old == new {
                continue;
            }
            match new {
                Some(config) => self.put(kind, config).await?,
                None => self.drop_turbo().await,
            }
            changed.push(format!("engines.{kind}"));
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
        if let Some(model) = self.models.catalog().model(name).filter(|m| m.kind.as_str() != model_kind(kind))
        {
            return Err(AdminError::Request {
                field: "name",
                problem: format!("`{name}` is a model of kind {}", model.kind.as_str()),
                fix: format!("name one of kind {}", model_kind(kind)),
            });
        }
        self.models.resolve(name).map_err(|error| AdminError::Request {
            field: "name",
            problem: error.to_string(),
            fix: "`callbox models list` shows what can be used".into(),
        })?;
        let Some(current) = self.configured(kind) else {
            return Err(AdminError::Request {
                field: "kind",
                problem: format!("engines.{kind} is not configured"),
                fix: format!("add [engines.{kind}] to the configuration and reload"),
            });
        };
        if !current.uses_model() {
            return Err(AdminError::Request {
                field: "kind",
                problem: format!("engines.{kind}.engine is `{}`, which brings its own model", current.engine),
                fix: format!("change engines.{kind} in the configuration and reload"),
            });
        }
        let mut config = EngineConfig { model: name.to_owned(), ..current };
        if config.engine == "piper" {
            add_installed_voices(&mut config, &self.models);
        }
        self.put(kind, config).await
    }

    fn configured(&self, kind: &str) -> Option<EngineConfig> {
        of_kind(&self.config.lock(), kind).cloned()
    }

    /// Ends the second language model with the last call that has it.
    async fn drop_turbo(&self) {
        let _alone = self.swapping.lock().await;
        let engines = Engines { llm_turbo: None, ..self.current().as_ref().clone() };
        self.config.lock().llm_turbo = None;
        self.current.store(Arc::new(engines));
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
            "llm_turbo" => {
                let turbo = registry::start_llm_turbo(&config, around).map_err(failed)?;
                engines.llm_turbo = Some(turbo.clone());
                turbo.ready(LOAD).await
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
        set_kind(&mut self.config.lock(), kind, config);
        self.current.store(Arc::new(engines));
        Ok(())
    }

    /// Adds a part to the health board for each engine.
    pub fn watch(room: &Arc<Self>, board: &HealthBoard) {
        for kind in KINDS.into_iter().filter(|kind| room.configured(kind).is_some()) {
            let room = room.clone();
            board.add(&format!("engine {kind}"), move || {
                let health = room.health(kind);
                async move {
                    match health {
                        None => Ok("was taken out of the configuration".to_owned()),
                        Some(worker::Health::Ready) => Ok("answers".to_owned()),
                        Some(worker::Health::Starting) => Err("is loading its model".to_owned()),
                        Some(worker::Health::Down { detail }) => Err(detail),
                    }
                }
            });
        }
    }

    fn health(&self, kind: &str) -> Option<worker::Health> {
        let engines = self.current();
        let health = match kind {
            "asr" => engines.asr.health(),
            "llm" => engines.llm.health(),
            "llm_turbo" => engines.llm_turbo.as_ref()?.health(),
            "tts" => engines.tts.health(),
            "vad" => engines.vad.health(),
            _ => engines.turn.health(),
        };
        Some(health.borrow().clone())
    }
}

const KINDS: [&str; 6] = ["asr", "llm", "tts", "vad", "turn", "llm_turbo"];

/// The catalogue's kind of the models that an engine runs.
fn model_kind(kind: &str) -> &str {
    if kind == "llm_turbo" { "llm" } else { kind }
}

fn failed(error: EngineError) -> AdminError {
    AdminError::Failed(error.to_string())
}

/// `None` for a second language model that is not configured.
fn of_kind<'a>(config: &'a registry::Config, kind: &str) -> Option<&'a EngineConfig> {
    Some(match kind {
        "asr" => &config.asr,
        "llm" => &config.llm,
        "llm_turbo" => config.llm_turbo.as_ref()?,
        "tts" => &config.tts,
        "vad" => &config.vad,
        _ => &config.turn,
    })
}

fn set_kind(config: &mut registry::Config, kind: &str, engine: EngineConfig) {
    match kind {
        "asr" => config.asr = engine,
        "llm" => config.llm = engine,
        "llm_turbo" => config.llm_turbo = Some(engine),
        "tts" => config.tts = engine,
        "vad" => config.vad = engine,
        _ => config.turn = engine,
    }
}

/// Replaces `auto` by the default set's model for this machine, and gives Piper every installed voice.
pub fn fill_in(config: &registry::Config, models: &models::Store) -> Result<registry::Config, EngineError> {
    let mut config = config.clone();
    for kind in KINDS {
        let Some(mut engine) = of_kind(&config, kind).cloned() else { continue };
        if engine.model == AUTO && engine.uses_model() {
            engine.model = default_model(model_kind(kind), models)?;
        }
        if engine.engine == "piper" {
            add_installed_voices(&mut engine, models);
        }
        set_kind(&mut config, kind, engine);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ChatMessage, Completion, Delta, Role};

    fn scripted(text: &str) -> EngineConfig {
        let options = format!("answers = [{{ text = \"{text}\" }}]");
        EngineConfig { options: toml::from_str(&options).unwrap(), ..EngineConfig::new("scripted", "") }
    }

    fn config(turbo: Option<EngineConfig>) -> registry::Config {
        let plain = || EngineConfig::new("scripted", "");
        registry::Config {
            asr: plain(),
            llm: scripted("base"),
            llm_turbo: turbo,
            tts: plain(),
            vad: plain(),
            turn: plain(),
        }
    }

    async fn room(turbo: Option<EngineConfig>) -> (tempfile::TempDir, EngineRoom) {
        let dir = tempfile::tempdir().unwrap();
        let models = models::Config { dir: Some(dir.path().into()), offline: true, ..Default::default() };
        let room = EngineRoom::start(&config(turbo), models::Store::open(&models).unwrap()).unwrap();
        room.ready().await.unwrap();
        (dir, room)
    }

    async fn answer(room: &EngineRoom, model: &str) -> String {
        let conversation = room.voices(Wanted { model, language: "en" }).llm.conversation();
        let mut deltas = conversation.start(Completion {
            messages: vec![ChatMessage::new(Role::User, "Who are you?")],
            tools: Vec::new(),
            max_tokens: 10,
            temperature: 0.0,
        });
        let mut answer = String::new();
        while let Some(event) = deltas.recv().await {
            match event.delta {
                Delta::Text { text } => answer.push_str(&text),
                Delta::Done { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        answer
    }

    #[tokio::test]
    async fn turbo_is_answered_by_its_own_model_and_else_by_the_base() {
        let (_dir, room) = room(Some(scripted("turbo"))).await;
        assert_eq!([answer(&room, "base").await, answer(&room, "turbo").await], ["base", "turbo"]);
        let (_dir, alone) = self::room(None).await;
        assert_eq!([answer(&alone, "base").await, answer(&alone, "turbo").await], ["base", "base"]);
    }

    #[tokio::test]
    async fn a_reload_brings_a_second_model_and_takes_it_away() {
        let (_dir, room) = room(None).await;
        assert_eq!(room.reload(&config(Some(scripted("turbo")))).await.unwrap(), ["engines.llm_turbo"]);
        assert_eq!(answer(&room, "turbo").await, "turbo");
        assert_eq!(room.reload(&config(None)).await.unwrap(), ["engines.llm_turbo"]);
        assert_eq!(answer(&room, "turbo").await, "base");
    }

    #[tokio::test]
    async fn a_model_for_an_engine_that_is_not_configured_is_refused() {
        let (dir, room) = room(None).await;
        let file = dir.path().join("some.gguf");
        std::fs::write(&file, "weights").unwrap();
        let refused = room.use_model("llm_turbo", &file.to_string_lossy()).await.unwrap_err();
        assert!(refused.to_string().contains("engines.llm_turbo is not configured"), "{refused}");
    }

    #[tokio::test]
    async fn a_recogniser_is_not_told_a_language_it_does_not_know() {
        let (_dir, room) = room(None).await;
        assert_eq!(room.hears("de").as_deref(), Some("de"));
        room.config.lock().asr = EngineConfig::new("whisper", "/models/ggml-tiny.en.bin");
        assert_eq!((room.hears("de"), room.hears("en-GB").as_deref()), (None, Some("en-GB")));
        assert_eq!(room.hears("de"), None);
        assert_eq!(room.complaints.lock().len(), 1, "it is said once");
    }
}
