//! The SIP node: one UDP socket, one TCP port, its trunks and its calls.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use rsipstack::{
    EndpointBuilder,
    dialog::{DialogId, dialog_layer::DialogLayer},
    sip::Header,
    transaction::{
        CallIdFormat,
        endpoint::{EndpointInnerRef, EndpointOption},
    },
    transport::{TransportLayer, udp::UdpConnection},
};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{Notify, broadcast, mpsc, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    addresses::Addresses,
    binding::RegistrationState,
    call::{CallHandle, IncomingCall, SipCall},
    calls::Calls,
    config::{Config, TIMER_C, ring_timeout_is_valid},
    dialog::Limits,
    digest::DigestTranslator,
    discovery::{self, Discovery},
    error::SipError,
    flow::{self, Flows},
    guard::{Dropped, Gate, Sources},
    keepalive::{self, Liveness},
    late_offer::{LATEST, LateOffers},
    link::{self, Trunk},
    listener,
    message::{SDP, allow, supported, supported_late},
    nonce::NonceCounts,
    registration,
    resolver::Resolver,
    router,
    routes::{self, Candidate, Wish},
    sdp::Local,
    setup, tls,
    translate::Translator,
    trunk::Transport,
    turns::Turns,
    wire::GuardedSocket,
};
use crate::base::E164;

/// Calls that came in and wait for the application; one more is refused with 503.
const INCOMING: usize = 64;
/// ICMP errors a call may be behind on.
const UNREACHABLE: usize = 64;
/// Answers of a STUN server that wait to be read.
const STUN_ANSWERS: usize = 4;
/// Ports tried for UDP and TCP alike when the system chooses one.
const PORT_ATTEMPTS: usize = 16;
/// After which a connection that nothing was heard on is closed. A peer that is gone is noticed sooner, by
/// the kernel; to a trunk that merely keeps still, another connection is made then.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);
/// How long a shutdown waits for BYEs, and then for REGISTERs, to be answered.
const SHUTDOWN_STEP: Duration = Duration::from_secs(3);

/// A call to place.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Name of a trunk; the best that takes the call if `None`.
    pub trunk: Option<String>,
    pub to: E164,
    /// Number to show; the trunk's `caller_id` if `None`.
    pub from: Option<E164>,
    /// Name of the trunk that this number came from: it goes by that one, and by others that name it.
    pub home: Option<String>,
    /// The number that was called before, where this is the second leg of a transfer.
    pub diverted: Option<E164>,
    /// Our side of the session, as the first trunk or address is offered it. Whether encrypted is the trunk's
    /// affair, and each that is tried after the first has a session of its own: [`CallHandle::fit`] tells.
    pub offer: Local,
    /// `sip.ring_timeout_secs` if `None`.
    pub ring_timeout: Option<Duration>,
}

impl Dial {
    /// To a number by the best trunk that takes the call, with what that shows and how long it rings.
    pub fn to(to: E164, offer: Local) -> Self {
        Dial { trunk: None, to, from: None, home: None, diverted: None, offer, ring_timeout: None }
    }

    fn wish(&self) -> Wish<'_> {
        Wish { to: &self.to, from: self.from.as_ref(), home: self.home.as_deref() }
    }
}

/// A trunk's answer to OPTIONS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    pub round_trip: Duration,
    /// Whatever was answered; 200 by most, and any answer shows that the trunk lives.
    pub status: u16,
}

/// What the node holds right now. All of it goes back to zero when the last call is over, the
/// transactions after 64 T1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub calls: usize,
    pub dialogs: usize,
    pub transactions: usize,
    /// Datagrams read since the start.
    pub received_datagrams: u64,
    pub dropped: Dropped,
}

/// A running node. Clones share it; it stops at [`SipNode::shutdown`] or when the last is dropped.
#[derive(Clone)]
pub struct SipNode {
    pub(super) core: Arc<Core>,
    _stop: Arc<tokio_util::sync::DropGuard>,
}

pub(super) struct Core {
    pub config: Config,
    pub trunks: Vec<Arc<Trunk>>,
    pub endpoint: EndpointInnerRef,
    pub layer: Arc<DialogLayer>,
    pub sources: Sources,
    /// What Via, Contact and SDP say.
    pub addresses: Arc<Addresses>,
    pub late_offers: Arc<LateOffers>,
    /// Connections to trunks.
    pub flows: Flows,
    /// No new calls; registrations are taken back.
    pub draining: CancellationToken,
    pub unreachable: broadcast::Sender<SocketAddr>,
    pub tasks: TaskTracker,
    /// A dialog was listed or confirmed, or a call ended.
    pub dialogs_changed: Notify,
    pub resolver: Resolver,
    /// How trunks that connect by TLS are met.
    pub acceptor: RwLock<Option<TlsAcceptor>>,
    local: SocketAddr,
    pub stop: CancellationToken,
    pub calls: Mutex<Calls<CallHandle>>,
    gate: Arc<Gate>,
}

