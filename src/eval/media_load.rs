//! Many media-only calls of one process at once: what they cost and how evenly they send.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::bare_peer::WARM_UP;
use super::machine::{Meter, Usage, resident};
use crate::base::audio::{Codec, Direction, NARROWBAND_HZ};
use crate::base::terms::Terms;
use crate::media::{
    Config, Leg, MediaError, MediaEvent, MediaHandle, MediaPlane, MediaStats, SessionConfig, UtteranceId,
};

/// Legs with their sockets open, which send nothing yet.
pub struct MediaLoad {
    plane: MediaPlane,
    legs: Vec<Leg>,
    /// Before there was a leg.
    resident: u64,
}

/// What the calls cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub calls: usize,
    pub usage: Usage,
    /// Memory that came with the calls, for each of them.
    pub bytes_a_call: u64,
    pub packets_sent: u64,
    pub packets_received: u64,
    /// Frames of time in which the process stood still and sent nothing, over all calls.
    pub skipped_ticks: u64,
    /// The furthest a packet left behind its deadline, in milliseconds.
    pub worst_lateness_ms: f64,
}

impl MediaLoad {
    pub fn reserve(calls: usize) -> Result<Self, MediaError> {
        let plane = MediaPlane::start(Config { bind: Ipv4Addr::LOCALHOST.into(), ..Config::default() })?;
        let resident = resident();
        let legs = (0..calls).map(|_| plane.reserve()).collect::<Result<_, _>>()?;
        Ok(MediaLoad { plane, legs, resident })
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.legs.iter().map(Leg::local_addr).collect()
    }

    /// Every call talks all the time to `peer`, and is listened to, for the warm-up and `lasting`.
    pub async fn run(self, peer: SocketAddr, lasting: Duration) -> Result<Cost, MediaError> {
        let calls = self.legs.len();
        let (mut handles, mut listeners) = (Vec::new(), JoinSet::new());
        for leg in self.legs {
            let (handle, events) = leg.start(session(&self.plane, peer))?;
            listeners.spawn(talk(handle.clone(), events));
            handles.push(handle);
        }
        tokio::time::sleep(WARM_UP).await;
        let meter = Meter::start();
        tokio::time::sleep(lasting).await;
        let usage = meter.read();
        let mut stats = Vec::new();
        for handle in &handles {
            stats.push(handle.stats().await?);
        }
        listeners.shutdown().await;
        Ok(cost(calls, self.resident, usage, &stats))
    }
}

fn session(plane: &MediaPlane, remote: SocketAddr) -> SessionConfig {
    SessionConfig {
        codec: Codec::Pcmu,
        payload_type: Codec::Pcmu.payload_type(),
        telephone_event: None,
        remote,
        direction: Direction::SendRecv,
        terms: Terms::default(),
        jitter: plane.config().jitter,
        rtp_timeout: plane.config().rtp_timeout(),
        seed: rand::random(),
    }
}

/// Plays one second after another, and takes what comes.
async fn talk(handle: MediaHandle, mut events: mpsc::Receiver<MediaEvent>) {
    let second: Vec<i16> = (0..NARROWBAND_HZ as i32).map(|n| ((n % 160 - 80) * 100) as i16).collect();
    let mut next = 0;
    let mut play = || {
        let utterance = UtteranceId(next);
        next += 1;
        handle.play(utterance, second.clone()).and_then(|()| handle.finish(utterance))
    };
    let mut playing = play();
    while let (Ok(()), Some(event)) = (&playing, events.recv().await) {
        if let MediaEvent::Played { .. } = event {
            playing = play();
        }
    }
}

fn cost(calls: usize, before: u64, usage: Usage, stats: &[MediaStats]) -> Cost {
    let sum = |value: fn(&MediaStats) -> u64| stats.iter().map(value).sum();
    let worst = stats.iter().map(|s| s.worst_lateness).max().unwrap_or_default();
    Cost {
        calls,
        usage,
        bytes_a_call: usage.resident_bytes.saturating_sub(before) / calls.max(1) as u64,
        packets_sent: sum(|s| s.packets_sent),
        packets_received: sum(|s| s.packets_received),
        skipped_ticks: sum(|s| s.skipped_ticks),
        worst_lateness_ms: worst.as_secs_f64() * 1_000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::bare_peer::BarePeer;

    #[tokio::test(flavor = "multi_thread")]
    async fn calls_and_peer_hear_each_other() {
        let (load, peer) = (MediaLoad::reserve(2).unwrap(), BarePeer::bind().unwrap());
        let (legs, address) = (load.addresses(), peer.address().unwrap());
        let lasting = Duration::from_millis(500);
        let peer = tokio::task::spawn_blocking(move || peer.run(&legs, lasting).unwrap());
        let cost = load.run(address, lasting).await.unwrap();
        let seen = peer.await.unwrap();
        assert!(cost.packets_received > 0 && seen.received > 0);
        assert_eq!((cost.calls, seen.streams), (2, 2));
    }
}
