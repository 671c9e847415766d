//! An answer of the agent, from the question to the last word heard.

mod cut;

use std::time::Instant;

use crate::base::audio::{NARROWBAND_HZ, samples_in};
use crate::engine::{Delta, Role};
use crate::voice::chunk::Chunker;
use crate::voice::effect::{Closing, Effect, Speaker};
use crate::voice::event::{AnswerId, ClauseId, EngineKind};
use crate::voice::greeting::Clue;
use crate::voice::heard::{heard_prefix, unheard_rest};
use crate::voice::keys::{Keys, NoKeys, Piece, Reader};
use crate::voice::latency::{Marks, mark};
use crate::voice::transfer::promises_transfer;
use crate::voice::{Conversation, prompt};

/// What the agent says in one turn: phrases of its own, then what the LLM gives.
#[derive(Debug)]
pub(super) struct Answer {
    id: AnswerId,
    /// The LLM is still at work on it.
    pub(super) generating: bool,
    pub(super) asked_at: Instant,
    marks: Marks,
    reader: Reader,
    chunker: Chunker,
    clauses: Vec<Clause>,
    started: Option<Instant>,
    /// What follows once it has been said.
    then: Option<Then>,
    /// Pressed once it has been said, before what follows.
    pub(super) keys: Option<Keys>,
    /// Why a call of the tool pressed nothing.
    pub(super) unpressed: Option<NoKeys>,
    /// The last of the clauses that have to be said whatever the caller does: the disclosure.
    protected: Option<ClauseId>,
}

/// What an answer leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    HangUp(Closing),
    Transfer,
}

/// How the agent comes to say a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voicing {
    /// Part of the conversation.
    Line,
    /// On its own account.
    Aside,
}

#[derive(Debug)]
struct Clause {
    id: ClauseId,
    text: String,
    /// Said by the agent on its own account (an apology, a filler): not part of the LLM's conversation.
    aside: bool,
    /// When it was given to be said.
    given: Instant,
    /// Length of its audio, once known.
    samples: Option<u64>,
    progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Playing { since: Instant },
    Played,
    Cut { sent: u64 },
}

/// An answer that was interrupted. Until the next turn it can be resumed.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) answer: Answer,
    at: Instant,
    /// What was heard is on record.
    settled: bool,
}

impl Answer {
    fn new(id: u64, now: Instant, marks: Marks) -> Self {
        Answer {
            id: AnswerId(id),
            generating: false,
            asked_at: now,
            marks,
            reader: Reader::default(),
            chunker: Chunker::default(),
            clauses: Vec::new(),
            started: None,
            then: None,
            keys: None,
            unpressed: None,
            protected: None,
        }
    }

    /// The LLM is at work, and not a word of the answer is on the wire.
    pub(super) fn is_thinking(&self) -> bool {
        self.generating && !self.is_started() && !self.is_protected()
    }

    pub(super) fn is_started(&self) -> bool {
        self.started.is_some()
    }

    /// Lines that may not be interrupted are still to be said.
    pub(super) fn is_protected(&self) -> bool {
        let due = |clause: &Clause| Some(clause.id) <= self.protected && clause.progress != Progress::Played;
        self.clauses.iter().any(due)
    }

    /// From here on nothing interrupts what it holds.
    fn protect(&mut self) {
        self.protected = self.clauses.last().map(|clause| clause.id);
    }

    pub(super) fn is_audible(&self) -> bool {
        self.clauses.iter().any(|clause| matches!(clause.progress, Progress::Playing { .. }))
    }

    /// A clause is due that has no packet on the wire.
    pub(super) fn awaits_audio(&self) -> bool {
        self.waiting_since().is_some()
    }

