//! Work that nobody does.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{Answer, Work};
use crate::base::ClaimId;

/// What a buyer is told whose goods are gone.
pub fn gone() -> Answer {
    let body = json!({ "success": false, "error": "what was paid for is gone; a refund is recorded" });
    Answer { status: 500, body }
}

/// A work that is not done, for this reason: it cannot be found again, or it was refused after its payer
/// had moved the money alone.
pub(super) struct Undone(Answer);

impl Undone {
    pub fn gone() -> Box<dyn Work> {
        Box::new(Undone(gone()))
    }

    /// The answer may say that nothing was charged, where something was.
    pub fn owed(mut answer: Answer) -> Box<dyn Work> {
        if let Some(body) = answer.body.as_object_mut() {
            body.insert("refund".into(), "due".into());
        }
        Box::new(Undone(answer))
    }
}

impl Work for Undone {
    fn reserve(&mut self, _: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        Box::pin(async { Err(self.0.clone()) })
    }

    fn deliver<'a>(&'a mut self, _: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        Box::pin(async { Err(self.0.clone()) })
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn is_available(&self) -> bool {
        false
    }
}
