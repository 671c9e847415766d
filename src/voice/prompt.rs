//! What the LLM is told: who it is, what the call is for, how speech on a telephone sounds, and the
//! conversation so far with only the words that were heard.

use crate::engine::{ChatMessage, Role, ToolSpec};

/// Name of the tool by which the model ends the call.
pub const HANG_UP: &str = "hang_up";

/// Name of the tool by which the model hands the caller to a person.
pub const TRANSFER: &str = "transfer";

/// Name of the tool by which the model presses keys.
pub const PRESS_KEYS: &str = "press_keys";

/// Rules that make written language speakable.
const SPEAKING_RULES: &str = "You are on a live telephone call and your words are spoken aloud. \
Speak like a person: one or two short sentences, then let the other side talk. \
No lists, no markup, no emoji. Say numbers and times in words. \
Say only what you know from the task and this conversation. \
When the task is done or the other side says goodbye, say a short goodbye and call the tool hang_up.";

/// Added where there is a person to hand the call to.
const TRANSFER_RULE: &str = " If the other side asks for a human, or the task says to connect them, \
say that you connect them and call the tool transfer.";

/// Added where the far end may be a machine.
const KEYS_RULE: &str = " If a recorded menu asks for a key, say nothing: call the tool press_keys with the key \
that fits the task, or answer only [press 2] for the key two. Never press keys for a person.";

const ENGLISH: &str = "English";

/// Small models know languages by their names better than by their codes (ISO 639-1).
const LANGUAGES: [(&str, &str); 30] = [
    ("ar", "Arabic"),
    ("bg", "Bulgarian"),
    ("ca", "Catalan"),
    ("cs", "Czech"),
    ("da", "Danish"),
    ("de", "German"),
    ("el", "Greek"),
    ("es", "Spanish"),
    ("fa", "Persian"),
    ("fi", "Finnish"),
    ("fr", "French"),
    ("he", "Hebrew"),
    ("hi", "Hindi"),
    ("hu", "Hungarian"),
    ("id", "Indonesian"),
    ("it", "Italian"),
    ("ja", "Japanese"),
    ("ko", "Korean"),
    ("nl", "Dutch"),
    ("no", "Norwegian"),
    ("pl", "Polish"),
    ("pt", "Portuguese"),
    ("ro", "Romanian"),
    ("ru", "Russian"),
    ("sv", "Swedish"),
    ("th", "Thai"),
    ("tr", "Turkish"),
    ("uk", "Ukrainian"),
    ("vi", "Vietnamese"),
    ("zh", "Mandarin Chinese"),
];

/// The first message of every conversation. `transfers`: there is a person to hand the call to; `keys`: the far
/// end may be a machine that wants keys pressed.
pub fn system(task: &str, language: &str, transfers: bool, keys: bool) -> ChatMessage {
    let tongue = match language_name(language) {
        name if name == ENGLISH => String::new(),
        name => format!(" Speak only {name}."),
    };
    let transfer = if transfers { TRANSFER_RULE } else { "" };
    let keys = if keys { KEYS_RULE } else { "" };
    ChatMessage::new(Role::System, format!("{SPEAKING_RULES}{transfer}{keys}{tongue}\nYour task: {task}"))
}

/// What a model is told that a language is called.
pub fn language_name(language: &str) -> String {
    let primary = language.split('-').next().unwrap_or(language).to_ascii_lowercase();
    match LANGUAGES.iter().find(|(code, _)| *code == primary) {
        _ if primary == "en" => ENGLISH.to_owned(),
        Some((_, name)) => (*name).to_owned(),
        None => format!("the language with the code `{primary}`"),
    }
}

/// What the model is told when it should open the call.
pub fn opening_cue() -> ChatMessage {
    ChatMessage::new(Role::User, "(The call was answered. Greet the other side and say why you call.)")
}

/// Added to a menu. Small models follow what they read last: without it they talk to the machine.
pub const MENU_CUE: &str =
    "(This is a recorded menu. Write only the key that fits your task, such as [press 2].)";

/// Added to the question that follows a call of [`PRESS_KEYS`] which pressed nothing.
pub fn unpressed(why: &impl std::fmt::Display) -> String {
    format!("(No key was pressed: {why}. For the key two, write only [press 2].)")
}

