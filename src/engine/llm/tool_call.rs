//! Tool calls inside generated text, as Hermes and Qwen models write them:
//! `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.
//!
//! In goes text as it is generated, in pieces cut anywhere; out come speakable text and calls. A tag,
//! or the beginning of one, never comes out as text. What stands between the tags and is no call is
//! dropped: it is machine talk, and nobody should hear it. Small models forget the tags now and then: an
//! answer that begins as a call does is one.

use serde::Deserialize;
use serde_json::Value;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
/// How a call without its tags begins.
const BARE: &str = "{\"name\"";
/// A call longer than this is no call.
const MAX_CALL: usize = 16 * 1024;

#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Text(String),
    Call {
        name: String,
        arguments: Value,
    },
    /// Something between the tags that is not a call.
    Malformed,
}

/// Takes calls out of a stream of text.
#[derive(Debug, Default)]
pub struct ToolCallParser {
    held: String,
    inside: bool,
    /// Something was said, or called.
    begun: bool,
}

impl ToolCallParser {
    /// What can be said of the text so far.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while self.advance(&mut pieces) {}
        pieces
    }

    /// The end of the answer: what was held back is text, or a call whose closing tag is missing.
    pub fn finish(&mut self) -> Vec<Piece> {
        let rest = std::mem::take(&mut self.held);
        match std::mem::take(&mut self.inside) {
            true => vec![parse_call(&rest)],
            // A tag cut short by the end of the answer stays unsaid.
            false if rest.is_empty() || OPEN.starts_with(&rest) || CLOSE.starts_with(&rest) => Vec::new(),
            false => vec![Piece::Text(rest)],
        }
    }

    /// Moves past the next tag; false when the rest has to wait for more text.
    fn advance(&mut self, pieces: &mut Vec<Piece>) -> bool {
        if self.inside { self.advance_inside(pieces) } else { self.advance_outside(pieces) }
    }

    /// Whether the answer begins as a call does; `None` while it may.
    fn begins_bare(&mut self, pieces: &mut Vec<Piece>) -> Option<bool> {
        if self.begun {
            return Some(false);
        }
        let space = self.held.len() - self.held.trim_start().len();
        push_text(pieces, self.held.drain(..space).collect());
        match self.held.as_str() {
            held if held.starts_with(BARE) => Some(true),
            held if BARE.starts_with(held) => None,
            _ => Some(false),
        }
    }

    fn advance_outside(&mut self, pieces: &mut Vec<Piece>) -> bool {
        match self.begins_bare(pieces) {
            None => return false,
            Some(true) => {
                (self.inside, self.begun) = (true, true);
                return true;
            }
            Some(false) => {}
        }
        let open = self.held.find(OPEN).map(|at| (at, OPEN.len(), true));
        // A closing tag that nothing opened is dropped.
        let close = self.held.find(CLOSE).map(|at| (at, CLOSE.len(), false));
        let Some((at, len, inside)) = open.into_iter().chain(close).min() else {
            let sayable = self.held.len() - partial_tag(&self.held);
            self.begun |= sayable > 0;
            push_text(pieces, self.held.drain(..sayable).collect());
            return false;
        };
        let text = self.held.drain(..at + len).take_prefix(at);
        self.begun |= inside || !text.is_empty();
        push_text(pieces, text);
        self.inside = inside;
        true
    }

    fn advance_inside(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let Some(at) = self.held.find(CLOSE) else {
            if self.held.len() > MAX_CALL {
                self.held.clear();
                self.inside = false;
                pieces.push(Piece::Malformed);
            }
            return false;
        };
        let body: String = self.held.drain(..at + CLOSE.len()).take_prefix(at);
        pieces.push(parse_call(&body));
        self.inside = false;
        true
    }
}

trait TakePrefix {
    fn take_prefix(self, bytes: usize) -> String;
}

impl TakePrefix for std::string::Drain<'_> {
    fn take_prefix(self, bytes: usize) -> String {
        self.as_str()[..bytes].to_owned()
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: String) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
}

/// The length of the beginning of a tag that `text` ends with.
fn partial_tag(text: &str) -> usize {
    let longest = |tag: &str| (1..tag.len()).rev().find(|len| text.ends_with(&tag[..*len])).unwrap_or(0);
    longest(OPEN).max(longest(CLOSE))
}

#[derive(Deserialize)]
struct Call {
    name: String,
    #[serde(default, alias = "parameters")]
    arguments: Value,
}

fn parse_call(body: &str) -> Piece {
    let body = unfenced(body.trim());
    match serde_json::from_str::<Call>(body) {
        Ok(Call { name, arguments }) if !name.is_empty() => {
            Piece::Call { name, arguments: as_object(arguments) }
        }
        _ => Piece::Malformed,
    }
}

/// Small models fence their JSON.
fn unfenced(body: &str) -> &str {
    let inner = body.strip_prefix("```json").or_else(|| body.strip_prefix("```")).unwrap_or(body);
    inner.strip_suffix("```").unwrap_or(inner).trim()
}

