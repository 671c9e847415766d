//! A detector behind an energy gate.

use super::{
    DEFAULT_MAX_STREAMS,
    energy::{EnergyGate, EnergyGateConfig},
    streams::Streams,
};
use crate::engine::{EngineError, StreamId, Vad};

/// Asks the detector within only while the gate is open and answers 0.0 otherwise. When the gate
/// opens, the detector first hears the frame before: speech begins softer than it goes on.
pub struct Gated<V> {
    inner: V,
    config: EnergyGateConfig,
    streams: Streams<Option<Listening>>,
}

struct Listening {
    gate: EnergyGate,
    /// The last frame, if the detector has not heard it.
    withheld: Option<Vec<i16>>,
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
            .get_or_insert_with(|| Listening { gate: EnergyGate::new(config), withheld: None });
        if !listening.gate.is_open(frame) {
            let kept = listening.withheld.get_or_insert_default();
            kept.clear();
            kept.extend_from_slice(frame);
            return Ok(0.0);
        }
        if let Some(before) = listening.withheld.take() {
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
    fn the_detector_hears_only_what_stands_out_and_the_frame_before_it() {
        let mut vad = Gated::new(Noting::default(), EnergyGateConfig::default());
        let mut hear = |level: i16| vad.probability(StreamId(1), &[level; FRAME_SAMPLES]).unwrap();
        assert_eq!([hear(1), hear(2), hear(3)], [0.0; 3]);
        assert_eq!([hear(4_000), hear(4_001)], [0.9; 2]);
        assert_eq!(vad.inner.0, [3, 4_000, 4_001]);
    }
}
