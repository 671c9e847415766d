//! A person is asked whether a caller may be put through: the second party of a warm transfer, as a state
//! machine.
//!
//! In come the same events as in a conversation; out come effects, the last of which is the verdict. The
//! agent lets the person say hello, says who is on the line, and asks. "Yes" or 1 accepts, "no" or 2
//! declines. Who says neither is asked again; who then stays, and has been heard to be a person, is put
//! through, while a line on which nobody spoke, or nobody who certainly was a person, is not. A machine is
//! told from a person as on any call that goes out, and nobody is put through to one.

mod reply;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::voice::effect::AnsweredBy;
use crate::voice::event::{ClauseId, EngineKind};
use crate::voice::greeting::{self, Clue, Greeting};
use crate::voice::introduction::reply::Reply;
use crate::voice::{Event, ms};

/// Whoever answers without a word is spoken to after this long.
const HELLO: Duration = ms(1_500);
/// Silence after which an utterance is over.
const UTTERANCE: Duration = ms(700);
/// How long an answer is waited for.
const ANSWER: Duration = ms(6_000);
/// How often the question is put.
const QUESTIONS: u32 = 2;
/// Nothing takes longer than this.
const LONGEST: Duration = ms(60_000);

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Who is on the line.
    pub introduction: String,
    /// Whether to put the caller through.
    pub question: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Declined,
    /// A machine answered, or nobody said a word.
    Nobody,
    /// The line or the voice failed.
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    StartUtterance,
    TranscribePartial,
    FinishUtterance,
    Speak { clause: ClauseId, text: String },
    StopSpeaking,
    Decide(Verdict),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The person may say hello until then.
    Greeted {
        until: Instant,
    },
    Introducing,
    Asking,
    /// The question has been said; an answer may take until then.
    Listening {
        until: Instant,
    },
    Decided,
}

/// The utterance under way. One that began before the question answers nothing but "no".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Utterance {
    asked: bool,
    /// When it is over, while the person is silent.
    over: Option<Instant>,
}

/// Feed it events, then drain its effects, then wait for its timeout.
#[derive(Debug)]
pub struct Introduction {
    words: Words,
    stage: Stage,
    greeting: Greeting,
    utterance: Option<Utterance>,
    /// Of utterances whose words are on the way, the oldest first, whether each may be an answer.
    finishing: VecDeque<bool>,
    questions: u32,
    clauses: u64,
    /// A person has been heard.
    person: bool,
    ends: Instant,
    effects: VecDeque<Effect>,
}