/// Arguments as an object, also where they came as JSON in a string, or not at all.
fn as_object(arguments: Value) -> Value {
    match arguments {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Value::Null => Value::Object(serde_json::Map::new()),
        other => other,
    }
}

/// A call as the model itself would have written it, for the assistant's message in the history.
pub fn render(name: &str, arguments: &Value) -> String {
    let call = serde_json::json!({ "name": name, "arguments": arguments });
    format!("{OPEN}\n{call}\n{CLOSE}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(chunks: &[&str]) -> Vec<Piece> {
        let mut parser = ToolCallParser::default();
        let mut pieces: Vec<Piece> = chunks.iter().flat_map(|chunk| parser.push(chunk)).collect();
        pieces.extend(parser.finish());
        pieces
    }

    fn text(pieces: &[Piece]) -> String {
        pieces.iter().filter_map(|p| if let Piece::Text(t) = p { Some(t.as_str()) } else { None }).collect()
    }

    #[test]
    fn a_call_is_taken_out_of_the_text_around_it() {
        let pieces = parse(&[
            "One moment.<tool",
            "_call>\n{\"name\": \"transfer\", ",
            "\"arguments\": {\"to\": 7}}\n</tool_call> Done",
        ]);
        assert_eq!(
            pieces,
            [
                Piece::Text("One moment.".to_owned()),
                Piece::Call { name: "transfer".to_owned(), arguments: json!({"to": 7}) },
                Piece::Text(" Done".to_owned()),
            ]
        );
    }

    #[test]
    fn text_is_held_back_only_while_it_may_become_a_tag() {
        let mut parser = ToolCallParser::default();
        assert_eq!(parser.push("a <"), [Piece::Text("a ".to_owned())]);
        assert_eq!(parser.push("b"), [Piece::Text("<b".to_owned())]);
    }

    #[test]
    fn a_missing_closing_tag_still_gives_the_call() {
        let pieces = parse(&["<tool_call>{\"name\":\"hang_up\"}"]);
        assert_eq!(pieces, [Piece::Call { name: "hang_up".to_owned(), arguments: json!({}) }]);
    }

    #[test]
    fn an_answer_that_begins_as_a_call_is_never_spoken() {
        let call = Piece::Call { name: "hang_up".to_owned(), arguments: json!({}) };
        assert_eq!(parse(&["{", "\"na", "me\": \"hang_up\", \"arguments\": {}}"]), [call]);
        assert_eq!(parse(&["{\"name\": \"hang_up\", \"arguments\": {"]), [Piece::Malformed]);
        assert_eq!(text(&parse(&["{\"na", "ture"])), "{\"nature");
        assert_eq!(text(&parse(&["Say {\"name\": 1}"])), "Say {\"name\": 1}");
    }

    #[test]
    fn malformed_calls_are_dropped_and_the_text_goes_on() {
        for body in ["{\"name\": ", "hello", "{\"name\": \"\"}", "[1]", ""] {
            let pieces = parse(&["a<tool_call>", body, "</tool_call>b"]);
            assert_eq!(pieces[1], Piece::Malformed, "{body}");
            assert_eq!(text(&pieces), "ab");
        }
    }

    #[test]
    fn fenced_json_and_string_arguments_are_understood() {
        let fenced = "<tool_call>```json\n{\"name\":\"a\",\"parameters\":\"{\\\"x\\\":1}\"}\n```</tool_call>";
        assert_eq!(parse(&[fenced]), [Piece::Call { name: "a".to_owned(), arguments: json!({"x": 1}) }]);
    }

    #[test]
    fn what_render_writes_parse_reads() {
        let arguments = json!({"when": "tomorrow </b>", "n": [1, 2]});
        assert_eq!(
            parse(&[&render("book", &arguments)]),
            [Piece::Call { name: "book".to_owned(), arguments }]
        );
    }

    proptest! {
        #[test]
        fn cuts_never_change_the_outcome_and_no_tag_leaks(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("<tool_call>".to_owned()), Just("</tool_call>".to_owned()), Just("<tool".to_owned()),
                    Just("{\"name\":\"f\",\"arguments\":{}}".to_owned()), "[a-zé<>/_ ]{0,6}",
                ],
                0..8,
            ),
            cut in 1usize..5,
        ) {
            let whole: String = parts.concat();
            let characters: Vec<char> = whole.chars().collect();
            let chunks: Vec<String> = characters.chunks(cut).map(|c| c.iter().collect()).collect();
            let cut_up = parse(&chunks.iter().map(String::as_str).collect::<Vec<_>>());
            let at_once = parse(&[&whole]);
            prop_assert_eq!(text(&cut_up), text(&at_once));
            let count = |pieces: &[Piece]| pieces.iter().filter(|p| !matches!(p, Piece::Text(_))).count();
            prop_assert_eq!(count(&cut_up), count(&at_once));
            prop_assert!(!text(&at_once).contains("<tool_call>") || whole.contains("<<tool_call>") || whole.contains("<tool<tool_call>"));
        }
    }
}
