//! The agent presses keys, to walk through a menu that a machine offers.
//!
//! The model says which in three ways, because small models call tools now and then: by its tool, as
//! `[press 2]` in its words, and, after words that offer a menu, by saying that it presses a key
//! ([`reading`]). Neither form is spoken. What else it says in the same answer is said first; then the keys
//! go out, and what the agent says next waits in the playout until the last is sent. Nothing takes them
//! back: a word over them stops the agent, but cuts no tone.

mod called;
mod reading;

use std::time::{Duration, Instant};

pub(super) use self::called::NoKeys;
use self::called::named_by;
pub(super) use self::reading::{Piece, Reader};
use self::reading::{offers_a_menu, presses};
use crate::base::Pii;
use crate::engine::{ChatMessage, Role};
use crate::media::dtmf::sending_time;
use crate::voice::Conversation;
use crate::voice::effect::{Effect, Speaker};
use crate::voice::prompt::{self, History};

/// Keys and pauses pressed in one go.
const MOST: usize = 32;

/// What is pressed: digits, `*`, `#`, and `w` for half a second of pause. It may be a card number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(Pii<String>);

impl Keys {
    /// Keys as models write them, with spaces and dashes between them, and a comma for a pause. `None` if any
    /// is no key of a telephone, if there is none, or if there are more than 32. The letters A to D are none:
    /// what listens to them is no menu.
    pub fn parse(text: &str) -> Option<Keys> {
        let spoken = |c: &char| !matches!(c, ' ' | '-' | '.' | '(' | ')');
        let key = |c: char| match c {
            '0'..='9' | '*' | '#' => Some(c),
            'w' | 'W' | ',' => Some('w'),
            _ => None,
        };
        let keys: String = text.trim().chars().filter(spoken).map(key).collect::<Option<_>>()?;
        Keys::of(keys)
    }

    fn of(keys: String) -> Option<Keys> {
        let any = keys.chars().any(|key| key != 'w');
        (any && keys.len() <= MOST).then(|| Keys(Pii::new(keys)))
    }

    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn duration(&self) -> Duration {
        sending_time(self.expose())
    }

    /// These, then those; those alone where both are too many.
    fn and(self, more: Keys) -> Keys {
        Keys::of(format!("{}{}", self.expose(), more.expose())).unwrap_or(more)
    }
}

impl Conversation {
    /// The far end may be a machine that wants keys.
    pub(super) fn may_press(&self) -> bool {
        self.setup.keys && !self.is_machine()
    }

    /// Keys that a clause of the model presses, in answer to a menu.
    pub(super) fn pressed_by(&self, clause: &str) -> Option<Keys> {
        if self.is_asked_for_keys(&self.history) { presses(clause) } else { None }
    }

    fn is_asked_for_keys(&self, history: &History) -> bool {
        self.may_press() && history.open_question().is_some_and(offers_a_menu)
    }

    /// What the model is asked. That it answers a menu, and that what it pressed last was no key, is said to it
    /// alone: no history and no transcript has that.
    pub(super) fn question(&self, history: &History) -> Vec<ChatMessage> {
        let refusal = self.unpressed.map(|why| prompt::unpressed(&why));
        let cue = self.is_asked_for_keys(history).then(|| prompt::MENU_CUE.to_owned());
        let mut messages = history.question();
        if let Some(last) = messages.last_mut() {
            for said in refusal.into_iter().chain(cue) {
                last.content.push(' ');
                last.content.push_str(&said);
            }
        }
        messages
    }

    /// Small models name the wrong tool now and then: in answer to a menu, one that is given keys presses them.
    pub(super) fn is_for_keys(&self, tool: &str, arguments: &serde_json::Value) -> bool {
        tool == prompt::PRESS_KEYS || self.is_asked_for_keys(&self.history) && named_by(arguments).is_ok()
    }

    /// The model calls its tool. What is no key it hears of with the next question.
    pub(super) fn handle_press_keys(&mut self, arguments: &serde_json::Value) {
        match named_by(arguments) {
            Ok(keys) => self.will_press(keys),
            Err(why) => {
                tracing::warn!(%why, "the language model pressed nothing");
                let allowed = self.may_press();
                if let Some(answer) = self.answer.as_mut().filter(|_| allowed) {
                    answer.unpressed = Some(why);
                }
            }
        }
    }

    /// Keys are pressed once the answer under way has been said.
    pub(super) fn will_press(&mut self, keys: Keys) {
        let allowed = self.may_press();
        let Some(answer) = self.answer.as_mut().filter(|_| allowed) else { return };
        answer.keys = Some(match answer.keys.take() {
            Some(before) => before.and(keys),
            None => keys,
        });
    }

    /// The answer has been said.
    pub(super) fn press(&mut self, now: Instant, keys: Keys) {
        let over = now + keys.duration();
        self.history.push(Role::Assistant, &format!("[press {}]", keys.expose()));
        self.record_turn(Speaker::Agent, format!("[pressed {}]", keys.expose()), (now, over), false, None);
        self.watchdog.sound(over);
        self.effects.push_back(Effect::Press { keys });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_a_telephone_has() {
        let parsed = |text| Keys::parse(text).map(|keys| keys.expose().to_owned());
        assert_eq!(parsed("1w2#").as_deref(), Some("1w2#"));
        assert_eq!(parsed(" 555-0123, W* ").as_deref(), Some("5550123ww*"));
        for text in ["", "w", "A", "2B", "two", "1;2"] {
            assert_eq!(parsed(text), None, "{text}");
        }
        let many = "1".repeat(33);
        assert_eq!((parsed(&many), parsed(&many[1..]).map(|keys| keys.len())), (None, Some(32)));
    }

    #[test]
    fn keys_do_not_print() {
        assert!(!format!("{:?}", Keys::parse("4111")).contains("4111"));
    }
}
