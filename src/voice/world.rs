//! A world for conversations in virtual time: a caller with a script, engines with delays and faults,
//! and a playout that sends the agent's audio at the pace of speech. Tests say when the caller speaks,
//! how slow the engines are and what must be heard when.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::base::Pii;
use crate::base::audio::{NARROWBAND_HZ, samples_in};
use crate::engine::{ChatMessage, Delta, Usage};
use crate::voice::activity::Activity;
use crate::voice::conversation::Setup;
use crate::voice::effect::{AnsweredBy, Closing, Effect, Speaker, TurnRecord};
use crate::voice::event::{AnswerId, ClauseId, EngineKind};
use crate::voice::{Config, Conversation, Event, ms, prompt};

const VAD_FRAME: Duration = ms(32);
/// Pace of the synthetic voice, per character.
const PER_CHARACTER: Duration = ms(60);

pub struct World {
    start: Instant,
    now: Duration,
    conversation: Conversation,
    activity: Activity,
    agenda: BTreeMap<(Duration, u64), Happening>,
    scheduled: u64,
    caller: Vec<(Range<Duration>, String)>,
    finished_until: Duration,
    pub asr_delay: Duration,
    pub asr_down: Vec<Range<Duration>>,
    pub turn_complete: f32,
    answers: VecDeque<Script>,
    pub llm_down: Vec<Range<Duration>>,
    asked: Option<AnswerId>,
    pub tts_delay: Duration,
    pub tts_down: Vec<Range<Duration>>,
    playout: VecDeque<(ClauseId, String, Duration)>,
    playing: Option<(ClauseId, Duration)>,
    voiced: Vec<Range<Duration>>,
    pub turns: Vec<TurnRecord>,
    pub questions: Vec<String>,
    /// The whole of each.
    pub contexts: Vec<Vec<ChatMessage>>,
    pub answered_by: Vec<(Duration, AnsweredBy)>,
    pub hung_up: Option<(Duration, Closing)>,
    /// When somebody was to be called.
    pub transfers: Vec<Duration>,
    /// Keys that the agent pressed, and when.
    pub pressed: Vec<(Duration, String)>,
    /// Keys pressed to that person.
    pub passed: String,
}

enum Happening {
    Event(Event),
    VadFrame,
    Synthesised { clause: ClauseId, text: String },
    ClauseEnds { clause: ClauseId },
    Token { answer: AnswerId, delta: Delta },
}

/// How the LLM answers one question.
pub struct Script {
    text: String,
    first_token: Duration,
    between: Duration,
    tool_call: Option<&'static str>,
    arguments: serde_json::Value,
}

impl Script {
    pub fn first_token(&mut self, delay: Duration) -> &mut Self {
        self.first_token = delay;
        self
    }

    pub fn and_hangs_up(&mut self) -> &mut Self {
        self.tool_call = Some(prompt::HANG_UP);
        self
    }

    pub fn and_presses(&mut self, keys: &str) -> &mut Self {
        self.and_calls(prompt::PRESS_KEYS, serde_json::json!({ "keys": keys }))
    }

    pub fn and_calls(&mut self, tool: &'static str, arguments: serde_json::Value) -> &mut Self {
        (self.tool_call, self.arguments) = (Some(tool), arguments);
        self
    }

    pub fn and_transfers(&mut self) -> &mut Self {
        self.tool_call = Some(prompt::TRANSFER);
        self
    }
}

pub fn setup() -> Setup {
    Setup {
        task: Pii::new("Ask for the opening hours.".into()),
        first_sentence: Some(Pii::new("I am calling about your opening hours.".into())),
        language: "en".into(),
        wait_for_greeting: false,
        recorded: false,
        max_duration: ms(600_000),
        screening: None,
        transfers: false,
        keys: false,
    }
}

impl World {
    pub fn new() -> Self {
        World::with(Config::default(), setup())
    }

    pub fn with(config: Config, setup: Setup) -> Self {
        let activity = Activity::new(config.activity.clone(), VAD_FRAME);
        let mut world = World {
            start: Instant::now(),
            now: Duration::ZERO,
            conversation: Conversation::new(config, setup),
            activity,
            agenda: BTreeMap::new(),
            scheduled: 0,
            caller: Vec::new(),
            finished_until: Duration::ZERO,
            asr_delay: ms(150),
            asr_down: Vec::new(),
            turn_complete: 0.9,
            answers: VecDeque::new(),
            llm_down: Vec::new(),
            asked: None,
            tts_delay: ms(60),
            tts_down: Vec::new(),
            playout: VecDeque::new(),
            playing: None,
            voiced: Vec::new(),
            turns: Vec::new(),
            questions: Vec::new(),
            contexts: Vec::new(),
            answered_by: Vec::new(),
            hung_up: None,
            transfers: Vec::new(),
            pressed: Vec::new(),
            passed: String::new(),
        };
        world.at(Duration::ZERO, Happening::Event(Event::Answered));
        world.at(VAD_FRAME, Happening::VadFrame);
        world
    }

