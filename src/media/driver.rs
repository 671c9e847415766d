//! The media plane as the rest of the node sees it: threads, sockets, ports and queues around
//! sessions.
//!
//! Sessions live on threads of their own, never on the application's runtime, so that a busy node
//! does not disturb pacing. A thread serves hundreds of legs without a poller: legs are dealt over ten
//! phases of 2 ms, and at its phase a leg reads its socket dry, ticks, and sends. Nothing would be
//! done with a packet before the tick anyway, and a wake-up per packet would cost more than the packet.
//!
//! Queues: commands of a leg (64; [`MediaError::Busy`] when full), events of a leg
//! ([`Config::event_queue`]; frames are dropped and counted before other events are), audio to play
//! (60 s; [`MediaError::PlayoutFull`]), frames between bridged legs (8; lost beyond that), blocks to record ([`Config::recording_queue`]; dropped and
//! counted).

mod config;
mod crossing;
mod handle;
mod leg;
mod worker;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self as std_mpsc, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::mpsc;

pub use self::{config::Config, handle::MediaHandle};
use self::{
    leg::{EventSink, LiveLeg},
    worker::{ToWorker, Worker},
};
use super::{
    dtmf::DtmfError,
    playout::PlayoutFull,
    ports::{PortError, PortPool},
    recording::{Recorder, RecordingError},
    session::{MediaEvent, SessionConfig},
};

#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("media.{field} {reason}")]
    Config { field: &'static str, reason: &'static str },
    #[error("media threads cannot start: {0}")]
    Start(io::Error),
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
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

/// Legs that may wait to be adopted by a thread: a second's worth of a fast ramp.
const INBOX: usize = 4_096;

/// All media threads of a node. Dropping it closes every leg, completes every recording and joins.
pub struct MediaPlane {
    config: Config,
    ports: Arc<Mutex<PortPool>>,
    workers: Vec<WorkerThread>,
    // Dropped after the threads that feed it are joined.
    _recorder: Arc<Recorder>,
}

struct WorkerThread {
    inbox: SyncSender<ToWorker>,
    /// Legs on the thread.
    load: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl MediaPlane {
    pub fn start(config: Config) -> Result<Self, MediaError> {
        config.check()?;
        let ports = PortPool::new(config.port_min, config.port_max, config.port_rest())?;
        let recorder =
            Recorder::start(config.recording_queue, config.recording_flush()).map_err(MediaError::Start)?;
        let recorder = Arc::new(recorder);
        let workers: io::Result<Vec<_>> =
            (0..config.threads).map(|n| WorkerThread::start(n, recorder.clone())).collect();
        let workers = workers.map_err(MediaError::Start)?;
        Ok(MediaPlane { config, ports: Arc::new(Mutex::new(ports)), workers, _recorder: recorder })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Opens a socket, so that its address can go into an SDP. Dropping the leg gives the port back.
    pub fn reserve(&self) -> Result<Leg, MediaError> {
        let attempts = self.ports.lock().total().max(1);
        let mut last = None;
        for _ in 0..attempts {
            let port = self.ports.lock().acquire(Instant::now())?;
            let addr = SocketAddr::new(self.config.bind, port);
            // From here on the port goes back by itself.
            let lease = PortLease { port, ports: self.ports.clone() };
            match open(addr, self.config.dscp) {
                Ok((socket, local)) => return Ok(self.leg(socket, local, lease)),
                Err(source) if source.kind() == io::ErrorKind::AddrInUse => last = Some((addr, source)),
                Err(source) => return Err(MediaError::Bind { addr, source }),
            }
        }
        let (addr, source) = last.expect("at least one attempt was made, and only failures get here");
        Err(MediaError::Bind { addr, source })
    }

    /// Legs that are live on all threads.
    pub fn legs(&self) -> usize {
        self.workers.iter().map(|w| w.load.load(Ordering::Relaxed)).sum()
    }

    fn leg(&self, socket: UdpSocket, local: SocketAddr, lease: PortLease) -> Leg {
        let idlest = self.workers.iter().min_by_key(|w| w.load.load(Ordering::Relaxed));
        let worker = idlest.expect("Config::check asks for at least one thread");
        let (inbox, load) = (worker.inbox.clone(), worker.load.clone());
        Leg { socket, local, lease, inbox, load, event_queue: self.config.event_queue }
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

impl WorkerThread {
    fn start(n: usize, recorder: Arc<Recorder>) -> io::Result<Self> {
        let (inbox, theirs) = std_mpsc::sync_channel(INBOX);
        let load = Arc::new(AtomicUsize::new(0));
        let worker = Worker::new(theirs, recorder);
        let thread = thread::Builder::new().name(format!("media-{n}")).spawn(move || worker.drive())?;
        Ok(WorkerThread { inbox, load, thread: Some(thread) })
    }
}

/// A socket that waits for a session.
pub struct Leg {
    socket: UdpSocket,
    local: SocketAddr,
    lease: PortLease,
    inbox: SyncSender<ToWorker>,
    load: Arc<AtomicUsize>,
    event_queue: usize,
}

impl Leg {
    /// What the SDP names. The address is [`Config::bind`], which may be unspecified.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Begins to send and to listen. The leg lives until [`MediaHandle::close`], or until the last
    /// clone of the handle is dropped; then the receiver ends.
    pub fn start(
        self,
        config: SessionConfig,
    ) -> Result<(MediaHandle, mpsc::Receiver<MediaEvent>), MediaError> {
        let (events, receiver) = mpsc::channel(self.event_queue);
        let (handle, commands) = handle::channel(self.local);
        let presence = Presence::new(self.load);
        let leg = LiveLeg::new(self.socket, config, commands, EventSink::new(events), (self.lease, presence));
        match self.inbox.try_send(ToWorker::Adopt(Box::new(leg))) {
            Ok(()) => Ok((handle, receiver)),
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

/// Counts a leg on its thread.
struct Presence(Arc<AtomicUsize>);

impl Presence {
    fn new(load: Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Presence(load)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn open(addr: SocketAddr, dscp: u8) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind(addr)?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv4() {
        // A network that refuses the mark still carries the call.
        let _ = socket2::SockRef::from(&socket).set_tos_v4(u32::from(dscp) << 2);
    }
    let local = socket.local_addr()?;
    Ok((socket, local))
}

impl Config {
    fn check(&self) -> Result<(), MediaError> {
        let ensure = |ok: bool, field: &'static str, reason: &'static str| {
            if ok { Ok(()) } else { Err(MediaError::Config { field, reason }) }
        };
        ensure((1..=64).contains(&self.threads), "threads", "must be 1 to 64")?;
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