/// The same through a whole call, since the tools are part of the prompt that the model keeps.
pub fn tools(transfers: bool, keys: bool) -> Vec<ToolSpec> {
    let tool = |name: &str, description: &str| ToolSpec {
        name: name.into(),
        description: description.into(),
        parameters: serde_json::json!({ "type": "object", "properties": {} }),
    };
    let hang_up = tool(HANG_UP, "End the telephone call. Say goodbye first.");
    let transfer = tool(TRANSFER, "Connect the other side to a human. Say first that you do.");
    let press_keys = ToolSpec {
        name: PRESS_KEYS.into(),
        description: "Press keys of the telephone, to answer a recorded menu. Say nothing with it.".into(),
        parameters: serde_json::json!({
            "type": "object",
            "properties": { "keys": {
                "type": "string",
                "description": "Digits, * and #; w is a pause of half a second. 32 at most.",
            } },
            "required": ["keys"],
        }),
    };
    [Some(hang_up), transfers.then_some(transfer), keys.then_some(press_keys)].into_iter().flatten().collect()
}

/// The messages of a conversation. Two turns of one side in a row become one message, as chat
/// templates expect.
#[derive(Debug, Clone)]
pub struct History {
    messages: Vec<ChatMessage>,
}

impl History {
    pub fn new(system: ChatMessage) -> Self {
        History { messages: vec![system] }
    }

    pub fn push(&mut self, role: Role, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.messages.last_mut() {
            Some(last) if last.role == role => {
                last.content.push(' ');
                last.content.push_str(text);
            }
            _ => self.messages.push(ChatMessage::new(role, text)),
        }
    }

    /// Whether the last word was the caller's, so that an answer is due.
    pub fn awaits_answer(&self) -> bool {
        self.messages.last().is_some_and(|last| last.role == Role::User)
    }

    /// What the caller has said since the agent last spoke.
    pub fn open_question(&self) -> Option<&str> {
        self.messages.last().filter(|last| last.role == Role::User).map(|last| last.content.as_str())
    }

    /// The messages for a question, which end with the user's: a model that has to open the call, or to
    /// go on after a break, gets a cue.
    pub fn question(&self) -> Vec<ChatMessage> {
        let mut messages = self.messages.clone();
        match messages.last() {
            Some(last) if last.role == Role::User => {}
            Some(last) if last.role == Role::System => messages.push(opening_cue()),
            _ => messages.push(ChatMessage::new(Role::User, "(Please go on.)")),
        }
        messages
    }

    pub fn messages(&self) -> &[ChatMessage] {
        &self.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_turns_of_one_side_become_one_message() {
        let mut history = History::new(system("Book a table.", "en", false, false));
        history.push(Role::User, "I would like");
        history.push(Role::User, "a table for two.");
        history.push(Role::Assistant, "");
        assert_eq!(history.messages().len(), 2);
        assert_eq!(history.messages()[1].content, "I would like a table for two.");
        assert!(history.awaits_answer());
    }

    #[test]
    fn a_model_that_opens_the_call_gets_a_cue() {
        let history = History::new(system("Book a table.", "de-DE", false, false));
        assert!(history.messages()[0].content.contains("Speak only German."));
        assert!(system("Book a table.", "tlh", false, false).content.contains("`tlh`"));
        assert_eq!(history.question().last(), Some(&opening_cue()));
    }

    #[test]
    fn only_a_call_with_somebody_to_transfer_to_has_the_tool() {
        let names = |transfers| tools(transfers, false).into_iter().map(|tool| tool.name).collect::<Vec<_>>();
        assert_eq!(names(false), [HANG_UP]);
        assert_eq!(names(true), [HANG_UP, TRANSFER]);
        let told =
            |transfers| system("Book a table.", "en", transfers, false).content.contains("tool transfer");
        assert!(told(true) && !told(false));
    }

    #[test]
    fn only_a_call_to_a_possible_menu_has_keys() {
        let names = |keys| tools(false, keys).into_iter().map(|tool| tool.name).collect::<Vec<_>>();
        assert_eq!(
            (names(false), names(true)),
            (vec![HANG_UP.into()], vec![HANG_UP.into(), PRESS_KEYS.into()])
        );
        let told = |keys| system("Book a table.", "en", false, keys).content.contains("tool press_keys");
        assert!(told(true) && !told(false));
    }
}
