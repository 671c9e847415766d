//! Audio units. Time inside audio is counted in samples; wall time is `std::time`, and the two meet
//! only here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Samples a second of telephone-band audio (G.711).
pub const NARROWBAND_HZ: u32 = 8_000;
/// Samples a second of what speech models hear.
pub const WIDEBAND_HZ: u32 = 16_000;
/// Length of one media frame: every leg ticks at this pace.
pub const FRAME: Duration = Duration::from_millis(20);

/// The length of `samples` at `rate` Hz.
pub fn duration_of(samples: u64, rate: u32) -> Duration {
    Duration::from_nanos(samples * 1_000_000_000 / u64::from(rate))
}

/// How many samples at `rate` Hz fit in `duration`.
pub fn samples_in(duration: Duration, rate: u32) -> u64 {
    // Whole seconds apart, so that 64 bits suffice: this runs several times for every packet.
    duration.as_secs() * u64::from(rate)
        + u64::from(duration.subsec_nanos()) * u64::from(rate) / 1_000_000_000
}

/// Samples of one frame at `rate` Hz.
pub const fn frame_samples(rate: u32) -> usize {
    rate as usize / 50
}

/// The rate of a frame of so many samples.
pub const fn rate_of_frame(samples: usize) -> u32 {
    samples as u32 * 50
}

/// A speech codec of the telephone network, by its SDP encoding name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Codec {
    /// G.711 μ-law (RFC 3551).
    Pcmu,
    /// G.711 A-law (RFC 3551).
    Pcma,
    /// G.722 at 64 kbit/s (RFC 3551 §4.5.2).
    G722,
    /// Opus (RFC 7587), of which we use one channel at 16 kHz.
    Opus,
}

impl Codec {
    pub const ALL: [Codec; 4] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];

    pub const fn encoding_name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// The payload type that is the codec's own (RFC 3551 §6).
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::Opus => None,
        }
    }

    /// The payload type that we offer it under.
    pub const fn payload_type(self) -> u8 {
        match self.static_payload_type() {
            Some(payload_type) => payload_type,
            None => 111,
        }
    }

    /// RTP clock rate in Hz. That of G.722 is half of its sample rate, by an error that was kept.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
            Codec::Opus => 48_000,
        }
    }

    /// Samples a second of its audio.
    pub const fn sample_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => NARROWBAND_HZ,
            Codec::G722 | Codec::Opus => WIDEBAND_HZ,
        }
    }
}

/// Which way media flows, from our side (RFC 3264).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_time_agree() {
        assert_eq!(samples_in(FRAME, NARROWBAND_HZ), 160);
        assert_eq!(duration_of(512, WIDEBAND_HZ), Duration::from_millis(32));
    }
}
