//! Are the models there that the configured engines want?

use crate::engine::registry::EngineConfig;
use crate::models::{self, Kind, voices::nearest_voice};
use crate::node::config::NodeConfig;
use crate::node::doctor::Check;
use crate::node::engines::fill_in;

/// A check for each engine, and one for the voices that callers may ask for.
pub fn models(config: &NodeConfig) -> Vec<Check> {
    let store = match models::Store::open(&config.models) {
        Ok(store) => store,
        Err(error) => return vec![Check::fail("models", error.to_string(), "correct [models]")],
    };
    let engines = match fill_in(&config.engines, &store) {
        Ok(engines) => engines,
        Err(error) => return vec![Check::fail("models", error.to_string(), "correct [engines]")],
    };
    let of = [
        ("speech recognition", &engines.asr),
        ("language model", &engines.llm),
        ("voice", &engines.tts),
        ("voice activity", &engines.vad),
        ("end of turn", &engines.turn),
    ];
    let turbo = engines.llm_turbo.iter().map(|engine| ("turbo language model", engine));
    let all = of.into_iter().chain(turbo);
    let mut checks: Vec<Check> = all.map(|(name, engine)| model(name, engine, &store)).collect();
    if engines.tts.engine == "piper" {
        checks.push(presets(&store));
    }
    checks
}

fn model(name: &str, engine: &EngineConfig, store: &models::Store) -> Check {
    if !engine.uses_model() {
        return Check::ok(name, format!("engine `{}`, which brings its own model", engine.engine));
    }
    match store.resolve(&engine.model) {
        Ok(_) => Check::ok(name, format!("{} ({})", engine.model, engine.engine)),
        Err(error) => Check::fail(name, error.to_string(), "fetch it, or name another in [engines]"),
    }
}

/// Which presets another voice speaks.
fn presets(store: &models::Store) -> Check {
    let name = "voice presets";
    let installed = store.installed_voices();
    let stand_in =
        |preset: &&str| nearest_voice(store.catalog(), preset, &installed).is_none_or(|chosen| !chosen.exact);
    let presets: Vec<&str> =
        store.catalog().voice_presets.iter().map(|preset| preset.name.as_str()).collect();
    let others: Vec<&str> = presets.iter().copied().filter(|preset| stand_in(preset)).collect();
    if others.is_empty() {
        return Check::ok(name, "each has its own voice");
    }
    let voices = store.installed().filter(|model| model.kind == Kind::Tts).count();
    Check::warn(
        name,
        format!("{} are spoken by the nearest of {voices} installed voices", others.join(", ")),
        "`callbox models list` names their own voices; the call record says which voice spoke",
    )
}