    /// When the first clause that has no packet on the wire was given.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.clauses.iter().find(|clause| clause.progress == Progress::Waiting).map(|clause| clause.given)
    }

    pub(super) fn asks_a_question(&self) -> bool {
        self.clauses.last().is_some_and(|clause| clause.text.ends_with('?'))
    }

    fn is_said(&self) -> bool {
        !self.generating && self.clauses.iter().all(|clause| clause.progress == Progress::Played)
    }

    fn clause(&mut self, id: ClauseId) -> Option<&mut Clause> {
        self.clauses.iter_mut().find(|clause| clause.id == id)
    }

    pub(super) fn text_of(&self, id: ClauseId) -> Option<String> {
        self.clauses.iter().find(|clause| clause.id == id).map(|clause| clause.text.clone())
    }

    /// The words that went over the wire by `now`.
    fn heard(&self, now: Instant) -> String {
        join(self.clauses.iter().map(|clause| clause.heard(now)))
    }

    /// The same without asides: what the LLM is told that it said.
    fn heard_lines(&self, now: Instant) -> String {
        join(self.clauses.iter().filter(|clause| !clause.aside).map(|clause| clause.heard(now)))
    }

    /// The words that did not, from the beginning of the clause that was cut.
    fn unheard(&self, now: Instant) -> Vec<String> {
        let cut = self.clauses.iter().filter(|clause| clause.progress != Progress::Played);
        let rest = cut.map(|clause| unheard_rest(&clause.text, clause.heard(now)).to_owned());
        rest.filter(|text| !text.is_empty()).collect()
    }
}

fn join<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

impl Clause {
    fn heard(&self, now: Instant) -> &str {
        let sent = match self.progress {
            Progress::Waiting => 0,
            Progress::Playing { since } => samples_in(now.saturating_duration_since(since), NARROWBAND_HZ),
            Progress::Played => return &self.text,
            Progress::Cut { sent } => sent,
        };
        // A clause whose synthesis was cut short has no length: about 15 characters a second.
        let total = self.samples.unwrap_or(self.text.len() as u64 * u64::from(NARROWBAND_HZ) / 15);
        heard_prefix(&self.text, sent, total)
    }
}

impl Conversation {
    /// The first words of the call.
    pub(super) fn open(&mut self, now: Instant) {
        self.opened = true;
        let phrases = &self.config.phrases;
        let notice = self.setup.recorded.then(|| phrases.recording_notice.clone());
        let first = self.setup.first_sentence.as_ref().map(|text| text.expose().clone());
        let asks = first.is_none();
        let duties = [Some(phrases.disclosure.clone()), notice];
        self.begin_answer(now, Marks::default());
        for line in duties.into_iter().flatten() {
            self.speak(now, &line, Voicing::Line);
        }
        if let Some(answer) = &mut self.answer {
            answer.protect();
        }
        if let Some(line) = first {
            self.speak(now, &line, Voicing::Line);
        }
        if asks {
            self.ask();
        }
        self.answer_progressed(now);
    }

    /// Answers what the caller said last.
    pub(super) fn reply(&mut self, now: Instant, marks: Marks) {
        if !self.opened {
            return self.open(now);
        }
        self.begin_answer(now, marks);
        self.ask();
    }

    /// Answers by what the LLM was asked ahead of time.
    pub(super) fn reply_from(&mut self, now: Instant, marks: Marks, id: AnswerId, deltas: Vec<Delta>) {
        self.begin_answer(now, marks);
        if let Some(answer) = &mut self.answer {
            answer.id = id;
            answer.generating = true;
        }
        for delta in deltas {
            self.handle_delta(now, id, delta);
        }
    }

    /// Says a phrase as a turn of its own.
    pub(super) fn say(&mut self, now: Instant, phrase: &str, voicing: Voicing) {
        self.begin_answer(now, Marks::default());
        self.speak(now, phrase, voicing);
        self.answer_progressed(now);
    }

    /// Says a phrase, then hangs up.
    pub(super) fn say_and_hang_up(&mut self, now: Instant, phrase: &str, closing: Closing) {
        self.interrupt(now);
        self.settle_cut();
        self.begin_answer(now, Marks::default());
        if let Some(answer) = &mut self.answer {
            answer.then = Some(Then::HangUp(closing));
        }
        self.speak(now, phrase, Voicing::Line);
        self.answer_progressed(now);
    }

