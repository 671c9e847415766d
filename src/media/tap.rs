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
/// What a block spans, in samples of 8 kHz.
const BLOCK_LENGTH: u64 = (BLOCK_FRAMES * FRAME_SAMPLES) as u64;

/// One tick of a session, as both ends hear it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapFrame {
    /// When it begins, in samples of 8 kHz since the session did.
    pub start: u64,
    /// Samples a second.
    pub rate: u32,
    /// Left: the far end, as played. Right: us, as sent.
    pub stereo: Vec<[i16; 2]>,
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
        if self.block.stereo.is_empty() || start != self.block.end() || frame.rate != self.block.rate {
            self.flush();
            (self.block.start, self.block.rate) = (start, frame.rate);
            self.block.stereo.reserve_exact(BLOCK_FRAMES * frame.stereo.len());
        }
        self.block.stereo.extend_from_slice(&frame.stereo);
        if self.block.end() >= self.block.start + BLOCK_LENGTH {
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
