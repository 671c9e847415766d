//! Connections to trunks that are reached by TCP or TLS: made before they are needed, shared by all
//! requests of both directions, kept open (RFC 5626 section 4.4.1) and made again when they die.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use rsipstack::{
    sip::{Auth, Scheme, Uri},
    transaction::endpoint::EndpointInnerRef,
    transport::{
        SipAddr, SipConnection, connection::KEEPALIVE_REQUEST, stream::StreamConnection, tcp::TcpConnection,
        tls::TlsConnection,
    },
};
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    sync::{broadcast::error::RecvError, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    backoff::{ESTABLISHED, doubled, drawn, is_told},
    error::{SipError, describe},
    guard::Sources,
    link::Trunk,
    node::Core,
    tls::{self, TlsConfig},
    trunk::{Transport, TrunkConfig},
};

/// From the first packet of a connection to the end of its handshake.
const SETUP_LIMIT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often an address that could not be connected to is tried while another is connected.
const RETRY_DOWN: Duration = Duration::from_secs(30);
/// Sent bytes that the peer's kernel does not acknowledge for this long end a connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);

/// What a trunk knows of its connections.
pub(super) struct Flow {
    tls: Option<RwLock<Arc<tls::Client>>>,
    attempts: Mutex<HashMap<SocketAddr, Arc<Attempts>>>,
    /// Counts the connections made, and changes of our address.
    made: watch::Sender<u64>,
}

/// To connect to one address.
#[derive(Default)]
struct Attempts {
    /// Held while a connection is made.
    making: tokio::sync::Mutex<()>,
    /// When and why the last one failed, if it did.
    failed: Mutex<Option<(Instant, String)>>,
}

impl Attempts {
    fn failed_after(&self, asked: Instant) -> Option<String> {
        self.failed.lock().as_ref().filter(|(at, _)| *at > asked).map(|(_, why)| why.clone())
    }

    fn note(&self, result: &Result<(), String>) {
        *self.failed.lock() = result.as_ref().err().map(|why| (Instant::now(), why.clone()));
    }
}

