//! Registration with a trunk (RFC 3261 section 10): when to send the next REGISTER is decided by
//! [`Schedule`], which knows no clock; the driver sends it.

use std::{sync::Arc, time::Duration};

use rsipstack::{
    dialog::registration::Registration,
    sip::{Response, Uri, typed::Contact},
};
use tokio::sync::watch;

use super::{
    error::{SipError, describe},
    link::Trunk,
    node::Core,
    trunk::Transport,
};

/// What a trunk's registration is doing, for health checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationState {
    /// The trunk is configured without registration.
    NotConfigured,
    Registering,
    /// Calls reach us for `expires` from when this state began, unless refreshed before.
    Registered {
        expires: Duration,
    },
    /// The registrar refused or did not answer; tried again after `retry_in`.
    Failed {
        status: Option<u16>,
        detail: String,
        retry_in: Duration,
    },
    /// Taken back at shutdown.
    Unregistered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// No answer, or a server that is busy: it may pass soon.
    Passing,
    /// Wrong credentials or a refusal: nothing changes by asking often, and carriers ban those who do.
    Standing,
}

/// Delays between REGISTER requests.
#[derive(Debug, Default)]
struct Schedule {
    failures: u32,
}

impl Schedule {
    const FIRST_RETRY: Duration = Duration::from_secs(2);
    const LONGEST_RETRY: Duration = Duration::from_secs(300);
    const SHORTEST_REFRESH: Duration = Duration::from_secs(1);

    /// After a grant of `expires`: a refresh at four fifths of it, so that one lost attempt can be
    /// repeated in time.
    fn granted(&mut self, expires: Duration) -> Duration {
        self.failures = 0;
        (expires * 4 / 5).max(Self::SHORTEST_REFRESH)
    }

    /// After a failure: doubled each time up to five minutes, and drawn between half of that and all
    /// of it by `jitter` in 0..1, so that a carrier's outage does not end in a stampede (RFC 5626
    /// section 4.5).
    fn failed(&mut self, failure: Failure, jitter: f64) -> Duration {
        let whole = match failure {
            Failure::Passing => Self::FIRST_RETRY.saturating_mul(1 << self.failures.min(16)),
            Failure::Standing => Self::LONGEST_RETRY,
        };
        self.failures += 1;
        let whole = whole.min(Self::LONGEST_RETRY);
        whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

/// Keeps `trunk` registered until shutdown, then takes the registration back.
pub(super) async fn drive(core: Arc<Core>, trunk: Arc<Trunk>, state: watch::Sender<RegistrationState>) {
    let mut schedule = Schedule::default();
    let mut connections = trunk.flow.made();
    let mut registrar = match Registrar::new(&core, &trunk) {
        Ok(registrar) => registrar,
        Err(e) => return report_failure(&trunk, &state, &Attempt::failed(e.to_string()), Duration::MAX),
    };
    loop {
        if !matches!(*state.borrow(), RegistrationState::Registered { .. }) {
            state.send_replace(RegistrationState::Registering);
        }
        let attempt = tokio::select! {
            attempt = registrar.register(&core, &trunk, trunk.config.register_expires) => attempt,
            () = core.draining.cancelled() => break,
        };
        connections.mark_unchanged();
        let delay = match attempt {
            Ok(expires) => {
                state.send_replace(RegistrationState::Registered { expires });
                schedule.granted(expires)
            }
            Err(attempt) => {
                let delay = schedule.failed(attempt.failure, rand::random());
                report_failure(&trunk, &state, &attempt, delay);
                delay
            }
        };
        // A registration over a connection ends with it (RFC 5626 section 4.2), and one of an address that
        // is ours no longer leads nowhere: the next begins at once.
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            Ok(()) = connections.changed() => {}
            () = core.draining.cancelled() => break,
        }
    }
    if matches!(*state.borrow(), RegistrationState::Registered { .. }) {
        // Bounded by the shutdown; a registrar that does not answer lets the binding expire.
        let _ = registrar.register(&core, &trunk, 0).await;
    }
    state.send_replace(RegistrationState::Unregistered);
}

fn report_failure(
    trunk: &Trunk,
    state: &watch::Sender<RegistrationState>,
    attempt: &Attempt,
    retry_in: Duration,
) {
    let Attempt { status, detail, .. } = attempt;
    tracing::warn!(trunk = %trunk.config.name, ?status, %detail, ?retry_in, "SIP registration failed");
    state.send_replace(RegistrationState::Failed { status: *status, detail: detail.clone(), retry_in });
}

/// A REGISTER that did not register.
struct Attempt {
    failure: Failure,
    status: Option<u16>,
    detail: String,
}

impl Attempt {
    fn failed(detail: String) -> Self {
        Attempt { failure: Failure::Passing, status: None, detail }
    }

