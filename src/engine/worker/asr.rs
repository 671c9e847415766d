//! Speech recognition for many callers: audio collects beside the queue, requests go through it.
//!
//! Audio never takes a place in the queue: it waits in the utterance and reaches the engine with the
//! next request for text. A final goes ahead of every caller's partials, and a partial that a final or
//! a newer partial has overtaken is answered without being computed.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::{
    Factory, Health, Timed, Timing, WorkerConfig,
    pool::{Pool, Seat, answered, observe},
    queue::Lane,
    supervise::{Server, guarded},
};
use crate::{
    base::audio::WIDEBAND_HZ,
    engine::{Asr, EngineError, SpeechHint, StreamId, Transcript},
};

/// Audio that may wait for a request, in samples at 16 kHz: one minute.
const MAX_PENDING: usize = 60 * WIDEBAND_HZ as usize;

/// Speech recognition, shared by all calls.
#[derive(Clone)]
pub struct AsrHandle {
    pool: Arc<Pool<Command>>,
    name: &'static str,
}

impl AsrHandle {
    pub fn spawn(config: &WorkerConfig, factory: Factory<dyn Asr>) -> Self {
        let name = config.name;
        let pool = Pool::spawn(config, &factory, |_| Recognising { name, incarnation: 0, dying: None });
        AsrHandle { pool, name }
    }

    /// A caller's ear. Utterances follow each other on it.
    pub fn stream(&self, hint: SpeechHint) -> AsrStream {
        let seat = self.pool.seat();
        let current = Mutex::new(Utterance::new(seat.stream, hint));
        AsrStream { seat, current }
    }

    pub fn health(&self) -> watch::Receiver<Health> {
        self.pool.health()
    }

    /// Waits until an instance can be asked.
    pub async fn ready(&self, within: Duration) -> Result<(), EngineError> {
        self.pool.ready(within).await
    }

    /// The `engine` label of its metrics.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// One caller's utterances, one after the other. Dropping it forgets them.
pub struct AsrStream {
    seat: Seat<Command>,
    current: Mutex<Arc<Utterance>>,
}

impl AsrStream {
    /// Adds 16 kHz mono audio to the utterance. [`EngineError::Overloaded`] when a minute of it waits
    /// for the engine; the new audio is then dropped.
    pub fn push(&self, pcm: impl AsRef<[i16]>) -> Result<(), EngineError> {
        let utterance = self.current.lock().clone();
        let mut pending = utterance.pending.lock();
        if pending.len() + pcm.as_ref().len() > MAX_PENDING {
            return Err(EngineError::Overloaded(MAX_PENDING));
        }
        pending.extend_from_slice(pcm.as_ref());
        Ok(())
    }

    /// The best text so far. Answers [`EngineError::Request`] when a newer partial or the final
    /// overtook it.
    pub fn partial(&self) -> impl Future<Output = Heard> + Send + use<> {
        let utterance = self.current.lock().clone();
        let ticket = utterance.latest.fetch_add(1, Ordering::Relaxed) + 1;
        let (ask, answer) = Ask::new();
        answered(self.seat.worker.send(Lane::Normal, Command::Partial(utterance, ticket, ask)), answer)
    }

    /// The final text. The next audio begins a new utterance.
    pub fn finish(&self) -> impl Future<Output = Heard> + Send + use<> {
        let utterance = self.begin_next();
        let (ask, answer) = Ask::new();
        answered(self.seat.worker.send(Lane::Urgent, Command::Finish(utterance, ask)), answer)
    }

    /// Drops the utterance without asking for its text; the next audio begins a new one.
    pub fn restart(&self) {
        self.begin_next();
    }

