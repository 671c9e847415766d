//! The state of a conversation and the dispatch of its events.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::base::Pii;
use crate::voice::Config;
use crate::voice::answer::{Answer, Cut};
use crate::voice::caller_turn::{CallerTurn, Finishing};
use crate::voice::effect::{Closing, Effect, Speaker, TurnRecord};
use crate::voice::event::{EngineKind, Event};
use crate::voice::greeting::Clue;
use crate::voice::head_start::HeadStart;
use crate::voice::keys::NoKeys;
use crate::voice::latency::LatencySplit;
use crate::voice::prompt::{self, History};
use crate::voice::recovery::Outages;
use crate::voice::silence::Watchdog;
use crate::voice::transfer::Transfer;
use crate::voice::voicemail::{Screen, Screening};

/// What one call asks of its conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    pub task: Pii<String>,
    /// Said after the disclosure; without it the LLM opens the call.
    pub first_sentence: Option<Pii<String>>,
    pub language: String,
    /// Let the far end speak first.
    pub wait_for_greeting: bool,
    pub recorded: bool,
    pub max_duration: Duration,
    /// Find out who answered; `None` where the far end called.
    pub screening: Option<Screening>,
    /// There is a person whom the caller may be handed to.
    pub transfers: bool,
    /// The far end may be a machine that wants keys pressed.
    pub keys: bool,
}

/// A conversation: feed it events, then drain its effects, then wait for its timeout.
#[derive(Debug)]
pub struct Conversation {
    pub(super) config: Config,
    pub(super) setup: Setup,
    pub(super) effects: VecDeque<Effect>,
    pub(super) answered_at: Option<Instant>,
    pub(super) caller: CallerTurn,
    pub(super) finishing: Option<Finishing>,
    pub(super) digits: Option<(String, Instant)>,
    pub(super) answer: Option<Answer>,
    pub(super) cut: Option<Cut>,
    pub(super) head_start: Option<HeadStart>,
    pub(super) history: History,
    pub(super) watchdog: Watchdog,
    pub(super) outages: Outages,
    pub(super) screen: Screen,
    pub(super) transfer: Transfer,
    /// Why the model's last answer pressed nothing, where it meant to.
    pub(super) unpressed: Option<NoKeys>,
    pub(super) opened: bool,
    pub(super) last_id: u64,
    ended: bool,
}

impl Conversation {
    pub fn new(mut config: Config, setup: Setup) -> Self {
        config.phrases = config.phrases_for(&setup.language).clone();
        let system = prompt::system(setup.task.expose(), &setup.language, setup.transfers, setup.keys);
        let warm = Effect::WarmLlm { messages: vec![system.clone()] };
        Conversation {
            config,
            setup,
            effects: VecDeque::from([warm]),
            answered_at: None,
            caller: CallerTurn::Silent,
            finishing: None,
            digits: None,
            answer: None,
            cut: None,
            head_start: None,
            history: History::new(system),
            watchdog: Watchdog::default(),
            outages: Outages::default(),
            screen: Screen::Off,
            transfer: Transfer::default(),
            unpressed: None,
            opened: false,
            last_id: 0,
            ended: false,
        }
    }

    pub fn handle(&mut self, now: Instant, event: Event) {
        if self.ended {
            return self.handle_afterwards(event);
        }
        if self.stands_aside() {
            return self.handle_aside(now, event);
        }
        match event {
            Event::Answered => self.handle_answered(now),
            Event::SpeechStarted { onset } => self.handle_speech_started(now, onset),
            Event::SpeechSustained => self.handle_speech_sustained(),
            Event::SpeechPaused { last_speech } => self.handle_speech_paused(now, last_speech),
            Event::Partial { text } => self.handle_partial(now, text),
            Event::Final { text } => self.handle_final(now, text),
            Event::TurnJudged { complete } => self.handle_turn_judged(complete),
            Event::Dtmf { digit } => self.handle_dtmf(now, digit),
            Event::Llm { answer, delta } => {
                if let Some(delta) = self.gather(answer, delta) {
                    self.handle_delta(now, answer, delta);
                }
            }
            Event::ClauseAudio { clause } => self.handle_clause_audio(now, clause),
            Event::ClauseSynthesised { clause, samples } => self.handle_clause_synthesised(clause, samples),
            Event::ClausePlaying { clause, at } => self.handle_clause_playing(clause, at),
            Event::ClausePlayed { clause } => self.handle_clause_played(now, clause),
            Event::ClauseStopped { clause, samples } => self.handle_clause_stopped(clause, samples),
            Event::EngineFailed { engine: EngineKind::Asr, .. } => self.handle_asr_failed(now),
            Event::EngineFailed { engine: EngineKind::Tts, clause } => self.handle_tts_failed(now, clause),
            Event::EngineFailed { engine: EngineKind::Llm, .. } => self.handle_llm_failed(now),
            Event::Beep { length } => self.screen(now, Clue::Beeps { length }),
            Event::MediaLost => self.hang_up(now, Closing::MediaLost),
            // Of a transfer that is not under way.
            Event::TransferAnswered | Event::TransferFailed | Event::TransferOver | Event::Referred => {}
        }
        self.yield_turn(now);
    }

    /// Does what is due at `now`; a no-op before [`Conversation::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        if self.stands_aside() {
            return self.aside_timeout(now);
        }
        self.screen_timeout(now);
        if self.ended {
            return;
        }
        self.caller_timeout(now);
        self.recovery_timeout(now);
        self.silence_timeout(now);
    }

    /// When [`Conversation::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        if self.stands_aside() {
            return self.aside_deadline();
        }
        let screening = [self.caller_deadline(), self.screen_deadline()];
        let watching = [self.recovery_deadline(), self.silence_deadline()];
        screening.into_iter().chain(watching).flatten().min()
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The call is over, whoever ended it: what was heard of the answer under way goes on record, and
    /// the caller's last words are still transcribed.
    pub fn close(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.close_screening();
        self.drop_head_start();
        self.cut_answer(now);
        self.settle_cut();
        self.finish_caller_turn(now);
    }

    /// Closed, and no transcript is outstanding.
    pub fn is_settled(&self) -> bool {
        self.ended && self.finishing.is_none()
    }

    fn handle_afterwards(&mut self, event: Event) {
        match event {
            Event::Final { text } => self.record_last_words(&text),
            Event::EngineFailed { engine: EngineKind::Asr, .. } => self.finishing = None,
            _ => {}
        }
    }

    /// Ends the conversation from this side.
    pub(super) fn hang_up(&mut self, now: Instant, closing: Closing) {
        self.close(now);
        self.effects.push_back(Effect::HangUp { closing });
    }

    fn handle_answered(&mut self, now: Instant) {
        self.answered_at = Some(now);
        self.watchdog.sound(now);
        self.begin_screening(now);
        if !self.setup.wait_for_greeting {
            self.open(now);
        }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn record_turn(
        &mut self,
        speaker: Speaker,
        text: String,
        span: (Instant, Instant),
        interrupted: bool,
        latency: Option<LatencySplit>,
    ) {
        let Some(answered) = self.answered_at else { return };
        let since = |at: Instant| at.saturating_duration_since(answered).as_millis() as u64;
        self.effects.push_back(Effect::Turn(TurnRecord {
            speaker,
            text: Pii::new(text),
            start_ms: since(span.0),
            end_ms: since(span.1),
            interrupted,
            latency,
        }));
    }

    pub(super) fn live(&mut self, speaker: Speaker, text: &str) {
        self.effects.push_back(Effect::Live { speaker, text: Pii::new(text.to_owned()) });
    }
}
