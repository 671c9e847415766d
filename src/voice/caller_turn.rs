//! The caller's turn: when it is over, what it was, and when it interrupts the agent.
//!
//! A pause asks two questions at once, what was said and whether it was all. The turn ends after a
//! short silence if the turn model holds it complete, and after a long one otherwise; longer still
//! while the caller dictates a number or stops on a word that wants another.

use std::time::Instant;

use crate::engine::Role;
use crate::voice::answer::{Answer, Voicing};
use crate::voice::effect::{Effect, Speaker};
use crate::voice::event::EngineKind;
use crate::voice::greeting::Clue;
use crate::voice::latency::Marks;
use crate::voice::{Conversation, ms};

/// Digits pressed within this time of one another are one entry, in milliseconds.
const DTMF_GAP_MS: u64 = 1_500;
/// Without a word from the recogniser for this long, the utterance counts as lost.
const FINAL_PATIENCE_MS: u64 = 15_000;
/// Speech of this length that gave no text was something that deserves a question.
const UNHEARD_SPEECH_MS: u64 = 1_500;

/// What the agent hears as "go on", not as an interruption.
const BACKCHANNELS: [&str; 20] = [
    "mm", "mhm", "mmhmm", "mm-hm", "mm-hmm", "hm", "hmm", "uh-huh", "uh huh", "ah", "oh", "yeah", "yep",
    "yes", "ok", "okay", "right", "sure", "i see", "got it",
];
/// Words that want another one.
const UNFINISHED: [&str; 18] = [
    "and", "or", "but", "so", "because", "the", "a", "an", "my", "is", "to", "for", "of", "um", "uh", "er",
    "with", "at",
];

#[derive(Debug, Clone, PartialEq)]
pub(super) enum CallerTurn {
    Silent,
    Speaking { onset: Instant, sustained: bool, next_partial: Option<Instant> },
    Paused { onset: Instant, last_speech: Instant, complete: Option<f32>, partial: Option<String> },
}

/// The turn is over; its transcript is on the way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finishing {
    onset: Instant,
    last_speech: Instant,
    decided: Instant,
}

impl Conversation {
    pub(super) fn handle_speech_started(&mut self, now: Instant, onset: Instant) {
        self.watchdog.sound(now);
        let next_partial = self.next_partial(now);
        let onset = match self.caller {
            CallerTurn::Silent => {
                self.effects.push_back(Effect::StartUtterance);
                onset
            }
            CallerTurn::Speaking { onset, .. } | CallerTurn::Paused { onset, .. } => onset,
        };
        self.caller = CallerTurn::Speaking { onset, sustained: false, next_partial };
        self.drop_head_start();
        if self.answer.as_ref().is_some_and(Answer::is_thinking) {
            self.abandon_answer();
        }
        self.screen(now, Clue::Speaks { onset });
    }

    pub(super) fn handle_speech_sustained(&mut self) {
        if let CallerTurn::Speaking { sustained, .. } = &mut self.caller {
            *sustained = true;
        }
    }

    /// The agent stops for a caller who speaks on, as soon as it may.
    pub(super) fn yield_turn(&mut self, now: Instant) {
        if matches!(self.caller, CallerTurn::Speaking { sustained: true, .. })
            && self.agent_is_interruptible()
        {
            self.interrupt(now);
        }
    }

    pub(super) fn handle_speech_paused(&mut self, now: Instant, last_speech: Instant) {
        let CallerTurn::Speaking { onset, .. } = self.caller else { return };
        self.watchdog.sound(last_speech);
        self.caller = CallerTurn::Paused { onset, last_speech, complete: None, partial: None };
        self.effects.extend([Effect::TranscribePartial, Effect::JudgeTurn]);
        self.screen(now, Clue::Pauses { last_speech });
    }

    pub(super) fn handle_partial(&mut self, now: Instant, text: String) {
        self.live(Speaker::Caller, &text);
        self.screen(now, Clue::Says { text: &text, complete: false });
        if let CallerTurn::Paused { partial, .. } = &mut self.caller {
            *partial = Some(text);
            self.take_head_start(now);
        }
    }

    pub(super) fn handle_turn_judged(&mut self, probability: f32) {
        if let CallerTurn::Paused { complete, .. } = &mut self.caller {
            *complete = Some(probability);
        }
    }

    pub(super) fn handle_dtmf(&mut self, now: Instant, digit: char) {
        self.watchdog.sound(now);
        if self.is_machine() {
            return;
        }
        self.digits.get_or_insert_with(|| (String::new(), now)).0.push(digit);
        if let Some((_, last)) = &mut self.digits {
            *last = now;
        }
    }

