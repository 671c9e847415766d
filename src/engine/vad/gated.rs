//! A detector behind an energy gate.

use std::collections::VecDeque;

use super::{
    DEFAULT_MAX_STREAMS,
    energy::{EnergyGate, EnergyGateConfig},
    streams::Streams,
};
use crate::engine::{EngineError, StreamId, Vad};

/// Frames the detector hears at once when the gate opens: with one it finds speech 64 ms later than
/// with all that came before, with eight at the same frame.
const PRE_ROLL: usize = 8;

/// Asks the detector within only while the gate is open and answers 0.0 otherwise. When the gate
/// opens, the detector first hears the last eight frames it missed: speech begins softer than it goes
/// on, and a recurrent network has to hear what came before.
pub struct Gated<V> {
    inner: V,
    config: EnergyGateConfig,
    streams: Streams<Option<Listening>>,
}

struct Listening {
    gate: EnergyGate,
    /// The last frames, as far as the detector has not heard them.
    withheld: VecDeque<Vec<i16>>,
}

impl Listening {
    /// Keeps `frame`, in place of the oldest where there are enough.
    fn withhold(&mut self, frame: &[i16]) {
        let mut kept = match self.withheld.len() {
            PRE_ROLL => self.withheld.pop_front().unwrap_or_default(),
            _ => Vec::new(),
        };
        kept.clear();
        kept.extend_from_slice(frame);
        self.withheld.push_back(kept);
    }
}

impl<V: Vad> Gated<V> {
    pub fn new(inner: V, config: EnergyGateConfig) -> Self {
        Gated { inner, config, streams: Streams::with_capacity(DEFAULT_MAX_STREAMS) }
    }
}

impl<V: Vad> Vad for Gated<V> {
    fn frame_samples(&self) -> usize {
        self.inner.frame_samples()
    }

    fn probability(&mut self, stream: StreamId, frame: &[i16]) -> Result<f32, EngineError> {
        let config = self.config;
        let listening = self
            .streams
            .of(stream)
            .get_or_insert_with(|| Listening { gate: EnergyGate::new(config), withheld: VecDeque::new() });
        if !listening.gate.is_open(frame) {
            listening.withhold(frame);
            return Ok(0.0);
        }
        for before in listening.withheld.drain(..) {
            self.inner.probability(stream, &before)?;
        }
        self.inner.probability(stream, frame)
    }

    fn forget(&mut self, stream: StreamId) {
        self.streams.forget(stream);
        self.inner.forget(stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::vad::FRAME_SAMPLES;

    /// Notes the first sample of each frame it hears.
    #[derive(Default)]
    struct Noting(Vec<i16>);

    impl Vad for Noting {
        fn frame_samples(&self) -> usize {
            FRAME_SAMPLES
        }
        fn probability(&mut self, _: StreamId, frame: &[i16]) -> Result<f32, EngineError> {
            self.0.push(frame[0]);
            Ok(0.9)
        }
        fn forget(&mut self, _: StreamId) {}
    }

    #[test]
    fn the_detector_hears_only_what_stands_out_and_a_little_before_it() {
        let mut vad = Gated::new(Noting::default(), EnergyGateConfig::default());
        let mut hear = |level: i16| vad.probability(StreamId(1), &[level; FRAME_SAMPLES]).unwrap();
        for level in 1..=10 {
            assert_eq!(hear(level), 0.0);
        }
        assert_eq!([hear(4_000), hear(4_001)], [0.9; 2]);
        assert_eq!(vad.inner.0, [3, 4, 5, 6, 7, 8, 9, 10, 4_000, 4_001]);
    }
}