    fn refused(response: &Response) -> Self {
        let status = response.status_code.code();
        let failure =
            if matches!(status, 408 | 423 | 429 | 500..=599) { Failure::Passing } else { Failure::Standing };
        let detail = match status {
            401 | 407 => "the registrar rejects `username` and `password`".to_owned(),
            408 => "the registrar does not answer".to_owned(),
            _ => format!("the registrar answers {status}"),
        };
        Attempt { failure, status: Some(status), detail }
    }
}

struct Registrar {
    inner: Registration,
    uri: Uri,
}

impl Registrar {
    fn new(core: &Core, trunk: &Trunk) -> Result<Self, SipError> {
        let inner = Registration::new(core.endpoint.clone(), trunk.credential());
        Ok(Registrar { inner, uri: trunk.registrar_uri()? })
    }

    /// Where calls should reach us. Without a contact of ours the stack takes the address the registrar
    /// sees, which is right behind NAT; over a connection, and where our public address is known, we say
    /// it. Either may have changed since the last time.
    fn contact(core: &Core, trunk: &Trunk) -> Option<Contact> {
        let known = core.addresses.public().is_some() || trunk.config.transport != Transport::Udp;
        let uri = core.contact(trunk).ok().filter(|_| known)?;
        Some(Contact { display_name: None, uri, params: vec![] })
    }

    /// What was granted.
    async fn register(&mut self, core: &Core, trunk: &Trunk, expires: u32) -> Result<Duration, Attempt> {
        let target = core.resolve(trunk).await.map_err(|e| Attempt::failed(e.to_string()))?;
        self.inner.outbound_proxy = target.get_socketaddr().ok();
        self.inner.contact = Self::contact(core, trunk);
        let response = self.inner.register(self.uri.clone(), Some(expires)).await;
        let response = response.map_err(|e| Attempt::failed(describe(&e)))?;
        if response.status_code.code() == 200 {
            Ok(Duration::from_secs(self.inner.expires().into()))
        } else {
            Err(Attempt::refused(&response))
        }
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
        let mut delays: Vec<_> = (0..40).map(|_| schedule.failed(Failure::Passing, 1.0)).collect();
        assert_eq!(delays[..4], [2, 4, 8, 16].map(Duration::from_secs));
        assert_eq!(delays.pop(), Some(Schedule::LONGEST_RETRY));
        schedule.granted(Duration::from_secs(60));
        assert_eq!(schedule.failed(Failure::Passing, 0.0), Duration::from_secs(1));
    }

    #[test]
    fn wrong_password_is_not_tried_often() {
        let mut schedule = Schedule::default();
        assert!(schedule.failed(Failure::Standing, 0.0) >= Duration::from_secs(150));
    }

    #[test]
    fn an_hour_without_the_registrar_costs_few_requests() {
        let (mut schedule, mut elapsed, mut requests) = (Schedule::default(), Duration::ZERO, 0);
        while elapsed < Duration::from_secs(3600) {
            elapsed += schedule.failed(Failure::Passing, 0.5);
            requests += 1;
        }
        assert!((15..=30).contains(&requests), "{requests}");
    }
}