    pub(super) fn handle_final(&mut self, now: Instant, text: String) {
        let Some(turn) = self.finishing.take() else { return };
        self.outage_over(EngineKind::Asr);
        let text = text.trim();
        self.note(now, Clue::Says { text, complete: true });
        if self.is_machine() {
            self.drop_head_start();
            self.record_words(&turn, text);
            return self.attend_machine(now);
        }
        if text.is_empty() {
            return self.nothing_was_said(now, &turn);
        }
        if self.is_backchannel(text) {
            return self.resume(now);
        }
        let protected = self.answer.as_ref().is_some_and(Answer::is_protected);
        if !protected {
            self.interrupt(now);
            self.settle_cut();
        }
        self.watchdog.caller_spoke();
        self.record_turn(Speaker::Caller, text.to_owned(), (turn.onset, turn.last_speech), false, None);
        self.history.push(Role::User, text);
        if protected || self.caller != CallerTurn::Silent {
            return; // The agent has to say its lines, or the caller goes on: the next final asks with both.
        }
        if self.caller_wants_a_person() {
            return self.say_and_transfer(now);
        }
        let marks = Marks {
            last_speech: Some(turn.last_speech),
            decided: Some(turn.decided),
            transcript: Some(now),
            ..Marks::default()
        };
        match self.claim_head_start(text) {
            Some((id, deltas)) => self.reply_from(now, marks, id, deltas),
            None => self.reply(now, marks),
        }
    }

    /// The recogniser lost the utterance, or there was nothing to recognise.
    fn nothing_was_said(&mut self, now: Instant, turn: &Finishing) {
        self.drop_head_start();
        if self.cut.is_some() {
            return self.resume(now);
        }
        if self.answer.is_some() || self.caller != CallerTurn::Silent {
            return;
        }
        let spoke = turn.last_speech.saturating_duration_since(turn.onset);
        if self.history.awaits_answer() {
            self.reply(now, Marks::default());
        } else if !self.opened {
            self.open(now);
        } else if spoke >= ms(UNHEARD_SPEECH_MS) {
            self.say(now, &self.config.phrases.did_not_catch.clone(), Voicing::Line);
        }
    }

    /// A word of attention while the agent speaks, unless the agent has just asked something.
    fn is_backchannel(&self, text: &str) -> bool {
        let spoken = self.answer.as_ref().or(self.cut.as_ref().map(|cut| &cut.answer));
        let Some(answer) = spoken.filter(|answer| answer.is_started()) else { return false };
        let bare: String = text.to_lowercase().trim_matches(|c: char| !c.is_alphanumeric()).into();
        BACKCHANNELS.contains(&bare.as_str()) && !answer.asks_a_question()
    }

    pub(super) fn caller_timeout(&mut self, now: Instant) {
        self.digits_timeout(now);
        if let Some(finishing) = &self.finishing
            && now >= finishing.decided + ms(FINAL_PATIENCE_MS)
        {
            return self.handle_asr_failed(now);
        }
        match self.caller {
            CallerTurn::Silent => {}
            CallerTurn::Speaking { onset, sustained, next_partial } => {
                if now >= onset + ms(self.config.turn.max_utterance_ms) {
                    self.end_turn(now, onset, now);
                    return self.handle_speech_started(now, now);
                }
                if next_partial.is_some_and(|at| now >= at) {
                    self.effects.push_back(Effect::TranscribePartial);
                    self.caller =
                        CallerTurn::Speaking { onset, sustained, next_partial: self.next_partial(now) };
                }
            }
            CallerTurn::Paused { onset, last_speech, .. } => {
                if self.turn_end().is_some_and(|end| now >= end) {
                    self.end_turn(now, onset, last_speech);
                }
            }
        }
    }

    pub(super) fn caller_deadline(&self) -> Option<Instant> {
        let finishing = self.finishing.as_ref().map(|turn| turn.decided + ms(FINAL_PATIENCE_MS));
        let digits = self.digits.as_ref().map(|(_, last)| *last + ms(DTMF_GAP_MS));
        let turn = match self.caller {
            CallerTurn::Silent => None,
            CallerTurn::Speaking { onset, next_partial, .. } => {
                let longest = onset + ms(self.config.turn.max_utterance_ms);
                next_partial.into_iter().chain([longest]).min()
            }
            CallerTurn::Paused { .. } => self.turn_end(),
        };
        [finishing, digits, turn].into_iter().flatten().min()
    }