    pub fn caller_says(&mut self, when: Range<u64>, text: &str) {
        self.caller.push((ms(when.start)..ms(when.end), text.to_owned()));
    }

    pub fn happens(&mut self, at: u64, event: Event) {
        self.at(ms(at), Happening::Event(event));
    }

    pub fn llm_answers(&mut self, text: &str) -> &mut Script {
        let script = Script {
            text: text.to_owned(),
            first_token: ms(150),
            between: ms(30),
            tool_call: None,
            arguments: serde_json::json!({}),
        };
        self.answers.push_back(script);
        self.answers.back_mut().expect("an answer was just added")
    }

    pub fn run_until(&mut self, until: u64) {
        let until = ms(until);
        loop {
            self.perform_effects();
            let agenda = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let timeout = self.conversation.poll_timeout().map(|at| at.saturating_duration_since(self.start));
            let Some(next) = agenda.into_iter().chain(timeout).min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(next);
            match self.agenda.first_entry() {
                Some(entry) if entry.key().0 <= self.now => {
                    let happening = entry.remove();
                    self.happen(happening);
                }
                _ => self.conversation.handle_timeout(self.start + self.now),
            }
        }
        self.now = until;
    }

    pub fn close(&mut self) {
        self.conversation.close(self.start + self.now);
        self.perform_effects();
    }

    pub fn said(&self, speaker: Speaker) -> Vec<&str> {
        let turns = self.turns.iter().filter(|turn| turn.speaker == speaker);
        turns.map(|turn| turn.text.expose().as_str()).collect()
    }

    pub fn agent_said(&self) -> Vec<&str> {
        self.said(Speaker::Agent)
    }

    #[track_caller]
    pub fn expect_agent_silent(&self, when: Range<u64>) {
        let (from, to) = (ms(when.start), ms(when.end));
        let voiced = self.voiced.iter().find(|v| v.start < to && v.end > from);
        assert!(voiced.is_none(), "the agent spoke at {voiced:?}");
    }

    #[track_caller]
    pub fn expect_agent_speaks(&self, when: Range<u64>) {
        let (from, to) = (ms(when.start), ms(when.end));
        assert!(
            self.voiced.iter().any(|v| v.start < to && v.end > from),
            "silent; spoke at {:?}",
            self.voiced
        );
    }

    /// The longest stretch in which neither side was heard, up to now or the end of the call.
    pub fn longest_silence(&self) -> Duration {
        let end = self.hung_up.map_or(self.now, |(at, _)| at);
        let spoken = self.caller.iter().map(|(when, _)| when.clone()).chain(self.voiced.iter().cloned());
        let mut heard: Vec<_> = spoken.filter(|when| when.start < end).collect();
        heard.push(end..end);
        heard.sort_by_key(|when| when.start);
        let mut quiet_from = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for when in heard {
            longest = longest.max(when.start.saturating_sub(quiet_from));
            quiet_from = quiet_from.max(when.end);
        }
        longest
    }

    fn at(&mut self, at: Duration, happening: Happening) {
        self.scheduled += 1;
        self.agenda.insert((at, self.scheduled), happening);
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    fn tell(&mut self, event: Event) {
        self.conversation.handle(self.start + self.now, event);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Event(event) => self.tell(event),
            Happening::VadFrame => {
                let frame = self.now.saturating_sub(VAD_FRAME / 2);
                let speech = self.caller.iter().any(|(when, _)| when.contains(&frame));
                let event =
                    self.activity.handle_frame(self.start + self.now, if speech { 0.9 } else { 0.05 });
                if let Some(event) = event {
                    self.tell(event);
                }
                self.after(VAD_FRAME, Happening::VadFrame);
            }
            Happening::Synthesised { clause, text } => self.synthesised(clause, text),
            Happening::ClauseEnds { clause } => {
                if self.playing.take_if(|(id, _)| *id == clause).is_some() {
                    self.tell(Event::ClausePlayed { clause });
                    self.play_next();
                }
            }
            Happening::Token { answer, delta } => {
                if self.asked == Some(answer) {
                    self.tell(Event::Llm { answer, delta });
                }
            }
        }
    }

