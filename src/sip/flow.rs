//! Connections to trunks that are reached by TCP or TLS: made before they are needed, shared by all
//! requests of both directions, kept open (RFC 5626 section 4.4.1) and made again when they die.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use rsipstack::transport::{
    SipAddr, SipConnection, connection::KEEPALIVE_REQUEST, stream::StreamConnection, tcp::TcpConnection,
    tls::TlsConnection,
};
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, sync::watch};

use super::{
    error::{SipError, describe},
    link::Trunk,
    node::Core,
    tls::{self, TlsConfig},
    trunk::{Transport, TrunkConfig},
};

/// From the first packet of a connection to the end of its handshake.
const SETUP_LIMIT: Duration = Duration::from_secs(5);
/// A connection that dies younger than this counts as one that was never made.
const ESTABLISHED: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Sent bytes that the peer's kernel does not acknowledge for this long end a connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);

/// What a trunk knows of its connection.
pub(super) struct Flow {
    tls: Option<RwLock<Arc<tls::Client>>>,
    /// Held while a connection is made; with when and why that failed last.
    making: tokio::sync::Mutex<Option<(Instant, String)>>,
    /// Counts the connections made, and changes of our address.
    made: watch::Sender<u64>,
    /// Ours of the latest connection; 0 before the first.
    local_port: AtomicU16,
}

impl Flow {
    pub fn new(own: &TlsConfig, trunk: &TrunkConfig) -> Result<Self, SipError> {
        Ok(Flow {
            tls: tls::Client::new(own, trunk)?.map(Arc::new).map(RwLock::new),
            making: tokio::sync::Mutex::default(),
            made: watch::Sender::new(0),
            local_port: AtomicU16::new(0),
        })
    }

    /// How the next connection is made, if it speaks TLS.
    fn tls(&self) -> Option<Arc<tls::Client>> {
        self.tls.as_ref().map(|client| client.read().clone())
    }

    /// The next connection is made so. Those that are open stay.
    pub fn use_certificates(&self, client: tls::Client) {
        if let Some(current) = &self.tls {
            *current.write() = Arc::new(client);
        }
    }

    /// Says that what the trunk was told of our address no longer holds.
    pub fn renew(&self) {
        self.made.send_modify(|made| *made += 1);
    }

    /// Changes whenever a connection was made, or our address is another.
    pub fn made(&self) -> watch::Receiver<u64> {
        self.made.subscribe()
    }

    /// Our port of the latest connection.
    pub fn local_port(&self) -> Option<u16> {
        Some(self.local_port.load(Ordering::Relaxed)).filter(|port| *port != 0)
    }
}

/// A connection to a trunk.
#[derive(Clone)]
struct Connected {
    connection: SipConnection,
    /// Place in the configuration of the trunk that it was made for, and checked for then.
    made_for: usize,
    local_port: u16,
    /// What the peer showed of itself, if it is TLS.
    chain: Arc<[CertificateDer<'static>]>,
}

impl Connected {
    fn is_alive(&self) -> bool {
        self.connection.cancel_token().is_some_and(|token| !token.is_cancelled())
    }
}

/// The connections to trunks that there are, by the peer's address. One for each address of a trunk: they
/// are as many as the configuration makes them.
#[derive(Default)]
pub(super) struct Flows(Mutex<HashMap<SipAddr, Connected>>);

impl Flows {
    fn alive(&self, to: &SipAddr) -> Option<Connected> {
        let mut flows = self.0.lock();
        flows.retain(|_, flow| flow.is_alive());
        flows.get(to).cloned()
    }
}

impl Core {
    /// Sees to it that a connection leads to `to`, where the trunk needs one.
    pub async fn connect(&self, trunk: &Trunk, to: &SipAddr) -> Result<(), SipError> {
        if trunk.config.transport == Transport::Udp {
            return Ok(());
        }
        let asked = Instant::now();
        let mut failed = trunk.flow.making.lock().await;
        let unreachable = |why: &str| SipError::Unreachable(format!("{}: {why}", trunk.config.server));
        if let Some(flow) = self.flows.alive(to) {
            trunk.flow.local_port.store(flow.local_port, Ordering::Relaxed);
            let own = flow.made_for == trunk.index;
            let trusted = own || trunk.flow.tls().is_none_or(|client| client.trusts(&flow.chain));
            let foreign = "another trunk is connected to this address, and the certificate that it showed is \
                           not one for this trunk";
            return if trusted { Ok(()) } else { Err(unreachable(foreign)) };
        }
        // Whoever waited for an attempt that failed does not make the same attempt again.
        if let Some((_, why)) = failed.as_ref().filter(|(at, _)| *at > asked) {
            return Err(unreachable(why));
        }
        let made = tokio::time::timeout(SETUP_LIMIT, self.make(trunk, to)).await;
        match made.unwrap_or_else(|_| Err(format!("no connection within {} s", SETUP_LIMIT.as_secs()))) {
            Ok(flow) => {
                *failed = None;
                self.adopt(trunk, to, flow);
                Ok(())
            }
            Err(why) => {
                let error = unreachable(&why);
                *failed = Some((Instant::now(), why));
                Err(error)
            }
        }
    }

