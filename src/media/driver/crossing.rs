//! The way between two bridged legs, which may live on different threads.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::media::relay::Frame;

/// Frames on their way: more than a leg hands over in one tick. What finds no place is lost, as is what a
/// leg that stands still would have sent.
const FRAMES: usize = 8;

/// One leg's end.
pub struct Crossing {
    out: SyncSender<Frame>,
    from: Receiver<Frame>,
}

pub fn pair() -> (Crossing, Crossing) {
    let (to_b, from_a) = sync_channel(FRAMES);
    let (to_a, from_b) = sync_channel(FRAMES);
    (Crossing { out: to_b, from: from_b }, Crossing { out: to_a, from: from_a })
}

impl Crossing {
    /// Hands over what this leg's far end said. Never blocks.
    pub fn push(&self, frame: Frame) {
        // Full, or the other leg is gone.
        let _ = self.out.try_send(frame);
    }

    /// What the other leg's far end said.
    pub fn frames(&self) -> impl Iterator<Item = Frame> {
        self.from.try_iter()
    }
}
