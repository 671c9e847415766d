//! Per-caller state, bounded.

use std::collections::HashMap;

use crate::engine::StreamId;

/// A map from stream to state that never holds more than its capacity: a new stream takes the place
/// of the one unused for longest. A caller whose state was dropped starts afresh at its next frame.
#[derive(Debug)]
pub(super) struct Streams<T> {
    capacity: usize,
    clock: u64,
    states: HashMap<StreamId, (u64, T)>,
}

impl<T: Default> Streams<T> {
    /// Holds at most `capacity` states, and always room for one.
    pub fn with_capacity(capacity: usize) -> Self {
        Streams { capacity: capacity.max(1), clock: 0, states: HashMap::new() }
    }

    /// The state of `stream`, fresh where there was none.
    pub fn of(&mut self, stream: StreamId) -> &mut T {
        if !self.states.contains_key(&stream) && self.states.len() >= self.capacity {
            self.drop_stalest();
        }
        self.clock += 1;
        let entry = self.states.entry(stream).or_default();
        entry.0 = self.clock;
        &mut entry.1
    }

    pub fn forget(&mut self, stream: StreamId) {
        self.states.remove(&stream);
    }

    fn drop_stalest(&mut self) {
        let stalest = self.states.iter().min_by_key(|(_, (used, _))| *used).map(|(stream, _)| *stream);
        if let Some(stream) = stalest {
            self.states.remove(&stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_stream_takes_the_place_of_the_one_unused_for_longest() {
        let mut streams = Streams::<u32>::with_capacity(2);
        *streams.of(StreamId(1)) = 10;
        *streams.of(StreamId(2)) = 20;
        streams.of(StreamId(1));
        streams.of(StreamId(3));
        assert_eq!(*streams.of(StreamId(1)), 10);
        assert_eq!(streams.states.len(), 2);
        assert_eq!(*streams.of(StreamId(2)), 0, "2 was dropped and starts afresh");
    }

    #[test]
    fn a_forgotten_stream_starts_afresh() {
        let mut streams = Streams::<u32>::with_capacity(2);
        *streams.of(StreamId(1)) = 10;
        streams.forget(StreamId(1));
        assert_eq!(*streams.of(StreamId(1)), 0);
    }
}
