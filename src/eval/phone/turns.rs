//! When a phone speaks: its script goes on each time the other side has said something and fallen
//! silent, and in any case after a while.
//!
//! Pure: in come [`Event`]s with the time, out come [`Effect`]s.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How the phone takes turns.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Silence of the other side, once it has spoken, after which the phone goes on.
    pub patience: Duration,
    /// Without a word of the other side the phone goes on after this long; while the other side does not
    /// stop, after three times as long.
    pub fallback: Duration,
    /// The first step comes at once, as people answer a phone.
    pub greet: bool,
    /// This step, counted from 0, does not wait for the other side to finish.
    pub barge_in: Option<usize>,
    /// How long the other side has been speaking when the phone barges in.
    pub barge_in_after: Duration,
    /// Hangs up right after the last step; else the other side may reply to it.
    pub hang_up_after_last: bool,
    /// Hangs up this long after the answer, whatever is going on.
    pub hang_up_at: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            patience: Duration::from_millis(700),
            fallback: Duration::from_secs(10),
            greet: false,
            barge_in: None,
            barge_in_after: Duration::from_millis(1_500),
            hang_up_after_last: false,
            hang_up_at: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    OtherSpeaks,
    /// The other side fell silent at `since`.
    OtherSilent {
        since: Instant,
    },
    /// What [`Effect::Perform`] asked for has left the phone.
    StepEnded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Say the line or press the digits with this index.
    Perform(usize),
    HangUp,
}

/// What the other side has done since the phone's last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    Nothing,
    Speaking { since: Instant },
    Silent { since: Instant },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Performing,
    Waiting { since: Instant },
    Over,
}

pub struct Turns {
    config: Config,
    steps: usize,
    next: usize,
    other: Other,
    state: State,
    hang_up_at: Option<Instant>,
    effects: VecDeque<Effect>,
}

