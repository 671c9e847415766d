//! What is wrong with a configuration, in words for whoever wrote it. No value is quoted: it may be a
//! secret.

use std::path::PathBuf;

use figment::error::Kind;

use crate::service::nearest::nearest;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {file}: {source}")]
    Read { file: PathBuf, source: std::io::Error },
    #[error("{file} is not TOML: {detail}")]
    Syntax { file: PathBuf, detail: String },
    #[error("unknown key `{key}` in {origin}; {fix}")]
    UnknownKey { key: String, origin: String, fix: String },
    #[error("`{key}` in {origin} must be {expected}, and is {actual}")]
    Type { key: String, origin: String, expected: String, actual: String },
    #[error("`{key}` in {origin} has a value that cannot be used: {detail}")]
    Value { key: String, origin: String, detail: String },
    #[error("`{key}` is missing; add it to the configuration")]
    Missing { key: String },
}

impl ConfigError {
    pub(super) fn from_figment(error: figment::Error) -> ConfigError {
        let key = error.path.join(".");
        let origin = error.metadata.as_ref().map_or("the defaults".to_owned(), |m| m.name.to_string());
        match error.kind {
            Kind::UnknownField(field, expected) => {
                ConfigError::UnknownKey { fix: suggestion(&error.path, &field, expected), key, origin }
            }
            Kind::MissingField(field) => {
                let parents = error.path.iter().map(String::as_str);
                ConfigError::Missing { key: parents.chain([&*field]).collect::<Vec<_>>().join(".") }
            }
            Kind::InvalidType(actual, expected) => {
                ConfigError::Type { key, origin, expected, actual: kind_of(&actual).to_owned() }
            }
            Kind::UnknownVariant(_, expected) => {
                let words: Vec<_> = expected.iter().map(|word| format!("\"{word}\"")).collect();
                ConfigError::Value { key, origin, detail: format!("use one of {}", words.join(", ")) }
            }
            Kind::InvalidValue(_, expected) => {
                ConfigError::Value { key, origin, detail: format!("use {expected}") }
            }
            Kind::InvalidLength(length, expected) => {
                ConfigError::Value { key, origin, detail: format!("{length} entries instead of {expected}") }
            }
            Kind::Message(detail) => ConfigError::Value { key, origin, detail },
            other => ConfigError::Value { key, origin, detail: other.to_string() },
        }
    }
}

/// The path's last part is the unknown key itself.
fn suggestion(path: &[String], field: &str, expected: &[&str]) -> String {
    let section = path.split_last().map(|(_, parents)| parents.join(".")).unwrap_or_default();
    match nearest(field, expected.iter().copied()) {
        Some(near) if section.is_empty() => format!("did you mean `{near}`?"),
        Some(near) => format!("did you mean `{section}.{near}`?"),
        None => format!("the keys here are: {}", expected.join(", ")),
    }
}

fn kind_of(actual: &figment::error::Actual) -> &'static str {
    use figment::error::Actual;
    match actual {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a whole number",
        Actual::Float(_) => "a number with a fraction",
        Actual::Char(_) | Actual::Str(_) => "text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}
