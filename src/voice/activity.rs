//! When the caller speaks: VAD probabilities, frame by frame, become "speech started", "speech
//! sustained" (long enough to take the turn from the agent) and "speech paused". A start wants several frames in a row, so that a click is not a word; a pause wants a
//! stretch of silence, and two thresholds keep a fading syllable from flickering.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::voice::{Event, ms};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Probability from which a frame counts as speech.
    pub speech_threshold: f32,
    /// Probability below which a frame counts as silence; between the two nothing changes.
    pub silence_threshold: f32,
    /// Speech of this length starts an utterance, in milliseconds.
    pub start_ms: u64,
    /// Speech of this length is more than a cough or a word of attention: it stops the agent. In
    /// milliseconds.
    pub sustained_ms: u64,
    /// Silence of this length is a pause, in milliseconds.
    pub pause_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            speech_threshold: 0.5,
            silence_threshold: 0.35,
            start_ms: 90,
            sustained_ms: 200,
            pause_ms: 200,
        }
    }
}

#[derive(Debug)]
pub struct Activity {
    config: Config,
    frame: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// `run` speech frames in a row so far.
    Silent { run: u32 },
    /// `spoken` frames of speech so far.
    Speaking { last_speech: Instant, spoken: u32 },
}

impl Activity {
    /// `frame` is the length of the frames that will be judged.
    pub fn new(config: Config, frame: Duration) -> Self {
        Activity { config, frame, state: State::Silent { run: 0 } }
    }

    /// Nothing has been heard yet.
    pub fn reset(&mut self) {
        self.state = State::Silent { run: 0 };
    }

    /// Takes the probability of the frame that ended at `now`.
    pub fn handle_frame(&mut self, now: Instant, probability: f32) -> Option<Event> {
        let speech = probability >= self.config.speech_threshold;
        match self.state {
            State::Silent { .. } if !speech => {
                self.state = State::Silent { run: 0 };
                None
            }
            State::Silent { run } => self.extend_run(now, run + 1),
            State::Speaking { last_speech, spoken } => {
                if probability >= self.config.silence_threshold {
                    return self.extend_speech(now, spoken + 1);
                }
                if now.saturating_duration_since(last_speech) < ms(self.config.pause_ms) {
                    return None;
                }
                self.state = State::Silent { run: 0 };
                Some(Event::SpeechPaused { last_speech })
            }
        }
    }

    fn extend_run(&mut self, now: Instant, run: u32) -> Option<Event> {
        let length = self.frame * run;
        if length < ms(self.config.start_ms) {
            self.state = State::Silent { run };
            return None;
        }
        self.state = State::Speaking { last_speech: now, spoken: run };
        Some(Event::SpeechStarted { onset: now.checked_sub(length).unwrap_or(now) })
    }

    /// Speech goes on; it is sustained once, on the frame that makes it long enough, and never on the
    /// frame that starts it.
    fn extend_speech(&mut self, now: Instant, spoken: u32) -> Option<Event> {
        self.state = State::Speaking { last_speech: now, spoken };
        let needed = ms(self.config.sustained_ms).max(ms(self.config.start_ms) + self.frame);
        let before = self.frame * (spoken - 1);
        (before < needed && self.frame * spoken >= needed).then_some(Event::SpeechSustained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = ms(32);

    fn feed(probabilities: &[f32]) -> Vec<(usize, Event)> {
        let start = Instant::now() + ms(10_000);
        let mut activity = Activity::new(Config::default(), FRAME);
        let at = |i: usize| start + FRAME * (i as u32 + 1);
        probabilities
            .iter()
            .enumerate()
            .filter_map(|(i, p)| activity.handle_frame(at(i), *p).map(|event| (i, event)))
            .collect()
    }

    #[test]
    fn a_click_is_not_a_word() {
        assert_eq!(feed(&[0.0, 0.9, 0.9, 0.1, 0.9, 0.0]), vec![]);
    }

    #[test]
    fn onset_is_the_first_speech_frame() {
        let start = Instant::now() + ms(10_000);
        let mut activity = Activity::new(Config::default(), FRAME);
        activity.handle_frame(start, 0.1);
        activity.handle_frame(start + FRAME, 0.9);
        activity.handle_frame(start + FRAME * 2, 0.9);
        let event = activity.handle_frame(start + FRAME * 3, 0.9);
        assert_eq!(event, Some(Event::SpeechStarted { onset: start }));
    }

    #[test]
    fn a_fading_syllable_does_not_flicker() {
        let mut frames = vec![0.9; 5];
        frames.extend([0.4; 20]);
        let events = feed(&frames);
        assert!(!events.iter().any(|(_, event)| matches!(event, Event::SpeechPaused { .. })), "{events:?}");
    }

    #[test]
    fn speech_is_sustained_once() {
        let events = feed(&[0.9; 30]);
        let sustained = |(_, event): &&(usize, Event)| *event == Event::SpeechSustained;
        assert_eq!(events.iter().filter(sustained).count(), 1);
        assert!(feed(&[0.9, 0.9, 0.9, 0.9, 0.1]).iter().all(|(_, event)| *event != Event::SpeechSustained));
    }

    #[test]
    fn a_pause_names_the_last_speech() {
        let mut frames = vec![0.9; 5];
        frames.extend([0.0; 10]);
        let events = feed(&frames);
        assert!(matches!(events[0], (2, Event::SpeechStarted { .. })));
        assert!(matches!(events[1], (11, Event::SpeechPaused { .. })), "{events:?}");
    }
}