    /// Says a text that nothing interrupts, then hangs up.
    pub(super) fn say_protected_and_hang_up(&mut self, now: Instant, text: &str, closing: Closing) {
        self.begin_answer(now, Marks::default());
        let mut chunker = Chunker::default();
        let clauses: Vec<String> = chunker.push(text).into_iter().chain(chunker.finish()).collect();
        for clause in clauses {
            self.speak(now, &clause, Voicing::Line);
        }
        if let Some(answer) = &mut self.answer {
            answer.then = Some(Then::HangUp(closing));
            answer.protect();
        }
        self.answer_progressed(now);
    }

    /// Says that the caller is being connected, then hands the call over.
    pub(super) fn say_and_transfer(&mut self, now: Instant) {
        self.begin_answer(now, Marks::default());
        self.speak(now, &self.config.phrases.connecting.clone(), Voicing::Line);
        if let Some(answer) = &mut self.answer {
            answer.then = Some(Then::Transfer);
            answer.protect();
        }
        self.answer_progressed(now);
    }

    fn begin_answer(&mut self, now: Instant, marks: Marks) {
        self.drop_head_start();
        self.abandon_answer();
        self.cut = None;
        let id = self.next_id();
        self.answer = Some(Answer::new(id, now, marks));
    }

    fn ask(&mut self) {
        let messages = self.question(&self.history);
        let Some(answer) = &mut self.answer else { return };
        answer.generating = true;
        self.effects.push_back(Effect::AskLlm { answer: answer.id, messages });
    }

    /// Adds a clause to the answer under way.
    pub(super) fn speak(&mut self, now: Instant, text: &str, voicing: Voicing) {
        if text.trim().is_empty() {
            return;
        }
        let clause = ClauseId(self.next_id());
        let Some(answer) = &mut self.answer else { return };
        let text = text.trim().to_owned();
        let aside = voicing == Voicing::Aside;
        let progress = Progress::Waiting;
        answer.clauses.push(Clause {
            id: clause,
            text: text.clone(),
            aside,
            given: now,
            samples: None,
            progress,
        });
        self.live(Speaker::Agent, &text);
        self.effects.push_back(Effect::Speak { clause, text });
    }

    pub(super) fn handle_delta(&mut self, now: Instant, id: AnswerId, delta: Delta) {
        let Some(answer) = self.answer.as_mut().filter(|answer| answer.id == id) else { return };
        match delta {
            Delta::Text { text } => {
                mark(&mut answer.marks.first_token, now);
                let pieces = answer.reader.push(&text);
                pieces.into_iter().for_each(|piece| self.take_piece(now, piece));
            }
            Delta::ToolCall { name, arguments } if self.is_for_keys(&name, &arguments) => {
                self.handle_press_keys(&arguments);
            }
            Delta::ToolCall { name, .. } => self.handle_tool_call(&name),
            Delta::Done { .. } => self.handle_generated(now),
            Delta::Failed { .. } => self.handle_llm_failed(now),
        }
    }

    fn take_piece(&mut self, now: Instant, piece: Piece) {
        match piece {
            Piece::Keys(keys) => self.will_press(keys),
            Piece::Text(text) => {
                let Some(answer) = &mut self.answer else { return };
                let clauses = answer.chunker.push(&text);
                self.speak_generated(now, clauses);
            }
        }
    }

    /// A caller who is to be handed over is not hung up on.
    fn handle_tool_call(&mut self, name: &str) {
        let may_transfer = self.may_transfer();
        let Some(answer) = &mut self.answer else { return };
        match name {
            prompt::HANG_UP => drop(answer.then.get_or_insert(Then::HangUp(Closing::AgentDone))),
            prompt::TRANSFER if may_transfer => answer.then = Some(Then::Transfer),
            _ => {}
        }
    }

