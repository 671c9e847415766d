//! Who answered: a person or an answering machine.
//!
//! In come clues, in order: when the far end speaks and pauses, its words, a beep, and that the agent
//! has had its say. Out comes one verdict, or none before [`Config::decide_within_ms`].
//!
//! People greet briefly, then wait. Machines speak on, name a mailbox, and beep. So a short greeting and
//! silence after it are a person's; words of a recording are a machine's at once, as is a beep after a
//! greeting; speech without end is a machine's, unless it offers a menu. A far end that has let the agent
//! finish before it says anything answers as people do, and what it says then ("she is not available,
//! would you leave a message?") proves nothing. A long greeting without any such words may be a
//! receptionist's: the next thing it says, after it has heard the agent out, shows a person.

mod phrases;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::voice::effect::AnsweredBy;
use crate::voice::greeting::phrases::Words;
use crate::voice::ms;

/// A beep after less speech than this follows no greeting: recording notices and call waiting beep too.
const LEAST_GREETING: Duration = ms(1_000);
/// Between the end of a greeting and its beep.
const BEEP_WITHIN: Duration = ms(6_000);
/// The transcript of a greeting is waited for this long after the silence that ended it.
const WORDS_PATIENCE: Duration = ms(3_000);
/// Characters of a greeting that are looked at.
const MOST_WORDS: usize = 2_000;

/// `[call.answering]`. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Longest greeting that is a person's whatever its words.
    pub short_greeting_ms: u64,
    /// Speech this long, without a silence that ends it, is a recording.
    pub long_greeting_ms: u64,
    /// Silence that ends a greeting.
    pub silence_ms: u64,
    /// Without a verdict this long after the answer there will be none.
    pub decide_within_ms: u64,
    /// Longest wait for a machine's beep before a message is left all the same.
    pub beep_wait_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            short_greeting_ms: 4_000,
            long_greeting_ms: 12_000,
            silence_ms: 1_500,
            decide_within_ms: 40_000,
            beep_wait_ms: 30_000,
        }
    }
}

/// What may tell a person from a machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clue<'a> {
    /// The far end began to speak, or went on.
    Speaks {
        onset: Instant,
    },
    Pauses {
        last_speech: Instant,
    },
    /// What it said in the utterance under way, up to now or up to the end of it.
    Says {
        text: &'a str,
        complete: bool,
    },
    /// A beep that has just ended.
    Beeps {
        length: Duration,
    },
    /// The agent has said something to its end.
    AgentSpoke,
}

/// The greeting of one call.
#[derive(Debug)]
pub struct Greeting {
    config: Config,
    answered: Instant,
    stage: Stage,
    /// Of utterances that are complete.
    said: String,
    /// Of the one under way.
    saying: String,
    /// The words of all that was heard so far are known.
    transcribed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// Nothing was heard yet.
    Quiet {
        agent_spoke: bool,
    },
    /// `paused` is the last speech before the silence under way. A `reply` began after the agent's turn.
    Speech {
        onset: Instant,
        paused: Option<Instant>,
        reply: bool,
    },
    /// A long greeting has ended, and nothing in it was telling.
    Ambiguous {
        onset: Instant,
        ended: Instant,
        agent_spoke: bool,
    },
    Decided,
}

impl Greeting {
    pub fn new(config: Config, answered: Instant) -> Self {
        Greeting {
            config,
            answered,
            stage: Stage::Quiet { agent_spoke: false },
            said: String::new(),
            saying: String::new(),
            transcribed: false,
        }
    }

    /// Takes a clue; gives the verdict it brings, once.
    pub fn handle(&mut self, now: Instant, clue: Clue<'_>) -> Option<AnsweredBy> {
        if self.stage == Stage::Decided {
            return None;
        }
        let verdict = match clue {
            Clue::Speaks { onset } => self.handle_speech(onset),
            Clue::Pauses { last_speech } => self.handle_pause(last_speech),
            Clue::Says { text, complete } => self.handle_words(text, complete),
            Clue::Beeps { length } => self.handle_beep(now, length),
            Clue::AgentSpoke => self.handle_agent_spoke(),
        };
        self.decide(verdict)
    }

