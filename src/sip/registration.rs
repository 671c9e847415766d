//! Registration with a trunk (RFC 3261 section 10), kept through restarts of the registrar and of this
//! node: when to send the next REGISTER is decided by [`Schedule`], [`super::registrar`] sends it.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    keepalive::Liveness,
    link::Trunk,
    node::Core,
    registrar::{Attempt, Registrar},
    schedule::Schedule,
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

/// Keeps `trunk` registered until shutdown, then takes the registration back.
pub(super) async fn drive(core: Arc<Core>, trunk: Arc<Trunk>, state: watch::Sender<RegistrationState>) {
    let mut schedule = Schedule::default();
    let mut connections = trunk.flow.made();
    let (mut liveness, mut dead) = (trunk.liveness.clone(), false);
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
                *trunk.service_route.lock() = registrar.service_route();
                state.send_replace(RegistrationState::Registered { expires });
                schedule.granted(expires)
            }
            Err(attempt) => {
                let delay = schedule.failed(attempt.failure, attempt.retry_after, rand::random());
                report_failure(&trunk, &state, &attempt, delay);
                delay
            }
        };
        // A registration over a connection ends with it (RFC 5626 section 4.2), and one of an address that
        // is ours no longer leads nowhere: the next begins at once.
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            Ok(()) = connections.changed() => {}
            () = revived(&mut liveness, &mut dead) => {}
            () = core.draining.cancelled() => break,
        }
    }
    // A node that was dropped instead of shut down has no socket any more.
    let is_registered = matches!(*state.borrow(), RegistrationState::Registered { .. });
    if is_registered && !core.stop.is_cancelled() {
        // Bounded by the shutdown; a registrar that does not answer lets the binding expire.
        let _ = registrar.register(&core, &trunk, 0).await;
    }
    state.send_replace(RegistrationState::Unregistered);
}

/// The trunk did not answer OPTIONS, and does again: it may have forgotten us while it was away.
async fn revived(liveness: &mut watch::Receiver<Liveness>, dead: &mut bool) {
    while liveness.changed().await.is_ok() {
        match *liveness.borrow_and_update() {
            Liveness::Dead { .. } => *dead = true,
            Liveness::Alive { .. } if *dead => return *dead = false,
            _ => {}
        }
    }
    std::future::pending().await
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
