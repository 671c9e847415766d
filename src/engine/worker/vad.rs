//! Voice activity for many callers.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};

use super::{
    Factory, Health, Timed, Timing, WorkerConfig,
    pool::{Pool, Seat, answered, observe},
    queue::Lane,
    supervise::{Server, guarded},
};
use crate::engine::{EngineError, StreamId, Vad};

/// Frame length until the engine has said its own: Silero's 32 ms.
const FRAME_SAMPLES: usize = 512;

#[derive(Clone)]
pub struct VadHandle {
    pool: Arc<Pool<Command>>,
    frame_samples: Arc<AtomicUsize>,
}

impl VadHandle {
    pub fn spawn(config: &WorkerConfig, factory: Factory<dyn Vad>) -> Self {
        let name = config.name;
        let frame_samples = Arc::new(AtomicUsize::new(FRAME_SAMPLES));
        let told = frame_samples.clone();
        let pool =
            Pool::spawn(config, &factory, |_| Listening { name, frame_samples: told.clone(), dying: None });
        VadHandle { pool, frame_samples }
    }

    pub fn stream(&self) -> VadStream {
        VadStream { seat: self.pool.seat(), frame_samples: self.frame_samples.clone() }
    }

    pub fn health(&self) -> watch::Receiver<Health> {
        self.pool.health()
    }

    pub async fn ready(&self, within: Duration) -> Result<(), EngineError> {
        self.pool.ready(within).await
    }
}

/// One caller's frames, in order. Dropping it forgets the stream's state.
pub struct VadStream {
    seat: Seat<Command>,
    frame_samples: Arc<AtomicUsize>,
}

impl VadStream {
    /// Samples at 16 kHz a frame must have; the engine's own once it is ready.
    pub fn frame_samples(&self) -> usize {
        self.frame_samples.load(Ordering::Relaxed)
    }

    /// How likely the frame holds speech, 0.0 to 1.0.
    pub fn probability(
        &self,
        frame: Vec<i16>,
    ) -> impl Future<Output = Result<Timed<f32>, EngineError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let ask = Command::Frame { stream: self.seat.stream, frame, reply, asked: Instant::now() };
        let sent = self.seat.worker.send(Lane::Normal, ask);
        answered(sent, answer)
    }
}

impl Drop for VadStream {
    fn drop(&mut self) {
        // A worker that is down has nothing left to forget.
        let _ = self.seat.worker.send(Lane::Ending, Command::Forget(self.seat.stream));
    }
}

enum Command {
    Frame {
        stream: StreamId,
        frame: Vec<i16>,
        reply: oneshot::Sender<Result<Timed<f32>, EngineError>>,
        asked: Instant,
    },
    Forget(StreamId),
}

struct Listening {
    name: &'static str,
    frame_samples: Arc<AtomicUsize>,
    /// Who asked when the engine died.
    dying: Option<oneshot::Sender<Result<Timed<f32>, EngineError>>>,
}

impl Server for Listening {
    type Engine = dyn Vad;
    type Command = Command;

    fn handle(&mut self, engine: &mut Self::Engine, command: Command) -> Result<(), EngineError> {
        match command {
            Command::Frame { stream, frame, reply, asked } => {
                let begun = Instant::now();
                let result = guarded(|| engine.probability(stream, &frame));
                let timing = Timing { queued: begun - asked, inference: begun.elapsed() };
                observe(self.name, "frame", timing);
                if let Err(error @ EngineError::Died(_)) = result {
                    self.dying = Some(reply);
                    return Err(error);
                }
                let _ = reply.send(result.map(|value| Timed { value, timing }));
                Ok(())
            }
            Command::Forget(stream) => {
                engine.forget(stream);
                Ok(())
            }
        }
    }

    fn begin(&mut self, engine: &Self::Engine) {
        self.frame_samples.store(engine.frame_samples(), Ordering::Relaxed);
    }

    fn fail_open(&mut self, error: &EngineError) {
        if let Some(reply) = self.dying.take() {
            let _ = reply.send(Err(error.clone()));
        }
    }

    fn refuse(command: Command, error: &EngineError) {
        if let Command::Frame { reply, .. } = command {
            let _ = reply.send(Err(error.clone()));
        }
    }
}
