//! The media plane as the rest of the node sees it: threads, sockets, ports and queues around
//! sessions.
//!
//! Sessions live on threads of their own, never on the application's runtime, so that a busy node
//! does not disturb pacing. A thread is filled before the next is used ([`load`]). It serves hundreds of legs
//! without a poller: legs are dealt over up to four phases of 5 ms, and at its phase a leg reads its socket dry,
//! ticks, and sends. Nothing would be done with a packet before the tick anyway, and a wake-up per packet
//! would cost more than the packet. A leg that panics ends alone.
//!
//! Legs have a pair of sockets each, or share one pair with all legs of their thread
//! ([`SocketMode`]): that is read before each phase, and [`demux`](super::demux) says whose a datagram is. A thread
//! has shared ports of its own, rather than one of several sockets on the same port, since the kernel would
//! deal a call's packets to any thread.
//!
//! Queues: commands of a leg (64; [`MediaError::Busy`] when full), events of a leg
//! ([`Config::event_queue`]; frames are dropped and counted before other events are), audio to play
//! (60 s; [`MediaError::PlayoutFull`]), frames between bridged legs (8; lost beyond that), blocks to record ([`Config::recording_queue`]; dropped and
//! counted), a socket's buffer (the kernel drops what it does not hold).

pub mod batch;
mod config;
mod crossing;
mod events;
mod handle;
mod leg;
mod legs;
mod load;
mod readiness;
mod refused;
mod shared;
mod sockets;
mod worker;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self as std_mpsc, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

pub use self::{
    config::{Config, SocketMode},
    events::MediaEvents,
    handle::{MediaHandle, Recorded},
    sockets::{Sockets, raise_limit},
    worker::{LEGS_A_PHASE, PHASES, wake_on_time},
};
use self::{
    leg::Start,
    load::{Load, Presence, Timesheet},
    readiness::Readiness,
    shared::SharedPort,
    worker::{Line, ToWorker, Worker},
};
use super::{
    dtmf::DtmfError,
    playout::PlayoutFull,
    ports::{PortError, PortPool},
    recording::Recorder,
    session::SessionConfig,
};

