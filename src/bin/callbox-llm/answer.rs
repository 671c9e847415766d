//! An answer being generated: token bytes in, deltas out.

use callbox::engine::{
    Delta, Usage,
    llm::tool_call::{Piece, ToolCallParser},
};

/// Gathers the bytes of tokens into whole characters and takes tool calls out of them.
#[derive(Debug, Default)]
pub struct Answer {
    pub usage: Usage,
    pub max_tokens: u32,
    /// The beginning of a character whose rest the next token brings.
    bytes: Vec<u8>,
    parser: ToolCallParser,
}

impl Answer {
    pub fn new(max_tokens: u32, prompt_tokens: u32, reused_tokens: u32) -> Self {
        let usage = Usage { prompt_tokens, reused_tokens, generated_tokens: 0 };
        Answer { usage, max_tokens, ..Answer::default() }
    }

    /// Adds a token; what can be said of it comes out.
    pub fn push(&mut self, token: &[u8]) -> Vec<Delta> {
        self.usage.generated_tokens += 1;
        self.bytes.extend_from_slice(token);
        let text = self.whole_characters();
        if text.is_empty() { Vec::new() } else { deltas(self.parser.push(&text)) }
    }

    pub fn is_full(&self) -> bool {
        self.usage.generated_tokens >= self.max_tokens
    }

    /// The rest, and the end. A character cut off by the end is dropped.
    pub fn finish(mut self) -> Vec<Delta> {
        let mut rest = deltas(self.parser.finish());
        rest.push(Delta::Done { usage: self.usage });
        rest
    }

    /// Takes the whole characters that the bytes begin with; bytes that can be none become `\u{FFFD}`.
    fn whole_characters(&mut self) -> String {
        let mut text = String::new();
        let mut taken = 0;
        for chunk in self.bytes.utf8_chunks() {
            let cut_off = taken + chunk.valid().len() + chunk.invalid().len() == self.bytes.len()
                && could_go_on(chunk.invalid());
            text.push_str(chunk.valid());
            taken += chunk.valid().len();
            if cut_off {
                break;
            }
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
                taken += chunk.invalid().len();
            }
        }
        self.bytes.drain(..taken);
        text
    }
}

/// Whether more bytes could make a character of these.
fn could_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

fn deltas(pieces: Vec<Piece>) -> Vec<Delta> {
    let delta = |piece| match piece {
        Piece::Text(text) => Some(Delta::Text { text }),
        Piece::Call { name, arguments } => Some(Delta::ToolCall { name, arguments }),
        Piece::Malformed => {
            eprintln!("the model wrote a tool call that cannot be read; it is dropped");
            None
        }
    };
    pieces.into_iter().filter_map(delta).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(deltas: &[Delta]) -> String {
        deltas
            .iter()
            .filter_map(|d| if let Delta::Text { text } = d { Some(text.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn a_character_in_two_tokens_comes_out_whole() {
        let mut answer = Answer::new(10, 0, 0);
        let euro = "€5".as_bytes();
        assert!(answer.push(&euro[..2]).is_empty());
        assert_eq!(text(&answer.push(&euro[2..])), "€5");
    }

    #[test]
    fn bytes_that_are_no_text_do_not_stop_the_answer() {
        let mut answer = Answer::new(10, 0, 0);
        assert_eq!(text(&answer.push(b"a\xff")), "a\u{fffd}");
        assert_eq!(text(&answer.push(b"b\xe2")), "b");
        let end = answer.finish();
        assert!(matches!(end[..], [Delta::Done { usage }] if usage.generated_tokens == 2));
    }

    #[test]
    fn a_tool_call_over_many_tokens_is_one_delta() {
        let mut answer = Answer::new(50, 0, 0);
        let generated = "<tool_call>\n{\"name\": \"hang_up\", \"arguments\": {}}\n</tool_call>";
        let mut heard: Vec<Delta> = generated.as_bytes().chunks(3).flat_map(|t| answer.push(t)).collect();
        heard.extend(answer.finish());
        assert!(
            matches!(&heard[..], [Delta::ToolCall { name, .. }, Delta::Done { .. }] if name == "hang_up"),
            "{heard:?}"
        );
    }
}
