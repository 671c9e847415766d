//! What a session counts.

use std::time::Duration;

use super::reporting::FarReport;
use crate::{
    base::audio::FRAME,
    media::quality::{self, Path},
};

/// The delay that a far end's jitter buffer is taken to add at least.
const FAR_BUFFER: Duration = Duration::from_millis(40);

/// What a session itself counts: the counters of [`MediaStats`] whose names these are, and no more, since every tick
/// goes through this memory.
#[derive(Default)]
pub(super) struct Counters {
    pub sent: Traffic,
    pub received: Traffic,
    pub late: u64,
    pub malformed: u64,
    pub strangers: u64,
    pub unknown_payload: u64,
    pub unauthenticated: u64,
    pub replayed: u64,
    pub rtcp: u64,
    pub recovered: u64,
    pub skipped_ticks: u64,
    pub worst_lateness: Duration,
}

/// What went one way.
#[derive(Default)]
pub(super) struct Traffic {
    pub packets: u64,
    /// Bytes of payload.
    pub octets: u64,
}

impl Traffic {
    pub fn count(&mut self, payload: &[u8]) {
        self.packets += 1;
        self.octets += payload.len() as u64;
    }
}

/// Counters since the session began. Packets unless they say otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
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
    /// The session is encrypted.
    pub encrypted: bool,
    /// To an encrypted session, without a tag of the far end's key: of plain RTP, of another key, changed on
    /// the way.
    pub unauthenticated: u64,
    /// Authentic, and heard before.
    pub replayed: u64,
    /// RTCP that was read: reports of the far end.
    pub rtcp: u64,
    /// Frames that were lost and told by the packet after them (Opus).
    pub recovered: u64,
    /// In samples of 8 kHz.
    pub concealed_samples: u64,
    /// Samples of 8 kHz cut, repeated or skipped to mend the delay.
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
    /// There and back by RTCP, last measured. Includes up to 20 ms until we look at the socket.
    pub round_trip: Option<Duration>,
    /// What the far end says of our stream.
    pub far: Option<FarReport>,
    /// Events dropped because their reader was slow; the driver counts them.
    pub events_lost: u64,
    /// Datagrams the socket refused; the driver counts them.
    pub send_errors: u64,
}

impl MediaStats {
    /// Share of the far end's packets that never came, or not in time, 0 to 1.
    pub fn loss(&self) -> f64 {
        let unheard = (self.lost + self.late) as f64;
        let expected = (self.packets_received + self.lost).saturating_sub(self.duplicates);
        if expected == 0 { 0.0 } else { (unheard / expected as f64).min(1.0) }
    }

    /// The mean opinion score of what we hear, 1 to 4.5; `None` if nothing was heard.
    pub fn score(&self) -> Option<f64> {
        let one_way = self.round_trip.unwrap_or_default() / 2 + self.buffer_delay + FRAME;
        let path = Path { one_way, loss: self.loss() };
        (self.packets_received > 0).then(|| quality::mean_opinion_score(path))
    }

    /// That of what the far end hears, by its own reports. Its buffer is taken to wait for twice the
    /// jitter that it tells, at least 40 ms.
    pub fn far_score(&self) -> Option<f64> {
        let far = self.far?;
        let buffer = (far.jitter * 2).max(FAR_BUFFER);
        let one_way = self.round_trip.unwrap_or_default() / 2 + buffer + FRAME;
        Some(quality::mean_opinion_score(Path { one_way, loss: far.loss }))
    }
}