    fn synthesised(&mut self, clause: ClauseId, text: String) {
        if !self.playout.iter().any(|(id, _, _)| *id == clause) {
            return;
        }
        let length = PER_CHARACTER * text.len() as u32;
        self.tell(Event::ClauseAudio { clause });
        self.tell(Event::ClauseSynthesised { clause, samples: samples_in(length, NARROWBAND_HZ) });
        for item in self.playout.iter_mut().filter(|(id, _, _)| *id == clause) {
            item.2 = length;
        }
        self.play_next();
    }

    fn play_next(&mut self) {
        if self.playing.is_some() || self.playout.front().is_none_or(|(_, _, length)| length.is_zero()) {
            return;
        }
        let Some((clause, _, length)) = self.playout.pop_front() else { return };
        self.playing = Some((clause, self.now));
        self.voiced.push(self.now..self.now + length);
        self.tell(Event::ClausePlaying { clause, at: self.start + self.now });
        self.after(length, Happening::ClauseEnds { clause });
    }

    fn perform_effects(&mut self) {
        while let Some(effect) = self.conversation.poll_effect() {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::TranscribePartial => {
                let text = self.words_since(self.finished_until);
                self.after(self.asr_delay, Happening::Event(Event::Partial { text }));
            }
            Effect::FinishUtterance => {
                let down = self.asr_down.iter().any(|when| when.contains(&self.now));
                let text = self.words_since(self.finished_until);
                self.finished_until = self.now;
                let failed = Event::EngineFailed { engine: EngineKind::Asr, clause: None };
                let event = if down { failed } else { Event::Final { text } };
                self.after(self.asr_delay, Happening::Event(event));
            }
            Effect::JudgeTurn => {
                self.after(ms(40), Happening::Event(Event::TurnJudged { complete: self.turn_complete }));
            }
            Effect::AskLlm { answer, messages } => {
                self.questions.push(messages.last().map(|m| m.content.clone()).unwrap_or_default());
                self.contexts.push(messages);
                self.generate(answer);
            }
            Effect::CancelLlm => self.asked = None,
            Effect::Speak { clause, text } => self.synthesise(clause, text),
            Effect::StopSpeaking => self.stop_speaking(),
            Effect::Turn(turn) => self.turns.push(turn),
            Effect::AnsweredBy(who) => self.answered_by.push((self.now, who)),
            Effect::HangUp { closing } => self.hung_up = Some((self.now, closing)),
            Effect::StartUtterance => {
                self.finished_until = self.finished_until.max(self.now.saturating_sub(ms(250)));
            }
            Effect::Transfer => self.transfers.push(self.now),
            Effect::Press { keys } => self.pressed.push((self.now, keys.expose().to_owned())),
            Effect::PassDigit { digit } => self.passed.push(digit),
            Effect::ListenAnew => {
                self.activity.reset();
                self.finished_until = self.now;
            }
            Effect::WarmLlm { .. } | Effect::DropUtterance | Effect::Live { .. } => {}
        }
    }

    /// What the caller has said since `from`: the words of every stretch that has begun.
    fn words_since(&self, from: Duration) -> String {
        let spoken = self.caller.iter().filter(|(when, _)| when.end > from && when.start < self.now);
        spoken.map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    fn generate(&mut self, answer: AnswerId) {
        self.asked = Some(answer);
        if self.llm_down.iter().any(|when| when.contains(&self.now)) {
            let delta = Delta::Failed { detail: "away".into() };
            return self.after(ms(5), Happening::Token { answer, delta });
        }
        let Some(script) = self.answers.pop_front() else { return };
        let mut at = script.first_token;
        for word in script.text.split_inclusive(' ') {
            self.after(at, Happening::Token { answer, delta: Delta::Text { text: word.to_owned() } });
            at += script.between;
        }
        if let Some(name) = script.tool_call {
            let call = Delta::ToolCall { name: name.into(), arguments: script.arguments };
            self.after(at, Happening::Token { answer, delta: call });
        }
        self.after(at, Happening::Token { answer, delta: Delta::Done { usage: Usage::default() } });
    }

    fn synthesise(&mut self, clause: ClauseId, text: String) {
        if self.tts_down.iter().any(|when| when.contains(&self.now)) {
            let failed = Event::EngineFailed { engine: EngineKind::Tts, clause: Some(clause) };
            return self.after(ms(5), Happening::Event(failed));
        }
        self.playout.push_back((clause, text.clone(), Duration::ZERO));
        self.after(self.tts_delay, Happening::Synthesised { clause, text });
    }

    fn stop_speaking(&mut self) {
        self.playout.clear();
        if let Some((clause, since)) = self.playing.take() {
            if let Some(voiced) = self.voiced.last_mut() {
                voiced.end = self.now;
            }
            let samples = samples_in(self.now - since, NARROWBAND_HZ);
            self.after(ms(5), Happening::Event(Event::ClauseStopped { clause, samples }));
        }
    }
}
