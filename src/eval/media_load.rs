//! Many media-only calls of one process at once: what they cost and how evenly they send.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::bare_peer::WARM_UP;
use super::figures::Spread;
use super::machine::{Meter, ThreadMeter, Usage, resident};
use crate::base::audio::{Codec, NARROWBAND_HZ};
use crate::base::terms::{Agreed, Rtcp, Terms};
use crate::engine::vad::energy::EnergyGate;
use crate::media::{
    Config, Leg, MediaError, MediaEvent, MediaEvents, MediaHandle, MediaPlane, MediaStats, SessionConfig,
    SocketMode, UtteranceId,
};

/// Legs with their sockets open, which send nothing yet.
pub struct MediaLoad {
    plane: MediaPlane,
    legs: Vec<Leg>,
    /// How long each took to be reserved, in milliseconds.
    reserved_ms: Vec<f64>,
    /// Before there was a leg.
    resident: u64,
}

/// What the calls cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub calls: usize,
    pub sockets: SocketMode,
    /// Media threads.
    pub threads: usize,
    pub usage: Usage,
    /// The part of the media threads; the rest is whoever listens to the calls.
    pub media_cores: f64,
    /// Memory that came with the calls, for each of them.
    pub bytes_a_call: u64,
    pub packets_sent: u64,
    pub packets_received: u64,
    /// Packets that came and were nobody's.
    pub strangers: u64,
    /// Frames of time in which the process stood still and sent nothing, over all calls, after the warm-up.
    pub skipped_ticks: u64,
    /// The furthest a packet left behind its deadline, in milliseconds.
    pub worst_lateness_ms: f64,
    /// From the wish for a call to its open sockets, and from its start to its first frame, in
    /// milliseconds.
    pub reserved_ms: Option<Spread>,
    pub started_ms: Option<Spread>,
}

impl MediaLoad {
    /// `threads` as in the configuration: 0 for one a core.
    pub fn reserve(calls: usize, sockets: SocketMode, threads: usize) -> Result<Self, MediaError> {
        let config = Config { bind: Ipv4Addr::LOCALHOST.into(), sockets, threads, ..Config::default() };
        let plane = MediaPlane::start(config)?;
        let resident = resident();
        let (mut legs, mut reserved_ms) = (Vec::new(), Vec::new());
        for _ in 0..calls {
            let begun = Instant::now();
            legs.push(plane.reserve()?);
            reserved_ms.push(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        Ok(MediaLoad { plane, legs, reserved_ms, resident })
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.legs.iter().map(Leg::local_addr).collect()
    }

    /// Every call talks all the time to its peer, and is listened to, for the warm-up and `lasting`.
    pub async fn run(self, peers: &[SocketAddr], lasting: Duration) -> Result<Cost, MediaError> {
        let MediaLoad { plane, legs, reserved_ms, resident } = self;
        let (mut handles, mut listeners) = (Vec::new(), JoinSet::new());
        let (started, mut waits) = mpsc::channel(legs.len().max(1));
        let second: Arc<[i16]> = (0..NARROWBAND_HZ as i32).map(|n| ((n % 160 - 80) * 100) as i16).collect();
        for (leg, peer) in legs.into_iter().zip(peers) {
            let begun = Instant::now();
            let (handle, events) = leg.start(session(&plane, *peer))?;
            listeners.spawn(talk(handle.clone(), second.clone(), events, begun, started.clone()));
            handles.push(handle);
        }
        tokio::time::sleep(WARM_UP).await;
        let before = stats_of(&handles).await?;
        let (meter, media) = (Meter::start(), ThreadMeter::start("media-"));
        tokio::time::sleep(lasting).await;
        let (usage, media_cores) = (meter.read(), media.cores());
        let stats = stats_of(&handles).await?;
        listeners.shutdown().await;
        drop(started);
        let mut started_ms = Vec::new();
        while let Some(wait) = waits.recv().await {
            started_ms.push(wait.as_secs_f64() * 1_000.0);
        }
        let sum = |value: fn(&MediaStats) -> u64| stats.iter().map(value).sum();
        let worst = stats.iter().map(|s| s.worst_lateness).max().unwrap_or_default();
        Ok(Cost {
            calls: handles.len(),
            sockets: plane.config().sockets,
            threads: plane.threads(),
            usage,
            media_cores,
            bytes_a_call: usage.resident_bytes.saturating_sub(resident) / handles.len().max(1) as u64,
            packets_sent: sum(|s| s.packets_sent),
            packets_received: sum(|s| s.packets_received),
            strangers: sum(|s| s.strangers) + plane.strays(),
            skipped_ticks: sum(|s| s.skipped_ticks) - before.iter().map(|s| s.skipped_ticks).sum::<u64>(),
            worst_lateness_ms: worst.as_secs_f64() * 1_000.0,
            reserved_ms: Spread::of(reserved_ms),
            started_ms: Spread::of(started_ms),
        })
    }
}

/// Of all at once: each is told at its leg's next tick.
async fn stats_of(handles: &[MediaHandle]) -> Result<Vec<MediaStats>, MediaError> {
    try_join_all(handles.iter().map(MediaHandle::stats)).await
}

/// The peers have one socket a stream: reports come to it, too (RFC 5761).
fn session(plane: &MediaPlane, remote: SocketAddr) -> SessionConfig {
    let config = plane.config();
    let terms = Terms { rtcp: Rtcp::Mux, ..Terms::default() };
    let agreed = Agreed { terms, ..Agreed::usual(Codec::Pcmu, remote) };
    agreed.begin(config.jitter, config.rtp_timeout(), rand::random())
}

/// Plays a second again and again, and takes what comes through an energy gate.
async fn talk(
    handle: MediaHandle,
    second: Arc<[i16]>,
    mut events: MediaEvents,
    begun: Instant,
    started: mpsc::Sender<Duration>,
) {
    let mut next = 0;
    let mut play = || {
        let utterance = UtteranceId(next);
        next += 1;
        handle.play(utterance, second.to_vec()).and_then(|()| handle.finish(utterance))
    };
    let mut playing = play();
    let (mut gate, mut started) = (EnergyGate::new(Default::default()), Some(started));
    while let (Ok(()), Some(event)) = (&playing, events.recv().await) {
        match event {
            MediaEvent::Frame { pcm, .. } => {
                std::hint::black_box(gate.is_open(&pcm));
                if let Some(started) = started.take() {
                    // There is a place for each call.
                    let _ = started.try_send(begun.elapsed());
                }
            }
            MediaEvent::Played { .. } => playing = play(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::bare_peer::BarePeer;

    #[tokio::test(flavor = "multi_thread")]
    async fn calls_and_peer_hear_each_other_over_either_kind_of_sockets() {
        for sockets in [SocketMode::PerCall, SocketMode::Shared] {
            let (load, peer) =
                (MediaLoad::reserve(3, sockets, 2).unwrap(), BarePeer::bind(3, SocketMode::PerCall).unwrap());
            let (legs, addresses) = (load.addresses(), peer.addresses().unwrap());
            let lasting = Duration::from_millis(500);
            let peer = tokio::task::spawn_blocking(move || peer.run(&legs, lasting).unwrap());
            let cost = load.run(&addresses, lasting).await.unwrap();
            let seen = peer.await.unwrap();
            assert!(cost.packets_received > 0 && seen.received > 0, "{cost:?} {seen:?}");
            assert_eq!((cost.calls, seen.streams, cost.threads), (3, 3, 2));
            assert_eq!(cost.started_ms.map(|wait| wait.count), Some(3));
        }
    }
}
