//! JSON Schema, as far as the published contracts use it: an unknown keyword is an error, so that nothing is
//! passed over.

use serde_json::{Map, Value};

/// What is wrong with `value`, each with its path; empty where it is as `schema` says. `root` is the document
/// that references point into.
pub fn problems(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(root, schema, value, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else { panic!("{at}: a schema is an object: {schema}") };
    if let Some(reference) = keywords.get("$ref") {
        return check(root, resolve(root, reference), value, at, found);
    }
    for (keyword, rule) in keywords {
        let holds = match keyword.as_str() {
            "type" => is_of(rule, value),
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minLength" => length(value).is_none_or(|length| length >= rule.as_u64().unwrap()),
            "maxLength" => length(value).is_none_or(|length| length <= rule.as_u64().unwrap()),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| fits(rule.as_str().unwrap(), text)),
            "required" => members(value).is_none_or(|members| {
                rule.as_array().unwrap().iter().all(|name| members.contains_key(name.as_str().unwrap()))
            }),
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(member) = members(value).and_then(|members| members.get(name)) {
                        check(root, schema, member, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let named = |name: &String| keywords["properties"].get(name).is_some();
                *rule != Value::Bool(false) || members(value).is_none_or(|all| all.keys().all(named))
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{at}/{index}"), found);
                }
                true
            }
            "default" | "description" => true,
            // Keys of JSON objects are text.
            "propertyNames" => *rule == serde_json::json!({ "type": "string" }),
            other => panic!("{at}: the checker knows no `{other}`"),
        };
        if !holds {
            found.push(format!("{at}: {value} against {keyword}: {rule}"));
        }
    }
}

/// What `#/a/b` points to.
pub fn resolve<'a>(root: &'a Value, reference: &Value) -> &'a Value {
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a local reference");
    root.pointer(pointer).unwrap_or_else(|| panic!("{reference} points nowhere"))
}

fn is_of(kind: &Value, value: &Value) -> bool {
    let named = |kind: &Value| match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("no type `{other}`"),
    };
    kind.as_array().map_or_else(|| named(kind), |kinds| kinds.iter().any(named))
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn members(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object()
}

/// The patterns of the contracts, each by hand: a new one is an error.
fn fits(pattern: &str, text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let after_plus = text.strip_prefix('+').filter(|rest| digits(rest));
    match pattern {
        r"^\d{3}$" => text.len() == 3 && digits(text),
        r"^\+1\d{10}$" => after_plus.is_some_and(|rest| rest.len() == 11 && rest.starts_with('1')),
        r"^\+[1-9]\d{1,14}$" => {
            after_plus.is_some_and(|rest| (2..=15).contains(&rest.len()) && !rest.starts_with('0'))
        }
        "^[A-Za-z]{2}$" => text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()),
        other => panic!("the checker knows no pattern {other}"),
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "a": { "type": "string", "minLength": 1, "maxLength": 2 },
            "b": { "type": "integer", "minimum": 1, "maximum": 3 },
            "c": { "enum": ["x"] },
            "d": { "type": "string", "pattern": r"^\+1\d{10}$" },
        },
        "required": ["a"],
        "additionalProperties": false,
    });
    let count = |value: Value| problems(&schema, &schema, &value).len();
    assert_eq!(count(serde_json::json!({ "a": "x", "b": 3.0, "c": "x", "d": "+14155550123" })), 0);
    for wrong in [
        serde_json::json!({}),
        serde_json::json!([]),
        serde_json::json!({ "a": "" }),
        serde_json::json!({ "a": "xyz" }),
        serde_json::json!({ "a": "x", "b": 4 }),
        serde_json::json!({ "a": "x", "b": 1.5 }),
        serde_json::json!({ "a": "x", "c": "y" }),
        serde_json::json!({ "a": "x", "d": "+4915550123" }),
        serde_json::json!({ "a": "x", "e": 1 }),
    ] {
        assert_eq!(count(wrong.clone()), 1, "{wrong}");
    }
}
