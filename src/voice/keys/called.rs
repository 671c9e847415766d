//! The arguments of the tool that presses keys, as models write them: small ones keep to its schema now and then.

use serde_json::Value;

use super::Keys;
use super::reading::presses;

/// What the argument is called, by the schema and by models that forgot it.
const NAMES: [&str; 3] = ["keys", "key", "digits"];

/// Why a call of the tool pressed nothing. The model is told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::voice) enum NoKeys {
    #[error("press_keys was called without `keys`")]
    Missing,
    #[error("`keys` takes 1 to 32 of the digits 0 to 9, * and #, with w for a pause between them")]
    NotOfATelephone,
}

/// The keys that `arguments` name: text or a whole number, or several of them in an array.
pub(in crate::voice) fn named_by(arguments: &Value) -> Result<Keys, NoKeys> {
    let named = match arguments {
        Value::Object(fields) => NAMES.iter().find_map(|name| fields.get(*name)),
        bare => Some(bare),
    };
    let keys = named.filter(|keys| !keys.is_null()).ok_or(NoKeys::Missing)?;
    written(keys).and_then(|keys| Keys::parse(&keys)).ok_or(NoKeys::NotOfATelephone)
}

fn written(keys: &Value) -> Option<String> {
    match keys {
        Value::Array(keys) => keys.iter().map(one).collect(),
        key => one(key),
    }
}

fn one(key: &Value) -> Option<String> {
    match key {
        Value::String(keys) => Some(symbols(keys)),
        Value::Number(keys) => keys.as_u64().map(|keys| keys.to_string()),
        _ => None,
    }
}

/// "Two" and "press 2" are 2; other text stays what it is.
fn symbols(text: &str) -> String {
    let named = if Keys::parse(text).is_none() { presses(text) } else { None };
    named.map_or_else(|| text.to_owned(), |keys| keys.expose().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_read_as_models_write_them() {
        let calls = [
            json!({"keys": "2#"}),
            json!({"key": "2#"}),
            json!({"digits": "2 #"}),
            json!({"keys": ["2", "#"]}),
            json!({"key": [2, "#"]}),
            json!({"keys": "2#", "reason": "billing"}),
            json!({"keys": ["two", "pound"]}),
            json!(["2", "#"]),
            json!("2#"),
        ];
        for call in calls {
            assert_eq!(named_by(&call).ok(), Keys::parse("2#"), "{call}");
        }
        for call in [json!({"keys": 20}), json!({"digits": [2, 0]}), json!(20)] {
            assert_eq!(named_by(&call).ok(), Keys::parse("20"), "{call}");
        }
        assert_eq!(named_by(&json!(["1", "w", "star"])).ok(), Keys::parse("1w*"));
    }

    #[test]
    fn what_no_telephone_has_is_refused() {
        let many = "1".repeat(33);
        let values = [
            json!("A"),
            json!("billing"),
            json!(""),
            json!("w"),
            json!(many),
            json!(-2),
            json!(-1.5e3),
            json!(2.5),
            json!(true),
            json!([]),
            json!([true]),
            json!([["2"]]),
            json!(["2", "x"]),
            json!({"keys": "2"}),
        ];
        for value in values {
            for name in NAMES {
                assert_eq!(named_by(&json!({name: value})), Err(NoKeys::NotOfATelephone), "{name}: {value}");
            }
        }
    }

    #[test]
    fn call_that_names_no_keys_is_told_from_one_that_names_others() {
        for call in [json!({}), json!({"number": "2"}), json!({"keys": null}), json!(null)] {
            assert_eq!(named_by(&call), Err(NoKeys::Missing), "{call}");
        }
    }
}