    async fn make(&self, trunk: &Trunk, to: &SipAddr) -> Result<Connected, String> {
        let remote = to.get_socketaddr().map_err(|e| describe(&e))?;
        let stream = TcpStream::connect(remote).await.map_err(|e| e.to_string())?;
        tune(&stream);
        let local = stream.local_addr().map_err(|e| e.to_string())?;
        let token = Some(self.stop.child_token());
        let (connection, chain) = match trunk.flow.tls() {
            None => {
                let own = self.addresses.of(Transport::Tcp);
                let connection = TcpConnection::from_stream(stream, own, token);
                (connection.map(SipConnection::Tcp), Arc::default())
            }
            Some(client) => {
                let stream = client.connector.connect(client.name.clone(), stream).await;
                let stream = stream.map_err(|e| tls::describe_failure(&e, &client.name))?;
                let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let chain = shown.iter().map(|c| c.clone().into_owned()).collect();
                let connection = TlsConnection::from_client_stream(stream, to.clone(), token).await;
                (connection.map(SipConnection::Tls), chain)
            }
        };
        let connection = connection.map_err(|e| describe(&e))?;
        Ok(Connected { connection, made_for: trunk.index, local_port: local.port(), chain })
    }

    fn adopt(&self, trunk: &Trunk, to: &SipAddr, flow: Connected) {
        trunk.flow.local_port.store(flow.local_port, Ordering::Relaxed);
        self.flows.0.lock().insert(to.clone(), flow.clone());
        self.endpoint.transport_layer.add_connection(flow.connection);
        trunk.flow.renew();
        tracing::info!(trunk = %trunk.config.name, "connected");
    }

    /// Returns when the connection to `to` is gone; never where none is needed.
    pub fn lost(&self, to: &SipAddr) -> impl Future<Output = ()> + use<> {
        let needed = to.r#type != Some(Transport::Udp.into());
        let token = self.flows.alive(to).and_then(|flow| flow.connection.cancel_token());
        async move {
            match token {
                Some(token) => token.cancelled().await,
                None if needed => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Keeps the connection to `to` open; returns when it is gone.
    async fn hold(&self, to: &SipAddr) {
        let Some(flow) = self.flows.alive(to) else { return };
        let lost = self.lost(to);
        tokio::pin!(lost);
        loop {
            tokio::select! {
                () = &mut lost => return,
                () = next_ping(self.config.keepalive) => if !ping(&flow.connection).await {
                    return self.endpoint.transport_layer.remove_connection(&flow.connection);
                },
            }
        }
    }
}

/// Keeps `trunk` connected.
pub(super) async fn drive(core: Arc<Core>, trunk: Arc<Trunk>) {
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        match core.resolve(&trunk).await {
            Ok(to) => {
                core.hold(&to).await;
                failures = if begun.elapsed() < ESTABLISHED { failures + 1 } else { 0 };
                tell_lost(&trunk, failures);
            }
            Err(error) => {
                failures += 1;
                tell_failed(&trunk, failures, &error);
            }
        }
        tokio::time::sleep(pause(failures, rand::random())).await;
    }
}

fn tell_lost(trunk: &Trunk, failures: u32) {
    let name = &trunk.config.name;
    if failures < 2 {
        tracing::warn!(trunk = %name, "connection lost");
    } else {
        let hint = "it closes connections at once: if it asks for a certificate, set sip.tls.certificate";
        tracing::warn!(trunk = %name, failures, hint, "connection lost");
    }
}

/// The first failure, and then every tenth: a trunk that is down does not fill the log.
fn tell_failed(trunk: &Trunk, failures: u32, error: &SipError) {
    if failures % 10 == 1 {
        tracing::warn!(trunk = %trunk.config.name, failures, %error, "no connection");
    }
}

/// How long to wait before the next attempt: nothing after a connection that had lasted, then doubled from
/// a second to a minute, and drawn between half of that and all of it by `jitter` in 0..1 (RFC 5626
/// section 4.5).
fn pause(failures: u32, jitter: f64) -> Duration {
    let Some(before) = failures.checked_sub(1) else { return Duration::ZERO };
    let whole = FIRST_PAUSE.saturating_mul(1 << before.min(16)).min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

/// Between four fifths of the interval and all of it (RFC 5626 section 4.4.1); never if it is zero.
async fn next_ping(interval: Duration) {
    if interval.is_zero() {
        return std::future::pending().await;
    }
    tokio::time::sleep(interval.mul_f64(rand::random_range(0.8..=1.0))).await;
}

/// Two line ends, which a peer that knows them answers with one. Whether anybody is there is told by the
/// kernel: what it cannot deliver ends the connection.
async fn ping(connection: &SipConnection) -> bool {
    let sent = async {
        match connection {
            SipConnection::Tcp(connection) => connection.inner.send_raw(KEEPALIVE_REQUEST).await,
            SipConnection::Tls(connection) => connection.send_raw(KEEPALIVE_REQUEST).await,
            _ => Ok(()),
        }
    };
    matches!(tokio::time::timeout(SETUP_LIMIT, sent).await, Ok(Ok(())))
}

/// Messages leave at once, and a peer that is gone is noticed. A system that lacks an option does without.
pub(super) fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&probes);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_connection_is_made_again_at_once_and_a_dead_peer_is_tried_ever_less() {
        assert_eq!(pause(0, 1.0), Duration::ZERO);
        let pauses: Vec<_> = (1..10).map(|failures| pause(failures, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause(u32::MAX, 0.0), Duration::from_secs(30));
    }
}
