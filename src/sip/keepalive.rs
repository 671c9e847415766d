//! Whether a trunk lives, asked by OPTIONS again and again; what to make of the answers is decided by
//! [`Pulse`], which knows no clock.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::select_ok};
use rsipstack::{
    sip::{
        Method, SipMessage, StatusCodeKind,
        typed::{From, To},
    },
    transaction::{
        key::{TransactionKey, TransactionRole},
        make_tag,
        transaction::Transaction,
    },
    transport::SipAddr,
};
use tokio::sync::watch;

use super::{error::SipError, link::Trunk, node::Core, node::Pong, trunk::Transport};

/// Whether a trunk answers OPTIONS, for health checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// It is not asked, or has not been answered yet.
    Unknown,
    /// It answered, with whatever status: somebody is there.
    Alive { round_trip: Duration },
    /// It was asked more than once and did not answer.
    Dead { detail: String },
}

/// Questions in a row without an answer after which a trunk is dead: one may be lost.
const MISSES: u32 = 2;
/// A question that was not answered is asked again after this part of the interval.
const HURRY: u32 = 4;

#[derive(Debug)]
struct Pulse {
    interval: Duration,
    missed: u32,
}

impl Pulse {
    fn new(interval: Duration) -> Self {
        Pulse { interval, missed: 0 }
    }

    fn alive(&mut self, round_trip: Duration) -> (Option<Liveness>, Duration) {
        self.missed = 0;
        (Some(Liveness::Alive { round_trip }), self.interval)
    }

    /// What is known now, if anything new, and when to ask again.
    fn silent(&mut self, detail: String) -> (Option<Liveness>, Duration) {
        self.missed = self.missed.saturating_add(1);
        if self.missed < MISSES {
            return (None, self.interval / HURRY);
        }
        (Some(Liveness::Dead { detail }), self.interval)
    }
}

/// Asks `trunk` until shutdown.
pub(super) async fn drive(core: Arc<Core>, trunk: Arc<Trunk>, state: watch::Sender<Liveness>) {
    let mut pulse = Pulse::new(Duration::from_secs(trunk.config.options_interval_secs.into()));
    let mut connections = trunk.flow.made();
    loop {
        let (liveness, pause) = match core.ask(&trunk).await {
            Ok(Pong { round_trip, .. }) => pulse.alive(round_trip),
            Err(error) => pulse.silent(error.to_string()),
        };
        if let Some(liveness) = liveness {
            tell(&trunk, &state, liveness);
        }
        connections.mark_unchanged();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = connections.changed() => {}
            () = core.draining.cancelled() => return,
        }
    }
}

fn tell(trunk: &Trunk, state: &watch::Sender<Liveness>, liveness: Liveness) {
    let name = &trunk.config.name;
    match (&*state.borrow(), &liveness) {
        (Liveness::Dead { .. }, Liveness::Dead { .. }) => {}
        (_, Liveness::Dead { detail }) => tracing::warn!(trunk = %name, %detail, "trunk does not answer"),
        (Liveness::Dead { .. }, _) => tracing::info!(trunk = %name, "trunk answers again"),
        _ => {}
    }
    state.send_replace(liveness);
}

impl Core {
    /// A trunk's answer to OPTIONS, within the time a call would be given.
    pub async fn ask(&self, trunk: &Trunk) -> Result<Pong, SipError> {
        let limit = self.config.setup_timeout;
        tokio::time::timeout(limit, self.ping(trunk)).await.unwrap_or_else(|_| {
            Err(SipError::Unreachable(format!("no response within {} s", limit.as_secs_f32())))
        })
    }

    /// The first answer of any address.
    async fn ping(&self, trunk: &Trunk) -> Result<Pong, SipError> {
        if trunk.config.transport != Transport::Udp {
            let connected = self.resolve(trunk).await?;
            return self.ping_address(trunk, connected).await;
        }
        let pings =
            self.targets(trunk).await?.into_iter().map(|address| self.ping_address(trunk, address).boxed());
        select_ok(pings).await.map(|(pong, _)| pong)
    }

    async fn ping_address(&self, trunk: &Trunk, target: SipAddr) -> Result<Pong, SipError> {
        let mut transaction = self.options_request(trunk, &target)?;
        let (lost, refused) = (self.lost(&target), self.refused(&target));
        tokio::pin!(lost, refused);
        let started = Instant::now();
        transaction.send().await?;
        let status = loop {
            tokio::select! {
                // First, since the stack answers 503 by itself for a connection that is gone.
                biased;
                () = &mut lost => {
                    return Err(SipError::Unreachable(format!("{}: the connection is lost", trunk.config.server)));
                }
                message = transaction.receive() => match message {
                    Some(SipMessage::Response(r)) if r.status_code.kind() != StatusCodeKind::Provisional => {
                        break r.status_code;
                    }
                    Some(_) => {}
                    None => return Err(SipError::Unreachable("no response".into())),
                },
                () = &mut refused => return Err(SipError::Unreachable(format!("nobody listens at {}", target.addr))),
            }
        };
        Ok(Pong { round_trip: started.elapsed(), status: status.code() })
    }

    fn options_request(&self, trunk: &Trunk, target: &SipAddr) -> Result<Transaction, SipError> {
        let via = self.endpoint.get_via(Some(self.addresses.of(trunk.config.transport)), None)?;
        let from = From { display_name: None, uri: trunk.our_uri()?, params: vec![] };
        let to = To { display_name: None, uri: trunk.server_uri(None)?, params: vec![] };
        let from = from.with_tag(make_tag());
        let uri = trunk.server_uri(None)?;
        let request = self.endpoint.make_request(Method::Options, uri, via, from, to, 1, None);
        let key = TransactionKey::from_request(&request, TransactionRole::Client)?;
        let mut transaction = Transaction::new_client(key, request, self.endpoint.clone(), None);
        transaction.destination = Some(target.clone());
        Ok(transaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SOON: Duration = Duration::from_secs(15);

    #[test]
    fn one_lost_question_is_asked_again_and_two_are_a_dead_trunk() {
        let mut pulse = Pulse::new(MINUTE);
        let dead = Some(Liveness::Dead { detail: "gone".into() });
        assert_eq!(pulse.silent("gone".into()), (None, SOON));
        assert_eq!(pulse.silent("gone".into()), (dead.clone(), MINUTE));
        assert_eq!(pulse.silent("gone".into()), (dead, MINUTE));
        let round_trip = Duration::from_millis(20);
        assert_eq!(pulse.alive(round_trip), (Some(Liveness::Alive { round_trip }), MINUTE));
        assert_eq!(pulse.silent("gone".into()), (None, SOON));
    }
}