impl Turns {
    /// The call was answered at `now`; the script has `steps` steps.
    pub fn new(config: Config, steps: usize, now: Instant) -> Self {
        let mut turns = Turns {
            hang_up_at: config.hang_up_at.map(|after| now + after),
            steps,
            next: 0,
            other: Other::Nothing,
            state: State::Waiting { since: now },
            effects: VecDeque::new(),
            config,
        };
        if turns.config.greet && steps > 0 {
            turns.go_on();
        }
        turns
    }

    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::OtherSpeaks => {
                if !matches!(self.other, Other::Speaking { .. }) {
                    self.other = Other::Speaking { since: now };
                }
            }
            Event::OtherSilent { since } => self.other = Other::Silent { since },
            Event::StepEnded => self.step_ended(now),
        }
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Turns::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Over => None,
            _ => [self.hang_up_at, self.turn_at()].into_iter().flatten().min(),
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Over {
            return;
        }
        if self.hang_up_at.is_some_and(|at| at <= now) {
            self.hang_up();
        } else if self.turn_at().is_some_and(|at| at <= now) {
            self.go_on();
        }
    }

    /// When the phone takes its turn, as things stand. A phone without a script only listens.
    fn turn_at(&self) -> Option<Instant> {
        let State::Waiting { since } = self.state else { return None };
        if self.steps == 0 {
            return None;
        }
        Some(match self.other {
            Other::Nothing => since + self.config.fallback,
            Other::Speaking { since: from } if self.config.barge_in == Some(self.next) => {
                from.max(since) + self.config.barge_in_after
            }
            Other::Speaking { since: from } => from.max(since) + 3 * self.config.fallback,
            Other::Silent { since: silent } => silent + self.config.patience,
        })
    }

    fn go_on(&mut self) {
        if self.next == self.steps {
            return self.hang_up();
        }
        self.effects.push_back(Effect::Perform(self.next));
        self.next += 1;
        self.state = State::Performing;
    }

    fn step_ended(&mut self, now: Instant) {
        if self.state != State::Performing {
            return;
        }
        if self.next == self.steps && self.config.hang_up_after_last {
            return self.hang_up();
        }
        // What the other side said before the phone had finished is no reply to it.
        if let Other::Silent { .. } = self.other {
            self.other = Other::Nothing;
        }
        self.state = State::Waiting { since: now };
    }

    fn hang_up(&mut self) {
        self.effects.push_back(Effect::HangUp);
        self.state = State::Over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A phone in virtual time, which performs a step in one second.
    struct World {
        turns: Turns,
        start: Instant,
        now: Instant,
        /// Milliseconds and what happened.
        log: Vec<(u64, Effect)>,
        step_ends: Option<Instant>,
    }

    impl World {
        fn new(steps: usize, config: Config) -> Self {
            let start = Instant::now();
            let turns = Turns::new(config, steps, start);
            let mut world = World { turns, start, now: start, log: Vec::new(), step_ends: None };
            world.drain();
            world
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn drain(&mut self) {
            while let Some(effect) = self.turns.poll_effect() {
                self.log.push(((self.now - self.start).as_millis() as u64, effect));
                if let Effect::Perform(_) = effect {
                    self.step_ends = Some(self.now + Duration::from_secs(1));
                }
            }
        }

        fn run_until(&mut self, ms: u64) {
            let end = self.at(ms);
            while let Some(next) = [self.turns.poll_timeout(), self.step_ends].into_iter().flatten().min() {
                if next > end {
                    break;
                }
                self.now = self.now.max(next);
                if self.step_ends.is_some_and(|at| at <= self.now) {
                    self.step_ends = None;
                    self.turns.handle(self.now, Event::StepEnded);
                } else {
                    self.turns.handle_timeout(self.now);
                }
                self.drain();
            }
            self.now = end;
        }

        /// The other side speaks from one moment to another; its silence is known 200 ms later.
        fn other_speaks(&mut self, from: u64, to: u64) {
            self.run_until(from);
            self.turns.handle(self.now, Event::OtherSpeaks);
            self.run_until(to + 200);
            let since = self.at(to);
            self.turns.handle(self.now, Event::OtherSilent { since });
            self.drain();
        }
    }

    use Effect::{HangUp, Perform};

    #[test]
    fn each_step_waits_for_the_other_side_to_fall_silent() {
        let mut world = World::new(2, Config::default());
        world.other_speaks(500, 2_000);
        world.other_speaks(4_500, 6_000);
        world.other_speaks(8_500, 9_000);
        world.run_until(60_000);
        assert_eq!(world.log, [(2_700, Perform(0)), (6_700, Perform(1)), (9_700, HangUp)]);
    }

    #[test]
    fn a_pause_shorter_than_the_patience_is_no_turn() {
        let mut world = World::new(1, Config::default());
        world.other_speaks(500, 1_000);
        world.other_speaks(1_500, 2_000);
        world.run_until(3_000);
        assert_eq!(world.log, [(2_700, Perform(0))]);
    }

    #[test]
    fn silence_does_not_hold_the_script_up_for_ever() {
        let mut world = World::new(1, Config::default());
        world.run_until(60_000);
        assert_eq!(world.log, [(10_000, Perform(0)), (21_000, HangUp)]);
    }

    #[test]
    fn a_voice_that_never_stops_does_not_either() {
        let mut world = World::new(1, Config::default());
        world.run_until(1_000);
        world.turns.handle(world.now, Event::OtherSpeaks);
        world.run_until(120_000);
        assert_eq!(world.log, [(31_000, Perform(0)), (62_000, HangUp)]);
    }

    #[test]
    fn words_spoken_over_the_phone_are_no_reply_to_it() {
        let mut world = World::new(2, Config { greet: true, ..Config::default() });
        world.other_speaks(100, 600);
        world.run_until(5_000);
        assert_eq!(world.log, [(0, Perform(0))]);
        world.other_speaks(5_000, 6_000);
        world.run_until(7_000);
        assert_eq!(world.log[1..], [(6_700, Perform(1))]);
    }

    #[test]
    fn barging_in_does_not_wait_for_silence() {
        let mut world = World::new(2, Config { greet: true, barge_in: Some(1), ..Config::default() });
        world.other_speaks(2_000, 9_000);
        assert_eq!(world.log, [(0, Perform(0)), (3_500, Perform(1))]);
    }

    #[test]
    fn last_word_ends_the_call_where_no_reply_is_wanted() {
        let mut world = World::new(1, Config { greet: true, hang_up_after_last: true, ..Config::default() });
        world.run_until(5_000);
        assert_eq!(world.log, [(0, Perform(0)), (1_000, HangUp)]);
    }

    #[test]
    fn the_set_time_ends_the_call_in_the_middle_of_a_step() {
        let at = Some(Duration::from_millis(400));
        let mut world = World::new(1, Config { greet: true, hang_up_at: at, ..Config::default() });
        world.run_until(5_000);
        assert_eq!(world.log, [(0, Perform(0)), (400, HangUp)]);
    }

    #[test]
    fn a_phone_without_a_script_only_listens() {
        let mut world = World::new(0, Config::default());
        world.other_speaks(500, 1_000);
        world.run_until(600_000);
        assert_eq!(world.log, []);
        assert_eq!(world.turns.poll_timeout(), None);
    }
}
