//! From messages and tools to the text a model continues.

use callbox::engine::{ChatMessage, Role, ToolSpec};

/// Messages as a chat template takes them: the role's name and the text.
pub type Turns = Vec<(&'static str, String)>;

/// Lays a conversation out for a template. `neutral` takes out of people's words what the model would
/// read as a control token. A turn's text never depends on the turns after it, so that the tokens of a
/// prompt stay the beginning of the next one's.
pub fn turns(messages: &[ChatMessage], tools: &[ToolSpec], neutral: impl Fn(&str) -> String) -> Turns {
    let mut turns: Turns = messages.iter().map(|m| turn(m.role, neutral(&m.content))).collect();
    if !tools.is_empty() {
        let about_tools = describe(tools);
        match turns.first_mut().filter(|(role, _)| *role == "system") {
            Some((_, text)) => *text = format!("{text}\n\n{about_tools}"),
            None => turns.insert(0, ("system", about_tools)),
        }
    }
    turns
}

fn turn(role: Role, text: String) -> (&'static str, String) {
    match role {
        Role::System => ("system", text),
        Role::User => ("user", text),
        Role::Assistant => ("assistant", text),
        // What Hermes and Qwen models were trained to see.
        Role::Tool => ("user", format!("<tool_response>\n{text}\n</tool_response>")),
    }
}

/// Tools as Hermes and Qwen models expect them in the system prompt.
fn describe(tools: &[ToolSpec]) -> String {
    let function = |tool: &ToolSpec| {
        let ToolSpec { name, description, parameters } = tool;
        let function = serde_json::json!({
            "type": "function",
            "function": { "name": name, "description": description, "parameters": parameters },
        });
        format!("{function}\n")
    };
    let signatures: String = tools.iter().map(function).collect();
    format!(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n\
         You are provided with function signatures within <tools></tools> XML tags:\n\
         <tools>\n{signatures}</tools>\n\n\
         For each function call, return a json object with function name and arguments within \
         <tool_call></tool_call> XML tags:\n\
         <tool_call>\n{{\"name\": <function-name>, \"arguments\": <args-json-object>}}\n</tool_call>"
    )
}

/// ChatML, for models that bring no template llama.cpp knows.
pub fn chatml(turns: &Turns, open_answer: bool) -> String {
    let said: String =
        turns.iter().map(|(role, text)| format!("<|im_start|>{role}\n{text}<|im_end|>\n")).collect();
    if open_answer { said + "<|im_start|>assistant\n" } else { said }
}

/// How many of the oldest turns to leave out, so that the rest has at most `limit` tokens. System
/// messages at the beginning stay. `dropped` is what was left out the last time: kept where it still
/// does, since every change costs the state of all that follows; otherwise a quarter of the room is
/// freed at once. `None` where not even the last turn fits.
pub fn fit(
    messages: &[ChatMessage],
    dropped: usize,
    limit: usize,
    tokens: impl Fn(&[ChatMessage]) -> usize,
) -> Option<usize> {
    let turns = messages.len() - system_len(messages);
    let last = turns.saturating_sub(1);
    let dropped = if dropped > last { 0 } else { dropped };
    if tokens(&without(messages, dropped)) <= limit {
        return Some(dropped);
    }
    let roomy = (dropped + 1..=last).filter(|drop| begins_well(messages, *drop));
    let frees_enough = |drop: &usize| tokens(&without(messages, *drop)) <= limit / 4 * 3;
    roomy.clone().find(frees_enough).or(Some(last)).filter(|drop| tokens(&without(messages, *drop)) <= limit)
}

/// The messages without the `dropped` oldest turns.
pub fn without(messages: &[ChatMessage], dropped: usize) -> Vec<ChatMessage> {
    let (system, turns) = messages.split_at(system_len(messages));
    [system, &turns[dropped.min(turns.len())..]].concat()
}

fn system_len(messages: &[ChatMessage]) -> usize {
    messages.iter().take_while(|m| m.role == Role::System).count()
}

/// Whether what is left begins with the caller speaking.
fn begins_well(messages: &[ChatMessage], dropped: usize) -> bool {
    messages.get(system_len(messages) + dropped).is_some_and(|m| m.role == Role::User)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(messages: &[ChatMessage]) -> usize {
        messages.iter().map(|m| m.content.split_whitespace().count()).sum()
    }

    fn conversation(turns: usize) -> Vec<ChatMessage> {
        let mut messages = vec![ChatMessage::new(Role::System, "be kind always")];
        for i in 0..turns {
            let role = if i % 2 == 0 { Role::User } else { Role::Assistant };
            messages.push(ChatMessage::new(role, "five words are in this"));
        }
        messages
    }

    #[test]
    fn the_prompt_of_a_turn_begins_with_the_prompt_of_the_last() {
        let same = |text: &str| text.to_owned();
        let mut messages = conversation(1);
        let first = chatml(&turns(&messages, &[], same), true);
        messages.push(ChatMessage::new(Role::Assistant, "good morning"));
        messages.push(ChatMessage::new(Role::User, "and now"));
        let second = chatml(&turns(&messages, &[], same), true);
        assert!(second.starts_with(&format!("{first}good morning<|im_end|>\n")));
    }

    #[test]
    fn tools_join_the_system_prompt_or_make_one() {
        let tool = ToolSpec {
            name: "hang_up".to_owned(),
            description: "Ends the call.".to_owned(),
            parameters: serde_json::json!({"type": "object"}),
        };
        let same = |text: &str| text.to_owned();
        let with = turns(&conversation(1), std::slice::from_ref(&tool), same);
        assert!(with[0].1.starts_with("be kind always\n\n# Tools") && with[0].1.contains("hang_up"));
        let made = turns(&conversation(1)[1..], &[tool], same);
        assert_eq!((made[0].0, made[1].0), ("system", "user"));
    }

    #[test]
    fn the_oldest_turns_go_and_the_system_prompt_stays() {
        let messages = conversation(9);
        let dropped = fit(&messages, 0, 30, words).unwrap();
        let left = without(&messages, dropped);
        assert!(words(&left) <= 30 / 4 * 3);
        assert_eq!((left[0].role, left[1].role), (Role::System, Role::User));
    }

    #[test]
    fn what_was_dropped_stays_dropped_while_it_suffices() {
        let dropped = fit(&conversation(9), 0, 30, words).unwrap();
        assert_eq!(fit(&conversation(10), dropped, 30, words), Some(dropped));
    }

    #[test]
    fn a_single_turn_that_is_too_long_does_not_fit() {
        assert_eq!(fit(&conversation(1), 0, 7, words), None);
        assert_eq!(fit(&[], 0, 7, words), Some(0));
    }
}
