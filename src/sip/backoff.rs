//! Ever longer pauses between attempts that fail (RFC 5626 section 4.5), and which of the failures are told.
//! Pure: chance is an argument.

use std::time::Duration;

/// A connection that dies younger than this counts as one that was never made.
pub(super) const ESTABLISHED: Duration = Duration::from_secs(10);

/// `first`, doubled so many times, up to `longest`.
pub(super) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}

/// Between half of a pause and all of it, by `jitter` in 0..1: an outage does not end in a stampede.
pub(super) fn drawn(whole: Duration, jitter: f64) -> Duration {
    whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

/// The first failure of a row, and then every tenth: what is down does not fill the log.
pub(super) fn is_told(failures: u32) -> bool {
    failures % 10 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<_> = (0..8).map(|times| doubled(SECOND, times, MINUTE).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(doubled(SECOND, u32::MAX, MINUTE), MINUTE);
    }

    #[test]
    fn jitter_takes_up_to_half_of_a_pause() {
        assert_eq!((drawn(MINUTE, 0.0), drawn(MINUTE, 1.0)), (MINUTE / 2, MINUTE));
        assert_eq!((drawn(MINUTE, -3.0), drawn(MINUTE, 7.0)), (MINUTE / 2, MINUTE));
    }

    #[test]
    fn an_hour_of_failures_by_the_minute_is_told_six_times() {
        let told: Vec<_> = (1..=60).filter(|failures| is_told(*failures)).collect();
        assert_eq!(told, [1, 11, 21, 31, 41, 51]);
    }
}
