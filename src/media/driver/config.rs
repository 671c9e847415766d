//! What an operator may set.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{base::audio::Codec, media::jitter};

/// What calls receive and send through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketMode {
    /// A pair of ports for each call.
    #[default]
    PerCall,
    /// One pair of ports for all calls of a thread, told apart by address and SSRC.
    Shared,
}

/// Threads that are started where their number is left to the machine, at the most.
const MOST_THREADS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Threads that carry calls, up to 64; 0 for one a core, eight at the most. One carries hundreds.
    pub threads: usize,
    /// Legs that a thread takes before the next is used, unless it is busy for half its time; once all have as
    /// many, the least busy takes more.
    pub legs_per_thread: usize,
    pub sockets: SocketMode,
    /// Address that RTP sockets are bound to.
    pub bind: IpAddr,
    /// UDP ports, both ends included: even ones for RTP, the odd ones above for RTCP; 0 and 0 lets the
    /// system choose.
    pub port_min: u16,
    pub port_max: u16,
    /// How long a port rests after a call, in milliseconds.
    pub port_rest_ms: u64,
    /// Codecs that calls may use, in order of preference: of an offer the first that it has is taken.
    /// G.711 comes first, since carriers speak it and would transcode anything else. Opus is left out:
    /// no carrier takes it, and it costs a hundred times the processor time.
    pub codecs: Vec<Codec>,
    /// Differentiated services code point of what is sent over IPv4; 46 is expedited forwarding.
    pub dscp: u8,
    pub jitter: jitter::Config,
    /// Silence on the wire, RTCP included, that is reported, in milliseconds. Phones that detect voice send
    /// nothing while nobody speaks, so it is long.
    pub rtp_timeout_ms: u64,
    /// Events a call may leave unread before frames are dropped, at least 32; 50 a second come.
    pub event_queue: usize,
    /// Half-second blocks of audio, over all calls, that may wait for the disk.
    pub recording_queue: usize,
    /// Audio after which a recording on disk is made whole, in milliseconds: what a crash can cost.
    pub recording_flush_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            threads: 0,
            legs_per_thread: 1_000,
            sockets: SocketMode::default(),
            bind: Ipv4Addr::UNSPECIFIED.into(),
            port_min: 0,
            port_max: 0,
            port_rest_ms: 5_000,
            codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::G722],
            dscp: 46,
            jitter: jitter::Config::default(),
            rtp_timeout_ms: 60_000,
            event_queue: 128,
            recording_queue: 4_096,
            recording_flush_ms: 1_000,
        }
    }
}

impl Config {
    /// Threads that are really started.
    pub fn worker_threads(&self) -> usize {
        let cores = || thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        if self.threads == 0 { cores() } else { self.threads }
    }

    pub fn rtp_timeout(&self) -> Duration {
        Duration::from_millis(self.rtp_timeout_ms)
    }

    pub fn port_rest(&self) -> Duration {
        Duration::from_millis(self.port_rest_ms)
    }

    pub fn recording_flush(&self) -> Duration {
        Duration::from_millis(self.recording_flush_ms)
    }
}
