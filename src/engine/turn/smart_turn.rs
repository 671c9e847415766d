//! Smart-Turn v3: has the speaker finished, judged from the last eight seconds of sound.
//!
//! Weights: `smart-turn-v3.2-cpu.onnx` of the `pipecat-ai` package (BSD-2-Clause,
//! <https://github.com/pipecat-ai/smart-turn>): a Whisper tiny encoder and a small head, quantised to
//! 8 bits. The output, though named `logits`, already went through the sigmoid. The model was trained
//! on speech that ends with the pause in which it is asked: give it the sound up to now, not up to the
//! last word.

use std::{
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool};
use rten_tensor::{NdTensor, NdTensorView, prelude::*};

use super::mel::{BANDS, FRAMES, LogMel};
use crate::engine::{EngineError, Turn};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmartTurnConfig {
    /// `smart-turn-v3.2-cpu.onnx`.
    pub path: PathBuf,
    /// Threads for one judgement, at most as many as there are cores. Two nearly halve the time of
    /// one; more help little, and the recogniser starts at the same moment.
    pub threads: usize,
}

/// One set of weights; keeps no state between calls.
pub struct SmartTurn {
    model: Arc<Model>,
    input: NodeId,
    output: NodeId,
    options: RunOptions,
    mel: LogMel,
    last: Cost,
}

/// Where the time of one judgement went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    pub features: Duration,
    pub network: Duration,
}

impl SmartTurn {
    pub fn load(config: &SmartTurnConfig) -> Result<Self, EngineError> {
        let cannot = |why: String| {
            EngineError::Start(format!(
                "Smart-Turn from {}: {why}; `path` must name a smart-turn-v3 .onnx file",
                config.path.display()
            ))
        };
        let model = ModelOptions::with_all_ops()
            .prepack_weights(true)
            .load_file(&config.path)
            .map_err(|error| cannot(error.to_string()))?;
        let input = model.node_id("input_features").map_err(|error| cannot(error.to_string()))?;
        let output = *model.output_ids().first().ok_or_else(|| cannot("it has no output".into()))?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let pool = ThreadPool::with_num_threads(config.threads.clamp(1, cores));
        Ok(SmartTurn {
            model: Arc::new(model),
            input,
            output,
            options: RunOptions::default().with_thread_pool(Some(Arc::new(pool))),
            mel: LogMel::new(),
            last: Cost::default(),
        })
    }

    /// A second judge for another worker: the same weights in memory.
    pub fn sibling(&self) -> Self {
        SmartTurn {
            model: self.model.clone(),
            input: self.input,
            output: self.output,
            options: self.options.clone(),
            mel: LogMel::new(),
            last: Cost::default(),
        }
    }

    /// What the latest call of [`Turn::probability`] cost.
    pub fn last_cost(&self) -> Cost {
        self.last
    }

    fn judge(&mut self, pcm: &[i16]) -> Result<f32, EngineError> {
        let began = Instant::now();
        let features = self.mel.features(pcm);
        let heard = Instant::now();
        let view = NdTensorView::from_data([1, BANDS, FRAMES], features);
        let failed = |why: String| EngineError::Request(format!("Smart-Turn: {why}"));
        let [output] = self
            .model
            .run_n(vec![(self.input, view.into())], [self.output], Some(self.options.clone()))
            .map_err(|error| failed(error.to_string()))?;
        let output: NdTensor<f32, 2> =
            output.try_into().map_err(|error: rten::TryFromValueError| failed(error.to_string()))?;
        self.last = Cost { features: heard - began, network: heard.elapsed() };
        output.iter().next().copied().ok_or_else(|| failed("the output is empty".into()))
    }
}

impl Turn for SmartTurn {
    fn probability(&mut self, pcm: &[i16]) -> Result<f32, EngineError> {
        if pcm.is_empty() {
            return Err(EngineError::Request("Smart-Turn: there is no audio to judge".into()));
        }
        self.judge(pcm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_model_names_the_path_and_the_file_wanted() {
        let config = SmartTurnConfig { path: "/nonexistent/turn.onnx".into(), threads: 1 };
        let Err(EngineError::Start(why)) = SmartTurn::load(&config) else { panic!("must not load") };
        assert!(why.contains("/nonexistent/turn.onnx"), "{why}");
    }
}
