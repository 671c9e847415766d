//! How a call sounds, as a listener would mark it: the E-model of ITU-T G.107 reduced to what a call's
//! own packets show (R. Cole, J. Rosenbluth, "Voice over IP performance monitoring", 2001).

use std::time::Duration;

/// R of a call without any impairment, with G.107's defaults.
const BEST_R: f64 = 93.2;
/// Packet-loss robustness of G.711 with concealment (ITU-T G.113 Appendix I, table I.4: 20 ms packets,
/// Appendix I of G.711).
const ROBUSTNESS: f64 = 25.1;
/// One-way delay in milliseconds from which talkers get in each other's way.
const NOTICED_DELAY: f64 = 177.3;

/// What the path did to the speech that one end hears.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Path {
    /// Mouth to ear: half the round trip, the jitter buffer, and a packet's length.
    pub one_way: Duration,
    /// Share of the frames that had to be made up, 0 to 1: lost and late ones alike.
    pub loss: f64,
}

/// The transmission rating factor R, 0 to 93.2.
pub fn rating(path: Path) -> f64 {
    let delay = path.one_way.as_secs_f64() * 1_000.0;
    let delayed = 0.024 * delay + 0.11 * (delay - NOTICED_DELAY).max(0.0);
    let percent = path.loss.clamp(0.0, 1.0) * 100.0;
    // Losses are taken as independent (BurstR = 1).
    let lossy = 95.0 * percent / (percent + ROBUSTNESS);
    (BEST_R - delayed - lossy).max(0.0)
}

/// The mean opinion score that R stands for (G.107 Annex B): 1 bad to 4.5 excellent. It is an estimate
/// on the narrow-band scale, whatever the codec; 4.4 is what a clean G.711 call has.
pub fn mean_opinion_score(path: Path) -> f64 {
    let r = rating(path);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(ms: u64, loss: f64) -> f64 {
        mean_opinion_score(Path { one_way: Duration::from_millis(ms), loss })
    }

    #[test]
    fn clean_call_scores_what_g711_does() {
        assert!((4.38..4.42).contains(&score(30, 0.0)), "{}", score(30, 0.0));
    }

    #[test]
    fn loss_and_delay_cost_and_never_help() {
        let mut last = f64::MAX;
        for loss in [0.0, 0.01, 0.03, 0.1, 0.3, 1.0] {
            assert!(score(50, loss) < last);
            last = score(50, loss);
        }
        assert!(score(400, 0.0) < score(150, 0.0));
        assert!((score(150, 0.0) - score(30, 0.0)).abs() < 0.15, "below 150 ms nobody notices much");
    }

    #[test]
    fn worst_call_scores_one() {
        assert_eq!(score(5_000, 1.0), 1.0);
    }
}
