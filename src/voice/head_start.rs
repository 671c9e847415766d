//! A head start: while a pause may still be a breath, the LLM already answers the words so far. If the turn
//! turns out to be over, the answer is there; if the caller goes on, it is dropped unheard.

use std::time::Instant;

use crate::engine::{Delta, Role};
use crate::voice::caller_turn::CallerTurn;
use crate::voice::conversation::Conversation;
use crate::voice::effect::Effect;
use crate::voice::event::AnswerId;
use crate::voice::transfer::asks_for_a_person;

/// An answer that nobody has asked for yet.
#[derive(Debug)]
pub(super) struct HeadStart {
    id: AnswerId,
    /// What it answers.
    words: String,
    /// What the LLM has given so far.
    deltas: Vec<Delta>,
}

impl Conversation {
    /// The words of a pause are known. Where the pause is not yet the turn's end, the time is used.
    pub(super) fn take_head_start(&mut self, now: Instant) {
        let CallerTurn::Paused { partial: Some(words), .. } = &self.caller else { return };
        let words = words.trim().to_owned();
        let waits = self.turn_end().is_some_and(|end| end > now) && !self.wants_more_words();
        let alone = self.answer.is_none() && self.cut.is_none() && self.finishing.is_none();
        let may = self.config.turn.head_start && self.opened && !self.is_machine();
        let wants_a_person = self.may_transfer() && asks_for_a_person(&words);
        let known = self.head_start.as_ref().is_some_and(|head| head.words == words);
        if known
            || words.is_empty()
            || !(waits && alone && may)
            || wants_a_person
            || self.outages.llm_is_out()
        {
            return;
        }
        self.drop_head_start();
        let mut history = self.history.clone();
        history.push(Role::User, &words);
        let id = AnswerId(self.next_id());
        let messages = self.question(&history);
        self.effects.push_back(Effect::AskLlm { answer: id, messages });
        self.head_start = Some(HeadStart { id, words, deltas: Vec::new() });
    }

    /// Keeps what belongs to the head start; gives back what does not.
    pub(super) fn gather(&mut self, id: AnswerId, delta: Delta) -> Option<Delta> {
        match &mut self.head_start {
            Some(head) if head.id == id => {
                if matches!(delta, Delta::Failed { .. }) {
                    // Asked in earnest it fails again, and is dealt with then.
                    self.head_start = None;
                } else {
                    head.deltas.push(delta);
                }
                None
            }
            _ => Some(delta),
        }
    }

    /// The answer to exactly these words, if the LLM is at it already.
    pub(super) fn claim_head_start(&mut self, words: &str) -> Option<(AnswerId, Vec<Delta>)> {
        let head = self.head_start.take_if(|head| head.words == words)?;
        Some((head.id, head.deltas))
    }

    /// The caller goes on, or something else is to be said.
    pub(super) fn drop_head_start(&mut self) {
        if self.head_start.take().is_some() {
            self.effects.push_back(Effect::CancelLlm);
        }
    }
}
