//! What became of the calls, and whether they were calls: with sound that came and went, and recorded whole.

use std::collections::BTreeMap;
use std::path::Path;

use callbox::call::event::CallChange;
use callbox::call::record::CallStatus;

use crate::lossy::{Echoed, LOST, REORDERED};
use crate::rig::{Rig, Story};
use crate::{RATE, TALK};

/// Packets in a second of a call.
const PACKETS: f64 = 50.0;
/// Calls at once where the machine keeps up.
const USUAL: usize = RATE as usize * TALK.as_secs() as usize;
/// Seconds by which a recording and its call may differ.
const TOLERANCE: f64 = 1.5;

#[derive(Debug, Default)]
pub struct Tally {
    pub placed: u64,
    /// By the node, since all its lines are in use: a machine that is too slow for the rate.
    pub refused: u64,
    pub closed: u64,
    completed: u64,
    /// Of all that were completed, in seconds.
    talked: f64,
    /// Completed calls that heard something.
    heard: u64,
    /// What these heard of the far end's packets not at all or too late, as shares, summed.
    missed: f64,
    recorded: u64,
    most_at_once: usize,
    /// Calls and their seconds, by status, who ended them, and why.
    ends: BTreeMap<String, (u64, f64)>,
}

impl Tally {
    pub fn read(&mut self, rig: &Rig) {
        for story in rig.take_closed() {
            self.add(rig, &story);
        }
        self.most_at_once = self.most_at_once.max(rig.directory.live());
    }

    fn add(&mut self, rig: &Rig, story: &Story) {
        // Its record is final: it has one ending and nothing follows its close.
        let ending = story.ending();
        self.closed += 1;
        let length = ending.length_secs.unwrap_or_default();
        let end = format!("{:?} {:?}: {}", ending.status, ending.ended_by, ending.reason);
        let alike = self.ends.entry(end).or_default();
        *alike = (alike.0 + 1, alike.1 + length);
        let recording = story.recording_file();
        if let Some(file) = &recording {
            let file = rig.recordings.path().join(file);
            self.recorded += 1;
            is_whole(&file, length);
            std::fs::remove_file(file).unwrap();
        }
        if ending.status == CallStatus::Completed {
            assert_eq!(recording.is_some(), is_to_be_recorded(story), "{ending:?}");
            self.completed += 1;
            self.talked += length;
            if let Some(heard) = story.quality().and_then(|quality| quality.heard) {
                self.heard += 1;
                self.missed += heard.loss;
            }
        }
    }

    /// Nearly all that were begun came to their end.
    pub fn is_complete(&self) {
        let came = self.closed - self.placed;
        assert!(self.placed > 0 && came > 0, "{self:?}");
        // A machine that cannot keep up loses more calls than the network does.
        let percent = match self.refused {
            0 if self.most_at_once < USUAL * 3 / 2 => 95,
            0 => 80,
            _ => 50,
        };
        assert!(self.completed * 100 >= self.closed * percent, "{self:?}");
        assert!(self.most_at_once as u32 > RATE, "{self:?}");
        assert!(self.recorded > 0, "{self:?}");
    }

    /// Sound went out of every call, and came back to it over a bad network.
    pub fn had_sound(&self, echoed: &Echoed) {
        assert!(self.talked > 0.9 * self.completed as f64 * TALK.as_secs_f64(), "{self:?}");
        assert!(echoed.came as f64 > 0.8 * PACKETS * self.talked, "{echoed:?}, {self:?}");
        let are =
            |count: u64, share: f64| (0.8..1.2).contains(&(count as f64 / (share * echoed.came as f64)));
        assert!(are(echoed.lost, LOST) && are(echoed.reordered, REORDERED), "{echoed:?}");
        assert!(self.heard * 100 >= self.completed * 99, "{self:?}");
        // What is late by one packet is still in time.
        let missed = self.missed / self.heard as f64;
        assert!((0.6 * LOST..3.0 * LOST).contains(&missed), "{missed} of what came back was missed");
    }
}

fn is_to_be_recorded(story: &Story) -> bool {
    story.0.iter().any(|change| matches!(change, CallChange::Created { plan, .. } if plan.record))
}

/// It can be opened, lasts as long as its call did, and holds as much as it says; on both sides something is heard.
fn is_whole(file: &Path, length: f64) {
    let bytes = std::fs::metadata(file).unwrap().len();
    let mut wav = hound::WavReader::open(file).unwrap();
    let (spec, frames) = (wav.spec(), wav.duration());
    let seconds = f64::from(frames) / f64::from(spec.sample_rate);
    assert!((seconds - length).abs() < TOLERANCE, "{seconds} s of {length} s are recorded");
    let samples = u64::from(frames) * u64::from(spec.channels);
    assert!(spec.channels == 2 && bytes >= 2 * samples, "{bytes} bytes for {frames} of {spec:?}");
    let mut sides = [false; 2];
    for (n, sample) in wav.samples::<i16>().enumerate() {
        sides[n % 2] |= sample.unwrap().unsigned_abs() > 1_000;
        if sides == [true; 2] {
            return;
        }
    }
    assert!(length < TOLERANCE, "of {length} s nothing is heard on a side: {sides:?}");
}
