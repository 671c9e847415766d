//! The LLM's account of a call.

use std::time::Duration;

use crate::base::Pii;
use crate::call::record::{TransferStatus, TurnRecord};
use crate::engine::worker::LlmHandle;
use crate::engine::{ChatMessage, Completion, Delta, Role};

const LONGEST: Duration = Duration::from_secs(90);
const MAX_TOKENS: u32 = 140;
const SENTENCES: usize = 3;
/// A transcript is cut to this many characters from its end, so that it fits a small context.
const MAX_TRANSCRIPT: usize = 5_000;

/// Two or three sentences on what came of the call; `None` where nothing was said, or where the LLM
/// gives no answer.
pub async fn summarise(
    llm: &LlmHandle,
    task: &str,
    turns: &[TurnRecord],
    transfer: Option<TransferStatus>,
) -> Option<Pii<String>> {
    if turns.is_empty() {
        return None;
    }
    let summary = write(llm, messages(task, turns, transfer), MAX_TOKENS, LONGEST).await?;
    let summary = first_sentences(summary.trim(), SENTENCES);
    (!summary.is_empty()).then(|| Pii::new(summary.to_owned()))
}

/// What the LLM writes, if it does so in time.
pub(super) async fn write(
    llm: &LlmHandle,
    messages: Vec<ChatMessage>,
    max_tokens: u32,
    longest: Duration,
) -> Option<String> {
    let conversation = llm.conversation();
    let completion = Completion { messages, tools: Vec::new(), max_tokens, temperature: 0.0 };
    let mut deltas = conversation.start(completion);
    let written = tokio::time::timeout(longest, async {
        let mut text = String::new();
        loop {
            match deltas.recv().await?.delta {
                Delta::Text { text: more } => text.push_str(&more),
                Delta::ToolCall { .. } => {}
                Delta::Done { .. } => return Some(text),
                Delta::Failed { detail } => {
                    tracing::warn!(%detail, "the language model wrote nothing");
                    return None;
                }
            }
        }
    });
    written.await.ok().flatten()
}

/// The first sentences: a small model that has said what there is to say goes on, and is cut off in the
/// middle of a sentence.
pub(super) fn first_sentences(text: &str, most: usize) -> &str {
    let ends = text.match_indices(['.', '!', '?']).map(|(at, mark)| at + mark.len());
    let ends = ends.filter(|end| text[*end..].chars().next().is_none_or(char::is_whitespace));
    ends.take(most).last().map_or(text, |end| &text[..end])
}

/// The turns as text, or the end of it.
pub(super) fn transcript(turns: &[TurnRecord]) -> String {
    let lines: Vec<String> = turns.iter().map(|t| format!("{}: {}", t.speaker, t.text.expose())).collect();
    let transcript = lines.join("\n");
    let from = transcript.len().saturating_sub(MAX_TRANSCRIPT);
    let from = (from..transcript.len()).find(|at| transcript.is_char_boundary(*at)).unwrap_or(0);
    transcript[from..].to_owned()
}

fn messages(task: &str, turns: &[TurnRecord], transfer: Option<TransferStatus>) -> Vec<ChatMessage> {
    let after = match transfer {
        Some(TransferStatus::Answered | TransferStatus::Referred) => {
            "\n(Then the caller was connected to a person.)"
        }
        Some(_) => "\n(The caller could not be connected to a person.)",
        None => "",
    };
    vec![
        ChatMessage::new(
            Role::System,
            "You write short, factual accounts of telephone calls. Use only what the transcript says.",
        ),
        ChatMessage::new(
            Role::User,
            format!(
                "The agent's task was: {task}\n\nTranscript:\n{}{after}\n\nSay in two or three plain sentences what \
                 was said and what came of it.",
                transcript(turns)
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::Speaker;

    fn turn(text: &str) -> TurnRecord {
        TurnRecord {
            speaker: Speaker::Caller,
            text: Pii::new(text.into()),
            start_ms: 0,
            end_ms: 0,
            interrupted: false,
            latency: None,
        }
    }

    #[test]
    fn a_summary_is_three_whole_sentences_at_most() {
        assert_eq!(first_sentences("One. Two at 9.30! Three? Four. Fi", 3), "One. Two at 9.30! Three?");
        assert_eq!(first_sentences("One. Tw", 3), "One.");
        assert_eq!(first_sentences("no end", 3), "no end");
    }

    #[test]
    fn a_long_transcript_keeps_its_end() {
        let turns: Vec<_> = (0..1_000).map(|n| turn(&format!("zähle {n}"))).collect();
        let prompt = &messages("Count.", &turns, None)[1].content;
        assert!(prompt.contains("zähle 999") && !prompt.contains("zähle 1\n"));
        assert!(prompt.len() < MAX_TRANSCRIPT + 500);
    }
}
