//! What waits to be sent, utterance by utterance, and how much of each went on the wire.
//!
//! Audio is kept as the codec's bytes: half the memory, and what is counted is what was sent. A frame
//! is filled across the seam of two utterances, so that clauses follow one another without a gap.

use std::{collections::VecDeque, time::Duration};

use super::{codec, jitter::FRAME_SAMPLES};
use crate::base::audio::{Codec, NARROWBAND_HZ, duration_of};

/// Names what is said in one go. Chosen by whoever plays; must grow from one utterance to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UtteranceId(pub u64);

/// Samples that can wait: 60 s.
pub const CAPACITY: usize = 60 * NARROWBAND_HZ as usize;
/// Utterances that can wait.
const MAX_UTTERANCES: usize = 1_024;

/// The queue cannot take this audio now; none of it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("playout holds {queued:?} of audio and cannot take {offered:?} more; wait for some to be played")]
pub struct PlayoutFull {
    pub queued: Duration,
    pub offered: Duration,
}

/// A change in what is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Its first sample is in this frame.
    Playing(UtteranceId),
    /// Its last sample is in this frame. `samples` went on the wire.
    Played { utterance: UtteranceId, samples: u64 },
}

struct Utterance {
    id: UtteranceId,
    chunks: VecDeque<Box<[u8]>>,
    /// Samples sent.
    sent: u64,
    /// No more audio will come.
    finished: bool,
}

#[derive(Default)]
pub struct Playout {
    utterances: VecDeque<Utterance>,
    /// Bytes of the first chunk that were sent.
    offset: usize,
    queued: usize,
    /// Samples that ever left the queue, sent or dropped.
    left: u64,
    /// Audio of utterances up to this one is thrown away: they were stopped.
    stopped: Option<UtteranceId>,
}

