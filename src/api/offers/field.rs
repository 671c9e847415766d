//! A member of a body, an answer or a query: its JSON Schema, and a line for people.

use serde_json::{Map, Value, json};

pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// After the name, for people.
    pub about: &'static str,
}

/// What a member may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Characters, least and most.
    TextOf(Option<u32>, Option<u32>),
    /// A +1 number.
    Nanp,
    /// A number of any country.
    E164,
    /// An area code.
    AreaCode,
    Word(&'static [&'static str]),
    /// The second is taken where it is absent.
    WordOr(&'static [&'static str], &'static str),
    /// Least and most.
    Integer(i64, i64),
    Boolean,
    True,
    /// Whatever the client likes, by key.
    Anything,
}

impl Field {
    pub const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
        Field { name, kind, required: true, about }
    }

    pub const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Field {
        Field { name, kind, required: false, about }
    }
}

impl Kind {
    pub fn schema(self) -> Value {
        match self {
            Kind::Text => json!({ "type": "string" }),
            Kind::TextOf(least, most) => {
                let mut schema = json!({ "type": "string" });
                least.into_iter().for_each(|least| schema["minLength"] = least.into());
                most.into_iter().for_each(|most| schema["maxLength"] = most.into());
                schema
            }
            Kind::Nanp => json!({ "type": "string", "pattern": r"^\+1\d{10}$" }),
            Kind::E164 => json!({ "type": "string", "pattern": r"^\+[1-9]\d{1,14}$" }),
            Kind::AreaCode => json!({ "type": "string", "pattern": r"^\d{3}$" }),
            Kind::Word(words) => json!({ "type": "string", "enum": words }),
            Kind::WordOr(words, default) => json!({ "default": default, "type": "string", "enum": words }),
            Kind::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Kind::Boolean => json!({ "type": "boolean" }),
            Kind::True => json!({ "type": "boolean", "const": true }),
            Kind::Anything => json!({
                "type": "object",
                "propertyNames": { "type": "string" },
                "additionalProperties": {},
            }),
        }
    }
}

/// The schema of an object of these members; `closed` allows no others.
pub fn object(fields: &[Field], closed: bool) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), field.kind.schema())).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if closed {
        schema["additionalProperties"] = false.into();
    }
    schema
}