impl SipNode {
    /// Binds the ports, starts registering, and gives the calls that come in.
    pub async fn start(config: Config) -> Result<(SipNode, mpsc::Receiver<IncomingCall>), SipError> {
        config.validate()?;
        tls::install_provider();
        let stop = CancellationToken::new();
        let (unreachable, _) = broadcast::channel(UNREACHABLE);
        let sources = Sources::default();
        let gate = Arc::new(Gate::new(config.rate_limit, sources.clone(), Instant::now()));
        let (udp, tcp) = bind(config.bind, config.tcp).await?;
        let local = udp.local_addr().map_err(|source| bind_error("UDP", config.bind, source))?;
        let (stun, answers) = mpsc::channel(STUN_ANSWERS);
        let stun = config.stun_server.as_ref().map(|_| stun);
        let socket = GuardedSocket::new(udp, unreachable.clone(), gate.clone(), stun)
            .map_err(|source| bind_error("UDP", local, source))?;
        let socket = Arc::new(socket);
        let discovery =
            config.stun_server.clone().map(|server| Discovery::new(server, socket.clone(), answers));
        let external = config.public_address.map(|ip| SocketAddr::new(ip, local.port()));
        let udp = UdpConnection::from_socket(socket, external, Some(stop.child_token())).await?;
        let advertised = udp.get_addr().get_socketaddr()?;
        let transport = TransportLayer::new(stop.clone());
        transport.set_stream_idle_timeout(LONGEST_SILENCE);
        transport.add_transport(udp.into());

        let (trunks, watched) = link::trunks(&config, &sources)?;
        let tls = bind_tls(tls::server(&config.tls)?).await?;
        let tls_port = tls.as_ref().and_then(|(listener, _)| Some(listener.local_addr().ok()?.port()));
        let (listener_tls, acceptor) = tls.unzip();
        let known = config.public_address.is_some();
        let addresses = Arc::new(Addresses::new(advertised, known, local.port(), config.tcp, tls_port));
        let digest = DigestTranslator(NonceCounts::new(&config.trunks));
        let late_offers = Arc::<LateOffers>::default();
        let translator =
            Translator { addresses: addresses.clone(), digest, late_offers: late_offers.clone() };
        let endpoint = EndpointBuilder::new()
            .with_user_agent(&config.user_agent)
            .with_transport_layer(transport)
            .with_cancel_token(stop.clone())
            .with_option(timers(config.t1))
            .with_inspector(Box::new(translator))
            .with_transport_inspector(Box::new(router::SourceFilter::new(sources.clone(), gate.clone())))
            .build();
        let requests = endpoint.incoming_transactions()?;
        let endpoint = endpoint.inner;
        let core = Arc::new(Core {
            layer: Arc::new(DialogLayer::new(endpoint.clone())),
            draining: stop.child_token(),
            tasks: TaskTracker::new(),
            dialogs_changed: Notify::new(),
            calls: Mutex::default(),
            resolver: Resolver::new(&config.nameservers),
            acceptor: RwLock::new(acceptor),
            config,
            trunks,
            endpoint,
            sources,
            addresses,
            late_offers,
            flows: Flows::default(),
            unreachable,
            local,
            stop: stop.clone(),
            gate,
        });
        let (incoming, calls) = mpsc::channel(INCOMING);
        core.spawn_until_stopped(router::serve(core.clone()));
        core.spawn_until_stopped(router::route(core.clone(), requests, incoming));
        core.spawn_until_stopped(link::keep_resolving(core.clone()));
        if let Some(mut discovery) = discovery {
            // Before the first registration, lest it tell an address that leads nowhere.
            discovery.look(&core).await;
            core.spawn_until_stopped(discovery::drive(core.clone(), discovery));
        }
        if let Some(listener) = tcp {
            core.spawn_until_stopped(listener::accept_tcp(core.clone(), listener));
        }
        if let Some(listener) = listener_tls {
            core.spawn_until_stopped(listener::accept_tls(core.clone(), listener));
        }
        for trunk in core.trunks.iter().filter(|trunk| trunk.config.transport != Transport::Udp) {
            core.spawn_until_stopped(flow::drive(core.clone(), trunk.clone()));
        }
        for (trunk, state) in watched.registrations {
            core.tasks.spawn(registration::drive(core.clone(), core.trunks[trunk].clone(), state));
        }
        for (trunk, state) in watched.lives {
            core.spawn_until_stopped(keepalive::drive(core.clone(), core.trunks[trunk].clone(), state));
        }
        Ok((SipNode { core, _stop: Arc::new(stop.drop_guard()) }, calls))
    }

