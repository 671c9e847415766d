//! What a trunk's registration is doing, and what becomes of it when refreshes fail: a registrar that does not
//! answer keeps what it granted until that expires (RFC 3261 section 10.3).

use std::time::Duration;

use super::registrar::Failure;

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
    /// The last refresh failed, for `detail`; tried again after `retry_in`. Calls reach us for `left` from when
    /// this state began.
    Expiring {
        left: Duration,
        status: Option<u16>,
        detail: String,
        retry_in: Duration,
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

impl RegistrationState {
    /// Whether the registrar knows where we are.
    pub fn is_registered(&self) -> bool {
        matches!(self, RegistrationState::Registered { .. } | RegistrationState::Expiring { .. })
    }

    /// After a REGISTER that failed, where the binding of before lives for `left`. One that was refused is
    /// not counted upon.
    pub(super) fn failed(
        failure: Failure,
        left: Option<Duration>,
        (status, detail): (Option<u16>, String),
        retry_in: Duration,
    ) -> Self {
        match left.filter(|_| failure == Failure::Passing) {
            Some(left) => RegistrationState::Expiring { left, status, detail, retry_in },
            None => RegistrationState::Failed { status, detail, retry_in },
        }
    }

    /// Once the binding has expired, with so long until the next REGISTER.
    pub(super) fn lapse(&mut self, until_next: Duration) {
        *self = match std::mem::replace(self, RegistrationState::Registering) {
            RegistrationState::Registered { .. } => RegistrationState::Registering,
            RegistrationState::Expiring { status, detail, .. } => {
                RegistrationState::Failed { status, detail, retry_in: until_next }
            }
            other => other,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{RegistrationState::*, *};

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn failed(failure: Failure, left: Option<Duration>) -> RegistrationState {
        RegistrationState::failed(failure, left, (Some(503), "busy".into()), SECOND)
    }

    #[test]
    fn binding_outlives_a_failed_refresh_until_it_expires() {
        let mut state = failed(Failure::Passing, Some(MINUTE));
        let (status, detail) = (Some(503), "busy".to_owned());
        let expiring = Expiring { left: MINUTE, status, detail: detail.clone(), retry_in: SECOND };
        assert_eq!(state, expiring);
        assert!(state.is_registered());
        state.lapse(SECOND / 2);
        assert_eq!(state, Failed { status, detail, retry_in: SECOND / 2 });
        assert!(!state.is_registered());
    }

    #[test]
    fn refused_refresh_and_one_without_a_binding_have_failed_at_once() {
        for (failure, left) in [(Failure::Standing, Some(MINUTE)), (Failure::Passing, None)] {
            assert!(matches!(failed(failure, left), Failed { status: Some(503), .. }), "{failure:?}");
        }
    }

    #[test]
    fn binding_that_expires_while_it_is_refreshed_is_none() {
        let mut state = Registered { expires: MINUTE };
        state.lapse(Duration::ZERO);
        assert_eq!(state, Registering);
        for mut other in [NotConfigured, Unregistered, failed(Failure::Passing, None)] {
            let before = other.clone();
            other.lapse(MINUTE);
            assert_eq!(other, before);
        }
    }
}