impl Flow {
    pub fn new(own: &TlsConfig, trunk: &TrunkConfig) -> Result<Self, SipError> {
        Ok(Flow {
            tls: tls::Client::new(own, trunk)?.map(Arc::new).map(RwLock::new),
            attempts: Mutex::default(),
            made: watch::Sender::new(0),
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

    /// Whether the last attempt to connect there failed. [`drive`] makes others, so that calls need not.
    pub fn is_down(&self, address: &SocketAddr) -> bool {
        self.attempts.lock().get(address).is_some_and(|attempts| attempts.failed.lock().is_some())
    }

    /// Those at `address`; of those at others, only what is still `found` in DNS is remembered.
    fn attempts(&self, address: SocketAddr, found: &[SocketAddr]) -> Arc<Attempts> {
        let mut attempts = self.attempts.lock();
        attempts.retain(|other, made| found.contains(other) || Arc::strong_count(made) > 1);
        attempts.entry(address).or_default().clone()
    }

    /// A connection may be another trunk's. `trunk` is the place of this one; what was made for it stays good.
    fn accept(&self, flow: &Connected, trunk: usize) -> Result<(), String> {
        let trusted = flow.made_for == trunk || self.tls().is_none_or(|client| client.trusts(&flow.chain));
        trusted.then_some(()).ok_or_else(|| FOREIGN.into())
    }
}

const FOREIGN: &str = "another trunk is connected to this address, and the certificate that it showed is not one for \
                       this trunk";

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

/// The connections to trunks that there are, by the peer's address: at most one to each address of a trunk.
#[derive(Default)]
pub(super) struct Flows(Mutex<HashMap<SipAddr, Connected>>);

impl Flows {
    fn alive(&self, to: &SipAddr) -> Option<Connected> {
        let mut flows = self.0.lock();
        flows.retain(|_, flow| flow.is_alive());
        flows.get(to).cloned()
    }

    pub fn is_alive(&self, to: &SipAddr) -> bool {
        self.alive(to).is_some()
    }
}

impl Core {
    /// Sees to it that a connection leads to `to`, where the trunk needs one.
    pub async fn connect(&self, trunk: &Trunk, to: &SipAddr) -> Result<(), SipError> {
        if trunk.config.transport == Transport::Udp {
            return Ok(());
        }
        let asked = Instant::now();
        let unreachable = |why: String| SipError::Unreachable(format!("{}: {why}", trunk.config.server));
        let address = to.get_socketaddr().map_err(|e| unreachable(describe(&e)))?;
        let found = trunk.found.lock().clone();
        let attempts = trunk.flow.attempts(address, &found);
        // Whoever makes the connection holds it; where there is one, nobody does for long.
        let _making = attempts.making.lock().await;
        let result = match (self.flows.alive(to), attempts.failed_after(asked)) {
            (Some(flow), _) => trunk.flow.accept(&flow, trunk.index),
            // Whoever waited for an attempt that failed does not make the same attempt again.
            (None, Some(why)) => Err(why),
            (None, None) => self.connect_anew(trunk, to).await,
        };
        attempts.note(&result);
        result.map_err(unreachable)
    }

    async fn connect_anew(&self, trunk: &Trunk, to: &SipAddr) -> Result<(), String> {
        let made = tokio::time::timeout(SETUP_LIMIT, self.make(trunk, to)).await;
        let flow = made.map_err(|_| format!("no connection within {} s", SETUP_LIMIT.as_secs()))??;
        self.adopt(trunk, to, flow);
        Ok(())
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
        self.flows.0.lock().insert(to.clone(), flow.clone());
        self.endpoint.transport_layer.add_connection(flow.connection.clone());
        let (endpoint, sources) = (self.endpoint.clone(), self.sources.clone());
        self.spawn_until_stopped(hold(endpoint, sources, flow.connection, self.config.keepalive));
        trunk.flow.renew();
        tracing::info!(trunk = %trunk.config.name, "connected");
    }

    /// Where a peer at this address reaches us in this trunk's dialogs. Where we take no connections, that is
    /// the one that was made to it.
    pub fn contact(&self, trunk: &Trunk, peer: Option<&SipAddr>) -> Result<Uri, SipError> {
        let transport = trunk.config.transport;
        let mut host = self.addresses.socket(transport);
        if !self.addresses.serves(transport)
            && let Some(port) = self.local_port(trunk, peer)
        {
            host.set_port(port);
        }
        let user = trunk.config.user().to_owned();
        Ok(Uri {
            scheme: Some(Scheme::Sip),
            auth: Some(Auth { user, password: None }),
            host_with_port: host.into(),
            params: transport.param().into_iter().collect(),
            headers: vec![],
        })
    }

    /// Our port of the connection to `peer`; if there is none, of any to the trunk.
    fn local_port(&self, trunk: &Trunk, peer: Option<&SipAddr>) -> Option<u16> {
        let flow = peer.and_then(|peer| self.flows.alive(peer)).or_else(|| {
            let found = trunk.found.lock();
            found.iter().find_map(|address| self.flows.alive(&trunk.address(*address)))
        })?;
        Some(flow.local_port)
    }

    /// Cancelled once the connection to `to` is gone; never where none is needed.
    pub fn life(&self, to: &SipAddr) -> CancellationToken {
        let token = self.flows.alive(to).and_then(|flow| flow.connection.cancel_token());
        token.unwrap_or_else(|| {
            let token = CancellationToken::new();
            if to.r#type != Some(Transport::Udp.into()) {
                token.cancel();
            }
            token
        })
    }

    /// Returns when the connection to `to` is gone; never where none is needed.
    pub fn lost(&self, to: &SipAddr) -> impl Future<Output = ()> + use<> {
        self.life(to).cancelled_owned()
    }

    /// Returns when the network says, from this call on, that nobody listens at `to`; never for a connection, which
    /// is [lost](Core::lost) instead.
    pub fn refused(&self, to: &SipAddr) -> impl Future<Output = ()> + use<> {
        let mut unreachable = self.unreachable.subscribe();
        let to = to.get_socketaddr().ok().filter(|_| to.r#type == Some(Transport::Udp.into()));
        async move {
            loop {
                match unreachable.recv().await {
                    Ok(address) if Some(address) == to => return,
                    // One that lags may have missed it, and falls back on its timeout.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return std::future::pending().await,
                }
            }
        }
    }

    /// Tries again and again what could not be connected to, so that no call has to.
    async fn retry_down(&self, trunk: &Trunk) {
        loop {
            tokio::time::sleep(drawn(RETRY_DOWN, rand::random())).await;
            let found = trunk.found.lock().clone();
            for address in found.into_iter().filter(|address| trunk.flow.is_down(address)) {
                // A failure is noted where it belongs.
                let _ = self.connect(trunk, &trunk.address(address)).await;
            }
        }
    }
}

/// Keeps a connection open until it is gone, or its peer is no trunk's any more.
async fn hold(endpoint: EndpointInnerRef, sources: Sources, connection: SipConnection, every: Duration) {
    let Some(lost) = connection.cancel_token() else { return };
    let peer = connection.get_remote_addr().and_then(|peer| peer.get_socketaddr().ok());
    let is_trunk = || peer.is_some_and(|peer| sources.allows(peer.ip()));
    loop {
        tokio::select! {
            () = lost.cancelled() => return,
            () = next_ping(every) => {}
        }
        if !is_trunk() {
            return;
        }
        if !ping(&connection).await {
            return endpoint.transport_layer.remove_connection(&connection);
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
                tokio::select! {
                    () = core.lost(&to) => {}
                    () = core.retry_down(&trunk) => {}
                }
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

fn tell_failed(trunk: &Trunk, failures: u32, error: &SipError) {
    if is_told(failures) {
        tracing::warn!(trunk = %trunk.config.name, failures, %error, "no connection");
    }
}

/// How long to wait before the next attempt: nothing after a connection that had lasted, then ever longer.
fn pause(failures: u32, jitter: f64) -> Duration {
    let whole = failures.checked_sub(1).map(|before| doubled(FIRST_PAUSE, before, LONGEST_PAUSE));
    drawn(whole.unwrap_or_default(), jitter)
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
