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
    /// Two letters.
    Country,
    /// A wallet's address.
    Wallet,
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
            Kind::Country => json!({ "type": "string", "pattern": "^[A-Za-z]{2}$" }),
            Kind::Wallet => json!({ "type": "string" }),
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

impl Field {
    fn example(&self) -> Value {
        match self.kind {
            Kind::Nanp | Kind::E164 => "+14155551234".into(),
            Kind::AreaCode => "415".into(),
            Kind::Country => "US".into(),
            Kind::Wallet => "0xCC8c44AD3dc2A58D841c3EB26131E49b22665EF8".into(),
            Kind::Word(words) => words[0].into(),
            Kind::WordOr(_, default) => default.into(),
            Kind::Integer(least, _) => least.into(),
            Kind::Boolean | Kind::True => true.into(),
            Kind::Anything => json!({}),
            Kind::Text | Kind::TextOf(..) if self.name == "task" => {
                "Ask whether the shop is open on Saturday.".into()
            }
            Kind::Text if self.name == "area_code" => "415".into(),
            Kind::Text | Kind::TextOf(..) => "…".into(),
        }
    }
}

/// The members that a request needs, or all where it needs none.
fn exemplary(fields: &[Field]) -> impl Iterator<Item = &Field> {
    let all = fields.iter().all(|field| !field.required);
    fields.iter().filter(move |field| all || field.required)
}

pub fn example(fields: &[Field]) -> Value {
    let members = exemplary(fields).map(|field| (field.name.to_owned(), field.example()));
    members.collect::<Map<String, Value>>().into()
}

pub fn query(fields: &[Field]) -> String {
    let plain = |value: Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let pairs = exemplary(fields).map(|field| format!("{}={}", field.name, plain(field.example())));
    format!("?{}", pairs.collect::<Vec<_>>().join("&"))
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