    /// The LLM has finished; an answer without a word gets one, and one that promises a person keeps it.
    fn handle_generated(&mut self, now: Instant) {
        self.outage_over(EngineKind::Llm);
        let Some(rest) = self.stop_generating() else { return };
        self.speak_generated(now, rest);
        let may_transfer = self.may_transfer();
        let Some(answer) = &mut self.answer else { return };
        self.unpressed = answer.unpressed.filter(|_| answer.keys.is_none());
        if may_transfer && answer.clauses.iter().any(|clause| promises_transfer(&clause.text)) {
            answer.then = Some(Then::Transfer);
        }
        if answer.keys.is_none() && answer.clauses.iter().all(|clause| clause.aside) {
            let phrases = &self.config.phrases;
            let phrase = match answer.then {
                Some(Then::HangUp(_)) => &phrases.goodbye,
                Some(Then::Transfer) => &phrases.connecting,
                None => &phrases.did_not_catch,
            };
            self.speak(now, &phrase.clone(), Voicing::Line);
        }
        if let Some(answer) = self.answer.as_mut().filter(|answer| answer.then == Some(Then::Transfer)) {
            answer.protect();
        }
        self.answer_progressed(now);
    }

    /// No more text comes for the answer under way; gives what waits for its end.
    pub(super) fn stop_generating(&mut self) -> Option<Vec<String>> {
        let answer = self.answer.as_mut()?;
        answer.generating = false;
        let held = answer.reader.finish();
        let mut clauses = answer.chunker.push(&held);
        clauses.extend(answer.chunker.finish());
        Some(clauses)
    }

    pub(super) fn speak_generated(&mut self, now: Instant, clauses: Vec<String>) {
        for clause in clauses {
            if let Some(keys) = self.pressed_by(&clause) {
                self.will_press(keys);
                continue;
            }
            if let Some(answer) = &mut self.answer {
                mark(&mut answer.marks.first_clause, now);
            }
            self.speak(now, &clause, Voicing::Line);
        }
    }

    pub(super) fn handle_clause_audio(&mut self, now: Instant, id: ClauseId) {
        self.outage_over(EngineKind::Tts);
        let Some(answer) = &mut self.answer else { return };
        if answer.clause(id).is_some_and(|clause| !clause.aside) {
            mark(&mut answer.marks.first_audio, now);
        }
    }

    pub(super) fn handle_clause_synthesised(&mut self, id: ClauseId, samples: u64) {
        for answer in self.answer.iter_mut().chain(self.cut.iter_mut().map(|cut| &mut cut.answer)) {
            if let Some(clause) = answer.clause(id) {
                clause.samples = Some(samples);
            }
        }
    }

    pub(super) fn handle_clause_playing(&mut self, id: ClauseId, at: Instant) {
        self.watchdog.sound(at);
        let Some(answer) = &mut self.answer else { return };
        let Some(clause) = answer.clause(id) else { return };
        clause.progress = Progress::Playing { since: at };
        if !clause.aside {
            mark(&mut answer.marks.on_wire, at);
        }
        answer.started.get_or_insert(at);
    }

    pub(super) fn handle_clause_played(&mut self, now: Instant, id: ClauseId) {
        self.watchdog.sound(now);
        if let Some(clause) = self.answer.as_mut().and_then(|answer| answer.clause(id)) {
            clause.progress = Progress::Played;
        }
        self.answer_progressed(now);
    }

    pub(super) fn handle_clause_stopped(&mut self, id: ClauseId, sent: u64) {
        if let Some(clause) = self.cut.as_mut().and_then(|cut| cut.answer.clause(id)) {
            clause.progress = Progress::Cut { sent };
            self.settle_cut();
        }
    }

    /// Ends the answer once all of it has been said.
    pub(super) fn answer_progressed(&mut self, now: Instant) {
        let Some(answer) = self.answer.take_if(|answer| answer.is_said()) else { return };
        let text = answer.heard(now);
        self.history.push(Role::Assistant, &answer.heard_lines(now));
        if let Some(started) = answer.started {
            self.watchdog.sound(now);
            self.record_turn(Speaker::Agent, text, (started, now), false, answer.marks.split());
            self.note(now, Clue::AgentSpoke);
        }
        let pressed = answer.keys.map(|keys| self.press(now, keys)).is_some();
        match answer.then {
            // What a key brings is heard first.
            Some(Then::HangUp(_)) if pressed => {}
            Some(Then::HangUp(closing)) => self.hang_up(now, closing),
            Some(Then::Transfer) => self.hand_over(now),
            None => {}
        }
    }
}
