//! What the media plane counted of a call, as its record keeps it.

use std::time::Duration;

use super::record::{CallQuality, StreamQuality};
use crate::media::MediaStats;

pub(super) fn of(stats: &MediaStats) -> CallQuality {
    CallQuality {
        round_trip_ms: stats.round_trip.map(ms),
        heard: stats.score().map(|score| stream(score, stats.loss(), stats.jitter)),
        sent: stats.far.zip(stats.far_score()).map(|(far, score)| stream(score, far.loss, far.jitter)),
        encrypted: stats.encrypted,
    }
}

fn stream(score: f64, loss: f64, jitter: Duration) -> StreamQuality {
    StreamQuality { score: rounded(score, 100.0), loss: rounded(loss, 10_000.0), jitter_ms: ms(jitter) }
}

/// To a tenth: more would be noise.
fn ms(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1_000.0, 10.0)
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::FarReport;

    #[test]
    fn each_direction_is_told_only_if_something_is_known_of_it() {
        let unknown = CallQuality { round_trip_ms: None, heard: None, sent: None, encrypted: false };
        assert_eq!(of(&MediaStats::default()), unknown);
        let stats = MediaStats {
            packets_received: 95,
            lost: 5,
            jitter: Duration::from_micros(1_260),
            round_trip: Some(Duration::from_millis(80)),
            encrypted: true,
            far: Some(FarReport { loss: 0.01, jitter: Duration::from_millis(3) }),
            ..MediaStats::default()
        };
        let quality = of(&stats);
        let (heard, sent) = (quality.heard.unwrap(), quality.sent.unwrap());
        assert_eq!((quality.round_trip_ms, heard.loss, heard.jitter_ms), (Some(80.0), 0.05, 1.3));
        assert!(quality.encrypted);
        assert!(heard.score < sent.score && sent.score < 4.4, "{} {}", heard.score, sent.score);
    }
}
