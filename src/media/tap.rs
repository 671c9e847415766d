//! Copies what both ends hear out of a session, for a recording.
//!
//! Frames gather into blocks of half a second, so that the recorder is woken twice a second a call
//! and not fifty times. A block that finds the queue full is dropped and counted; every block says
//! where it belongs, so the recording shows silence there and both channels stay aligned.

use std::sync::Arc;

use super::{
    jitter::FRAME_SAMPLES,
    recording::{Block, Queue, RecordingId},
};

/// Frames of a block: 0.5 s.
const BLOCK_FRAMES: usize = 25;

/// One tick of a session, as both ends hear it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapFrame {
    /// Index of the first sample since the session began.
    pub start: u64,
    /// Left: the far end, as played. Right: us, as sent.
    pub stereo: [[i16; 2]; FRAME_SAMPLES],
}

/// Feeds one recording.
pub struct Tap {
    id: RecordingId,
    queue: Arc<Queue>,
    /// Where the recording begins in the session.
    origin: Option<u64>,
    block: Block,
}

impl Tap {
    pub fn new(id: RecordingId, queue: Arc<Queue>) -> Self {
        Tap { id, queue, origin: None, block: Block::default() }
    }

    pub fn id(&self) -> RecordingId {
        self.id
    }

    /// Never blocks.
    pub fn push(&mut self, frame: &TapFrame) {
        let start = frame.start - *self.origin.get_or_insert(frame.start);
        let expected = self.block.start + self.block.stereo.len() as u64;
        if self.block.stereo.is_empty() || start != expected {
            self.flush();
            self.block.start = start;
            self.block.stereo.reserve_exact(BLOCK_FRAMES * FRAME_SAMPLES);
        }
        self.block.stereo.extend_from_slice(&frame.stereo);
        if self.block.stereo.len() >= BLOCK_FRAMES * FRAME_SAMPLES {
            self.flush();
        }
    }

    /// Hands over what has gathered.
    pub fn flush(&mut self) {
        let block = std::mem::take(&mut self.block);
        if !block.stereo.is_empty() {
            self.queue.push_block(self.id, block);
        }
    }
}
