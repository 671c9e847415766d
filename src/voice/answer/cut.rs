//! An answer that ends before its end: dropped unheard, stopped by the caller, taken up again.

use std::time::Instant;

use super::{Answer, Cut, Voicing};
use crate::engine::Role;
use crate::voice::Conversation;
use crate::voice::effect::{Effect, Speaker};
use crate::voice::latency::Marks;

impl Conversation {
    /// Drops an answer of which nothing was heard; the question stays open.
    pub(in crate::voice) fn abandon_answer(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        if answer.generating {
            self.effects.push_back(Effect::CancelLlm);
        }
        if answer.awaits_audio() || answer.is_audible() {
            self.effects.push_back(Effect::StopSpeaking);
        }
    }

    pub(in crate::voice) fn agent_is_audible(&self) -> bool {
        self.answer.as_ref().is_some_and(Answer::is_audible)
    }

    pub(in crate::voice) fn agent_is_interruptible(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.is_audible() && !answer.is_protected())
    }

    /// The caller takes the turn: the agent stops at once.
    pub(in crate::voice) fn interrupt(&mut self, now: Instant) {
        match &self.answer {
            None => {}
            Some(answer) if answer.started.is_none() => self.abandon_answer(),
            Some(_) => self.cut_answer(now),
        }
    }

    /// Stops the answer under way where it is; it can be resumed until the cut is settled for good.
    pub(in crate::voice) fn cut_answer(&mut self, now: Instant) {
        let Some(answer) = self.answer.take() else { return };
        if answer.generating {
            self.effects.push_back(Effect::CancelLlm);
        }
        self.effects.push_back(Effect::StopSpeaking);
        self.settle_cut();
        self.cut = Some(Cut { answer, at: now, settled: false });
    }

    /// Puts what was heard of a cut answer on record, once.
    pub(in crate::voice) fn settle_cut(&mut self) {
        let Some(cut) = self.cut.as_mut().filter(|cut| !cut.settled) else { return };
        cut.settled = true;
        let (heard, at) = (cut.answer.heard(cut.at), cut.at);
        let Some(started) = cut.answer.started.filter(|_| !heard.is_empty()) else { return };
        let latency = cut.answer.marks.split();
        self.history.push(Role::Assistant, &cut.answer.heard_lines(cut.at));
        self.record_turn(Speaker::Agent, heard, (started, at), true, latency);
    }

    /// The interruption was none: the agent says the rest.
    pub(in crate::voice) fn resume(&mut self, now: Instant) {
        if self.answer.is_some() {
            return;
        }
        self.settle_cut();
        let Some(cut) = self.cut.take() else { return };
        self.begin_answer(now, Marks::default());
        if let Some(answer) = &mut self.answer {
            (answer.then, answer.keys) = (cut.answer.then, cut.answer.keys.clone());
        }
        for clause in cut.answer.unheard(cut.at) {
            self.speak(now, &clause, Voicing::Line);
        }
        self.answer_progressed(now);
    }
}
