//! What a server answered: is it usable, how large is it, and what to tell the operator if not.

use std::{error::Error, fmt::Write as _};

use reqwest::{Response, StatusCode, header};
use serde::Deserialize;

use super::HttpConfig;
use crate::engine::EngineError;

/// How much of an error's body is read.
const ERROR_BODY_BYTES: usize = 64 << 10;
/// Longest identifier quoted from a server.
const IDENTIFIER_CHARS: usize = 48;

/// The response, if the request was sent and the server accepted it.
pub async fn accepted(
    config: &HttpConfig,
    sent: Result<Response, reqwest::Error>,
) -> Result<Response, EngineError> {
    let response = sent.map_err(|error| unreachable_server(config, &error))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = Body::new(config, response).limited_to(ERROR_BODY_BYTES).whole().await.unwrap_or_default();
    Err(EngineError::Request(refusal(config, status, &body)))
}

/// A response's media type without parameters, in lower case; empty if the server names none.
pub fn media_type(response: &Response) -> String {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// A response body that never gives more than its limit.
pub struct Body<'a> {
    config: &'a HttpConfig,
    response: Response,
    left: usize,
    limit: usize,
}

impl<'a> Body<'a> {
    pub fn new(config: &'a HttpConfig, response: Response) -> Self {
        let limit = config.max_response_bytes;
        Body { config, response, left: limit, limit }
    }

    fn limited_to(mut self, limit: usize) -> Self {
        self.limit = self.limit.min(limit);
        self.left = self.limit;
        self
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, EngineError> {
        let chunk = self.response.chunk().await.map_err(|error| broken_off(self.config, &error))?;
        let Some(chunk) = chunk else { return Ok(None) };
        self.left = self.left.checked_sub(chunk.len()).ok_or_else(|| {
            let (url, limit) = (&self.config.base_url, self.limit);
            EngineError::Request(format!("{url} sent more than {limit} bytes (`max_response_bytes`)"))
        })?;
        Ok(Some(chunk.to_vec()))
    }

    pub async fn whole(mut self) -> Result<Vec<u8>, EngineError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}

/// The last cause in a chain of errors: "Connection refused" rather than "error sending request".
pub fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn unreachable_server(config: &HttpConfig, error: &reqwest::Error) -> EngineError {
    let url = &config.base_url;
    EngineError::Request(if error.is_timeout() {
        timed_out(config)
    } else if error.is_connect() {
        format!("cannot connect to {url}: {}; check `base_url` and that the server runs", innermost(error))
    } else {
        format!("the request to {url} failed: {}", innermost(error))
    })
}

fn broken_off(config: &HttpConfig, error: &reqwest::Error) -> EngineError {
    let url = &config.base_url;
    EngineError::Request(if error.is_timeout() {
        timed_out(config)
    } else {
        format!("{url} broke off its answer: {}", innermost(error))
    })
}

fn timed_out(config: &HttpConfig) -> String {
    format!(
        "{} did not answer in time (`connect_timeout_ms` {}, `idle_timeout_ms` {}, `timeout_ms` {})",
        config.base_url, config.connect_timeout_ms, config.idle_timeout_ms, config.timeout_ms
    )
}

fn refusal(config: &HttpConfig, status: StatusCode, body: &[u8]) -> String {
    let HttpConfig { base_url, model, .. } = config;
    let mut text = match status.as_u16() {
        401 | 403 => format!("{base_url} refused the key ({status}): set `api_key` to one it knows"),
        404 => format!(
            "{base_url} has no such path or no model `{model}` ({status}): `base_url` usually ends in /v1, \
             and `model` must be a name the server lists"
        ),
        408 | 504 => format!("{base_url} ran out of time itself ({status})"),
        413 => format!("{base_url} finds the request too large ({status})"),
        429 => format!("{base_url} is overloaded or over its quota ({status})"),
        300..=399 => {
            format!("{base_url} redirects elsewhere ({status}): set `base_url` to the final address")
        }
        500..=599 => format!("{base_url} failed ({status})"),
        _ => format!("{base_url} refused the request for model `{model}` ({status})"),
    };
    describe_error(body, &mut text);
    text
}

/// Adds the error's identifiers to `text`, and what is known of its kind. The message itself stays
/// out: servers quote the request in it.
pub fn describe_error(body: &[u8], text: &mut String) {
    let Ok(ErrorBody { error: Some(error) }) = serde_json::from_slice::<ErrorBody>(body) else { return };
    for (name, value) in [("type", &error.kind), ("code", &error.code), ("param", &error.param)] {
        if let Some(word) = identifier(value) {
            // Writing to a String cannot fail.
            let _ = write!(text, ", {name} {word}");
        }
    }
    if is_context_overflow(&error) {
        text.push_str("; the conversation is longer than the model's context");
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: Option<ErrorDetail>,
}

/// OpenAI's error object; servers differ in which fields are numbers.
#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default, rename = "type")]
    kind: serde_json::Value,
    #[serde(default)]
    code: serde_json::Value,
    #[serde(default)]
    param: serde_json::Value,
    #[serde(default)]
    message: serde_json::Value,
}

/// A word that names something, as opposed to text that says something.
fn identifier(value: &serde_json::Value) -> Option<String> {
    let word = match value {
        serde_json::Value::String(word) => word.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!word.is_empty() && word.len() <= IDENTIFIER_CHARS && word.chars().all(plain)).then_some(word)
}

fn is_context_overflow(error: &ErrorDetail) -> bool {
    let words = [&error.kind, &error.code, &error.message].map(|v| v.as_str().unwrap_or_default());
    words.iter().any(|text| {
        text.contains("context_length_exceeded")
            || text.contains("exceed_context_size")
            || text.contains("maximum context length")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> String {
        let config = HttpConfig::new("http://host/v1", "parrot");
        refusal(&config, StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn a_refusal_names_the_key_to_change() {
        assert!(told(401, "").contains("`api_key`"));
        let missing = told(404, "");
        assert!(missing.contains("`base_url`") && missing.contains("`parrot`"), "{missing}");
        assert!(told(307, "").contains("`base_url`"));
        assert!(told(503, "").contains("http://host/v1 failed (503"));
    }

    #[test]
    fn the_servers_words_stay_out_since_they_quote_the_caller() {
        let body = r#"{"error":{"message":"bad input: my card is 4111","type":"invalid_request_error",
                       "param":"messages.0 my card","code":400}}"#;
        let text = told(400, body);
        assert!(text.contains("type invalid_request_error, code 400"), "{text}");
        assert!(!text.contains("card"), "{text}");
    }

    #[test]
    fn an_overlong_conversation_is_recognised_in_three_dialects() {
        for body in [
            r#"{"error":{"code":"context_length_exceeded"}}"#,
            r#"{"error":{"code":400,"type":"exceed_context_size_error"}}"#,
            r#"{"error":{"message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError"}}"#,
        ] {
            assert!(told(400, body).contains("longer than the model's context"), "{body}");
        }
    }

    #[test]
    fn garbage_for_an_error_body_is_no_error_of_its_own() {
        assert_eq!(told(400, "<html>"), told(400, ""));
        assert_eq!(told(400, r#"{"error":"text"}"#), told(400, ""));
    }
}
