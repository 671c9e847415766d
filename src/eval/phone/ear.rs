//! What a frame holds: how loud it is and, where a detector listens along, whether that is speech.

use std::time::Duration;

use crate::base::audio::{NARROWBAND_HZ, WIDEBAND_HZ};
use crate::engine::vad::energy::level_dbfs;
use crate::engine::worker::{VadHandle, VadStream};
use crate::media::Resampler;

/// Probability from which a frame is speech.
const SPEECH: f32 = 0.5;
/// A detector that has not answered by now is passed over: loudness decides.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) struct Ear {
    detector: Option<Detector>,
}

struct Detector {
    stream: VadStream,
    lift: Resampler,
    /// 16 kHz audio that does not fill a frame of the detector yet.
    pending: Vec<i16>,
    speech: bool,
}

impl Ear {
    pub fn new(vad: Option<&VadHandle>) -> Self {
        let detector = vad.and_then(|vad| {
            let lift = Resampler::new(NARROWBAND_HZ, WIDEBAND_HZ).ok()?;
            Some(Detector { stream: vad.stream(), lift, pending: Vec::new(), speech: false })
        });
        Ear { detector }
    }

    /// The frame's level in dBFS, and whether it is speech as far as anybody can tell.
    pub async fn judge(&mut self, pcm: &[i16]) -> (f32, bool) {
        let speech = match &mut self.detector {
            Some(detector) => detector.judge(pcm).await,
            None => true,
        };
        (level_dbfs(pcm), speech)
    }
}

impl Detector {
    async fn judge(&mut self, pcm: &[i16]) -> bool {
        self.lift.process(pcm, &mut self.pending);
        while self.pending.len() >= self.stream.frame_samples() {
            let rest = self.pending.split_off(self.stream.frame_samples());
            let frame = std::mem::replace(&mut self.pending, rest);
            let judged = tokio::time::timeout(PATIENCE, self.stream.probability(frame)).await;
            self.speech = judged.ok().and_then(Result::ok).is_none_or(|judged| judged.value >= SPEECH);
        }
        self.speech
    }
}
