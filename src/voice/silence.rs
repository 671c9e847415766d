//! The watchdog: nobody is left in silence for more than eight seconds, and nothing lasts for ever.

use std::time::{Duration, Instant};

use crate::voice::answer::Voicing;
use crate::voice::caller_turn::CallerTurn;
use crate::voice::effect::Closing;
use crate::voice::{Conversation, ms};

/// A clause that has to be said is heard by now, or the call ends, in milliseconds.
pub(super) const LONGEST_MUTE_MS: u64 = 6_000;
/// A model that has not finished its answer by now counts as failed, in milliseconds.
const LONGEST_THOUGHT_MS: u64 = 30_000;

#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// When either side was last heard.
    last_sound: Option<Instant>,
    /// How often the agent has asked whether the caller is there.
    prompts: u32,
    wrapped_up: bool,
}

/// What silence calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    Open,
    Prompt,
    /// The recogniser is slow: the caller hears that something happens.
    Reassure,
    /// The LLM is.
    Filler,
    GiveUpThought,
    EngineLost,
    WrapUp,
    End,
}

impl Watchdog {
    pub(super) fn sound(&mut self, at: Instant) {
        self.last_sound = self.last_sound.max(Some(at));
    }

    pub(super) fn silent_for(&self, now: Instant) -> Duration {
        self.last_sound.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }

    pub(super) fn caller_spoke(&mut self) {
        self.prompts = 0;
    }
}

impl Conversation {
    pub(super) fn silence_timeout(&mut self, now: Instant) {
        let due = self.remedies().into_iter().flatten().filter(|(at, _)| now >= *at);
        let Some((_, remedy)) = due.min_by_key(|(at, _)| *at) else { return };
        match remedy {
            Remedy::Open => self.open(now),
            Remedy::Prompt => self.prompt(now),
            Remedy::Reassure => self.say(now, &self.config.phrases.one_moment.clone(), Voicing::Aside),
            Remedy::Filler => {
                self.watchdog.sound(now);
                self.speak(now, &self.config.phrases.one_moment.clone(), Voicing::Aside);
            }
            Remedy::GiveUpThought => self.handle_llm_failed(now),
            Remedy::EngineLost => self.hang_up(now, Closing::EngineLost),
            Remedy::WrapUp => {
                self.watchdog.wrapped_up = true;
                self.say_and_hang_up(now, &self.config.phrases.wrap_up.clone(), Closing::MaxDuration);
            }
            Remedy::End => self.hang_up(now, Closing::MaxDuration),
        }
    }

    pub(super) fn silence_deadline(&self) -> Option<Instant> {
        self.remedies().into_iter().flatten().map(|(at, _)| at).min()
    }

    /// What is due and when, as things stand.
    fn remedies(&self) -> [Option<(Instant, Remedy)>; 3] {
        let Some(answered) = self.answered_at else { return [None; 3] };
        let end = answered + self.setup.max_duration;
        let wrap_up = ms(self.config.watchdog.wrap_up_ms);
        let wraps_up =
            !self.watchdog.wrapped_up && !self.is_machine() && self.setup.max_duration > wrap_up * 3;
        [self.silence_remedy(), wraps_up.then(|| (end - wrap_up, Remedy::WrapUp)), Some((end, Remedy::End))]
    }

    fn silence_remedy(&self) -> Option<(Instant, Remedy)> {
        let last_sound = self.watchdog.last_sound?;
        let after = |milliseconds| last_sound + ms(milliseconds);
        let watchdog = &self.config.watchdog;
        if self.caller != CallerTurn::Silent || self.outages.retry_pending() {
            return None;
        }
        match &self.answer {
            None if self.is_machine() => None,
            None if self.finishing.is_some() => Some((after(watchdog.filler_after_ms), Remedy::Reassure)),
            None if !self.opened => Some((after(self.config.turn.greeting_wait_ms), Remedy::Open)),
            None => Some((after(watchdog.prompt_after_ms), Remedy::Prompt)),
            Some(answer) if answer.is_audible() => None,
            Some(answer) if answer.awaits_audio() => {
                let since = last_sound.max(answer.waiting_since().unwrap_or(last_sound));
                Some((since + ms(LONGEST_MUTE_MS), Remedy::EngineLost))
            }
            Some(answer) => {
                let longest = answer.asked_at + ms(LONGEST_THOUGHT_MS);
                let filler = after(watchdog.filler_after_ms);
                Some(if longest < filler {
                    (longest, Remedy::GiveUpThought)
                } else {
                    (filler, Remedy::Filler)
                })
            }
        }
    }

    fn prompt(&mut self, now: Instant) {
        self.watchdog.prompts += 1;
        let phrases = self.config.phrases.clone();
        if self.watchdog.prompts > self.config.watchdog.prompts {
            self.say_and_hang_up(now, &phrases.goodbye, Closing::CallerSilent);
        } else {
            self.say(now, &phrases.still_there, Voicing::Line);
        }
    }
}
