//! Speech synthesis for many callers: open utterances take turns, one piece of audio each.
//!
//! A listener who does not take its audio holds up only itself: its utterance pauses when
//! [`READ_AHEAD`] pieces wait, and goes on when one is taken. Dropping the receiver cancels.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use tokio::sync::{
    mpsc::{self, OwnedPermit, error::SendError},
    watch,
};

use super::{
    Factory, Health, Timing, WorkerConfig,
    pool::{Pool, Seat, observe},
    queue::{Lane, Queue},
    supervise::{Server, guarded},
};
use crate::engine::{AudioChunk, EngineError, Tts, Utterance, Voice};

/// Pieces of audio that may wait for their listener.
const READ_AHEAD: usize = 4;

type Audio = Result<AudioChunk, EngineError>;

#[derive(Clone)]
pub struct TtsHandle {
    pool: Arc<Pool<Speak>>,
    voices: Arc<RwLock<Vec<Voice>>>,
}

impl TtsHandle {
    pub fn spawn(config: &WorkerConfig, factory: Factory<dyn Tts>) -> Self {
        let name = config.name;
        let voices = Arc::new(RwLock::new(Vec::new()));
        let told = voices.clone();
        let pool = Pool::spawn(config, &factory, |queue| Speaking {
            name,
            voices: told.clone(),
            queue: queue.clone(),
            open: VecDeque::new(),
        });
        TtsHandle { pool, voices }
    }

    /// What the engine said it can speak when it was last built; empty until then.
    pub fn voices(&self) -> Vec<Voice> {
        self.voices.read().clone()
    }

    /// Speaks. The receiver gives the audio in order and ends after the last piece or an error;
    /// dropping it stops the synthesis.
    pub fn speak(&self, utterance: Utterance) -> mpsc::Receiver<Audio> {
        // One place more, for the reason when it ends badly.
        let (sender, receiver) = mpsc::channel(READ_AHEAD + 1);
        let seat = self.pool.seat();
        let worker = seat.worker.clone();
        let speak = Speak { seat, utterance, sender, asked: Instant::now() };
        if let Err((speak, error)) = worker.send(Lane::Normal, speak) {
            Speaking::refuse(speak, &error);
        }
        receiver
    }

    pub fn health(&self) -> watch::Receiver<Health> {
        self.pool.health()
    }

    pub async fn ready(&self, within: Duration) -> Result<(), EngineError> {
        self.pool.ready(within).await
    }
}

struct Speak {
    seat: Seat<Speak>,
    utterance: Utterance,
    sender: mpsc::Sender<Audio>,
    asked: Instant,
}

/// Room for one piece in a listener's channel; an error when nobody listens any more.
type Permit = Result<OwnedPermit<Audio>, SendError<()>>;
/// The wait for it.
type Room = Pin<Box<dyn Future<Output = Permit> + Send>>;

/// An utterance being spoken.
struct Speech {
    seat: Seat<Speak>,
    room: Room,
    permit: Option<Permit>,
    /// Kept so that a listener far behind still hears why the audio ends.
    last_word: OwnedPermit<Audio>,
    asked: Instant,
    first: bool,
}

impl Speech {
    /// `None` when nobody listens any more.
    fn new(seat: Seat<Speak>, sender: mpsc::Sender<Audio>, asked: Instant) -> Option<Self> {
        let last_word = sender.clone().try_reserve_owned().ok()?;
        let room = Box::pin(sender.reserve_owned());
        Some(Speech { seat, room, permit: None, last_word, asked, first: true })
    }

    fn fail(self, error: &EngineError) {
        self.last_word.send(Err(error.clone()));
    }

    /// Whether its listener has room for a piece, or has gone.
    fn can_go_on(&mut self, context: &mut Context<'_>) -> bool {
        if self.permit.is_none()
            && let Poll::Ready(permit) = self.room.as_mut().poll(context)
        {
            self.permit = Some(permit);
        }
        self.permit.is_some()
    }
}

struct Speaking {
    name: &'static str,
    voices: Arc<RwLock<Vec<Voice>>>,
    queue: Arc<Queue<Speak>>,
    open: VecDeque<Speech>,
}

impl Speaking {
    /// The next utterance in turn whose listener has room.
    fn next_speech(&mut self) -> Option<(Speech, Permit)> {
        let waker = self.queue.waker();
        let mut context = Context::from_waker(&waker);
        let index = self.open.iter_mut().position(|speech| speech.can_go_on(&mut context))?;
        let mut speech = self.open.remove(index)?;
        let permit = speech.permit.take()?;
        Some((speech, permit))
    }

    /// Synthesises one piece and puts the utterance at the end of the line.
    fn speak_on(
        &mut self,
        engine: &mut dyn Tts,
        mut speech: Speech,
        permit: OwnedPermit<Audio>,
    ) -> Result<(), EngineError> {
        let begun = Instant::now();
        let result = guarded(|| engine.next(speech.seat.stream));
        let queued = if std::mem::take(&mut speech.first) { begun - speech.asked } else { Duration::ZERO };
        observe(self.name, "piece", Timing { queued, inference: begun.elapsed() });
        match result {
            Ok(Some(chunk)) => {
                speech.room = Box::pin(permit.send(Ok(chunk)).reserve_owned());
                self.open.push_back(speech);
            }
            Ok(None) => {}
            Err(error @ EngineError::Died(_)) => {
                self.open.push_back(speech);
                return Err(error);
            }
            Err(error) => _ = permit.send(Err(error)),
        }
        Ok(())
    }
}

impl Server for Speaking {
    type Engine = dyn Tts;
    type Command = Speak;

    fn handle(&mut self, engine: &mut Self::Engine, speak: Speak) -> Result<(), EngineError> {
        let Speak { seat, utterance, sender, asked } = speak;
        let stream = seat.stream;
        let Some(speech) = Speech::new(seat, sender, asked) else { return Ok(()) };
        match guarded(|| engine.start(stream, &utterance)) {
            Err(error @ EngineError::Died(_)) => {
                self.open.push_back(speech);
                return Err(error);
            }
            Err(error) => speech.fail(&error),
            Ok(()) => self.open.push_back(speech),
        }
        Ok(())
    }

    fn busy(&mut self, _engine: &Self::Engine) -> bool {
        let waker = self.queue.waker();
        let mut context = Context::from_waker(&waker);
        self.open.iter_mut().any(|speech| speech.can_go_on(&mut context))
    }

    fn step(&mut self, engine: &mut Self::Engine) -> Result<(), EngineError> {
        match self.next_speech() {
            Some((speech, Ok(permit))) => self.speak_on(engine, speech, permit),
            Some((speech, Err(_gone))) => {
                engine.cancel(speech.seat.stream);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn begin(&mut self, engine: &Self::Engine) {
        *self.voices.write() = engine.voices();
    }

    fn check(&mut self, engine: &mut Self::Engine) -> Result<(), EngineError> {
        engine.check()
    }

    fn fail_open(&mut self, error: &EngineError) {
        for speech in self.open.drain(..) {
            speech.fail(error);
        }
    }

    fn refuse(speak: Speak, error: &EngineError) {
        let _ = speak.sender.try_send(Err(error.clone()));
    }
}
