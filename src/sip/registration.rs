//! Registration with a trunk (RFC 3261 section 10), kept through restarts of the registrar and of this
//! node: when to send the next REGISTER is decided by [`Schedule`], [`super::registrar`] sends it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    binding::RegistrationState,
    keepalive::Liveness,
    link::Trunk,
    node::Core,
    registrar::{Attempt, Registrar},
    schedule::{News, Outcome, Schedule},
};

/// Keeps `trunk` registered until shutdown, then takes the registration back.
pub(super) async fn drive(core: Arc<Core>, trunk: Arc<Trunk>, state: watch::Sender<RegistrationState>) {
    let mut schedule = Schedule::default();
    let (connections, liveness) = (trunk.flow.made(), trunk.liveness.clone());
    let mut watch = Watch { connections, liveness, dead: false };
    let mut registrar = match Registrar::new(&core, &trunk) {
        Ok(registrar) => registrar,
        Err(e) => return report_failure(&trunk, &state, Attempt::failed(e.to_string()), None, Duration::MAX),
    };
    loop {
        if !state.borrow().is_registered() {
            state.send_replace(RegistrationState::Registering);
        }
        let (expired, expires) = (registrar.expired(), trunk.config.register_expires);
        let attempt = registrar.register(&core, &trunk, expires);
        let Some(attempt) = before_the_end(&core, &state, Instant::now(), expired, attempt).await else {
            break;
        };
        let (outcome, delay) = match attempt {
            Ok(expires) => {
                *trunk.service_route.lock() = registrar.service_route();
                state.send_replace(RegistrationState::Registered { expires });
                (Outcome::Granted, schedule.granted(expires))
            }
            Err(attempt) => {
                // Those that the attempt made itself are no news.
                watch.connections.mark_unchanged();
                let delay = schedule.failed(attempt.failure, attempt.retry_after, rand::random());
                let outcome = Outcome::of(attempt.failure, attempt.retry_after);
                report_failure(&trunk, &state, attempt, registrar.left(Instant::now()), delay);
                (outcome, delay)
            }
        };
        let pause = async {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = watch.wait(&core, &trunk, &registrar, outcome, &mut schedule) => {}
            }
        };
        let next = Instant::now().checked_add(delay).unwrap_or_else(Instant::now);
        if before_the_end(&core, &state, next, registrar.expired(), pause).await.is_none() {
            break;
        }
    }
    // A node that was dropped instead of shut down has no socket any more.
    let is_registered = state.borrow().is_registered();
    if is_registered && !core.stop.is_cancelled() {
        // Bounded by the shutdown; a registrar that does not answer lets the binding expire.
        let _ = registrar.register(&core, &trunk, 0).await;
    }
    state.send_replace(RegistrationState::Unregistered);
}

/// What `work` gives; nothing at shutdown. If the binding expires before, the state says so, and that the next
/// REGISTER leaves at `next`.
async fn before_the_end<T>(
    core: &Core,
    state: &watch::Sender<RegistrationState>,
    next: Instant,
    expired: impl Future<Output = ()>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let told = async {
        expired.await;
        state.send_modify(|state| state.lapse(next.saturating_duration_since(Instant::now())));
        std::future::pending().await
    };
    tokio::select! {
        done = work => Some(done),
        () = core.draining.cancelled() => None,
        () = told => None,
    }
}

/// What may bring the next REGISTER forward.
struct Watch {
    connections: watch::Receiver<u64>,
    liveness: watch::Receiver<Liveness>,
    /// The trunk was last seen not to answer OPTIONS.
    dead: bool,
}

impl Watch {
    /// Returns when the next REGISTER should leave, if that is before its time.
    async fn wait(
        &mut self,
        core: &Core,
        trunk: &Trunk,
        registrar: &Registrar,
        outcome: Outcome,
        schedule: &mut Schedule,
    ) {
        let since = Instant::now();
        loop {
            // Looked at before any news, too: our address may have changed while the registrar was asked.
            if registrar.has_moved(core, trunk) {
                return;
            }
            let news = tokio::select! {
                Ok(()) = self.connections.changed() => News::Connected,
                () = revived(&mut self.liveness, &mut self.dead) => News::Revived,
                // A registration over a connection ends with it (RFC 5626 section 4.2).
                () = registrar.lost() => {
                    return tokio::time::sleep(schedule.lost(since.elapsed(), rand::random())).await;
                }
            };
            if outcome.heeds(news) {
                return;
            }
        }
    }
}

/// The trunk did not answer OPTIONS, and does again.
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
    attempt: Attempt,
    left: Option<Duration>,
    retry_in: Duration,
) {
    let Attempt { failure, status, detail, .. } = attempt;
    tracing::warn!(trunk = %trunk.config.name, ?status, %detail, ?retry_in, ?left, "SIP registration failed");
    state.send_replace(RegistrationState::failed(failure, left, (status, detail), retry_in));
}
