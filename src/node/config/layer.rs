//! The layers over the defaults: a file, and single keys from the environment or the command line.

use std::path::Path;

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::ConfigError;

/// A TOML file that has been read.
pub(super) struct File {
    name: String,
    dict: Map<Profile, Dict>,
}

impl File {
    pub(super) fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
        let dict = Toml::string(text).data().map_err(|error| ConfigError::Syntax {
            file: path.to_owned(),
            detail: error.kind.to_string().trim().to_owned(),
        })?;
        Ok(File { name: path.display().to_string(), dict })
    }
}

impl Provider for File {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(self.dict.clone())
    }
}

/// One key, with a name of its own to trace it by.
pub(super) struct OneKey {
    path: String,
    value: Value,
    name: String,
}

impl OneKey {
    pub(super) fn new(path: &str, text: &str, name: String, defaults: &Figment) -> OneKey {
        let is_text = matches!(defaults.find_value(path), Ok(Value::String(..)));
        let value = if is_text { Value::from(text) } else { guess(text) };
        OneKey { path: path.to_owned(), value, name }
    }
}

/// Where the default is text, so is the value: a key of digits is not a number. Elsewhere it is read as
/// TOML, and as text where it is none.
fn guess(text: &str) -> Value {
    let parsed = Toml::string(&format!("value = {text}")).data().ok();
    let value = parsed.and_then(|mut profiles| profiles.remove(&Profile::Default)?.remove("value"));
    value.unwrap_or_else(|| Value::from(text))
}

impl Provider for OneKey {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let nested = figment::util::nest(&self.path, self.value.clone());
        Ok(nested.into_dict().map(|dict| Profile::Default.collect(dict)).unwrap_or_default())
    }
}
