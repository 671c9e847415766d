//! End of turn for many callers; nothing is kept between requests.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};

use super::{
    Factory, Health, Timed, Timing, WorkerConfig,
    pool::{Pool, answered, observe},
    queue::Lane,
    supervise::{Server, guarded},
};
use crate::engine::{EngineError, Turn};

#[derive(Clone)]
pub struct TurnHandle {
    pool: Arc<Pool<Ask>>,
}

impl TurnHandle {
    pub fn spawn(config: &WorkerConfig, factory: Factory<dyn Turn>) -> Self {
        let name = config.name;
        TurnHandle { pool: Pool::spawn(config, &factory, |_| Judging { name, dying: None }) }
    }

    /// How likely the speaker has finished, from up to the last eight seconds of audio at 16 kHz.
    pub fn probability(
        &self,
        pcm: Vec<i16>,
    ) -> impl Future<Output = Result<Timed<f32>, EngineError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let worker = self.pool.least_loaded();
        let sent = worker.send(Lane::Normal, Ask { pcm, reply, asked: Instant::now() });
        answered(sent, answer)
    }

    pub fn health(&self) -> watch::Receiver<Health> {
        self.pool.health()
    }

    pub async fn ready(&self, within: Duration) -> Result<(), EngineError> {
        self.pool.ready(within).await
    }
}

struct Ask {
    pcm: Vec<i16>,
    reply: oneshot::Sender<Result<Timed<f32>, EngineError>>,
    asked: Instant,
}

struct Judging {
    name: &'static str,
    /// Who asked when the engine died.
    dying: Option<oneshot::Sender<Result<Timed<f32>, EngineError>>>,
}

impl Server for Judging {
    type Engine = dyn Turn;
    type Command = Ask;

    fn handle(&mut self, engine: &mut Self::Engine, ask: Ask) -> Result<(), EngineError> {
        let begun = Instant::now();
        let result = guarded(|| engine.probability(&ask.pcm));
        let timing = Timing { queued: begun - ask.asked, inference: begun.elapsed() };
        observe(self.name, "judge", timing);
        if let Err(error @ EngineError::Died(_)) = result {
            self.dying = Some(ask.reply);
            return Err(error);
        }
        let _ = ask.reply.send(result.map(|value| Timed { value, timing }));
        Ok(())
    }

    fn fail_open(&mut self, error: &EngineError) {
        if let Some(reply) = self.dying.take() {
            let _ = reply.send(Err(error.clone()));
        }
    }

    fn refuse(ask: Ask, error: &EngineError) {
        let _ = ask.reply.send(Err(error.clone()));
    }
}
