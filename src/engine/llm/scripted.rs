//! A chat model from a script, for tests and rehearsals. A token is a word.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::engine::{
    ChatMessage, Completion, Delta, EngineError, Llm, Role, StreamId, ToolSpec, Usage, scripted::Trapdoor,
};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlmScript {
    /// Each stream gives them in order; the last again when they run out. Those with `when` come
    /// whenever their words do, and take no place in the order.
    pub answers: Vec<Answer>,
    /// Between one token and the next.
    pub token_ms: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// Words in the last message that ask for this answer, in any case.
    pub when: Option<String>,
    pub text: String,
    /// Called after the text.
    pub tool_call: Option<ToolCall>,
    /// From the question to the first token.
    pub first_token_ms: u64,
    /// Fails after the text, instead of ending well; the engine goes on.
    pub fail: Option<String>,
    /// The engine dies after the text.
    pub die: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    pub name: String,
    pub arguments: serde_json::Value,
}

impl Answer {
    pub fn says(text: impl Into<String>) -> Self {
        Answer { text: text.into(), ..Answer::default() }
    }

    pub fn when(mut self, words: impl Into<String>) -> Self {
        self.when = Some(words.into());
        self
    }

    pub fn calls(mut self, name: impl Into<String>, arguments: serde_json::Value) -> Self {
        self.tool_call = Some(ToolCall { name: name.into(), arguments });
        self
    }

    pub fn first_token(mut self, after: Duration) -> Self {
        self.first_token_ms = after.as_millis() as u64;
        self
    }
}

pub struct ScriptedLlm {
    script: Arc<LlmScript>,
    streams: HashMap<StreamId, Conversation>,
    trapdoor: Trapdoor,
}

#[derive(Default)]
struct Conversation {
    given: usize,
    /// The prompt as last evaluated, word by word.
    seen: Vec<String>,
    speaking: Option<Speaking>,
}

struct Speaking {
    due: Instant,
    rest: VecDeque<Delta>,
    die: Option<String>,
}

impl ScriptedLlm {
    pub fn new(script: impl Into<Arc<LlmScript>>) -> Self {
        ScriptedLlm { script: script.into(), streams: HashMap::new(), trapdoor: Trapdoor::default() }
    }

    /// Dies when `trapdoor` is opened.
    pub fn over(mut self, trapdoor: &Trapdoor) -> Self {
        self.trapdoor = trapdoor.clone();
        self
    }

    /// Waits for the next token to be due, as a decode would take its time.
    fn wait_for_a_token(&self) {
        let due = self.streams.values().filter_map(|c| c.speaking.as_ref()).map(|s| s.due).min();
        if let Some(due) = due {
            std::thread::sleep(due.saturating_duration_since(Instant::now()).min(Duration::from_millis(20)));
        }
    }
}

impl LlmScript {
    fn answer(&self, given: usize, asked: &str) -> (Answer, bool) {
        let asked = asked.to_lowercase();
        let called =
            |answer: &&Answer| answer.when.as_ref().is_some_and(|w| asked.contains(&w.to_lowercase()));
        if let Some(answer) = self.answers.iter().find(called) {
            return (answer.clone(), false);
        }
        let mut ordered = self.answers.iter().filter(|answer| answer.when.is_none());
        let last = ordered.clone().next_back();
        (ordered.nth(given).or(last).cloned().unwrap_or_default(), true)
    }
}

impl Conversation {
    /// How many words the prompt has, and how many of them were known.
    fn read(&mut self, messages: &[ChatMessage]) -> (u32, u32) {
        let words: Vec<String> =
            messages.iter().flat_map(|m| m.content.split_whitespace()).map(str::to_owned).collect();
        let known = words.iter().zip(&self.seen).take_while(|(a, b)| a == b).count();
        self.seen = words;
        (self.seen.len() as u32, known as u32)
    }
}

