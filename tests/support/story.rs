//! What a call has told, and what is recorded of it.

use std::path::Path;

use callbox::call::event::{CallChange, Ending};
use callbox::call::record::{AnsweredBy, CallQuality, CallStatus, Speaker, TransferStatus, TurnRecord};

/// The changes a call went through.
pub struct Story(pub Vec<CallChange>);

impl Story {
    fn find<T>(&self, pick: impl Fn(&CallChange) -> Option<T>) -> Option<T> {
        self.0.iter().rev().find_map(pick)
    }

    fn all<T>(&self, pick: impl Fn(&CallChange) -> Option<T>) -> Vec<T> {
        self.0.iter().filter_map(pick).collect()
    }

    pub fn recording_file(&self) -> Option<String> {
        self.find(|change| match change {
            CallChange::Recording { file } => Some(file.clone()),
            _ => None,
        })
    }

    pub fn statuses(&self) -> Vec<CallStatus> {
        let mut statuses = self.all(|change| match change {
            CallChange::Status { status } => Some(*status),
            _ => None,
        });
        statuses.dedup();
        statuses
    }

    pub fn ending(&self) -> Ending {
        let ending = self.find(|change| match change {
            CallChange::Ended(ending) => Some(ending.as_ref().clone()),
            _ => None,
        });
        ending.expect("every call has an ending")
    }

    pub fn turns(&self) -> Vec<TurnRecord> {
        self.all(|change| match change {
            CallChange::Turn { turn } => Some(turn.clone()),
            _ => None,
        })
    }

    pub fn said(&self, speaker: Speaker) -> Vec<String> {
        let turns = self.turns().into_iter().filter(|turn| turn.speaker == speaker);
        turns.map(|turn| turn.text.into_exposed()).collect()
    }

    pub fn summary(&self) -> Option<String> {
        self.find(|change| match change {
            CallChange::Summary { text } => Some(text.expose().clone()),
            _ => None,
        })
    }

    pub fn quality(&self) -> Option<CallQuality> {
        self.find(|change| match change {
            CallChange::Quality { quality } => Some(quality.clone()),
            _ => None,
        })
    }

    /// What a transfer went through.
    pub fn transfers(&self) -> Vec<TransferStatus> {
        self.all(|change| match change {
            CallChange::Transfer { status } => Some(*status),
            _ => None,
        })
    }

    pub fn answered_by(&self) -> Option<AnsweredBy> {
        self.find(|change| match change {
            CallChange::Answered { answered_by } => Some(*answered_by),
            _ => None,
        })
    }
}

/// A WAV file, read whole.
pub struct Recording {
    pub channels: u16,
    pub rate: u32,
    pub seconds: f64,
    samples: Vec<i16>,
}

impl Recording {
    pub fn read(path: &Path) -> Recording {
        let mut wav = hound::WavReader::open(path).unwrap();
        let spec = wav.spec();
        let samples: Vec<i16> = wav.samples::<i16>().map(Result::unwrap).collect();
        let seconds = samples.len() as f64 / f64::from(spec.channels) / f64::from(spec.sample_rate);
        Recording { channels: spec.channels, rate: spec.sample_rate, seconds, samples }
    }

    /// One channel's samples.
    pub fn channel(&self, channel: usize) -> Vec<i16> {
        self.samples.iter().skip(channel).step_by(usize::from(self.channels)).copied().collect()
    }

    /// The share of a channel's samples that are louder than line noise.
    pub fn loud_share(&self, channel: usize) -> f64 {
        let of_channel = self.samples.iter().skip(channel).step_by(usize::from(self.channels));
        let loud = of_channel.clone().filter(|sample| sample.unsigned_abs() > 1_000).count();
        loud as f64 / of_channel.count() as f64
    }
}
