//! What the agent does about an answering machine: nothing, hang up, or leave a message.
//!
//! Once a machine is known the agent falls silent and asks the LLM nothing more. A message waits for the
//! beep, or for the greeting to end, and is then said to its end. Greetings pause before their beep now
//! and then: a beep in the first seconds of the message starts it again, since the machine records only
//! from there.

use std::time::{Duration, Instant};

use crate::base::Pii;
use crate::voice::effect::{AnsweredBy, Closing, Effect};
use crate::voice::greeting::{self, Clue, Greeting};
use crate::voice::recovery::Outages;
use crate::voice::{Conversation, ms};

/// A beep this soon after the message began was the machine's own; a later one ends its tape.
const BEGINS_AGAIN_WITHIN: Duration = ms(6_000);

/// How a call looks at who answered it.
#[derive(Debug, Clone, PartialEq)]
pub struct Screening {
    pub config: greeting::Config,
    pub on_voicemail: OnVoicemail,
}

#[derive(Debug, Clone, PartialEq)]
pub enum OnVoicemail {
    /// Go on as if a person had answered.
    Ignore,
    HangUp,
    /// Say this after the beep, then hang up.
    LeaveMessage(Pii<String>),
}

/// How far the screening of a call is.
#[derive(Debug)]
pub(super) enum Screen {
    /// There is none, or a person answered, or a machine that is taken for one.
    Off,
    Listening(Greeting),
    /// A machine answered, and nothing was done about it yet.
    Found,
    /// Its greeting is waited out. `quiet` is its last speech before the silence under way.
    Waiting {
        since: Instant,
        quiet: Option<Instant>,
    },
    /// The message is being left. `again`: a beep starts it over.
    Leaving {
        since: Instant,
        again: bool,
    },
}

impl Conversation {
    /// A machine has answered and is dealt with: no answers, no prompts, no apologies.
    pub(super) fn is_machine(&self) -> bool {
        matches!(self.screen, Screen::Found | Screen::Waiting { .. } | Screen::Leaving { .. })
    }

    /// A beep would still mean something.
    pub fn listens_for_beeps(&self) -> bool {
        !matches!(self.screen, Screen::Off)
    }

    pub(super) fn begin_screening(&mut self, now: Instant) {
        if let Some(screening) = &self.setup.screening {
            self.screen = Screen::Listening(Greeting::new(screening.config.clone(), now));
        }
    }

    /// Takes note of a clue and does what it calls for.
    pub(super) fn screen(&mut self, now: Instant, clue: Clue<'_>) {
        self.note(now, clue);
        self.attend_machine(now);
        if matches!((clue, &self.screen), (Clue::Beeps { .. }, Screen::Waiting { .. })) {
            self.leave_message(now, false);
        }
    }

    /// Takes note of a clue; [`Conversation::attend_machine`] does what it calls for.
    pub(super) fn note(&mut self, now: Instant, clue: Clue<'_>) {
        match &mut self.screen {
            Screen::Off | Screen::Found => {}
            Screen::Listening(greeting) => {
                let verdict = greeting.handle(now, clue);
                self.decide(verdict);
            }
            Screen::Waiting { quiet, .. } => match clue {
                Clue::Speaks { .. } => *quiet = None,
                Clue::Pauses { last_speech } => *quiet = Some(last_speech),
                Clue::Says { .. } | Clue::Beeps { .. } | Clue::AgentSpoke => {}
            },
            Screen::Leaving { since, again: true } => {
                if matches!(clue, Clue::Beeps { .. }) && now < *since + BEGINS_AGAIN_WITHIN {
                    self.fall_silent(now);
                    self.leave_message(now, false);
                }
            }
            Screen::Leaving { .. } => {}
        }
    }

    fn decide(&mut self, verdict: Option<AnsweredBy>) {
        let Some(verdict) = verdict else { return };
        self.effects.push_back(Effect::AnsweredBy(verdict));
        let on_voicemail = self.setup.screening.as_ref().map(|screening| &screening.on_voicemail);
        let acts = verdict == AnsweredBy::Voicemail && on_voicemail != Some(&OnVoicemail::Ignore);
        self.screen = if acts { Screen::Found } else { Screen::Off };
    }

    /// Does what was asked for about a machine that was just found.
    pub(super) fn attend_machine(&mut self, now: Instant) {
        if !matches!(self.screen, Screen::Found) {
            return;
        }
        self.fall_silent(now);
        self.opened = true;
        self.digits = None;
        self.outages = Outages::default();
        match self.setup.screening.as_ref().map(|screening| &screening.on_voicemail) {
            Some(OnVoicemail::LeaveMessage(_)) => {
                self.screen = Screen::Waiting { since: now, quiet: self.caller_quiet_since(now) };
            }
            _ => self.hang_up(now, Closing::Voicemail),
        }
    }

    fn fall_silent(&mut self, now: Instant) {
        self.cut_answer(now);
        self.settle_cut();
        self.cut = None;
    }

    fn leave_message(&mut self, now: Instant, again: bool) {
        let Some(OnVoicemail::LeaveMessage(message)) =
            self.setup.screening.as_ref().map(|screening| screening.on_voicemail.clone())
        else {
            return;
        };
        self.screen = Screen::Leaving { since: now, again };
        self.say_protected_and_hang_up(now, message.expose(), Closing::MessageLeft);
    }

    pub(super) fn screen_timeout(&mut self, now: Instant) {
        if self.screen_deadline().is_none_or(|at| now < at) {
            return;
        }
        match &mut self.screen {
            Screen::Listening(greeting) => {
                let verdict = greeting.handle_timeout(now);
                self.decide(verdict);
                self.attend_machine(now);
            }
            Screen::Waiting { .. } => self.leave_message(now, true),
            Screen::Off | Screen::Found | Screen::Leaving { .. } => {}
        }
    }

    pub(super) fn screen_deadline(&self) -> Option<Instant> {
        let config = &self.setup.screening.as_ref()?.config;
        match &self.screen {
            Screen::Listening(greeting) => greeting.poll_timeout(),
            Screen::Waiting { since, quiet } => {
                let over = quiet.map(|quiet| quiet + ms(config.silence_ms));
                over.into_iter().chain([*since + ms(config.beep_wait_ms)]).min()
            }
            Screen::Off | Screen::Found | Screen::Leaving { .. } => None,
        }
    }

    /// The call is over: what is known by now is the verdict.
    pub(super) fn close_screening(&mut self) {
        if let Screen::Listening(greeting) = &mut self.screen {
            let verdict = greeting.close();
            self.decide(verdict);
        }
        self.screen = Screen::Off;
    }
}