fn deltas(answer: &Answer, max_tokens: u32, (prompt_tokens, reused_tokens): (u32, u32)) -> VecDeque<Delta> {
    let words = answer.text.split_inclusive(' ').take(max_tokens as usize);
    let mut deltas: VecDeque<Delta> = words.map(|word| Delta::Text { text: word.to_owned() }).collect();
    let generated_tokens = deltas.len() as u32;
    if let Some(ToolCall { name, arguments }) = answer.tool_call.clone() {
        deltas.push_back(Delta::ToolCall { name, arguments });
    }
    deltas.push_back(match &answer.fail {
        Some(detail) => Delta::Failed { detail: detail.clone() },
        None => Delta::Done { usage: Usage { prompt_tokens, reused_tokens, generated_tokens } },
    });
    deltas
}

impl Llm for ScriptedLlm {
    fn warm(
        &mut self,
        stream: StreamId,
        messages: &[ChatMessage],
        _tools: &[ToolSpec],
    ) -> Result<(), EngineError> {
        self.trapdoor.check()?;
        self.streams.entry(stream).or_default().read(messages);
        Ok(())
    }

    fn start(&mut self, stream: StreamId, request: &Completion) -> Result<(), EngineError> {
        self.trapdoor.check()?;
        let conversation = self.streams.entry(stream).or_default();
        let asked = request.messages.iter().rfind(|m| m.role != Role::System);
        let asked = asked.map_or("", |m| m.content.as_str());
        let (answer, in_order) = self.script.answer(conversation.given, asked);
        conversation.given += usize::from(in_order);
        let prompt = conversation.read(&request.messages);
        conversation.speaking = Some(Speaking {
            due: Instant::now() + Duration::from_millis(answer.first_token_ms),
            rest: deltas(&answer, request.max_tokens, prompt),
            die: answer.die,
        });
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<(StreamId, Delta)>, EngineError> {
        self.wait_for_a_token();
        self.trapdoor.check()?;
        let now = Instant::now();
        let mut spoken = Vec::new();
        for (stream, conversation) in &mut self.streams {
            let Some(speaking) = conversation.speaking.as_mut().filter(|s| s.due <= now) else { continue };
            if speaking.rest.len() == 1 && speaking.die.is_some() {
                return Err(EngineError::Died(speaking.die.take().unwrap_or_default()));
            }
            spoken.extend(speaking.rest.pop_front().map(|delta| (*stream, delta)));
            speaking.due = now + Duration::from_millis(self.script.token_ms);
            if speaking.rest.is_empty() {
                conversation.speaking = None;
            }
        }
        Ok(spoken)
    }

    fn cancel(&mut self, stream: StreamId) {
        if let Some(conversation) = self.streams.get_mut(&stream) {
            conversation.speaking = None;
        }
    }

    fn forget(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Completion {
        let messages = vec![ChatMessage::new(Role::User, text)];
        Completion { messages, tools: Vec::new(), max_tokens: 50, temperature: 0.0 }
    }

    fn hear(llm: &mut ScriptedLlm, text: &str) -> Vec<Delta> {
        llm.start(StreamId(1), &ask(text)).unwrap();
        let mut deltas = Vec::new();
        while !matches!(deltas.last(), Some(Delta::Done { .. } | Delta::Failed { .. })) {
            deltas.extend(llm.step().unwrap().into_iter().map(|(_, delta)| delta));
        }
        deltas
    }

    #[test]
    fn answers_come_in_order_and_keywords_out_of_it() {
        let answers = vec![
            Answer::says("one"),
            Answer::says("bye").when("good bye").calls("hang_up", serde_json::json!({})),
            Answer::says("two words"),
        ];
        let mut llm = ScriptedLlm::new(LlmScript { answers, token_ms: 0 });
        let text = |deltas: &[Delta]| -> String {
            deltas
                .iter()
                .filter_map(|d| if let Delta::Text { text } = d { Some(text.as_str()) } else { None })
                .collect()
        };
        assert_eq!(text(&hear(&mut llm, "hello")), "one");
        let bye = hear(&mut llm, "well, Good bye");
        assert!(matches!(&bye[1], Delta::ToolCall { name, .. } if name == "hang_up"));
        assert_eq!(text(&hear(&mut llm, "go on")), "two words");
    }
}