    /// Replaces the utterance by a fresh one and makes the partials of the old one void.
    fn begin_next(&self) -> Arc<Utterance> {
        let mut current = self.current.lock();
        let next = Utterance::new(current.stream, current.hint.clone());
        let old = std::mem::replace(&mut *current, next);
        old.latest.store(FINISHED, Ordering::Relaxed);
        old
    }
}

impl Drop for AsrStream {
    fn drop(&mut self) {
        self.begin_next();
        // A worker that is down has nothing left to forget.
        let _ = self.seat.worker.send(Lane::Ending, Command::Cancel(self.seat.stream));
    }
}

/// The audio of one utterance on its way to the engine.
struct Utterance {
    stream: StreamId,
    hint: SpeechHint,
    pending: Mutex<Vec<i16>>,
    /// The ticket of the newest partial; [`FINISHED`] when no partial matters any more.
    latest: AtomicU64,
    /// Which incarnation of the engine heard its beginning; 0 for none yet.
    heard_by: AtomicU64,
}

const FINISHED: u64 = u64::MAX;

impl Utterance {
    fn new(stream: StreamId, hint: SpeechHint) -> Arc<Self> {
        Arc::new(Utterance {
            stream,
            hint,
            pending: Mutex::default(),
            latest: AtomicU64::new(0),
            heard_by: AtomicU64::new(0),
        })
    }
}

struct Ask {
    reply: oneshot::Sender<Heard>,
    asked: Instant,
}

impl Ask {
    fn new() -> (Self, oneshot::Receiver<Heard>) {
        let (reply, answer) = oneshot::channel();
        (Ask { reply, asked: Instant::now() }, answer)
    }
}

type Heard = Result<Timed<Transcript>, EngineError>;

enum Command {
    Partial(Arc<Utterance>, u64, Ask),
    Finish(Arc<Utterance>, Ask),
    Cancel(StreamId),
}

/// The worker's side.
struct Recognising {
    name: &'static str,
    incarnation: u64,
    /// Who asked when the engine died.
    dying: Option<oneshot::Sender<Heard>>,
}

impl Recognising {
    /// Brings the engine up to date with the utterance, then asks it.
    fn recognise(
        &self,
        engine: &mut dyn Asr,
        utterance: &Utterance,
        ask: impl FnOnce(&mut dyn Asr, StreamId) -> Result<Transcript, EngineError>,
    ) -> Result<Transcript, EngineError> {
        let pcm = std::mem::take(&mut *utterance.pending.lock());
        match utterance.heard_by.swap(self.incarnation, Ordering::Relaxed) {
            0 => engine.start(utterance.stream, &utterance.hint)?,
            same if same == self.incarnation => {}
            dead => {
                utterance.heard_by.store(dead, Ordering::Relaxed);
                return Err(EngineError::Request(
                    "the engine was restarted during this utterance".to_owned(),
                ));
            }
        }
        if !pcm.is_empty() {
            engine.push(utterance.stream, &pcm)?;
        }
        ask(engine, utterance.stream)
    }

    fn answer(
        &mut self,
        op: &'static str,
        ask: Ask,
        run: impl FnOnce(&Self) -> Result<Transcript, EngineError>,
    ) -> Result<(), EngineError> {
        let Ask { reply, asked } = ask;
        let begun = Instant::now();
        let result = guarded(|| run(self));
        let timing = Timing { queued: begun - asked, inference: begun.elapsed() };
        observe(self.name, op, timing);
        if let Err(error @ EngineError::Died(_)) = result {
            self.dying = Some(reply);
            return Err(error);
        }
        let _ = reply.send(result.map(|value| Timed { value, timing }));
        Ok(())
    }
}

impl Server for Recognising {
    type Engine = dyn Asr;
    type Command = Command;

    fn handle(&mut self, engine: &mut Self::Engine, command: Command) -> Result<(), EngineError> {
        match command {
            Command::Partial(utterance, ticket, ask) => {
                if utterance.latest.load(Ordering::Relaxed) != ticket {
                    let _ = ask.reply.send(Err(EngineError::Request("superseded".to_owned())));
                    return Ok(());
                }
                self.answer("partial", ask, |this| {
                    this.recognise(engine, &utterance, |engine, stream| engine.partial(stream))
                })
            }
            Command::Finish(utterance, ask) => self.answer("finish", ask, |this| {
                this.recognise(engine, &utterance, |engine, stream| engine.finish(stream))
            }),
            Command::Cancel(stream) => {
                engine.cancel(stream);
                Ok(())
            }
        }
    }

    fn begin(&mut self, _engine: &Self::Engine) {
        self.incarnation += 1;
    }

    fn check(&mut self, engine: &mut Self::Engine) -> Result<(), EngineError> {
        engine.check()
    }

    fn fail_open(&mut self, error: &EngineError) {
        if let Some(reply) = self.dying.take() {
            let _ = reply.send(Err(error.clone()));
        }
    }

    fn refuse(command: Command, error: &EngineError) {
        match command {
            Command::Partial(_, _, ask) | Command::Finish(_, ask) => {
                let _ = ask.reply.send(Err(error.clone()));
            }
            Command::Cancel(_) => {}
        }
    }
}
