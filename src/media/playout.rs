//! What waits to be sent, utterance by utterance, and how much of each went on the wire.
//!
//! A frame is filled across the seam of two utterances, so that clauses follow one another without a
//! gap. Audio waits at the line's rate; how much of it there is is told in samples of 8 kHz, whatever
//! the line, so that a change of codec in the middle of an utterance changes no count.

use std::{collections::VecDeque, time::Duration};

use super::{prefetch::prefetch, resample::stretched};
use crate::base::audio::{NARROWBAND_HZ, duration_of, frame_samples};

/// Names what is said in one go. Chosen by whoever plays; must grow from one utterance to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UtteranceId(pub u64);

/// A count of samples at `rate` Hz, in samples of 8 kHz.
pub fn narrow(samples: usize, rate: u32) -> usize {
    (samples as u64 * u64::from(NARROWBAND_HZ)).div_ceil(u64::from(rate.max(1))) as usize
}

/// What can wait: 60 s, in samples of 8 kHz.
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
    /// Its last sample is in this frame. `samples` of 8 kHz went on the wire.
    Played { utterance: UtteranceId, samples: u64 },
}

struct Utterance {
    id: UtteranceId,
    /// What is sent next. Empty: nothing waits.
    chunk: Box<[i16]>,
    /// What comes after it.
    later: VecDeque<Box<[i16]>>,
    /// Samples sent, at the line's rate.
    sent: u64,
    /// No more audio will come.
    finished: bool,
}

impl Utterance {
    fn new(id: UtteranceId) -> Self {
        Utterance { id, chunk: Box::default(), later: VecDeque::new(), sent: 0, finished: false }
    }

    fn push(&mut self, chunk: Box<[i16]>) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else if !chunk.is_empty() {
            self.later.push_back(chunk);
        }
    }

    fn chunks(&mut self) -> impl Iterator<Item = &mut Box<[i16]>> {
        std::iter::once(&mut self.chunk).chain(&mut self.later)
    }
}

pub struct Playout {
    rate: u32,
    /// The first utterance and its first chunk are here and not in a queue: every tick looks at them, and the memory
    /// of a queue would have to be fetched each time.
    first: Option<Utterance>,
    /// Those after it. Empty while there is no first.
    later: VecDeque<Utterance>,
    /// Samples of the first chunk that were sent.
    offset: usize,
    queued: usize,
    /// Audio of utterances up to this one is thrown away: they were stopped.
    stopped: Option<UtteranceId>,
}

impl Playout {
    /// For a line at `rate` Hz.
    pub fn new(rate: u32) -> Self {
        Playout { rate, first: None, later: VecDeque::new(), offset: 0, queued: 0, stopped: None }
    }

    /// Adds audio at the line's rate to the end. Audio for a new utterance finishes the one before.
    /// Audio for one that was stopped is thrown away.
    pub fn play(&mut self, id: UtteranceId, pcm: Vec<i16>) -> Result<(), PlayoutFull> {
        self.admit(self.narrow(pcm.len() as u64) as usize)?;
        self.push(id, pcm);
        Ok(())
    }

    /// Whether there is room for so many samples of 8 kHz.
    pub fn admit(&self, samples: usize) -> Result<(), PlayoutFull> {
        if self.queued() + samples > CAPACITY || self.later.len() + 1 >= MAX_UTTERANCES {
            let of = |samples| duration_of(samples as u64, NARROWBAND_HZ);
            return Err(PlayoutFull { queued: of(self.queued()), offered: of(samples) });
        }
        Ok(())
    }

    /// Adds what was [admitted](Playout::admit).
    pub fn push(&mut self, id: UtteranceId, pcm: Vec<i16>) {
        if self.is_stopped(id) {
            return;
        }
        self.queued += pcm.len();
        self.entry(id).push(pcm.into_boxed_slice());
    }

