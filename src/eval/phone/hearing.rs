//! When the other side speaks, from the level of each 20 ms frame. Pure.
//!
//! A voice is loud for a few frames that lie close together; where a detector listens along, one of them
//! must be speech by its word. The beginning is the first loud frame, hence a latency measured to it
//! owes nothing to how long the decision took.

use crate::media::FRAME_SAMPLES;

/// Loud frames that make a voice.
const ONSET: u32 = 3;
/// Quiet frames between loud ones that do not end an onset: the closure of a stop consonant.
const CLOSURE: u32 = 3;
/// Quiet frames that end a voice: 200 ms.
const SILENCE: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Index of the first voiced sample.
    Began { at: u64 },
    /// Index after the last voiced sample.
    Ended { at: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Silent,
    Onset {
        at: u64,
        loud: u32,
        speech: bool,
    },
    Voiced,
}

/// Follows one voice.
#[derive(Debug, Clone)]
pub struct Hearing {
    /// Frames at least this loud may be voiced, in dBFS.
    voiced_dbfs: f32,
    state: State,
    quiet: u32,
    last_voiced: u64,
}

impl Hearing {
    pub fn new(voiced_dbfs: f32) -> Self {
        Hearing { voiced_dbfs, state: State::Silent, quiet: 0, last_voiced: 0 }
    }

    /// Takes the frame that begins at sample `start`. `speech` is the detector's word, `true` where there
    /// is none.
    pub fn handle_frame(&mut self, start: u64, level_dbfs: f32, speech: bool) -> Option<Change> {
        if level_dbfs >= self.voiced_dbfs { self.loud(start, speech) } else { self.quiet() }
    }

    fn loud(&mut self, start: u64, is_speech: bool) -> Option<Change> {
        self.quiet = 0;
        self.last_voiced = start + FRAME_SAMPLES as u64;
        let (at, loud, speech) = match self.state {
            State::Voiced => return None,
            State::Silent => (start, 1, is_speech),
            State::Onset { at, loud, speech } => (at, loud + 1, speech || is_speech),
        };
        if loud >= ONSET && speech {
            self.state = State::Voiced;
            return Some(Change::Began { at });
        }
        self.state = State::Onset { at, loud, speech };
        None
    }

    fn quiet(&mut self) -> Option<Change> {
        self.quiet += 1;
        match self.state {
            State::Onset { .. } if self.quiet > CLOSURE => self.state = State::Silent,
            State::Voiced if self.quiet >= SILENCE => {
                self.state = State::Silent;
                return Some(Change::Ended { at: self.last_voiced });
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One character a frame: `#` loud speech, `+` loud noise, `.` quiet.
    fn hear(frames: &str) -> Vec<(usize, Change)> {
        let mut hearing = Hearing::new(-45.0);
        let frame = |(n, kind): (usize, char)| {
            let level = if kind == '.' { -70.0 } else { -20.0 };
            hearing.handle_frame(n as u64 * 160, level, kind == '#').map(|change| (n, change))
        };
        frames.chars().enumerate().filter_map(frame).collect()
    }

    use Change::{Began, Ended};

    #[test]
    fn a_voice_begins_at_its_first_loud_frame_and_ends_after_its_last() {
        let heard = hear("..####..##..........");
        assert_eq!(heard, [(4, Began { at: 320 }), (19, Ended { at: 1_600 })]);
    }

    #[test]
    fn a_click_is_no_voice() {
        assert_eq!(hear("..#.......##....#...."), []);
    }

    #[test]
    fn a_stop_consonant_belongs_to_the_word_it_begins() {
        assert_eq!(hear(".#..##.."), [(5, Began { at: 160 })]);
    }

    #[test]
    fn noise_is_no_voice_until_the_detector_hears_speech_in_it() {
        assert_eq!(hear("+++++++++"), []);
        assert_eq!(hear("+++++#+++"), [(5, Began { at: 0 })]);
    }
}