impl Playout {
    /// Adds audio to the end. Audio for a new utterance finishes the one before. Audio for one that
    /// was stopped is thrown away.
    pub fn play(&mut self, id: UtteranceId, codec: Codec, pcm: &[i16]) -> Result<(), PlayoutFull> {
        if self.queued + pcm.len() > CAPACITY || self.utterances.len() >= MAX_UTTERANCES {
            return Err(PlayoutFull { queued: self.queued(), offered: to_duration(pcm.len()) });
        }
        if self.is_stopped(id) {
            self.left += pcm.len() as u64;
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(pcm.len());
        codec::encode(codec, pcm, &mut bytes);
        self.queued += bytes.len();
        let utterance = self.entry(id);
        if !bytes.is_empty() {
            utterance.chunks.push_back(bytes.into_boxed_slice());
        }
        Ok(())
    }

    /// No more audio will come for the utterance. One that never had any is played at once.
    pub fn finish(&mut self, id: UtteranceId) {
        if !self.is_stopped(id) && self.utterances.len() < MAX_UTTERANCES {
            self.entry(id).finished = true;
        }
    }

    /// Drops all that waits. Gives the utterances cut short, and how much of each went on the wire.
    pub fn stop(&mut self) -> Vec<(UtteranceId, u64)> {
        self.stopped = self.utterances.iter().map(|u| u.id).chain(self.stopped).max();
        self.left += self.queued as u64;
        self.queued = 0;
        self.offset = 0;
        std::mem::take(&mut self.utterances).into_iter().map(|u| (u.id, u.sent)).collect()
    }

    /// Fills the next frame with codec bytes, as much as there is, and gives how many. Less than a
    /// frame of an unfinished utterance waits for more.
    pub fn frame(&mut self, out: &mut [u8; FRAME_SAMPLES], progress: &mut Vec<Progress>) -> usize {
        let mut filled = 0;
        if self.queued < FRAME_SAMPLES && self.utterances.front().is_some_and(|u| !u.finished) {
            return 0;
        }
        while let Some(utterance) = self.utterances.front_mut() {
            while let Some(chunk) = utterance.chunks.front().filter(|_| filled < FRAME_SAMPLES) {
                let part = &chunk[self.offset..];
                let taken = part.len().min(FRAME_SAMPLES - filled);
                out[filled..filled + taken].copy_from_slice(&part[..taken]);
                if utterance.sent == 0 {
                    progress.push(Progress::Playing(utterance.id));
                }
                filled += taken;
                utterance.sent += taken as u64;
                self.offset += taken;
                if self.offset == chunk.len() {
                    utterance.chunks.pop_front();
                    self.offset = 0;
                }
            }
            if !utterance.chunks.is_empty() || !utterance.finished {
                break;
            }
            progress.push(Progress::Played { utterance: utterance.id, samples: utterance.sent });
            self.utterances.pop_front();
        }
        self.queued -= filled;
        self.left += filled as u64;
        filled
    }

    /// Brings what waits into another codec, after a re-INVITE changed it.
    pub fn transcode(&mut self, from: Codec, to: Codec) {
        let chunks = self.utterances.iter_mut().flat_map(|u| u.chunks.iter_mut());
        for chunk in chunks.filter(|_| from != to) {
            let mut pcm = Vec::with_capacity(chunk.len());
            codec::decode(from, chunk, &mut pcm);
            let mut bytes = Vec::with_capacity(pcm.len());
            codec::encode(to, &pcm, &mut bytes);
            *chunk = bytes.into_boxed_slice();
        }
    }

    pub fn queued(&self) -> Duration {
        to_duration(self.queued)
    }

    /// Samples that ever left the queue, sent or dropped.
    pub fn left(&self) -> u64 {
        self.left
    }

    fn is_stopped(&self, id: UtteranceId) -> bool {
        self.stopped.is_some_and(|stopped| id <= stopped)
    }

    fn entry(&mut self, id: UtteranceId) -> &mut Utterance {
        let known = self.utterances.iter().position(|u| u.id == id);
        let at = known.unwrap_or_else(|| {
            self.utterances.iter_mut().for_each(|u| u.finished = true);
            self.utterances.push_back(Utterance { id, chunks: VecDeque::new(), sent: 0, finished: false });
            self.utterances.len() - 1
        });
        &mut self.utterances[at]
    }
}

fn to_duration(samples: usize) -> Duration {
    duration_of(samples as u64, NARROWBAND_HZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: UtteranceId = UtteranceId(1);
    const B: UtteranceId = UtteranceId(2);
    const C: Codec = Codec::Pcmu;

    fn frame(playout: &mut Playout) -> (usize, Vec<Progress>) {
        let mut progress = Vec::new();
        let filled = playout.frame(&mut [0; FRAME_SAMPLES], &mut progress);
        (filled, progress)
    }

    #[test]
    fn an_utterance_tells_when_it_begins_and_ends() {
        let mut playout = Playout::default();
        playout.play(A, C, &[1; 200]).unwrap();
        assert_eq!(frame(&mut playout), (160, vec![Progress::Playing(A)]));
        assert_eq!(frame(&mut playout), (0, vec![]), "40 samples wait for more");
        playout.play(A, C, &[1; 60]).unwrap();
        playout.finish(A);
        assert_eq!(frame(&mut playout), (100, vec![Progress::Played { utterance: A, samples: 260 }]));
        assert_eq!(frame(&mut playout), (0, vec![]));
    }

    #[test]
    fn one_frame_spans_two_utterances_without_a_gap() {
        let mut playout = Playout::default();
        playout.play(A, C, &[1; 100]).unwrap();
        playout.play(B, C, &[1; 100]).unwrap();
        playout.finish(B);
        let seam =
            [Progress::Playing(A), Progress::Played { utterance: A, samples: 100 }, Progress::Playing(B)];
        assert_eq!(frame(&mut playout), (160, seam.to_vec()));
        assert_eq!(frame(&mut playout), (40, vec![Progress::Played { utterance: B, samples: 100 }]));
    }

    #[test]
    fn stopping_tells_what_was_heard_and_drops_what_comes_after() {
        let mut playout = Playout::default();
        playout.play(A, C, &[1; 400]).unwrap();
        playout.play(B, C, &[1; 400]).unwrap();
        frame(&mut playout);
        assert_eq!(playout.stop(), [(A, 160), (B, 0)]);
        playout.play(B, C, &[1; 400]).unwrap();
        playout.finish(B);
        assert_eq!(frame(&mut playout), (0, vec![]));
        assert_eq!((playout.left(), playout.queued()), (1_200, Duration::ZERO));
        playout.play(UtteranceId(3), C, &[1; 160]).unwrap();
        assert_eq!(frame(&mut playout).0, 160);
    }

    #[test]
    fn a_full_queue_takes_nothing() {
        let mut playout = Playout::default();
        playout.play(A, C, &vec![0; CAPACITY]).unwrap();
        assert!(playout.play(A, C, &[0]).is_err());
        frame(&mut playout);
        playout.play(A, C, &[0; 160]).unwrap();
    }

    #[test]
    fn an_empty_utterance_is_played_at_once() {
        let mut playout = Playout::default();
        playout.finish(A);
        assert_eq!(frame(&mut playout), (0, vec![Progress::Played { utterance: A, samples: 0 }]));
    }

    #[test]
    fn what_waits_survives_a_change_of_codec() {
        let mut playout = Playout::default();
        playout.play(A, Codec::Pcmu, &[8_031; 160]).unwrap();
        playout.transcode(Codec::Pcmu, Codec::Pcma);
        let mut out = [0; FRAME_SAMPLES];
        playout.frame(&mut out, &mut Vec::new());
        let value = codec::decode_table(Codec::Pcma)[usize::from(out[0])];
        assert!((value - 8_031).abs() < 300, "{value}");
    }
}