    /// No more audio will come for the utterance. One that never had any is played at once.
    pub fn finish(&mut self, id: UtteranceId) {
        if !self.is_stopped(id) && self.later.len() + 1 < MAX_UTTERANCES {
            self.entry(id).finished = true;
        }
    }

    /// Drops all that waits. Gives the utterances cut short, and how much of each went on the wire, in
    /// samples of 8 kHz.
    pub fn stop(&mut self) -> Vec<(UtteranceId, u64)> {
        self.queued = 0;
        self.offset = 0;
        let cut: Vec<_> = self.first.take().into_iter().chain(std::mem::take(&mut self.later)).collect();
        self.stopped = cut.iter().map(|u| u.id).chain(self.stopped).max();
        cut.into_iter().map(|u| (u.id, self.narrow(u.sent))).collect()
    }

    /// Fills the next frame, as much as there is, and gives how many samples. Less than a frame of an
    /// unfinished utterance waits for more.
    pub fn frame(&mut self, out: &mut [i16], progress: &mut Vec<Progress>) -> usize {
        let mut filled = 0;
        if self.queued < out.len() && self.first.as_ref().is_some_and(|u| !u.finished) {
            return 0;
        }
        while let Some(utterance) = &mut self.first {
            while filled < out.len() && !utterance.chunk.is_empty() {
                let part = &utterance.chunk[self.offset..];
                let taken = part.len().min(out.len() - filled);
                out[filled..filled + taken].copy_from_slice(&part[..taken]);
                if utterance.sent == 0 {
                    progress.push(Progress::Playing(utterance.id));
                }
                filled += taken;
                utterance.sent += taken as u64;
                self.offset += taken;
                if self.offset == utterance.chunk.len() {
                    utterance.chunk = utterance.later.pop_front().unwrap_or_default();
                    self.offset = 0;
                }
            }
            if !utterance.chunk.is_empty() || !utterance.finished {
                break;
            }
            let (utterance, sent) = (utterance.id, utterance.sent);
            progress.push(Progress::Played { utterance, samples: self.narrow(sent) });
            self.first = self.later.pop_front();
        }
        self.queued -= filled;
        filled
    }

    /// Brings what waits to another rate, after a re-INVITE changed the line's.
    pub fn set_rate(&mut self, rate: u32) {
        let from = std::mem::replace(&mut self.rate, rate);
        if from == rate {
            return;
        }
        let offset = std::mem::take(&mut self.offset);
        if let Some(first) = &mut self.first {
            first.chunk = first.chunk[offset..].into();
        }
        let mut queued = 0;
        for utterance in self.first.iter_mut().chain(&mut self.later) {
            utterance.sent = utterance.sent * u64::from(rate) / u64::from(from);
            for chunk in utterance.chunks() {
                *chunk = stretched(chunk, from, rate).into();
                queued += chunk.len();
            }
        }
        self.queued = queued;
    }

    /// Brings nearer what the next frame is filled from.
    pub fn prefetch(&self) {
        if let Some(Utterance { chunk, .. }) = &self.first {
            let next = self.offset..chunk.len().min(self.offset + frame_samples(self.rate));
            chunk.get(next).into_iter().for_each(prefetch);
        }
    }

    /// What waits, in samples of 8 kHz.
    pub fn queued(&self) -> usize {
        self.narrow(self.queued as u64) as usize
    }

    /// A count of the line's samples at 8 kHz.
    fn narrow(&self, samples: u64) -> u64 {
        narrow(samples as usize, self.rate) as u64
    }

    fn is_stopped(&self, id: UtteranceId) -> bool {
        self.stopped.is_some_and(|stopped| id <= stopped)
    }