    /// Does what is due at `now`; a no-op before [`Greeting::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) -> Option<AnsweredBy> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return None;
        }
        let verdict = match self.stage {
            _ if now >= self.last_moment() => Some(AnsweredBy::Unknown),
            Stage::Speech { onset, paused: Some(last_speech), reply } => self.end(onset, last_speech, reply),
            Stage::Speech { .. } if self.words().menu => Some(AnsweredBy::Unknown),
            Stage::Speech { .. } => Some(AnsweredBy::Voicemail),
            Stage::Quiet { .. } | Stage::Ambiguous { .. } | Stage::Decided => None,
        };
        self.decide(verdict)
    }

    /// When [`Greeting::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = match self.stage {
            Stage::Decided => return None,
            Stage::Speech { paused: Some(last_speech), .. } => {
                let patience = if self.transcribed { Duration::ZERO } else { WORDS_PATIENCE };
                Some(last_speech + ms(self.config.silence_ms) + patience)
            }
            Stage::Speech { onset, reply: false, .. } => Some(onset + ms(self.config.long_greeting_ms)),
            Stage::Speech { .. } | Stage::Quiet { .. } | Stage::Ambiguous { .. } => None,
        };
        due.into_iter().chain([self.last_moment()]).min()
    }

    /// The call is over before the greeting was: words and a pause after them are a person's.
    pub fn close(&mut self) -> Option<AnsweredBy> {
        let short = match self.stage {
            Stage::Speech { onset, paused: Some(last_speech), .. } => self.is_short(onset, last_speech),
            _ => false,
        };
        let person = short && !self.text().trim().is_empty();
        self.decide(person.then_some(AnsweredBy::Human))
    }

    fn decide(&mut self, verdict: Option<AnsweredBy>) -> Option<AnsweredBy> {
        if verdict.is_some() {
            self.stage = Stage::Decided;
        }
        verdict
    }

    fn last_moment(&self) -> Instant {
        self.answered + ms(self.config.decide_within_ms)
    }

    fn handle_speech(&mut self, began: Instant) -> Option<AnsweredBy> {
        self.transcribed = false;
        self.stage = match self.stage {
            Stage::Ambiguous { agent_spoke: true, .. } => return Some(AnsweredBy::Human),
            Stage::Quiet { agent_spoke } => Stage::Speech { onset: began, paused: None, reply: agent_spoke },
            Stage::Speech { onset, reply, .. } => Stage::Speech { onset, paused: None, reply },
            Stage::Ambiguous { onset, .. } => Stage::Speech { onset, paused: None, reply: false },
            Stage::Decided => Stage::Decided,
        };
        None
    }

    fn handle_pause(&mut self, last_speech: Instant) -> Option<AnsweredBy> {
        if let Stage::Speech { paused, .. } = &mut self.stage {
            *paused = Some(last_speech);
        }
        None
    }

    fn handle_words(&mut self, text: &str, complete: bool) -> Option<AnsweredBy> {
        let pausing = matches!(self.stage, Stage::Speech { paused: Some(_), .. } | Stage::Ambiguous { .. });
        self.transcribed = pausing;
        self.saying = text.chars().take(MOST_WORDS).collect();
        if complete {
            let saying = std::mem::take(&mut self.saying);
            if self.said.len() < MOST_WORDS {
                self.said.extend([" ", &saying]);
            }
        }
        match self.stage {
            Stage::Speech { reply: true, .. } => {
                (complete && !self.text().trim().is_empty()).then_some(AnsweredBy::Human)
            }
            Stage::Ambiguous { .. } if self.words().recorded > 0 => Some(AnsweredBy::Voicemail),
            _ => self.words().is_recording().then_some(AnsweredBy::Voicemail),
        }
    }

    fn handle_beep(&mut self, now: Instant, length: Duration) -> Option<AnsweredBy> {
        let began = now.checked_sub(length)?;
        let greeted = match self.stage {
            Stage::Speech { onset, .. } => began >= onset + LEAST_GREETING,
            Stage::Ambiguous { ended, .. } => began <= ended + BEEP_WITHIN,
            Stage::Quiet { .. } | Stage::Decided => false,
        };
        greeted.then_some(AnsweredBy::Voicemail)
    }

    fn handle_agent_spoke(&mut self) -> Option<AnsweredBy> {
        if let Stage::Quiet { agent_spoke } | Stage::Ambiguous { agent_spoke, .. } = &mut self.stage {
            *agent_spoke = true;
        }
        None
    }

    /// A silence has ended the greeting.
    fn end(&mut self, onset: Instant, ended: Instant, reply: bool) -> Option<AnsweredBy> {
        let words = self.words();
        if self.transcribed && self.text().trim().is_empty() {
            // A cough, or the line.
            self.stage = Stage::Quiet { agent_spoke: reply };
            return None;
        }
        if reply || self.is_short(onset, ended) {
            return Some(AnsweredBy::Human);
        }
        if words.recorded > 0 {
            return Some(AnsweredBy::Voicemail);
        }
        if words.menu {
            return Some(AnsweredBy::Unknown);
        }
        self.stage = Stage::Ambiguous { onset, ended, agent_spoke: false };
        None
    }

    fn is_short(&self, onset: Instant, ended: Instant) -> bool {
        ended.saturating_duration_since(onset) <= ms(self.config.short_greeting_ms)
    }

    fn text(&self) -> String {
        format!("{} {}", self.said, self.saying)
    }

    fn words(&self) -> Words {
        Words::of(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A greeting whose clues come at milliseconds after the answer.
    struct Heard {
        answered: Instant,
        greeting: Greeting,
        verdict: Option<(u64, AnsweredBy)>,
    }

    impl Heard {
        fn new() -> Self {
            let answered = Instant::now();
            Heard { answered, greeting: Greeting::new(Config::default(), answered), verdict: None }
        }

        fn at(&self, at: u64) -> Instant {
            self.answered + ms(at)
        }

        fn clue(mut self, at: u64, clue: Clue<'_>) -> Self {
            self = self.until(at);
            let verdict = self.greeting.handle(self.at(at), clue);
            self.verdict = self.verdict.or(verdict.map(|verdict| (at, verdict)));
            self
        }

        /// Speech; its words are known 700 ms after it.
        fn speech(self, from: u64, to: u64, text: &str) -> Self {
            let (onset, last_speech) = (self.at(from), self.at(to));
            self.clue(from + 90, Clue::Speaks { onset })
                .clue(to + 200, Clue::Pauses { last_speech })
                .clue(to + 700, Clue::Says { text, complete: true })
        }

        fn until(mut self, at: u64) -> Self {
            while let Some(due) = self.greeting.poll_timeout().filter(|due| *due <= self.at(at)) {
                let verdict = self.greeting.handle_timeout(due);
                let since = (due - self.answered).as_millis() as u64;
                self.verdict = self.verdict.or(verdict.map(|verdict| (since, verdict)));
            }
            self
        }

        #[track_caller]
        fn is(self, at: u64, verdict: AnsweredBy) {
            assert_eq!(self.verdict, Some((at, verdict)));
        }
    }

    #[test]
    fn a_short_greeting_and_silence_are_a_persons() {
        Heard::new().speech(500, 1_200, "Hello?").until(10_000).is(2_700, AnsweredBy::Human);
    }

    #[test]
    fn words_of_a_recording_decide_while_it_speaks() {
        let heard = Heard::new();
        let onset = heard.at(600);
        let text = "Hi, this is Bob. Please leave a message after";
        let heard = heard
            .clue(690, Clue::Speaks { onset })
            .clue(2_400, Clue::Says { text: "Hi, this is Bob", complete: false })
            .clue(3_900, Clue::Says { text, complete: false });
        heard.is(3_900, AnsweredBy::Voicemail);
    }

    #[test]
    fn a_short_recording_is_a_recording() {
        Heard::new().speech(500, 1_900, "Leave a message.").is(2_600, AnsweredBy::Voicemail);
    }

    #[test]
    fn words_that_come_late_are_waited_for() {
        let heard = Heard::new();
        let (onset, last_speech) = (heard.at(500), heard.at(2_500));
        let text = "You've reached Bob, I can't come to the phone.";
        let heard = heard
            .clue(590, Clue::Speaks { onset })
            .clue(2_700, Clue::Pauses { last_speech })
            .clue(5_500, Clue::Says { text, complete: true });
        heard.is(5_500, AnsweredBy::Voicemail);
    }

    #[test]
    fn without_a_transcript_length_decides() {
        let heard = Heard::new();
        let (onset, last_speech) = (heard.at(500), heard.at(1_500));
        let heard = heard.clue(590, Clue::Speaks { onset }).clue(1_700, Clue::Pauses { last_speech });
        heard.until(20_000).is(6_000, AnsweredBy::Human);
        let heard = Heard::new();
        heard.clue(590, Clue::Speaks { onset }).until(20_000).verdict.expect("speech without end decides");
    }

    #[test]
    fn speech_without_end_is_a_machines_and_a_menu_is_neither() {
        let endless = |text| {
            let heard = Heard::new();
            let onset = heard.at(500);
            let heard = heard.clue(590, Clue::Speaks { onset });
            heard.clue(4_000, Clue::Says { text, complete: false }).until(30_000)
        };
        endless("Our office is closed for the holidays and").is(12_500, AnsweredBy::Voicemail);
        endless("Welcome to Lakeside. For appointments, press 1").is(12_500, AnsweredBy::Unknown);
    }

    #[test]
    fn a_beep_after_a_greeting_is_a_machines() {
        let beep = Clue::Beeps { length: ms(400) };
        let heard = Heard::new().speech(500, 5_500, "Bob Miller, Lakeside, Monday to Friday.");
        heard.clue(8_000, beep).is(8_000, AnsweredBy::Voicemail);
        assert_eq!(Heard::new().clue(1_500, beep).verdict, None, "no greeting went before it");
    }

    #[test]
    fn a_beep_that_the_vad_takes_for_speech_is_no_greeting() {
        let heard = Heard::new();
        let onset = heard.at(500);
        let heard = heard.clue(590, Clue::Speaks { onset }).clue(960, Clue::Beeps { length: ms(400) });
        assert_eq!(heard.verdict, None);
    }

    #[test]
    fn a_receptionist_who_greets_at_length_is_a_person_once_she_has_listened() {
        let greeting = "Good morning, thank you for calling Lakeside Dental, Anna speaking, how may I help?";
        let heard = Heard::new().speech(500, 5_500, greeting).clue(9_000, Clue::AgentSpoke);
        heard.speech(10_000, 12_000, "Sure.").is(10_090, AnsweredBy::Human);
    }

    #[test]
    fn who_has_heard_the_agent_out_may_speak_of_messages() {
        let heard = Heard::new().clue(4_000, Clue::AgentSpoke);
        let text = "She is not available, would you like to leave a message?";
        heard.speech(4_500, 7_500, text).is(8_200, AnsweredBy::Human);
    }

    #[test]
    fn a_cough_is_no_greeting() {
        let heard = Heard::new().speech(500, 800, "");
        heard.speech(3_000, 6_000, "This is the mailbox of Bob.").is(6_700, AnsweredBy::Voicemail);
    }

    #[test]
    fn nobody_who_speaks_is_nobody_known() {
        Heard::new().until(60_000).is(40_000, AnsweredBy::Unknown);
    }

    #[test]
    fn a_verdict_comes_once() {
        let heard = Heard::new().speech(500, 1_200, "Hello?").until(5_000);
        let heard = heard.speech(6_000, 8_000, "Please leave a message after the tone.");
        heard.clue(9_000, Clue::Beeps { length: ms(400) }).is(2_700, AnsweredBy::Human);
    }

    #[test]
    fn a_call_that_ends_after_a_word_was_a_persons() {
        let mut heard = Heard::new().speech(500, 1_200, "Wrong number.");
        assert_eq!(heard.greeting.close(), Some(AnsweredBy::Human));
        assert_eq!(Heard::new().greeting.close(), None);
    }
}