#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("media.{field} {reason}")]
    Config { field: &'static str, reason: &'static str },
    #[error("media threads cannot start: {0}")]
    Start(io::Error),
    #[error("every media thread has ended by an error of ours; restart the node")]
    Ended,
    #[error(transparent)]
    Ports(#[from] PortError),
    #[error("RTP socket {addr} cannot be opened: {source}; check media.bind and what else uses the range")]
    Bind { addr: SocketAddr, source: io::Error },
    #[error("the leg has too many commands waiting; try again after a tick")]
    Busy,
    #[error("the leg is closed")]
    Closed,
    #[error(transparent)]
    PlayoutFull(#[from] PlayoutFull),
    #[error(transparent)]
    Dtmf(#[from] DtmfError),
}

/// Legs that may wait to be adopted by a thread: a second's worth of a fast ramp.
const INBOX: usize = 4_096;

/// All media threads of a node. Dropping it closes every leg, completes every recording and joins.
pub struct MediaPlane {
    config: Config,
    ports: Arc<Mutex<PortPool>>,
    workers: Vec<WorkerThread>,
    strays: Arc<AtomicU64>,
    // Dropped after the threads that feed it are joined.
    _recorder: Arc<Recorder>,
}

struct WorkerThread {
    inbox: SyncSender<ToWorker>,
    load: Arc<Load>,
    /// What they share.
    shared: Option<Arc<Sockets>>,
    thread: Option<JoinHandle<()>>,
}

impl WorkerThread {
    fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl MediaPlane {
    pub fn start(config: Config) -> Result<Self, MediaError> {
        config.check()?;
        sockets::raise_limit();
        let ports = PortPool::new(config.port_min, config.port_max, config.port_rest())?;
        let recorder =
            Recorder::start(config.recording_queue, config.recording_flush()).map_err(MediaError::Start)?;
        let mut plane = MediaPlane {
            config,
            ports: Arc::new(Mutex::new(ports)),
            workers: Vec::new(),
            strays: Arc::default(),
            _recorder: Arc::new(recorder),
        };
        for n in 0..plane.config.worker_threads() {
            let worker = plane.start_worker(n)?;
            plane.workers.push(worker);
        }
        Ok(plane)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Opens the sockets of a leg, so that its address can go into an SDP. Dropping the leg gives the port back.
    pub fn reserve(&self) -> Result<Leg, MediaError> {
        let worker = load::choose(self.running(), |worker| &worker.load, self.config.legs_per_thread);
        let worker = worker.ok_or(MediaError::Ended)?;
        let seat = match &worker.shared {
            Some(sockets) => Seat::Shared(sockets.clone()),
            None => {
                let (sockets, lease) = self.open()?;
                Seat::Own(sockets, lease)
            }
        };
        let (inbox, presence) = (worker.inbox.clone(), Presence::new(worker.load.clone()));
        Ok(Leg { seat, presence, inbox, event_queue: self.config.event_queue })
    }

    /// Legs that are live or reserved, on all threads.
    pub fn legs(&self) -> usize {
        self.workers.iter().map(|w| w.load.legs()).sum()
    }

    /// Threads that legs are dealt to.
    pub fn threads(&self) -> usize {
        self.workers.len()
    }

    /// Of those, the ones that run: fewer only after an error of ours.
    pub fn running_threads(&self) -> usize {
        self.running().count()
    }

    fn running(&self) -> impl Iterator<Item = &WorkerThread> + Clone {
        self.workers.iter().filter(|worker| worker.is_alive())
    }

    /// Datagrams on shared ports that were of no leg.
    pub fn strays(&self) -> u64 {
        self.strays.load(Ordering::Relaxed)
    }

    fn start_worker(&self, n: usize) -> Result<WorkerThread, MediaError> {
        let (line, shared) = match self.config.sockets {
            SocketMode::PerCall => (Line::PerCall(Readiness::new().map_err(MediaError::Start)?), None),
            SocketMode::Shared => {
                let (sockets, lease) = self.open()?;
                // Threads live as long as the plane: their ports never go back.
                std::mem::forget(lease);
                sockets.deepen();
                let sockets = Arc::new(sockets);
                let port = SharedPort::new(sockets.clone(), self.config.port_rest(), self.strays.clone());
                (Line::Shared(Box::new(port)), Some(sockets))
            }
        };
        let (inbox, theirs) = std_mpsc::sync_channel(INBOX);
        let load = Arc::<Load>::default();
        let timesheet = Timesheet::new(load.clone(), Instant::now());
        let worker = Worker::new(theirs, self._recorder.clone(), line, timesheet);
        let named = thread::Builder::new().name(format!("media-{n}"));
        let thread = named.spawn(move || worker.drive()).map_err(MediaError::Start)?;
        Ok(WorkerThread { inbox, load, shared, thread: Some(thread) })
    }

    /// A pair of ports of the range that nobody else has.
    fn open(&self) -> Result<(Sockets, PortLease), MediaError> {
        let attempts = self.ports.lock().total().max(1);
        let mut last = None;
        for _ in 0..attempts {
            let port = self.ports.lock().acquire(Instant::now())?;
            let addr = SocketAddr::new(self.config.bind, port);
            // From here on the port goes back by itself.
            let lease = PortLease { port, ports: self.ports.clone() };
            match Sockets::open(addr, self.config.dscp) {
                Ok(sockets) => return Ok((sockets, lease)),
                Err(source) if source.kind() == io::ErrorKind::AddrInUse => last = Some((addr, source)),
                Err(source) => return Err(MediaError::Bind { addr, source }),
            }
        }
        let (addr, source) = last.expect("at least one attempt was made, and only failures get here");
        Err(MediaError::Bind { addr, source })
    }
}

impl Drop for MediaPlane {
    fn drop(&mut self) {
        for worker in &self.workers {
            // An error means that the thread is gone already.
            let _ = worker.inbox.send(ToWorker::Shutdown);
        }
        for thread in self.workers.iter_mut().filter_map(|w| w.thread.take()) {
            if thread.join().is_err() {
                tracing::error!("a media thread panicked; its calls lost their audio");
            }
        }
    }
}

/// Sockets that wait for a session.
pub struct Leg {
    seat: Seat,
    presence: Presence,
    inbox: SyncSender<ToWorker>,
    event_queue: usize,
}

/// What a leg receives and sends through.
enum Seat {
    /// Sockets of its own, whose port goes back once they are closed.
    Own(Sockets, #[expect(dead_code, reason = "held to be dropped")] PortLease),
    /// Those of its thread.
    Shared(Arc<Sockets>),
}

impl Seat {
    fn sockets(&self) -> &Sockets {
        match self {
            Seat::Own(sockets, _) => sockets,
            Seat::Shared(sockets) => sockets,
        }
    }
}

impl Leg {
    /// What the SDP names; RTCP has the port above. The address is [`Config::bind`], which may be
    /// unspecified.
    pub fn local_addr(&self) -> SocketAddr {
        self.seat.sockets().local
    }

    /// Begins to send and to listen. The leg lives until [`MediaHandle::close`], or until the last
    /// clone of the handle is dropped; then the receiver ends.
    pub fn start(self, config: SessionConfig) -> Result<(MediaHandle, MediaEvents), MediaError> {
        let (sink, events) = events::queue(self.event_queue);
        let (handle, commands) = handle::channel(self.local_addr(), config.agreed.codec.sample_rate());
        let Leg { seat, presence, .. } = self;
        let start = Start { seat, config, commands, events: sink, presence };
        match self.inbox.try_send(ToWorker::Adopt(Box::new(start))) {
            Ok(()) => Ok((handle, events)),
            Err(TrySendError::Full(_)) => Err(MediaError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(MediaError::Closed),
        }
    }
}

/// Gives a port back when dropped.
struct PortLease {
    port: u16,
    ports: Arc<Mutex<PortPool>>,
}

impl Drop for PortLease {
    fn drop(&mut self) {
        self.ports.lock().release(self.port, Instant::now());
    }
}

impl Config {
    fn check(&self) -> Result<(), MediaError> {
        let ensure = |ok: bool, field: &'static str, reason: &'static str| {
            if ok { Ok(()) } else { Err(MediaError::Config { field, reason }) }
        };
        ensure(self.threads <= 64, "threads", "must be at most 64; 0 is one a core")?;
        ensure(self.legs_per_thread > 0, "legs_per_thread", "must be at least 1")?;
        let pairs = usize::from(self.port_max.saturating_sub(self.port_min).div_ceil(2));
        let too_few = self.sockets == SocketMode::Shared && (1..self.worker_threads()).contains(&pairs);
        ensure(!too_few, "port_max", "must leave a pair of ports for each of media.threads")?;
        let twice = (1..self.codecs.len()).any(|n| self.codecs[..n].contains(&self.codecs[n]));
        ensure(!self.codecs.is_empty() && !twice, "codecs", "must name each codec once, and one at least")?;
        ensure(self.dscp < 64, "dscp", "must be 0 to 63; 46 is expedited forwarding")?;
        ensure(self.event_queue >= 32, "event_queue", "must be at least 32")?;
        ensure(self.recording_queue > 0, "recording_queue", "must be at least 1")?;
        let delays = &self.jitter;
        ensure(
            delays.min_delay_ms <= delays.max_delay_ms,
            "jitter",
            "min_delay_ms must not exceed max_delay_ms",
        )?;
        ensure(delays.max_delay_ms <= 300, "jitter.max_delay_ms", "must be at most 300")?;
        ensure(self.rtp_timeout() > Duration::ZERO, "rtp_timeout_ms", "must be above 0")
    }
}

#[cfg(test)]
mod tests;
