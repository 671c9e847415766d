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
    let conversation = llm.conversation();
    let mut deltas = conversation.start(Completion {
        messages: messages(task, turns, transfer),
        tools: Vec::new(),
        max_tokens: MAX_TOKENS,
        temperature: 0.0,
    });
    let written = tokio::time::timeout(LONGEST, async {
        let mut summary = String::new();
        loop {
            match deltas.recv().await?.delta {
                Delta::Text { text } => summary.push_str(&text),
                Delta::ToolCall { .. } => {}
                Delta::Done { .. } => return Some(summary),
                Delta::Failed { detail } => {
                    tracing::warn!(%detail, "no summary");
                    return None;
                }
            }
        }
    });
    let summary = written.await.ok().flatten()?;
    let summary = first_sentences(summary.trim());
    (!summary.is_empty()).then(|| Pii::new(summary.to_owned()))
}

/// The first three sentences: a small model that has said what there is to say goes on, and is cut off
/// in the middle of a sentence.
fn first_sentences(text: &str) -> &str {
    let ends = text.match_indices(['.', '!', '?']).map(|(at, mark)| at + mark.len());
    let ends = ends.filter(|end| text[*end..].chars().next().is_none_or(char::is_whitespace));
    ends.take(SENTENCES).last().map_or(text, |end| &text[..end])
}

fn messages(task: &str, turns: &[TurnRecord], transfer: Option<TransferStatus>) -> Vec<ChatMessage> {
    let lines: Vec<String> = turns.iter().map(|t| format!("{}: {}", t.speaker, t.text.expose())).collect();
    let transcript = lines.join("\n");
    let from = transcript.len().saturating_sub(MAX_TRANSCRIPT);
    let from = (from..transcript.len()).find(|at| transcript.is_char_boundary(*at)).unwrap_or(0);
    let after = match transfer {
        Some(TransferStatus::Answered) => "\n(Then the caller was connected to a person.)",
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
                &transcript[from..]
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
        assert_eq!(first_sentences("One. Two at 9.30! Three? Four. Fi"), "One. Two at 9.30! Three?");
        assert_eq!(first_sentences("One. Tw"), "One.");
        assert_eq!(first_sentences("no end"), "no end");
    }

    #[test]
    fn a_long_transcript_keeps_its_end() {
        let turns: Vec<_> = (0..1_000).map(|n| turn(&format!("zähle {n}"))).collect();
        let prompt = &messages("Count.", &turns, None)[1].content;
        assert!(prompt.contains("zähle 999") && !prompt.contains("zähle 1\n"));
        assert!(prompt.len() < MAX_TRANSCRIPT + 500);
    }
}