    /// The utterance of that id; a new one comes last, and finishes those before it.
    fn entry(&mut self, id: UtteranceId) -> &mut Utterance {
        let Playout { first, later, .. } = self;
        let first = first.get_or_insert_with(|| Utterance::new(id));
        if first.id == id {
            return first;
        }
        let at = later.iter().position(|u| u.id == id).unwrap_or_else(|| {
            first.finished = true;
            later.iter_mut().for_each(|u| u.finished = true);
            later.push_back(Utterance::new(id));
            later.len() - 1
        });
        &mut later[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: UtteranceId = UtteranceId(1);
    const B: UtteranceId = UtteranceId(2);

    fn frame(playout: &mut Playout) -> (usize, Vec<Progress>) {
        let mut progress = Vec::new();
        let filled = playout.frame(&mut [0; 160], &mut progress);
        (filled, progress)
    }

    #[test]
    fn an_utterance_tells_when_it_begins_and_ends() {
        let mut playout = Playout::new(NARROWBAND_HZ);
        playout.play(A, vec![1; 200]).unwrap();
        assert_eq!(frame(&mut playout), (160, vec![Progress::Playing(A)]));
        assert_eq!(frame(&mut playout), (0, vec![]), "40 samples wait for more");
        playout.play(A, vec![1; 60]).unwrap();
        playout.finish(A);
        assert_eq!(frame(&mut playout), (100, vec![Progress::Played { utterance: A, samples: 260 }]));
        assert_eq!(frame(&mut playout), (0, vec![]));
    }

    #[test]
    fn one_frame_spans_two_utterances_without_a_gap() {
        let mut playout = Playout::new(NARROWBAND_HZ);
        playout.play(A, vec![1; 100]).unwrap();
        playout.play(B, vec![1; 100]).unwrap();
        playout.finish(B);
        let seam =
            [Progress::Playing(A), Progress::Played { utterance: A, samples: 100 }, Progress::Playing(B)];
        assert_eq!(frame(&mut playout), (160, seam.to_vec()));
        assert_eq!(frame(&mut playout), (40, vec![Progress::Played { utterance: B, samples: 100 }]));
    }

    #[test]
    fn stopping_tells_what_was_heard_and_drops_what_comes_after() {
        let mut playout = Playout::new(NARROWBAND_HZ);
        playout.play(A, vec![1; 400]).unwrap();
        playout.play(B, vec![1; 400]).unwrap();
        frame(&mut playout);
        assert_eq!(playout.stop(), [(A, 160), (B, 0)]);
        playout.play(B, vec![1; 400]).unwrap();
        playout.finish(B);
        assert_eq!(frame(&mut playout), (0, vec![]));
        assert_eq!(playout.queued(), 0);
        playout.play(UtteranceId(3), vec![1; 160]).unwrap();
        assert_eq!(frame(&mut playout).0, 160);
    }

    #[test]
    fn a_full_queue_takes_nothing() {
        let mut playout = Playout::new(NARROWBAND_HZ);
        playout.play(A, vec![0; CAPACITY]).unwrap();
        assert!(playout.play(A, vec![0]).is_err());
        frame(&mut playout);
        playout.play(A, vec![0; 160]).unwrap();
    }

    #[test]
    fn an_empty_utterance_is_played_at_once() {
        let mut playout = Playout::new(NARROWBAND_HZ);
        playout.finish(A);
        assert_eq!(frame(&mut playout), (0, vec![Progress::Played { utterance: A, samples: 0 }]));
    }

    #[test]
    fn what_waits_survives_a_change_of_rate_and_counts_alike() {
        let mut playout = Playout::new(NARROWBAND_HZ);
        playout.play(A, vec![8_031; 400]).unwrap();
        playout.finish(A);
        frame(&mut playout);
        playout.set_rate(16_000);
        assert_eq!(playout.queued(), 240);
        let (mut out, mut progress) = ([0; 320], Vec::new());
        assert_eq!(playout.frame(&mut out, &mut progress), 320);
        assert_eq!(out, [8_031; 320]);
        playout.set_rate(NARROWBAND_HZ);
        assert_eq!(frame(&mut playout), (80, vec![Progress::Played { utterance: A, samples: 400 }]));
    }
}
