//! When to send the next REGISTER, and what brings it forward.

use std::time::Duration;

use super::{
    backoff::{ESTABLISHED, doubled, drawn},
    registrar::Failure,
};

/// How the last REGISTER ended, as far as it matters to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Granted,
    /// It may pass at any time.
    MayPass,
    /// It was refused for good, or the registrar named a time: asking sooner is asking in vain, and carriers
    /// ban those who do.
    MustWait,
}

impl Outcome {
    pub fn of(failure: Failure, retry_after: Option<Duration>) -> Self {
        match (failure, retry_after) {
            (Failure::Passing, None) => Outcome::MayPass,
            _ => Outcome::MustWait,
        }
    }

    /// Whether the next REGISTER leaves before its time for these news.
    pub fn heeds(self, news: News) -> bool {
        match self {
            Outcome::Granted => news == News::Revived,
            Outcome::MayPass => true,
            Outcome::MustWait => false,
        }
    }
}

/// What happens while the next REGISTER is not due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// A connection to the trunk was made.
    Connected,
    /// The trunk did not answer OPTIONS, and does again: it may have forgotten us.
    Revived,
}

/// Delays between REGISTER requests.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    failures: u32,
    /// Refusals in a row since the last grant, if there was one.
    refusals: Option<u32>,
    /// Registrations in a row that were lost with a young connection.
    losses: u32,
}

impl Schedule {
    const FIRST_RETRY: Duration = Duration::from_secs(2);
    const LONGEST_RETRY: Duration = Duration::from_secs(300);
    const SHORTEST_REFRESH: Duration = Duration::from_secs(1);
    /// A registrar that knew us, and refuses, may have just been started: so often it is asked again soon.
    const DOUBTS: u32 = 3;
    /// A `Retry-After` is obeyed up to here.
    const LONGEST_OBEYED: Duration = Duration::from_secs(3600);

    /// After a grant of `expires`: a refresh at four fifths of it, so that one lost attempt can be
    /// repeated in time.
    pub fn granted(&mut self, expires: Duration) -> Duration {
        (self.failures, self.refusals) = (0, Some(0));
        (expires * 4 / 5).max(Self::SHORTEST_REFRESH)
    }

    /// After a failure: doubled each time up to five minutes, and drawn between half of that and all
    /// of it by `jitter` in 0..1, so that a carrier's outage does not end in a stampede (RFC 5626
    /// section 4.5). Never before what the registrar asks for.
    pub fn failed(&mut self, failure: Failure, retry_after: Option<Duration>, jitter: f64) -> Duration {
        let doubted = failure == Failure::Standing && self.refusals.is_some_and(|n| n < Self::DOUBTS);
        self.refusals = self.refusals.map(|n| n.saturating_add(u32::from(failure == Failure::Standing)));
        let whole = match failure {
            Failure::Standing if !doubted => Self::LONGEST_RETRY,
            _ => doubled(Self::FIRST_RETRY, self.failures, Self::LONGEST_RETRY),
        };
        self.failures += 1;
        let asked = retry_after.unwrap_or_default().min(Self::LONGEST_OBEYED);
        drawn(whole, jitter).max(asked)
    }

    /// After the loss of what was granted so long ago, with its connection: at once, but ever later if the
    /// registrar grants and closes again and again.
    pub fn lost(&mut self, lasted: Duration, jitter: f64) -> Duration {
        if lasted >= ESTABLISHED {
            self.losses = 0;
        }
        let before = self.losses.checked_sub(1);
        self.losses = self.losses.saturating_add(1);
        let whole = before.map(|before| doubled(Self::FIRST_RETRY, before, Self::LONGEST_RETRY));
        drawn(whole.unwrap_or_default(), jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_comes_well_before_expiry() {
        let mut schedule = Schedule::default();
        for expires in [2, 60, 3600] {
            let expires = Duration::from_secs(expires);
            let refresh = schedule.granted(expires);
            assert!(refresh < expires && refresh >= expires / 2, "{refresh:?} of {expires:?}");
        }
        assert_eq!(schedule.granted(Duration::ZERO), Schedule::SHORTEST_REFRESH);
    }

    #[test]
    fn failures_back_off_to_five_minutes_and_success_resets_them() {
        let mut schedule = Schedule::default();
        let mut delays: Vec<_> = (0..40).map(|_| schedule.failed(Failure::Passing, None, 1.0)).collect();
        assert_eq!(delays[..4], [2, 4, 8, 16].map(Duration::from_secs));
        assert_eq!(delays.pop(), Some(Schedule::LONGEST_RETRY));
        schedule.granted(Duration::from_secs(60));
        assert_eq!(schedule.failed(Failure::Passing, None, 0.0), Duration::from_secs(1));
    }

    #[test]
    fn wrong_password_is_not_tried_often() {
        let mut schedule = Schedule::default();
        assert!(schedule.failed(Failure::Standing, None, 0.0) >= Duration::from_secs(150));
    }

    #[test]
    fn an_hour_without_the_registrar_costs_few_requests() {
        let (mut schedule, mut elapsed, mut requests) = (Schedule::default(), Duration::ZERO, 0);
        while elapsed < Duration::from_secs(3600) {
            elapsed += schedule.failed(Failure::Passing, None, 0.5);
            requests += 1;
        }
        assert!((15..=30).contains(&requests), "{requests}");
    }

    #[test]
    fn registrar_that_knew_us_is_asked_again_soon_before_it_is_believed() {
        let mut schedule = Schedule::default();
        schedule.granted(Duration::from_secs(600));
        let delays: Vec<_> =
            (0..4).map(|_| schedule.failed(Failure::Standing, None, 1.0).as_secs()).collect();
        assert_eq!(delays, [2, 4, 8, 300]);
    }

    #[test]
    fn lost_registration_is_renewed_at_once_but_not_in_a_circle() {
        let (mut schedule, young, old) = (Schedule::default(), Duration::ZERO, ESTABLISHED);
        let delays: Vec<_> = (0..4).map(|_| schedule.lost(young, 1.0).as_secs()).collect();
        assert_eq!(delays, [0, 2, 4, 8]);
        assert_eq!(schedule.lost(old, 1.0), Duration::ZERO);
    }

    #[test]
    fn refusal_and_retry_after_are_waited_for_whatever_happens() {
        use News::*;
        let outcome = |failure, seconds: Option<u64>| Outcome::of(failure, seconds.map(Duration::from_secs));
        for news in [Connected, Revived] {
            assert!(!outcome(Failure::Standing, None).heeds(news), "{news:?}");
            assert!(!outcome(Failure::Passing, Some(1)).heeds(news), "{news:?}");
            assert!(outcome(Failure::Passing, None).heeds(news), "{news:?}");
        }
        // By another connection: what was granted holds.
        assert!(!Outcome::Granted.heeds(Connected) && Outcome::Granted.heeds(Revived));
    }

    #[test]
    fn retry_after_is_obeyed_within_reason() {
        let mut schedule = Schedule::default();
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(schedule.failed(Failure::Passing, asked(60), 0.0), Duration::from_secs(60));
        assert_eq!(schedule.failed(Failure::Passing, asked(1), 1.0), Duration::from_secs(4));
        assert_eq!(schedule.failed(Failure::Passing, asked(u64::MAX), 1.0), Duration::from_secs(3600));
    }
}
