//! What many calls need of a rig that was made for single ones.

use std::time::Duration;

use callbox::call::event::CallChange;

use crate::rig::{Rig, Script, Story};

impl Script {
    /// T1 of SIP's timers: on a lossy line a short one ends sooner what must be given up.
    pub fn with_t1(mut self, t1: Duration) -> Self {
        self.t1 = t1;
        self
    }

    /// The one scripted model would speak and sum up for many calls one after the other: it takes no time, and
    /// sums up nothing. A far end that is gone is given up soon.
    pub fn for_many_calls(mut self) -> Self {
        self.summary = false;
        self.rtp_timeout_ms = 5_000;
        self
    }
}

impl Rig {
    /// The stories of calls that have closed since the last look, with their recordings removed.
    pub fn take_closed(&self) -> Vec<Story> {
        let is_closed = |changes: &[CallChange]| matches!(changes.last(), Some(CallChange::Closed));
        let mut told = self.told.lock();
        let closed: Vec<Story> =
            told.extract_if(|_, changes| is_closed(changes)).map(|(_, changes)| Story(changes)).collect();
        for story in &closed {
            if let Some(file) = story.recording_file() {
                let _ = std::fs::remove_file(self.recordings.path().join(file));
            }
        }
        closed
    }

    /// Calls of which something is left: dialled or answered, in the media plane, or told of and not closed.
    pub fn open(&self) -> usize {
        let stats = self.sip.stats();
        let held = self.directory.live() + stats.calls + stats.dialogs + stats.transactions;
        held + self.media.legs() + self.told.lock().len()
    }
}
