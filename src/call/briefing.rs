//! What the second party of a transfer is told before the two are joined: that the call is recorded, and in a
//! warm transfer who is on the line, and why.

use std::time::Duration;

use crate::call::record::TurnRecord;
use crate::call::summary::{first_sentences, transcript, write};
use crate::engine::worker::LlmHandle;
use crate::engine::{ChatMessage, Role};
use crate::voice::Phrases;
use crate::voice::introduction::Words;
use crate::voice::prompt::language_name;

const MAX_TOKENS: u32 = 60;
/// It is written while the telephone rings; whoever has answered waits no longer than this.
const LONGEST: Duration = Duration::from_secs(4);
const SENTENCES: usize = 2;
/// Longer is no introduction.
const MOST_CHARS: usize = 300;

/// One or two sentences by the LLM; `None` where nothing was said, or where it gives none in time.
pub(super) async fn brief(llm: LlmHandle, language: String, turns: Vec<TurnRecord>) -> Option<String> {
    if turns.is_empty() {
        return None;
    }
    let written = write(&llm, messages(&language, &turns), MAX_TOKENS, LONGEST).await?;
    let said = first_sentences(written.trim().trim_matches('"'), SENTENCES).trim();
    (!said.is_empty() && said.chars().count() <= MOST_CHARS).then(|| said.to_owned())
}

/// What whoever is recorded must be told; `None` where the operator has no words for it.
pub(super) fn notice(phrases: &Phrases, recorded: bool) -> Option<&str> {
    (recorded && !phrases.recording_notice.is_empty()).then_some(&phrases.recording_notice)
}

/// The agent says what it is, then who is on the line, then asks.
pub(super) fn words(phrases: &Phrases, recorded: bool, brief: Option<String>) -> Words {
    let who = brief.unwrap_or_else(|| phrases.introduction.clone());
    let said = [Some(phrases.disclosure.as_str()), notice(phrases, recorded), Some(&who)];
    let said: Vec<&str> = said.into_iter().flatten().filter(|s| !s.is_empty()).collect();
    Words { introduction: said.join(" "), question: phrases.put_through.clone() }
}

fn messages(language: &str, turns: &[TurnRecord]) -> Vec<ChatMessage> {
    let tongue = language_name(language);
    vec![
        ChatMessage::new(
            Role::System,
            "You tell a colleague on the telephone who is waiting on the line. Use only what the transcript says.",
        ),
        ChatMessage::new(
            Role::User,
            format!(
                "Transcript:\n{}\n\nIn {tongue}, in one short spoken sentence, say who the caller is, if they said so, \
                 and what they want, such as: \"I have Ann Miller on the line about her invoice.\"",
                transcript(turns)
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_on_the_line_is_said_between_what_must_be_and_the_question() {
        let phrases = Phrases::default();
        let briefed = words(&phrases, true, Some("I have Ann on the line.".into()));
        let said = "Hello, this is an AI assistant. This call is recorded. I have Ann on the line.";
        assert_eq!((briefed.introduction.as_str(), &briefed.question), (said, &phrases.put_through));
        let silent = Phrases { disclosure: String::new(), ..Phrases::default() };
        assert_eq!(words(&silent, false, None).introduction, phrases.introduction);
    }

    #[test]
    fn a_notice_is_for_calls_that_are_recorded() {
        let phrases = Phrases::default();
        assert_eq!(notice(&phrases, true), Some("This call is recorded."));
        assert_eq!(notice(&phrases, false), None);
        let without = Phrases { recording_notice: String::new(), ..phrases };
        assert_eq!(notice(&without, true), None);
    }
}
