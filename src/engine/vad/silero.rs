//! Silero VAD, versions 5 and 6, at 16 kHz.
//!
//! The network takes 512 new samples behind the last 64 of the frame before, and a recurrent state
//! of [2, 1, 128]; both are kept per caller. Weights: `silero_vad.onnx` of the `silero-vad` package
//! (MIT, <https://github.com/snakers4/silero-vad>). Runs on `rten`, on one thread.

use std::{path::PathBuf, sync::Arc};

use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::{NdTensor, NdTensorView, Tensor, prelude::*};

use super::{DEFAULT_MAX_STREAMS, FRAME_SAMPLES, check_frame, streams::Streams};
use crate::{
    base::audio::WIDEBAND_HZ,
    engine::{EngineError, StreamId, Vad},
};

const CONTEXT: usize = 64;
const STATE: [usize; 3] = [2, 1, 128];
const STATE_LEN: usize = STATE[0] * STATE[1] * STATE[2];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SileroConfig {
    /// `silero_vad.onnx`.
    pub path: PathBuf,
    /// Callers whose state is kept; the one unused for longest makes room for a new one.
    pub max_streams: usize,
}

impl SileroConfig {
    pub fn new(path: PathBuf) -> Self {
        SileroConfig { path, max_streams: DEFAULT_MAX_STREAMS }
    }
}

/// One set of weights, many callers.
pub struct SileroVad {
    network: Network,
    max_streams: usize,
    streams: Streams<Memory>,
}

/// What the network remembers of a caller.
#[derive(Clone)]
struct Memory {
    context: [f32; CONTEXT],
    state: Vec<f32>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory { context: [0.0; CONTEXT], state: vec![0.0; STATE_LEN] }
    }
}

impl SileroVad {
    /// Loads the weights; takes about as long as reading the file.
    pub fn load(config: &SileroConfig) -> Result<Self, EngineError> {
        let network = Network::load(config)?;
        Ok(SileroVad {
            network,
            max_streams: config.max_streams,
            streams: Streams::with_capacity(config.max_streams),
        })
    }

    /// A second detector for another worker: the same weights in memory, no callers yet.
    pub fn sibling(&self) -> Self {
        SileroVad {
            network: self.network.clone(),
            max_streams: self.max_streams,
            streams: Streams::with_capacity(self.max_streams),
        }
    }
}

impl Vad for SileroVad {
    fn frame_samples(&self) -> usize {
        FRAME_SAMPLES
    }

    fn probability(&mut self, stream: StreamId, frame: &[i16]) -> Result<f32, EngineError> {
        check_frame(frame)?;
        self.network.advance(self.streams.of(stream), frame)
    }

    fn forget(&mut self, stream: StreamId) {
        self.streams.forget(stream);
    }
}

#[derive(Clone)]
struct Network {
    model: Arc<Model>,
    options: RunOptions,
    input: NodeId,
    state: NodeId,
    rate: NodeId,
    outputs: [NodeId; 2],
}

impl Network {
    fn load(config: &SileroConfig) -> Result<Self, EngineError> {
        let cannot = |why: String| {
            EngineError::Start(format!(
                "Silero VAD from {}: {why}; `path` must name silero_vad.onnx, version 5 or 6",
                config.path.display()
            ))
        };
        let model = ModelOptions::with_all_ops()
            .prepack_weights(true)
            .load_file(&config.path)
            .map_err(|error| cannot(error.to_string()))?;
        let node = |name: &str| model.node_id(name).map_err(|error| cannot(error.to_string()));
        Ok(Network {
            input: node("input")?,
            state: node("state")?,
            rate: node("sr")?,
            outputs: [node("output")?, node("stateN")?],
            model: Arc::new(model),
            // The work of one frame is too small to share out: a second thread only adds hand-overs.
            options: RunOptions::default().with_thread_pool(Some(Arc::new(ThreadPool::with_num_threads(1)))),
        })
    }

    fn advance(&self, memory: &mut Memory, frame: &[i16]) -> Result<f32, EngineError> {
        let mut window = [0f32; CONTEXT + FRAME_SAMPLES];
        window[..CONTEXT].copy_from_slice(&memory.context);
        for (to, from) in window[CONTEXT..].iter_mut().zip(frame) {
            *to = f32::from(*from) / 32_768.0;
        }
        let (probability, state) = self.run(&window, &memory.state)?;
        memory.context.copy_from_slice(&window[FRAME_SAMPLES..]);
        memory.state = state;
        Ok(probability)
    }

    /// One pass: the probability and the next state.
    fn run(&self, window: &[f32], state: &[f32]) -> Result<(f32, Vec<f32>), EngineError> {
        let rate = Tensor::<i32>::from_scalar(WIDEBAND_HZ as i32);
        let inputs = vec![
            (self.input, NdTensorView::from_data([1, window.len()], window).into()),
            (self.state, NdTensorView::from_data(STATE, state).into()),
            (self.rate, rate.view().into()),
        ];
        let failed = |why: String| EngineError::Request(format!("Silero VAD: {why}"));
        let [probability, state] = self
            .model
            .run_n(inputs, self.outputs, Some(self.options.clone()))
            .map_err(|error| failed(error.to_string()))?;
        let probability: NdTensor<f32, 2> = typed(probability).map_err(failed)?;
        let state: NdTensor<f32, 3> = typed(state).map_err(failed)?;
        if probability.shape() != [1, 1] || state.shape() != STATE {
            return Err(failed(format!("unexpected shapes {:?} {:?}", probability.shape(), state.shape())));
        }
        Ok((probability[[0, 0]], state.into_data()))
    }
}

fn typed<const N: usize>(value: Value) -> Result<NdTensor<f32, N>, String> {
    NdTensor::try_from(value).map_err(|error: rten::TryFromValueError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_model_names_the_path_and_the_file_wanted() {
        let config = SileroConfig { path: "/nonexistent/silero_vad.onnx".into(), max_streams: 1 };
        let Err(EngineError::Start(why)) = SileroVad::load(&config) else { panic!("must not load") };
        assert!(why.contains("/nonexistent/silero_vad.onnx"), "{why}");
    }
}
