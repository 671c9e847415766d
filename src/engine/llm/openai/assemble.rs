//! From the chunks of a streamed answer to [`Delta`]s. Text passes on as it comes; a tool call comes
//! in fragments of JSON and is given once it is whole.

use serde::Deserialize;
use serde_json::Value;

use crate::engine::{Delta, Usage, http::answer::describe_error};

/// Tool calls in one answer; more is a model that has lost its way.
const MAX_CALLS: usize = 16;

#[derive(Debug, Default)]
pub struct Assembler {
    calls: Vec<PartialCall>,
    usage: Usage,
    finished: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    #[error("the stream holds something that is no chat completion chunk")]
    Chunk,
    #[error("the server failed in the middle of its answer{0}")]
    Server(String),
    #[error("the model called more than {MAX_CALLS} tools at once")]
    TooManyCalls,
    #[error(
        "the model called a tool with arguments that are no JSON object, or were cut off by `max_tokens`"
    )]
    Arguments,
}

#[derive(Debug, Default)]
struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Assembler {
    /// Takes the data of one event; gives the deltas it completes.
    pub fn take(&mut self, data: &str) -> Result<Vec<Delta>, BadAnswer> {
        let chunk: Chunk = serde_json::from_str(data).map_err(|_| BadAnswer::Chunk)?;
        if chunk.error.is_some() {
            let mut detail = String::new();
            describe_error(data.as_bytes(), &mut detail);
            return Err(BadAnswer::Server(detail));
        }
        if let Some(usage) = chunk.usage {
            self.usage = usage.into();
        }
        let mut deltas = Vec::new();
        // One answer is asked for, so one choice comes.
        if let Some(choice) = chunk.choices.into_iter().flatten().next() {
            let delta = choice.delta.unwrap_or_default();
            deltas.extend(delta.content.filter(|text| !text.is_empty()).map(|text| Delta::Text { text }));
            for fragment in delta.tool_calls.into_iter().flatten() {
                self.add(fragment)?;
            }
            if choice.finish_reason.is_some() {
                self.finished = true;
                self.give_calls(&mut deltas)?;
            }
        }
        Ok(deltas)
    }

    /// Whether the model has said its last; usage may still follow.
    pub fn has_finished(&self) -> bool {
        self.finished
    }

    /// The stream is over.
    pub fn end(&mut self) -> Result<Vec<Delta>, BadAnswer> {
        let mut deltas = Vec::new();
        self.give_calls(&mut deltas)?;
        deltas.push(Delta::Done { usage: self.usage });
        Ok(deltas)
    }

    fn add(&mut self, fragment: CallFragment) -> Result<(), BadAnswer> {
        let CallFragment { index, id, function } = fragment;
        let (id, function) = (id.unwrap_or_default(), function.unwrap_or_default());
        let call = self.call_for(index, &id)?;
        if call.id.is_empty() {
            call.id = id;
        }
        call.name.push_str(function.name.as_deref().unwrap_or_default());
        match function.arguments {
            Some(Value::String(text)) => call.arguments.push_str(&text),
            Some(Value::Null) | None => {}
            // Some servers send the whole object rather than its text.
            Some(whole) => call.arguments.push_str(&whole.to_string()),
        }
        Ok(())
    }

    /// The call a fragment belongs to. The standard says which by index; servers that number every
    /// call 0, or none, tell them apart by a fresh id.
    fn call_for(&mut self, index: Option<u64>, id: &str) -> Result<&mut PartialCall, BadAnswer> {
        let same_id = |call: &PartialCall| id.is_empty() || call.id.is_empty() || call.id == id;
        let known = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index && same_id(call)),
            None => self.calls.len().checked_sub(1).filter(|last| same_id(&self.calls[*last])),
        };
        let at = match known {
            Some(at) => at,
            None if self.calls.len() == MAX_CALLS => return Err(BadAnswer::TooManyCalls),
            None => {
                self.calls.push(PartialCall { index, ..PartialCall::default() });
                self.calls.len() - 1
            }
        };
        Ok(&mut self.calls[at])
    }

    fn give_calls(&mut self, deltas: &mut Vec<Delta>) -> Result<(), BadAnswer> {
        for PartialCall { name, arguments, .. } in self.calls.drain(..) {
            let text = if arguments.trim().is_empty() { "{}" } else { &arguments };
            let arguments: Value = serde_json::from_str(text).map_err(|_| BadAnswer::Arguments)?;
            if !arguments.is_object() {
                return Err(BadAnswer::Arguments);
            }
            deltas.push(Delta::ToolCall { name, arguments });
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<WireDelta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct WireDelta {
    content: Option<String>,
    tool_calls: Option<Vec<CallFragment>>,
}

#[derive(Deserialize)]
struct CallFragment {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionFragment>,
}

#[derive(Deserialize, Default)]
struct FunctionFragment {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u32>,
}

impl From<WireUsage> for Usage {
    fn from(usage: WireUsage) -> Self {
        Usage {
            prompt_tokens: usage.prompt_tokens,
            reused_tokens: usage.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or(0),
            generated_tokens: usage.completion_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn assemble(chunks: &[Value]) -> Result<Vec<Delta>, BadAnswer> {
        let mut answer = Assembler::default();
        let mut deltas = Vec::new();
        for chunk in chunks {
            deltas.extend(answer.take(&chunk.to_string())?);
        }
        deltas.extend(answer.end()?);
        Ok(deltas)
    }

    fn delta(delta: Value) -> Value {
        json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
    }

    fn call(fragment: Value) -> Value {
        delta(json!({"tool_calls": [fragment]}))
    }

    fn finish(reason: &str) -> Value {
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    }

    fn done() -> Delta {
        Delta::Done { usage: Usage::default() }
    }

    fn tool(name: &str, arguments: Value) -> Delta {
        Delta::ToolCall { name: name.into(), arguments }
    }

    #[test]
    fn text_passes_on_piece_by_piece_and_usage_ends_it() {
        let chunks = [
            delta(json!({"role": "assistant", "content": ""})),
            delta(json!({"content": "Good "})),
            delta(json!({"content": "day."})),
            finish("stop"),
            json!({"choices": [], "usage": {"prompt_tokens": 40, "completion_tokens": 2,
                   "prompt_tokens_details": {"cached_tokens": 32}}}),
        ];
        let usage = Usage { prompt_tokens: 40, reused_tokens: 32, generated_tokens: 2 };
        let text = |text: &str| Delta::Text { text: text.into() };
        assert_eq!(assemble(&chunks).unwrap(), [text("Good "), text("day."), Delta::Done { usage }]);
    }

    #[test]
    fn a_tool_call_is_given_when_its_arguments_are_whole() {
        let chunks = [
            call(json!({"index": 0, "id": "a", "function": {"name": "book", "arguments": ""}})),
            call(json!({"index": 0, "function": {"arguments": "{\"seats\""}})),
            call(json!({"index": 1, "id": "b", "function": {"name": "hang_up", "arguments": ""}})),
            call(json!({"index": 0, "function": {"arguments": ":2}"}})),
            finish("tool_calls"),
        ];
        let expected = [tool("book", json!({"seats": 2})), tool("hang_up", json!({})), done()];
        assert_eq!(assemble(&chunks).unwrap(), expected);
    }

    #[test]
    fn calls_without_numbers_or_all_numbered_zero_are_told_apart_by_id() {
        for index in [json!(0), Value::Null] {
            let one =
                |id: &str| json!({"index": index, "id": id, "function": {"name": id, "arguments": {"n": 1}}});
            let chunks = [delta(json!({"tool_calls": [one("a"), one("b")]})), finish("tool_calls")];
            let expected = [tool("a", json!({"n": 1})), tool("b", json!({"n": 1})), done()];
            assert_eq!(assemble(&chunks).unwrap(), expected);
        }
    }

    #[test]
    fn cut_off_arguments_fail_the_answer() {
        let chunks =
            [call(json!({"index": 0, "function": {"name": "book", "arguments": "{\"se"}})), finish("length")];
        assert_eq!(assemble(&chunks), Err(BadAnswer::Arguments));
    }

    #[test]
    fn endless_calls_are_refused() {
        let calls: Vec<_> = (0..17).map(|n| call(json!({"index": n, "function": {"name": "x"}}))).collect();
        assert_eq!(assemble(&calls), Err(BadAnswer::TooManyCalls));
    }

    #[test]
    fn an_error_within_the_stream_is_told_without_its_words() {
        let error = json!({"error": {"message": "my card is 4111", "type": "server_error"}});
        assert_eq!(assemble(&[error]), Err(BadAnswer::Server(", type server_error".into())));
    }

    #[test]
    fn garbage_is_refused() {
        assert_eq!(Assembler::default().take("hello"), Err(BadAnswer::Chunk));
        assert_eq!(Assembler::default().take(r#"{"choices":7}"#), Err(BadAnswer::Chunk));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = Assembler::default().take(&text);
        }
    }
}
