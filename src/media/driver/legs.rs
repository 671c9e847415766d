//! The legs of one thread, by number.

use super::leg::LiveLeg;
use crate::media::{demux::Call, prefetch::prefetch};

/// Legs between the one that is worked on and the one that is brought near.
pub const AHEAD: usize = 3;

/// Numbers are used again.
#[derive(Default)]
pub struct Legs {
    places: Vec<Option<Box<LiveLeg>>>,
    free: Vec<Call>,
}

impl Legs {
    pub fn insert(&mut self, leg: Box<LiveLeg>) -> Call {
        let call = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[call] = Some(leg);
        call
    }

    pub fn get(&self, call: Call) -> Option<&LiveLeg> {
        self.places.get(call)?.as_deref()
    }

    pub fn get_mut(&mut self, call: Call) -> Option<&mut LiveLeg> {
        self.places.get_mut(call)?.as_deref_mut()
    }

    /// Brings a leg nearer to the core.
    pub fn prefetch(&self, call: Call) {
        self.get(call).into_iter().for_each(prefetch);
    }

    /// Brings nearer what comes next, of which `at` tells the legs: one of them, and of another, which is near by now,
    /// what it points to.
    pub fn prefetch_next(&self, at: impl Fn(usize) -> Option<Call>, pointed_to: fn(&LiveLeg)) {
        at(AHEAD).into_iter().for_each(|call| self.prefetch(call));
        at(AHEAD / 2).and_then(|call| self.get(call)).into_iter().for_each(pointed_to);
    }

    pub fn remove(&mut self, call: Call) -> Option<Box<LiveLeg>> {
        let leg = self.places.get_mut(call)?.take()?;
        self.free.push(call);
        Some(leg)
    }

    /// All numbers in use.
    pub fn calls(&self) -> Vec<Call> {
        (0..self.places.len()).filter(|call| self.places[*call].is_some()).collect()
    }
}
