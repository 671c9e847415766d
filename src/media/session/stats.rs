//! What a session counts.

use std::time::Duration;

/// Counters since the session began. Packets unless they say otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MediaStats {
    pub packets_sent: u64,
    /// Bytes of payload.
    pub octets_sent: u64,
    /// From the latched source, of a known payload type.
    pub packets_received: u64,
    pub octets_received: u64,
    /// Never came (RFC 3550 A.3).
    pub lost: u64,
    pub duplicates: u64,
    /// Came after their time.
    pub late: u64,
    /// Neither RTP nor RTCP, or an event too short to read.
    pub malformed: u64,
    /// From a source that is not the latched one.
    pub strangers: u64,
    pub unknown_payload: u64,
    pub rtcp: u64,
    pub concealed_samples: u64,
    /// Samples cut, repeated or skipped to mend the delay.
    pub stretched_samples: u64,
    /// Times the inbound timestamps jumped.
    pub resyncs: u64,
    /// Frames of time in which the node stood still and sent nothing.
    pub skipped_ticks: u64,
    /// The furthest a packet went out behind its deadline.
    pub worst_lateness: Duration,
    /// Interarrival jitter (RFC 3550 A.8). The driver reads sockets once a tick, so it includes up to
    /// 20 ms of ours.
    pub jitter: Duration,
    /// Delay the jitter buffer aims at, and the one it has.
    pub buffer_target: Duration,
    pub buffer_delay: Duration,
    /// Events dropped because their reader was slow; the driver counts them.
    pub events_lost: u64,
    /// Datagrams the socket refused; the driver counts them.
    pub send_errors: u64,
}
