//! What is asked of the server: the body of `POST /chat/completions`.

use serde_json::{Value, json};

use super::OpenAiLlmConfig;
use crate::engine::{ChatMessage, Completion, Role, ToolSpec};

/// Asks for an answer as an event stream, with its usage at the end.
pub fn streaming(config: &OpenAiLlmConfig, completion: &Completion) -> Value {
    let mut body = prompt(config, &completion.messages, &completion.tools);
    body["max_tokens"] = json!(completion.max_tokens);
    body["temperature"] = json!(completion.temperature);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    with_extras(config, body)
}

/// Asks for one token after `messages`, so that the server's cache holds them.
pub fn warming(config: &OpenAiLlmConfig, messages: &[ChatMessage], tools: &[ToolSpec]) -> Value {
    let mut body = prompt(config, messages, tools);
    body["max_tokens"] = json!(1);
    with_extras(config, body)
}

fn prompt(config: &OpenAiLlmConfig, messages: &[ChatMessage], tools: &[ToolSpec]) -> Value {
    let mut body = json!({ "model": config.http.model, "messages": wire_messages(messages) });
    if !tools.is_empty() {
        body["tools"] = tools.iter().map(wire_tool).collect();
    }
    body
}

fn with_extras(config: &OpenAiLlmConfig, mut body: Value) -> Value {
    for (key, value) in &config.extra_body {
        body[key] = value.clone();
    }
    body
}

fn wire_tool(tool: &ToolSpec) -> Value {
    let ToolSpec { name, description, parameters } = tool;
    json!({ "type": "function", "function": {
        "name": name, "description": description, "parameters": parameters,
    }})
}

/// A [`Role::Tool`] message goes out as a user's: the API takes a `tool` message only with the id of
/// the call it answers, which a [`ChatMessage`] does not carry. Neighbours of the same role are joined,
/// since chat templates such as Gemma's insist on turns that alternate.
fn wire_messages(messages: &[ChatMessage]) -> Vec<Value> {
    let mut turns: Vec<(Role, String)> = Vec::new();
    for message in messages {
        let (role, text) = match message.role {
            Role::Tool => (Role::User, format!("(Result of the tool: {})", message.content)),
            role => (role, message.content.clone()),
        };
        match turns.last_mut() {
            Some((last, content)) if *last == role => {
                content.push('\n');
                content.push_str(&text);
            }
            _ => turns.push((role, text)),
        }
    }
    turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::http::HttpConfig;

    fn config() -> OpenAiLlmConfig {
        OpenAiLlmConfig::new(HttpConfig::new("http://host/v1", "parrot"))
    }

    fn completion() -> Completion {
        Completion {
            messages: vec![
                ChatMessage::new(Role::System, "Be brief."),
                ChatMessage::new(Role::User, "Time?"),
                ChatMessage::new(Role::Tool, "noon"),
            ],
            tools: vec![ToolSpec {
                name: "clock".into(),
                description: "Tells the time".into(),
                parameters: json!({"type": "object"}),
            }],
            max_tokens: 50,
            temperature: 0.0,
        }
    }

    #[test]
    fn an_answer_is_asked_for_as_the_api_wants_it() {
        let body = streaming(&config(), &completion());
        let expected = json!({
            "model": "parrot",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Time?\n(Result of the tool: noon)"},
            ],
            "tools": [{"type": "function", "function": {
                "name": "clock", "description": "Tells the time", "parameters": {"type": "object"},
            }}],
            "max_tokens": 50, "temperature": 0.0, "stream": true, "stream_options": {"include_usage": true},
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn warming_shares_the_prompt_and_asks_for_one_token() {
        let (warm, real) = (
            warming(&config(), &completion().messages, &completion().tools),
            streaming(&config(), &completion()),
        );
        assert_eq!((&warm["messages"], &warm["tools"]), (&real["messages"], &real["tools"]));
        assert_eq!(warm["max_tokens"], 1);
        assert!(warm.get("stream").is_none());
    }

    #[test]
    fn extra_members_win() {
        let mut config = config();
        config.extra_body.insert("temperature".into(), json!(0.7));
        config.extra_body.insert("chat_template_kwargs".into(), json!({"enable_thinking": false}));
        let body = streaming(&config, &completion());
        assert_eq!(body["temperature"], 0.7);
        assert_eq!(body["chat_template_kwargs"]["enable_thinking"], false);
    }
}
