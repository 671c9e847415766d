//! Calls that come and go: how long their set-up takes, and what the node that sets them up spends on it. Each
//! answered call has a media session, which listens and sends silence; there are no engines.
//!
//! | file | what it is |
//! |---|---|
//! | [`sipp`] | SIPp as the far end: it places calls, or answers them |

pub mod sipp;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::figures::Spread;
use super::machine::{Meter, Usage};
use super::phone::session_of;
use crate::media::{self, Leg, MediaError, MediaHandle, MediaPlane};
use crate::sip::sdp::{self, Local, Negotiated};
use crate::sip::{self, Dial, IncomingCall, Signal, SipError, SipNode, TrunkConfig};

/// How long an answered call lasts.
pub const LASTING: Duration = Duration::from_millis(200);
/// Calls at once, more than any rate here needs.
const LINES: usize = 20_000;
/// What must be over by then is not.
const PATIENCE: Duration = Duration::from_secs(40);
const CALLEE: &str = "+14155550123";

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Sip(#[from] SipError),
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error("SIPp: {0}")]
    Sipp(#[from] io::Error),
    #[error("SIPp's figures: {0}")]
    Figures(&'static str),
}

/// How calls went, as the side that placed them counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub placed: u64,
    pub answered: u64,
    pub failed: u64,
    /// Milliseconds from INVITE to 200. SIPp counts whole ones.
    pub setup_ms: Option<Spread>,
    /// Messages sent again, where they are counted.
    pub retransmissions: Option<u64>,
}

/// What the node spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    pub usage: Usage,
    /// Of processor time for a whole call: INVITE to BYE, with its media session.
    pub micros_a_call: f64,
    /// Calls, dialogs and media sessions that are left.
    pub left: usize,
}

/// A node with lines for every load.
pub struct LoadedNode {
    sip: SipNode,
    incoming: mpsc::Receiver<IncomingCall>,
    media: Arc<MediaPlane>,
}

impl LoadedNode {
    /// Calls out go to `peer`; calls in are taken from this machine.
    pub async fn start(peer: SocketAddr) -> Result<Self, LoadError> {
        let loopback = "127.0.0.0/8".parse().expect("a network in writing");
        let trunk = TrunkConfig { allow: vec![loopback], ..TrunkConfig::peer("far end", peer.into()) };
        let config = sip::Config {
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            max_calls: LINES,
            trunks: vec![trunk],
            ..sip::Config::default()
        };
        let (sip, incoming) = SipNode::start(config).await?;
        let bind = media::Config { bind: Ipv4Addr::LOCALHOST.into(), ..media::Config::default() };
        Ok(LoadedNode { sip, incoming, media: Arc::new(MediaPlane::start(bind)?) })
    }

    pub fn address(&self) -> SocketAddr {
        self.sip.local_address()
    }

    /// Answers every call until `over` comes, and tells what that cost.
    pub async fn answer(mut self, over: impl Future<Output = ()>) -> Spent {
        let (clock, mut calls, mut answered) = (Clock::start(), JoinSet::new(), 0);
        tokio::pin!(over);
        loop {
            tokio::select! {
                call = self.incoming.recv() => {
                    let Some(call) = call else { break };
                    answered += 1;
                    calls.spawn(take(call, self.media.clone()));
                }
                Some(_) = calls.join_next() => {}
                () = &mut over => break,
            }
        }
        let spent = self.spent(&clock, answered).await;
        calls.shutdown().await;
        spent
    }

    /// Places `rate` calls a second for `lasting`.
    pub async fn dial(self, rate: u32, lasting: Duration) -> (Outcome, Spent) {
        let (clock, mut calls) = (Clock::start(), JoinSet::new());
        let setups = Arc::new(Mutex::new(Vec::new()));
        let placed = (lasting.as_secs_f64() * f64::from(rate)) as u64;
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
        for _ in 0..placed {
            ticks.tick().await;
            let (sip, media, setups) = (self.sip.clone(), self.media.clone(), setups.clone());
            calls.spawn(async move {
                if let Some(setup) = place(&sip, &media).await {
                    setups.lock().push(setup);
                }
            });
            while calls.try_join_next().is_some() {}
        }
        // What has not ended by then has failed.
        let _ = tokio::time::timeout(PATIENCE, async { while calls.join_next().await.is_some() {} }).await;
        let setups = std::mem::take(&mut *setups.lock());
        let answered = setups.len() as u64;
        let setup_ms = Spread::of(setups.iter().map(|setup| setup.as_secs_f64() * 1_000.0));
        let failed = placed - answered;
        let spent = self.spent(&clock, placed).await;
        (Outcome { placed, answered, failed, setup_ms, retransmissions: None }, spent)
    }

    async fn spent(&self, clock: &Clock, calls: u64) -> Spent {
        let (usage, micros) = clock.read();
        let micros_a_call = micros / calls.max(1) as f64;
        let left = || {
            let stats = self.sip.stats();
            stats.calls + stats.dialogs + self.media.legs()
        };
        let until = Instant::now() + PATIENCE;
        while left() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Spent { usage, micros_a_call, left: left() }
    }
}

/// Measures processor time, which [`Meter`] gives as a share.
struct Clock {
    begun: Instant,
    meter: Meter,
}

impl Clock {
    fn start() -> Self {
        Clock { begun: Instant::now(), meter: Meter::start() }
    }

    /// With the processor time since the start, in microseconds.
    fn read(&self) -> (Usage, f64) {
        let usage = self.meter.read();
        (usage, usage.cores * self.begun.elapsed().as_secs_f64() * 1e6)
    }
}

/// Places one call and hangs it up after [`LASTING`]; from the INVITE to its 200, if it was answered.
async fn place(sip: &SipNode, media: &MediaPlane) -> Option<Duration> {
    let leg = media.reserve().ok()?;
    let local = Local::new(leg.local_addr(), rand::random::<u64>() >> 2);
    let to = CALLEE.parse().ok()?;
    let began = Instant::now();
    let mut call = sip.dial(Dial::to(to, local.clone())).await.ok()?;
    let answer = loop {
        match call.signals.recv().await? {
            Signal::Answered { sdp } => break sdp,
            Signal::Ended(_) => return None,
            _ => {}
        }
    };
    let setup = began.elapsed();
    let (handle, _events) = begin(leg, &sdp::accept(&local, &answer).ok()?, media)?;
    tokio::time::sleep(LASTING).await;
    call.handle.hang_up();
    while call.signals.recv().await.is_some() {}
    handle.close();
    Some(setup)
}

async fn take(call: IncomingCall, media: Arc<MediaPlane>) -> Option<()> {
    let leg = media.reserve().ok()?;
    let local = Local::new(leg.local_addr(), rand::random::<u64>() >> 2);
    let (answer, agreed) = sdp::answer(&local, call.offer.as_deref()?).ok()?;
    let (handle, _events) = begin(leg, &agreed, &media)?;
    let mut call = call.answer(answer).await.ok()?;
    while call.signals.recv().await.is_some() {}
    handle.close();
    Some(())
}

fn begin(leg: Leg, agreed: &Negotiated, media: &MediaPlane) -> Option<(MediaHandle, media::MediaEvents)> {
    leg.start(session_of(agreed, media.config())).ok()
}
