//! JSON bodies read field by field, so that every error names its field.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
};
use serde_json::{Map, Value};

use super::{Api, error::ApiError};
use crate::service::{FieldError, field::FieldErrors, nearest::nearest};

/// A JSON object from a request's body.
pub struct JsonObject(pub Map<String, Value>);

impl FromRequest<Api> for JsonObject {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        object(&read(request, api).await?).map(JsonObject)
    }
}

/// The whole body, up to the limit.
pub(super) async fn read(request: Request, api: &Api) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, api).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(_) => ApiError::TooLarge { limit: api.config.body_limit },
        _ => ApiError::Body("it could not be read".to_owned()),
    })
}

pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(ApiError::Body("it is JSON, but no object".to_owned())),
        // Line and column only: the text around an error may be a task or a number.
        Err(error) => {
            let place = format!("no valid JSON at line {} column {}", error.line(), error.column());
            Err(ApiError::Body(place))
        }
    }
}

/// Takes fields out of an object by type; `null` counts as absent. Errors gather.
pub struct Fields {
    map: Map<String, Value>,
    errors: FieldErrors,
}

impl Fields {
    /// Fields outside `known` are errors that name the nearest known one.
    pub fn new(map: Map<String, Value>, known: &[&str]) -> Fields {
        let mut errors = FieldErrors::default();
        for field in map.keys().filter(|field| !known.contains(&field.as_str())) {
            errors.push(unknown(field, known));
        }
        Fields { map, errors }
    }

    /// Text that must be there; empty after an error.
    pub fn required_text(&mut self, field: &str) -> String {
        if self.map.get(field).is_none_or(Value::is_null) {
            self.errors.push(FieldError::invalid(field, "is missing", "add it to the body"));
            return String::new();
        }
        self.text(field).unwrap_or_default()
    }

    pub fn text(&mut self, field: &str) -> Option<String> {
        self.take(field, "text in quotes", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// A whole number; `5.0` is one too.
    pub fn integer(&mut self, field: &str) -> Option<i64> {
        self.take(field, "a whole number", |value| {
            let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
            value.as_i64().or_else(|| value.as_f64().and_then(whole))
        })
    }

    pub fn boolean(&mut self, field: &str) -> Option<bool> {
        self.take(field, "true or false", |value| value.as_bool())
    }

    /// Any value but `null`.
    pub fn value(&mut self, field: &str) -> Option<Value> {
        self.take(field, "a value", Some)
    }

    /// Keeps an error that was found elsewhere.
    pub fn reject(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    /// Call after the last field was taken.
    pub fn finish(self) -> Result<(), ApiError> {
        self.errors.into_result().map_err(ApiError::Fields)
    }

    fn take<T>(&mut self, field: &str, kind: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let value = self.map.remove(field).filter(|value| !value.is_null())?;
        let read = read(value)
            .ok_or_else(|| FieldError::invalid(field, "has the wrong type", format!("send {kind}")));
        self.errors.check(read)
    }
}

fn unknown(field: &str, known: &[&str]) -> FieldError {
    // A client's own text goes back to it only as far as a field name needs.
    let field: String = field.chars().take(64).collect();
    let fix = match nearest(&field, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "leave it out; this request has no fields".to_owned(),
        None => format!("leave it out; the fields are: {}", known.join(", ")),
    };
    FieldError::invalid(field, "is not a field of this request", fix)
}
