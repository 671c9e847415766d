//! An answer that is asked for before the money moves, and told after: what nobody answers costs nothing.

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;

use super::Ticket;
use crate::{
    base::ClaimId,
    pay::gate::{Answer, Work},
};

/// Asks once; afterwards it has the answer, if there was one.
struct Inquiry {
    ask: Option<BoxFuture<'static, Result<Value, Answer>>>,
    answer: Option<Value>,
}

/// `ask` gives the body, to which the transaction is added.
pub fn inquiry(ask: impl Future<Output = Result<Value, Answer>> + Send + 'static) -> Box<dyn Work> {
    Box::new(Inquiry { ask: Some(ask.boxed()), answer: None })
}

impl Inquiry {
    async fn put(&mut self) -> Result<Value, Answer> {
        if let Some(ask) = self.ask.take() {
            self.answer = Some(ask.await?);
        }
        Ok(Ticket::Reading.json())
    }
}

impl Work for Inquiry {
    fn reserve(&mut self, _: ClaimId) -> BoxFuture<'_, Result<Value, Answer>> {
        self.put().boxed()
    }

    fn deliver<'a>(&'a mut self, transaction: &'a str) -> BoxFuture<'a, Result<Answer, Answer>> {
        let answer = match self.answer.clone() {
            Some(mut body) => {
                body["transaction"] = transaction.into();
                Ok(Answer { status: 200, body })
            }
            None => Err(Answer { status: 500, body: serde_json::json!({ "error": "nothing was asked" }) }),
        };
        std::future::ready(answer).boxed()
    }

    fn cancel(&mut self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}