    /// Where SIP is served, the chosen port included.
    pub fn local_address(&self) -> SocketAddr {
        self.core.local
    }

    /// Our address as peers are told it: where RTP should be advertised, too.
    pub fn advertised_address(&self) -> IpAddr {
        self.core.addresses.ip()
    }

    /// Our address as the world sees it, where it is configured or a STUN server tells it. It may change.
    pub fn public_address(&self) -> Option<IpAddr> {
        self.core.addresses.public()
    }

    /// Where SIP over TLS is served, if it is: the port, which may have been chosen by the system.
    pub fn tls_port(&self) -> Option<u16> {
        self.core.addresses.tls
    }

    /// Places a call. Everything that can go wrong on the network comes as the call's end.
    pub async fn dial(&self, dial: Dial) -> Result<SipCall, SipError> {
        let trunks = self.routes(dial.trunk.as_deref(), dial.wish())?;
        let ring = dial.ring_timeout.unwrap_or(self.core.config.ring_timeout);
        if !ring_timeout_is_valid(ring) {
            return Err(SipError::RingTimeout);
        }
        setup::dial(&self.core, trunks, dial, ring)
    }

    /// Whether a trunk may call `to` and show `from`, which came from the trunk `home`; and if so, after how
    /// long the call would find a place in a trunk's queue (`cps`) if it finds none now.
    pub fn road(
        &self,
        to: &E164,
        from: Option<&E164>,
        home: Option<&str>,
    ) -> Result<Option<Duration>, SipError> {
        let trunks = self.routes(None, Wish { to, from, home })?;
        let waits = trunks.iter().map(|trunk| trunk.turns.as_ref().and_then(Turns::refusal));
        Ok(waits.collect::<Option<Vec<_>>>().and_then(|waits| waits.into_iter().min()))
    }

    /// The number that calls by a trunk show if they name none.
    pub fn caller_id(&self, trunk: &str) -> Option<E164> {
        self.trunk(Some(trunk)).ok()?.config.caller_id.clone()
    }

    /// Calls that wait for their turn at a trunk.
    pub fn waiting(&self, trunk: &str) -> Result<usize, SipError> {
        Ok(self.trunk(Some(trunk))?.turns.as_ref().map_or(0, Turns::waiting))
    }

    /// Asks the trunk (the first if `None`) whether it lives.
    pub async fn options(&self, trunk: Option<&str>) -> Result<Pong, SipError> {
        let trunk = self.trunk(trunk)?;
        self.core.ask(&trunk).await
    }

    /// Follows whether a trunk answers OPTIONS.
    pub fn liveness(&self, trunk: &str) -> Result<watch::Receiver<Liveness>, SipError> {
        Ok(self.trunk(Some(trunk))?.liveness.clone())
    }

    /// Follows a trunk's registration.
    pub fn registration(&self, trunk: &str) -> Result<watch::Receiver<RegistrationState>, SipError> {
        Ok(self.trunk(Some(trunk))?.registration.clone())
    }

    pub fn stats(&self) -> Stats {
        let transactions = self.core.endpoint.get_stats();
        Stats {
            calls: self.core.calls.lock().len(),
            dialogs: self.core.layer.len(),
            transactions: transactions.running_transactions + transactions.finished_transactions,
            received_datagrams: self.core.gate.received(),
            dropped: self.core.gate.dropped(),
        }
    }

    /// Takes no more calls, hangs up those there are, unregisters, and closes the ports: at most a
    /// few seconds, whatever the peers do.
    pub async fn shutdown(&self) {
        let core = &self.core;
        core.draining.cancel();
        core.calls.lock().iter().for_each(CallHandle::hang_up);
        core.tasks.close();
        // Calls that still owe a BYE and registrations are tasks; those of peers that are gone are cut.
        let _ = tokio::time::timeout(SHUTDOWN_STEP, core.tasks.wait()).await;
        core.stop.cancel();
        let _ = tokio::time::timeout(SHUTDOWN_STEP, core.tasks.wait()).await;
    }