impl Introduction {
    /// The person answered at `now`.
    pub fn new(now: Instant, words: Words, screening: greeting::Config) -> Self {
        Introduction {
            words,
            stage: Stage::Greeted { until: now + HELLO },
            greeting: Greeting::new(screening, now),
            utterance: None,
            finishing: VecDeque::new(),
            questions: 0,
            clauses: 0,
            person: false,
            ends: now + LONGEST,
            effects: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, now: Instant, event: Event) {
        if self.stage == Stage::Decided {
            return;
        }
        match event {
            Event::SpeechStarted { onset } => self.handle_speech(now, onset),
            Event::SpeechPaused { last_speech } => self.handle_pause(now, last_speech),
            Event::Partial { text } => self.screen(now, Clue::Says { text: &text, complete: false }),
            Event::Final { text } => self.handle_words(now, text.trim()),
            Event::Beep { length } => self.screen(now, Clue::Beeps { length }),
            Event::Dtmf { digit: '1' } => self.decide(Verdict::Accepted),
            Event::Dtmf { digit: '2' } => self.decide(Verdict::Declined),
            Event::ClausePlayed { clause } if clause.0 == self.clauses => self.handle_said(now),
            Event::EngineFailed { engine: EngineKind::Tts, .. } | Event::MediaLost => {
                self.decide(Verdict::Lost);
            }
            // Without its words, keys and staying still answer.
            Event::EngineFailed { engine: EngineKind::Asr, .. } => drop(self.finishing.pop_front()),
            _ => {}
        }
    }

    /// Does what is due at `now`; a no-op before [`Introduction::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        if self.greeting.poll_timeout().is_some_and(|at| now >= at) {
            let verdict = self.greeting.handle_timeout(now);
            self.heard_as(verdict);
        }
        if self.stage == Stage::Decided {
            return;
        }
        if let Some(Utterance { asked, over: Some(over) }) = self.utterance
            && now >= over
        {
            self.utterance = None;
            self.finishing.push_back(asked);
            self.effects.push_back(Effect::FinishUtterance);
        }
        match self.stage {
            _ if now >= self.ends => self.decide(Verdict::Nobody),
            Stage::Greeted { until } if now >= until && self.utterance.is_none() => self.introduce(),
            Stage::Listening { until } if now >= until && !self.is_hearing() => self.unanswered(),
            _ => {}
        }
    }

    /// When [`Introduction::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Decided => return None,
            Stage::Greeted { until } => Some(until).filter(|_| self.utterance.is_none()),
            Stage::Listening { until } => Some(until).filter(|_| !self.is_hearing()),
            Stage::Introducing | Stage::Asking => None,
        };
        let over = self.utterance.and_then(|utterance| utterance.over);
        [stage, over, self.greeting.poll_timeout(), Some(self.ends)].into_iter().flatten().min()
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// A beep would mean something.
    pub fn listens_for_beeps(&self) -> bool {
        self.greeting.poll_timeout().is_some()
    }

    fn is_hearing(&self) -> bool {
        self.utterance.is_some() || !self.finishing.is_empty()
    }

    fn handle_speech(&mut self, now: Instant, onset: Instant) {
        self.screen(now, Clue::Speaks { onset });
        match &mut self.utterance {
            Some(utterance) => utterance.over = None,
            None => {
                let asked = matches!(self.stage, Stage::Asking | Stage::Listening { .. });
                self.utterance = Some(Utterance { asked, over: None });
                self.effects.push_back(Effect::StartUtterance);
            }
        }
    }

    fn handle_pause(&mut self, now: Instant, last_speech: Instant) {
        self.effects.push_back(Effect::TranscribePartial);
        if let Some(utterance) = &mut self.utterance {
            utterance.over = Some(last_speech + UTTERANCE);
        }
        self.screen(now, Clue::Pauses { last_speech });
    }

    fn handle_words(&mut self, now: Instant, text: &str) {
        let asked = self.finishing.pop_front().unwrap_or_default();
        self.screen(now, Clue::Says { text, complete: true });
        if self.stage == Stage::Decided || text.is_empty() {
            return;
        }
        match Reply::of(text) {
            Some(Reply::No) if self.stage_is_introduced() => self.decide(Verdict::Declined),
            Some(Reply::Yes) if asked => self.decide(Verdict::Accepted),
            _ if asked && matches!(self.stage, Stage::Listening { .. }) => self.unanswered(),
            _ => {}
        }
    }

    fn stage_is_introduced(&self) -> bool {
        !matches!(self.stage, Stage::Greeted { .. })
    }

    /// The clause under way has been said.
    fn handle_said(&mut self, now: Instant) {
        match self.stage {
            Stage::Introducing => self.ask(),
            Stage::Asking => {
                self.stage = Stage::Listening { until: now + ANSWER };
                self.screen(now, Clue::AgentSpoke);
            }
            _ => {}
        }
    }

    fn introduce(&mut self) {
        self.stage = Stage::Introducing;
        self.say(self.words.introduction.clone());
    }

    fn ask(&mut self) {
        self.stage = Stage::Asking;
        self.questions += 1;
        self.say(self.words.question.clone());
    }

    fn unanswered(&mut self) {
        match (self.questions < QUESTIONS, self.person) {
            (true, _) => self.ask(),
            (false, true) => self.decide(Verdict::Accepted),
            (false, false) => self.decide(Verdict::Nobody),
        }
    }

    fn say(&mut self, text: String) {
        self.clauses += 1;
        self.effects.push_back(Effect::Speak { clause: ClauseId(self.clauses), text });
    }

    fn screen(&mut self, now: Instant, clue: Clue<'_>) {
        let verdict = self.greeting.handle(now, clue);
        self.heard_as(verdict);
    }

    fn heard_as(&mut self, verdict: Option<AnsweredBy>) {
        match verdict {
            Some(AnsweredBy::Human) => self.person = true,
            Some(AnsweredBy::Voicemail) => self.decide(Verdict::Nobody),
            Some(AnsweredBy::Unknown) | None => {}
        }
    }

    fn decide(&mut self, verdict: Verdict) {
        self.stage = Stage::Decided;
        self.effects.extend([Effect::StopSpeaking, Effect::Decide(verdict)]);
    }
}

#[cfg(test)]
mod tests;
