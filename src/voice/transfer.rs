//! The caller is handed to a person.
//!
//! The agent says that it connects the caller, and from the last word of it the conversation stands aside:
//! it hears nothing, says nothing and asks no engine. If the person answers, the two speak with each other
//! to the end of the call; if not, the agent comes back, says so, and the conversation goes on.
//!
//! Who wants a person is told three ways, because small models call tools now and then: the caller's plain
//! words ([`asking`]), the model's tool, and the model's words that promise it without the tool.

mod asking;
mod phrases;

use std::time::Instant;

pub(in crate::voice) use asking::{asks_for_a_person, promises_transfer};

use crate::engine::Role;
use crate::voice::Conversation;
use crate::voice::answer::Voicing;
use crate::voice::effect::{Closing, Effect};
use crate::voice::event::{EngineKind, Event};

/// Nobody's phone is rung more often in one call.
const MOST_TRIES: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct Transfer {
    tries: u32,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// The agent speaks with the caller.
    #[default]
    Here,
    /// Somebody is being called.
    Calling,
    /// The caller speaks with somebody else.
    Away,
}

impl Conversation {
    /// There is somebody to hand the call to who was not tried in vain too often.
    pub(super) fn may_transfer(&self) -> bool {
        self.setup.transfers && self.transfer.tries < MOST_TRIES && self.transfer.stage == Stage::Here
    }

    /// The agent stands aside: nothing that is heard is for it.
    pub fn stands_aside(&self) -> bool {
        self.transfer.stage != Stage::Here
    }

    /// Whether the caller's open words ask for a person who may be called.
    pub(super) fn caller_wants_a_person(&self) -> bool {
        self.opened && self.may_transfer() && self.history.open_question().is_some_and(asks_for_a_person)
    }

    /// The hand-over has been said.
    pub(super) fn hand_over(&mut self, now: Instant) {
        self.transfer = Transfer { tries: self.transfer.tries + 1, stage: Stage::Calling };
        self.close_screening();
        self.drop_head_start();
        self.settle_cut();
        self.cut = None;
        self.digits = None;
        self.finish_caller_turn(now);
        self.effects.push_back(Effect::Transfer);
    }

    pub(super) fn handle_aside(&mut self, now: Instant, event: Event) {
        match event {
            Event::Final { text } => {
                self.history.push(Role::User, text.trim());
                self.record_last_words(&text);
            }
            Event::EngineFailed { engine: EngineKind::Asr, .. } => self.finishing = None,
            Event::Dtmf { digit } if self.transfer.stage == Stage::Away => {
                self.effects.push_back(Effect::PassDigit { digit });
            }
            Event::TransferAnswered => self.transfer.stage = Stage::Away,
            Event::TransferFailed => self.come_back(now),
            Event::TransferOver => self.hang_up(now, Closing::TransferOver),
            Event::Referred => self.hang_up(now, Closing::Referred),
            Event::MediaLost => self.hang_up(now, Closing::MediaLost),
            _ => {}
        }
    }

    fn come_back(&mut self, now: Instant) {
        self.transfer.stage = Stage::Here;
        self.finishing = None;
        self.effects.push_back(Effect::ListenAnew);
        self.watchdog.sound(now);
        self.watchdog.caller_spoke();
        self.say(now, &self.config.phrases.not_reached.clone(), Voicing::Line);
    }

    /// All that time brings while the agent stands aside: the end of the call.
    pub(super) fn aside_timeout(&mut self, now: Instant) {
        if self.aside_deadline().is_some_and(|end| now >= end) {
            self.hang_up(now, Closing::MaxDuration);
        }
    }

    pub(super) fn aside_deadline(&self) -> Option<Instant> {
        Some(self.answered_at? + self.setup.max_duration)
    }
}
