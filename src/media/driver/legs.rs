//! The legs of one thread, by number.

use super::leg::LiveLeg;
use crate::media::{demux::Call, prefetch::prefetch};

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