    /// The trunks that may carry a call, the first to be tried first.
    fn routes(&self, pinned: Option<&str>, wish: Wish<'_>) -> Result<Vec<Arc<Trunk>>, SipError> {
        let trunks = match pinned {
            Some(_) => vec![self.trunk(pinned)?],
            None => self.core.trunks.clone(),
        };
        if trunks.is_empty() {
            return Err(SipError::NoTrunk);
        }
        let now = Instant::now();
        let candidates: Vec<_> =
            trunks.iter().map(|t| Candidate { config: &t.config, ready: t.is_ready(now) }).collect();
        let order = routes::trunks(&candidates, wish, |most| rand::random_range(0..=most));
        if order.is_empty() {
            Err(SipError::NoRoute)
        } else {
            Ok(order.into_iter().map(|i| trunks[i].clone()).collect())
        }
    }

    fn trunk(&self, name: Option<&str>) -> Result<Arc<Trunk>, SipError> {
        let trunks = &self.core.trunks;
        match name {
            None => trunks.first().cloned().ok_or(SipError::NoTrunk),
            Some(name) => trunks
                .iter()
                .find(|trunk| trunk.config.name == name)
                .cloned()
                .ok_or_else(|| SipError::UnknownTrunk(name.to_owned())),
        }
    }
}

impl Core {
    /// Runs `task` until the node stops, outside what a shutdown waits for first.
    pub fn spawn_until_stopped(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(task).await;
        })
    }

    /// The extensions known here, as a message says it.
    pub fn supported(&self) -> Header {
        supported(self.config.terms().is_some())
    }

    /// Those of a call that leaves without an offer.
    pub fn supported_late(&self) -> Option<Header> {
        supported_late(self.config.terms().is_some())
    }

    /// Forgets a dialog: the stack keeps it until it is told to.
    pub fn forget(&self, id: &DialogId) {
        self.layer.remove_dialog(id);
        if self.late_offers.is_expected(id) {
            let (offers, id, longest) = (self.late_offers.clone(), id.clone(), self.config.t1 * LATEST);
            self.spawn_until_stopped(async move {
                tokio::time::sleep(longest).await;
                offers.forget(&id);
            });
        }
    }

    /// What stands beside a description of ours.
    pub fn sdp_headers(&self) -> Vec<Header> {
        vec![Header::ContentType(SDP.into()), allow(), self.supported()]
    }

    /// The answer to OPTIONS.
    pub fn capabilities(&self) -> Vec<Header> {
        vec![allow(), Header::Accept(SDP.into()), self.supported()]
    }

    /// `queue` is the longest wait for a turn.
    pub fn limits(&self, ring: Duration, queue: Duration) -> Limits {
        let (setup, hunt) = (self.config.setup_timeout, self.config.hunt_timeout + queue);
        let progress = self.config.progress_timeout;
        // The stack gives a transaction 64 T1; what has not settled by then never will.
        Limits { setup, hunt, progress, ring, linger: self.config.t1 * 68 }
    }
}

fn timers(t1: Duration) -> EndpointOption {
    EndpointOption {
        t1,
        t2: t1 * 8,
        t4: t1 * 10,
        t1x64: t1 * 64,
        timerc: TIMER_C,
        // An empty suffix would leave an `@`; a bare UUID names nobody.
        callid_format: CallIdFormat::Uuid,
        ..EndpointOption::default()
    }
}

async fn bind(address: SocketAddr, with_tcp: bool) -> Result<(UdpSocket, Option<TcpListener>), SipError> {
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        let udp = UdpSocket::bind(address).await.map_err(|source| bind_error("UDP", address, source))?;
        if !with_tcp {
            return Ok((udp, None));
        }
        let same_port = udp.local_addr().map_err(|source| bind_error("UDP", address, source))?;
        match TcpListener::bind(same_port).await {
            Ok(tcp) => return Ok((udp, Some(tcp))),
            Err(source) => {
                attempts -= 1;
                if attempts == 0 {
                    return Err(bind_error("TCP", same_port, source));
                }
            }
        }
    }
}

async fn bind_tls(
    wanted: Option<(SocketAddr, TlsAcceptor)>,
) -> Result<Option<(TcpListener, TlsAcceptor)>, SipError> {
    let Some((address, acceptor)) = wanted else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some((listener, acceptor))),
        Err(source) => Err(bind_error("TLS", address, source)),
    }
}

fn bind_error(transport: &'static str, address: SocketAddr, source: io::Error) -> SipError {
    SipError::Bind { transport, address, source }
}
