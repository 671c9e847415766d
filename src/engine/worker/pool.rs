//! Several workers of one kind behind one handle.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{oneshot, watch};

use super::{
    Factory, Health, Timing, WorkerConfig,
    queue::{Lane, Queue},
    supervise::{self, Server},
};
use crate::engine::{EngineError, StreamId};

/// One thread with its engine, seen from outside.
pub(super) struct Worker<C: Send + 'static> {
    name: &'static str,
    queue: Arc<Queue<C>>,
    health: watch::Receiver<Health>,
    streams: AtomicUsize,
}

impl<C: Send + 'static> Worker<C> {
    pub(super) fn send(&self, lane: Lane, command: C) -> Result<(), (C, EngineError)> {
        self.queue.push(lane, command).inspect_err(|(_, error)| {
            if matches!(error, EngineError::Overloaded(_)) {
                metrics::counter!("callbox_engine_overloaded_total", "engine" => self.name).increment(1);
            }
        })
    }

    /// Streams first, then what waits: streams are what will load it.
    fn load(&self) -> (bool, usize, usize) {
        let down = matches!(*self.health.borrow(), Health::Down { .. });
        (down, self.streams.load(Ordering::Relaxed), self.queue.depth())
    }
}

pub(super) struct Pool<C: Send + 'static> {
    workers: Vec<Arc<Worker<C>>>,
    health: watch::Receiver<Health>,
    next_stream: AtomicU64,
}

impl<C: Send + 'static> Pool<C> {
    pub(super) fn spawn<S: Server<Command = C>>(
        config: &WorkerConfig,
        factory: &Factory<S::Engine>,
        server: impl Fn(&Arc<Queue<C>>) -> S,
    ) -> Arc<Self>
    where
        S::Engine: 'static,
    {
        let (overall, health) = watch::channel(Health::Starting);
        let overall = Arc::new(Overall::new(config.instances.max(1), overall));
        let workers = (0..config.instances.max(1))
            .map(|index| {
                let queue = Queue::new(config.queue);
                let (sender, health) = watch::channel(Health::Starting);
                let thread = Thread { name: config.name, index, overall: overall.clone(), sender };
                thread.start(factory.clone(), queue.clone(), server(&queue));
                Arc::new(Worker { name: config.name, queue, health, streams: AtomicUsize::new(0) })
            })
            .collect();
        Arc::new(Pool { workers, health, next_stream: AtomicU64::new(1) })
    }

    /// The best state among the instances: `Ready` while at least one can be asked.
    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    pub(super) async fn ready(&self, within: Duration) -> Result<(), EngineError> {
        let mut health = self.health();
        let ready = tokio::time::timeout(within, health.wait_for(|h| *h == Health::Ready)).await;
        match ready {
            Ok(Ok(_)) => Ok(()),
            _ => Err(match &*self.health.borrow() {
                Health::Down { detail } => EngineError::Died(detail.clone()),
                _ => EngineError::Died(format!("the engine is not ready after {within:?}")),
            }),
        }
    }

    /// A place for a new stream, on the least loaded instance that is not down.
    pub(super) fn seat(self: &Arc<Self>) -> Seat<C> {
        let worker = self.least_loaded().clone();
        worker.streams.fetch_add(1, Ordering::Relaxed);
        let stream = StreamId(self.next_stream.fetch_add(1, Ordering::Relaxed));
        Seat { stream, worker, _pool: self.clone() }
    }

    pub(super) fn least_loaded(&self) -> &Arc<Worker<C>> {
        self.workers.iter().min_by_key(|worker| worker.load()).expect("a pool has at least one worker")
    }
}

impl<C: Send + 'static> Drop for Pool<C> {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.queue.close();
        }
    }
}

/// A stream's place in a pool, which it keeps alive.
pub(super) struct Seat<C: Send + 'static> {
    pub(super) stream: StreamId,
    pub(super) worker: Arc<Worker<C>>,
    _pool: Arc<Pool<C>>,
}

impl<C: Send + 'static> Drop for Seat<C> {
    fn drop(&mut self) {
        self.worker.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state of all instances, folded into one.
struct Overall {
    each: parking_lot::Mutex<Vec<Health>>,
    sender: watch::Sender<Health>,
}

impl Overall {
    fn new(instances: usize, sender: watch::Sender<Health>) -> Self {
        Overall { each: parking_lot::Mutex::new(vec![Health::Starting; instances]), sender }
    }

    fn set(&self, index: usize, health: Health) {
        let mut each = self.each.lock();
        each[index] = health;
        let best = each.iter().min_by_key(|h| match h {
            Health::Ready => 0,
            Health::Starting => 1,
            Health::Down { .. } => 2,
        });
        if let Some(best) = best {
            self.sender.send_if_modified(|now| {
                let changed = now != best;
                now.clone_from(best);
                changed
            });
        }
    }
}

struct Thread {
    name: &'static str,
    index: usize,
    overall: Arc<Overall>,
    sender: watch::Sender<Health>,
}

impl Thread {
    fn start<S: Server>(self, factory: Factory<S::Engine>, queue: Arc<Queue<S::Command>>, server: S)
    where
        S::Engine: 'static,
    {
        let Thread { name, index, overall, sender } = self;
        let report = move |health: Health| {
            sender.send_replace(health.clone());
            overall.set(index, health);
        };
        let waiting = queue.clone();
        let thread = std::thread::Builder::new().name(format!("{name}-{index}"));
        if let Err(error) = thread.spawn(move || supervise::run(name, factory, queue, report, server)) {
            tracing::error!(engine = name, "cannot start a thread: {error}");
            waiting.close();
        }
    }
}

/// The answer to a request that was sent, or why it was not.
pub(super) fn answered<C, T>(
    sent: Result<(), (C, EngineError)>,
    answer: oneshot::Receiver<Result<T, EngineError>>,
) -> impl Future<Output = Result<T, EngineError>> + Send + use<C, T>
where
    T: Send,
{
    let refused = sent.err().map(|(_, error)| error);
    async move {
        match refused {
            Some(error) => Err(error),
            None => answer
                .await
                .unwrap_or_else(|_| Err(EngineError::Died("the engine was taken out of service".to_owned()))),
        }
    }
}

/// A histogram pair for one operation of one engine.
pub(super) fn observe(engine: &'static str, op: &'static str, timing: Timing) {
    metrics::histogram!("callbox_engine_queue_seconds", "engine" => engine, "op" => op)
        .record(timing.queued.as_secs_f64());
    metrics::histogram!("callbox_engine_inference_seconds", "engine" => engine, "op" => op)
        .record(timing.inference.as_secs_f64());
}