    fn end_turn(&mut self, now: Instant, onset: Instant, last_speech: Instant) {
        self.effects.push_back(Effect::FinishUtterance);
        self.finishing = Some(Finishing { onset, last_speech, decided: now });
        self.caller = CallerTurn::Silent;
    }

    /// The call is over while the caller speaks: what was said is still transcribed.
    pub(super) fn finish_caller_turn(&mut self, now: Instant) {
        match self.caller {
            CallerTurn::Silent => {}
            CallerTurn::Speaking { onset, .. } => self.end_turn(now, onset, now),
            CallerTurn::Paused { onset, last_speech, .. } => self.end_turn(now, onset, last_speech),
        }
    }

    pub(super) fn record_last_words(&mut self, text: &str) {
        let Some(turn) = self.finishing.take() else { return };
        self.record_words(&turn, text.trim());
    }

    fn record_words(&mut self, turn: &Finishing, text: &str) {
        if !text.is_empty() {
            let span = (turn.onset, turn.last_speech);
            self.record_turn(Speaker::Caller, text.to_owned(), span, false, None);
        }
    }

    /// The last speech before the silence under way; `None` while the caller speaks.
    pub(super) fn caller_quiet_since(&self, now: Instant) -> Option<Instant> {
        match (&self.caller, &self.finishing) {
            (CallerTurn::Speaking { .. }, _) => None,
            (CallerTurn::Paused { last_speech, .. }, _) => Some(*last_speech),
            (CallerTurn::Silent, Some(finishing)) => Some(finishing.last_speech),
            (CallerTurn::Silent, None) => Some(now),
        }
    }

    /// When the pause under way ends the turn. The short silence counts once a partial transcript is
    /// there: the final one is not sooner, and the words may want more.
    pub(super) fn turn_end(&self) -> Option<Instant> {
        let CallerTurn::Paused { last_speech, complete, partial, .. } = &self.caller else { return None };
        let turn = &self.config.turn;
        let complete = complete.is_some_and(|probability| probability >= turn.complete_threshold);
        let patience = match partial.as_deref() {
            Some(words) if wants_more(words) => turn.max_silence_ms + turn.dictation_extra_ms,
            Some(_) if complete => turn.min_silence_ms,
            _ => turn.max_silence_ms,
        };
        Some(*last_speech + ms(patience))
    }

    pub(super) fn wants_more_words(&self) -> bool {
        matches!(&self.caller, CallerTurn::Paused { partial: Some(words), .. } if wants_more(words))
    }

    fn digits_timeout(&mut self, now: Instant) {
        let due = |(_, last): &(String, Instant)| now >= *last + ms(DTMF_GAP_MS);
        if !self.digits.as_ref().is_some_and(due) {
            return;
        }
        let Some((digits, last)) = self.digits.take() else { return };
        let text = format!("(pressed {digits} on the keypad)");
        self.interrupt(now);
        self.settle_cut();
        self.watchdog.caller_spoke();
        self.record_turn(Speaker::Caller, text.clone(), (last, last), false, None);
        self.history.push(Role::User, &text);
        if self.caller == CallerTurn::Silent && self.finishing.is_none() {
            self.reply(now, Marks::default());
        }
    }

    fn next_partial(&self, now: Instant) -> Option<Instant> {
        let every = self.config.turn.partial_every_ms;
        (every > 0).then(|| now + ms(every))
    }
}

/// Whether what was said so far wants another word: it ends in a conjunction or a filler, or in the
/// middle of a number.
fn wants_more(partial: &str) -> bool {
    let bare = partial.trim_end_matches(|c: char| c == '.' || c == ',' || c == '…' || c.is_whitespace());
    let last = bare.rsplit(char::is_whitespace).next().unwrap_or_default().to_lowercase();
    let digits = bare.chars().rev().take_while(|c| c.is_ascii_digit() || " -.".contains(*c));
    let digit_count = digits.filter(char::is_ascii_digit).count();
    UNFINISHED.contains(&last.as_str()) || (3..10).contains(&digit_count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_sentence_or_number_wants_more() {
        for text in ["My name is", "I need a table and...", "It's 415 555", "um,"] {
            assert!(wants_more(text), "{text}");
        }
        for text in ["Hello.", "It is 415 555 0123.", "At five.", "A table for 2."] {
            assert!(!wants_more(text), "{text}");
        }
    }
}
