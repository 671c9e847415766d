//! What scripted engines share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::EngineError;

/// Kills a scripted engine from outside: the next request after [`Trapdoor::open`] answers
/// [`EngineError::Died`], once.
#[derive(Debug, Clone, Default)]
pub struct Trapdoor(Arc<AtomicBool>);

impl Trapdoor {
    pub fn open(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn check(&self) -> Result<(), EngineError> {
        match self.0.swap(false, Ordering::Relaxed) {
            true => Err(EngineError::Died("the script says so".to_owned())),
            false => Ok(()),
        }
    }
}
