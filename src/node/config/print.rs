//! `callbox config`: what is in force, as a file that could be used again, but for its secrets.

use figment::{Figment, value::Value};
use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table};

use super::DEFAULTS;

const REDACTED: &str = "[redacted]";

pub(super) fn to_toml(layers: &Figment) -> String {
    let mut document: DocumentMut =
        DEFAULTS.parse().expect("the embedded defaults are TOML: a test loads them");
    let Ok(sections) = layers.extract::<figment::value::Dict>() else { return String::new() };
    for (section, value) in sections {
        let Value::Dict(_, keys) = value else { continue };
        let table = document.entry(&section).or_insert(Item::Table(Table::new()));
        let Some(table) = table.as_table_mut() else { continue };
        for (key, value) in keys {
            put(table, &key, value, origin(layers, &format!("{section}.{key}")));
        }
    }
    document.to_string()
}

/// Leaves defaults as they are written in their file, and marks what is not one.
fn put(table: &mut Table, key: &str, value: Value, origin: Option<String>) {
    if origin.is_none() && !is_secret(key) {
        return;
    }
    let Ok(mut shown) = redact(key, value).serialize(toml_edit::ser::ValueSerializer::new()) else { return };
    if let Some(origin) = origin {
        shown.decor_mut().set_suffix(format!(" # from {origin}"));
    }
    match table.get_mut(key) {
        Some(item) => *item = Item::Value(shown),
        None => {
            table.insert(key, Item::Value(shown));
        }
    }
}

/// Which layer a key came from; `None` for the defaults.
fn origin(layers: &Figment, path: &str) -> Option<String> {
    let metadata = layers.find_metadata(path)?;
    // Only the embedded text has a name that figment gave.
    (!metadata.name.starts_with("TOML")).then(|| metadata.name.to_string())
}

/// Secrets are known by their key's name; an empty one is no secret.
fn is_secret(key: &str) -> bool {
    ["key", "password", "secret", "token", "rpc"]
        .iter()
        .any(|word| key == *word || key.ends_with(&format!("_{word}")))
}

fn redact(key: &str, value: Value) -> Value {
    match value {
        Value::String(_, text) if is_secret(key) && !text.is_empty() => Value::from(REDACTED),
        Value::Dict(tag, dict) => {
            Value::Dict(tag, dict.into_iter().map(|(k, v)| (k.clone(), redact(&k, v))).collect())
        }
        Value::Array(tag, items) => {
            Value::Array(tag, items.into_iter().map(|item| redact(key, item)).collect())
        }
        // A secret of digits in a file is read as a number.
        Value::Num(..) if is_secret(key) => Value::from(REDACTED),
        other => other,
    }
}
