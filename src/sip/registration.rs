//! Registration with a trunk (RFC 3261 section 10), kept through restarts of the registrar and of this
//! node: when to send the next REGISTER is decided by [`Schedule`], [`super::registrar`] sends it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{broadcast, watch};

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
    let mut losses = Losses::of(&core, &trunk);
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
        let since = Instant::now();
        let delay = match attempt {
            Ok(expires) => {
                state.send_replace(RegistrationState::Registered { expires });
                schedule.granted(expires)
            }
            Err(attempt) => {
                let delay = schedule.failed(attempt.failure, attempt.retry_after, rand::random());
                report_failure(&trunk, &state, &attempt, delay);
                delay
            }
        };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            loss = losses.next() => if loss == Loss::Connection {
                state.send_replace(RegistrationState::Registering);
                let pause = schedule.lost(since.elapsed(), rand::random());
                tracing::info!(trunk = %trunk.config.name, ?pause, "connection lost: registering again");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = core.draining.cancelled() => break,
                }
            },
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

/// A sign that the registrar may have lost us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// It was away, and may have forgotten us.
    Memory,
    /// The connection by which calls would come in is closed.
    Connection,
}

struct Losses {
    trunk: Arc<Trunk>,
    closed: broadcast::Receiver<SocketAddr>,
    liveness: watch::Receiver<Liveness>,
    dead: bool,
}

impl Losses {
    fn of(core: &Core, trunk: &Arc<Trunk>) -> Self {
        let liveness = trunk.liveness.clone();
        Losses { trunk: trunk.clone(), closed: core.closed.subscribe(), liveness, dead: false }
    }

    async fn next(&mut self) -> Loss {
        loop {
            tokio::select! {
                Ok(()) = self.liveness.changed() => match *self.liveness.borrow_and_update() {
                    Liveness::Dead { .. } => self.dead = true,
                    Liveness::Alive { .. } if self.dead => {
                        self.dead = false;
                        return Loss::Memory;
                    }
                    _ => {}
                },
                Ok(address) = self.closed.recv() => if self.trunk.found.lock().contains(&address) {
                    return Loss::Connection;
                },
                else => std::future::pending().await,
            }
        }
    }
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
