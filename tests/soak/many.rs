//! What many calls need of a rig that was made for single ones.

use std::time::Duration;

use callbox::call::event::CallChange;

use crate::eventually;
use crate::ports::free_pairs;
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

    /// So many pairs of ports for RTP and no more; each rests for a while after a call.
    pub fn with_ports(mut self, pairs: u16, rest: Duration) -> Self {
        let first = free_pairs(pairs.into());
        self.ports = (first, first + 2 * pairs - 1);
        self.port_rest_ms = rest.as_millis() as u64;
        self
    }
}

impl Rig {
    /// The stories of calls that have closed since the last look.
    pub fn take_closed(&self) -> Vec<Story> {
        let is_closed = |changes: &[CallChange]| matches!(changes.last(), Some(CallChange::Closed));
        let mut told = self.told.lock();
        told.extract_if(|_, changes| is_closed(changes)).map(|(_, changes)| Story(changes)).collect()
    }

    /// Of a rig with so many pairs of ports: every one can be had again.
    pub async fn all_ports_are_free(&self, pairs: u16) {
        // What is given back rests: what was had once is kept.
        let mut legs = Vec::new();
        eventually("every port is given back", || {
            legs.extend(std::iter::from_fn(|| self.media.reserve().ok()));
            legs.len() == usize::from(pairs)
        })
        .await;
    }

    /// Calls of which something is left: dialled or answered, in the media plane, or told of and not closed.
    pub fn open(&self) -> usize {
        let stats = self.sip.stats();
        let held = self.directory.live() + stats.calls + stats.dialogs + stats.transactions;
        held + self.media.legs() + self.told.lock().len()
    }
}
