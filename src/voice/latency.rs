//! Where the time between the caller's last word and the agent's first one went.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Milliseconds from the end of the caller's speech to the agent's first audio on the wire, by part.
/// The parts follow one another; `total_ms` is measured on its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencySplit {
    /// From the last speech sample to the decision that the turn is over.
    pub endpoint_ms: u64,
    /// From that decision to the final transcript.
    pub asr_ms: u64,
    /// From the transcript to the first token.
    pub llm_first_token_ms: u64,
    /// From the first token to the first clause being complete.
    pub llm_first_clause_ms: u64,
    /// From the first clause to its first audio.
    pub tts_first_audio_ms: u64,
    /// From that audio to its first packet.
    pub wire_ms: u64,
    pub total_ms: u64,
}

/// The moments of one turn, as they pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    pub last_speech: Option<Instant>,
    pub decided: Option<Instant>,
    pub transcript: Option<Instant>,
    pub first_token: Option<Instant>,
    pub first_clause: Option<Instant>,
    pub first_audio: Option<Instant>,
    pub on_wire: Option<Instant>,
}

impl Marks {
    /// The split, once the answer is on the wire and every moment before it is known.
    pub fn split(&self) -> Option<LatencySplit> {
        let between = |from: Option<Instant>, to: Option<Instant>| {
            Some(to?.saturating_duration_since(from?).as_millis() as u64)
        };
        Some(LatencySplit {
            endpoint_ms: between(self.last_speech, self.decided)?,
            asr_ms: between(self.decided, self.transcript)?,
            llm_first_token_ms: between(self.transcript, self.first_token)?,
            llm_first_clause_ms: between(self.first_token, self.first_clause)?,
            tts_first_audio_ms: between(self.first_clause, self.first_audio)?,
            wire_ms: between(self.first_audio, self.on_wire)?,
            total_ms: between(self.last_speech, self.on_wire)?,
        })
    }
}

/// Keeps the first of two moments.
pub(super) fn mark(moment: &mut Option<Instant>, now: Instant) {
    moment.get_or_insert(now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::ms;

    #[test]
    fn split_adds_up_to_the_total() {
        let start = Instant::now();
        let at = |n| Some(start + ms(n));
        let marks = Marks {
            last_speech: at(0),
            decided: at(320),
            transcript: at(500),
            first_token: at(640),
            first_clause: at(900),
            first_audio: at(980),
            on_wire: at(1_000),
        };
        let split = marks.split().expect("all moments are known");
        assert_eq!((split.endpoint_ms, split.asr_ms, split.wire_ms, split.total_ms), (320, 180, 20, 1_000));
        assert_eq!(Marks { first_token: None, ..marks }.split(), None);
    }
}
