//! Configuration: layers of TOML, environment and command line over the embedded defaults, into one
//! struct with a field per module.
//!
//! A key that no module knows is an error that names the key, where it came from and the key that was
//! probably meant; so is a value of the wrong type. To add a module: a field in [`NodeConfig`] and a
//! section in `config/callbox.toml`, which must hold every key the module's `Config` has.

mod error;
mod layer;
mod print;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde::{Deserialize, Serialize};

pub use error::ConfigError;

use crate::{
    api,
    call::{self, persona::Persona},
    engine, media, models,
    node::telemetry,
    pay,
    service::{look_up, nearest::nearest, policy},
    sip, store, voice,
};

/// The embedded defaults; every key, explained.
pub const DEFAULTS: &str = include_str!("../../../config/callbox.toml");

/// Environment variables that begin so are configuration.
pub const ENV_PREFIX: &str = "CALLBOX__";

/// Files looked for where `--config` names none. The first that exists is read.
const FILES: [&str; 2] = ["callbox.toml", "/etc/callbox/callbox.toml"];

/// The configuration of a node: each module's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    pub http: api::Config,
    pub policy: policy::Config,
    pub sip: sip::Config,
    pub media: media::Config,
    pub engines: engine::registry::Config,
    pub voice: voice::Config,
    pub call: call::Config,
    /// Who answers calls that come in, by name.
    pub personas: BTreeMap<String, Persona>,
    pub models: models::Config,
    pub store: store::Config,
    pub numbers: store::numbers::Config,
    pub payments: pay::Config,
    pub lookup: look_up::Config,
    pub log: telemetry::Config,
}

/// From the INVITE to the first ring, at most: a called number is looked up first.
const BEFORE_RINGING: Duration = Duration::from_secs(1);

impl NodeConfig {
    /// A persona that nobody has written would refuse every call that comes in.
    fn check_persona(&self) -> Result<(), ConfigError> {
        let named = &self.call.inbound_persona;
        if named.is_empty() || self.personas.contains_key(named) {
            return Ok(());
        }
        let names: Vec<&str> = self.personas.keys().map(String::as_str).collect();
        let detail = match nearest(named, names.iter().copied()) {
            Some(near) => format!("[personas] has no such entry; did you mean `{near}`?"),
            None => format!("[personas] has no such entry; it has {}", names.join(", ")),
        };
        Err(ConfigError::Value {
            key: "call.inbound_persona".into(),
            origin: "the configuration".into(),
            detail,
        })
    }

    /// SIP gives up a call that is answered too late.
    fn check_preludes(&self) -> Result<(), ConfigError> {
        let limit = self.sip.ring_timeout;
        let is_too_long = |persona: &Persona| {
            persona.plays_before_answer() && persona.longest_prelude().saturating_add(BEFORE_RINGING) > limit
        };
        let Some((name, persona)) = self.personas.iter().find(|(_, persona)| is_too_long(persona)) else {
            return Ok(());
        };
        let field = if persona.ring_secs > 0 { "ring_secs" } else { "announcement" };
        Err(ConfigError::Value {
            key: format!("personas.{name}.{field}"),
            origin: "the configuration".into(),
            detail: format!(
                "what is played before the answer may take {} s, and must be over a second before SIP gives the call \
                 up, by sip.ring_timeout_secs = {}; play less, or raise that",
                persona.longest_prelude().as_secs(),
                limit.as_secs_f64()
            ),
        })
    }

    fn check_call(&self) -> Result<(), ConfigError> {
        self.call.check().map_err(|(field, detail)| ConfigError::Value {
            key: format!("call.{field}"),
            origin: "the configuration".into(),
            detail: detail.into(),
        })
    }
}

/// Where configuration comes from, beside the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// Names, [`ENV_PREFIX`] included, and values.
    pub env: Vec<(String, String)>,
    /// `section.key` and values from the command line.
    pub set: Vec<(String, String)>,
}

impl Sources {
    /// This process's environment, and `file` or the first of the usual files that exists.
    pub fn of_process(file: Option<PathBuf>, set: Vec<(String, String)>) -> Sources {
        let usual = || FILES.iter().map(PathBuf::from).find(|path| path.exists());
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        Sources { file: file.or_else(usual), env, set }
    }

    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let defaults = Figment::from(Toml::string(DEFAULTS));
        let mut layers = defaults.clone();
        if let Some(file) = &self.file {
            layers = layers.merge(read(file)?);
        }
        for (name, value) in &self.env {
            let path = name.trim_start_matches(ENV_PREFIX).replace("__", ".").to_lowercase();
            layers = layers.merge(layer::OneKey::new(&path, value, format!("environment {name}"), &defaults));
        }
        for (path, value) in &self.set {
            layers = layers.merge(layer::OneKey::new(path, value, format!("--set {path}"), &defaults));
        }
        let config: NodeConfig = layers.extract().map_err(ConfigError::from_figment)?;
        config.check_persona()?;
        config.check_preludes()?;
        config.check_call()?;
        Ok(Loaded { config, layers, file: self.file.clone() })
    }
}

fn read(file: &Path) -> Result<layer::File, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
    layer::File::parse(file, &text)
}

/// A configuration that is in force, and which layer each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: NodeConfig,
    layers: Figment,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// As TOML with the defaults' comments; secrets are redacted, and values that are not defaults say
    /// where they came from.
    pub fn to_toml(&self) -> String {
        print::to_toml(&self.layers)
    }
}

#[cfg(test)]
mod tests;
