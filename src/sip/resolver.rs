//! From a trunk's server to the addresses that its requests go to (RFC 3263): SRV, then A and AAAA.
//! Answers are kept for their TTL; after that, and while DNS fails, the last good one stands in.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};
use parking_lot::Mutex;
use rsipstack::transport::SipAddr;

use super::{
    error::SipError,
    link::Trunk,
    node::Core,
    routes::{Rank, ordered},
    trunk::{Server, Transport},
};

/// For one try of one nameserver; there are two.
const DNS_TIMEOUT: Duration = Duration::from_secs(2);
/// For a question in all.
const PATIENCE: Duration = Duration::from_secs(4);
/// For one whose last good answer is known: a call does not wait for a nameserver that is away.
const SHORT_PATIENCE: Duration = Duration::from_millis(500);
/// Names whose last good answer is kept; beyond it all are forgotten.
const KNOWN: usize = 256;
/// SRV targets that are looked up.
const MAX_SERVICES: usize = 64;
/// Addresses that are tried for one call. Requests of all are heard.
const MAX_TARGETS: usize = 8;

/// Looks names up.
pub(super) struct Resolver {
    /// Without one, the system is asked, which knows no SRV.
    dns: Option<TokioResolver>,
    services: Arc<LastGood<Service>>,
    hosts: Arc<LastGood<IpAddr>>,
}

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    rank: Rank,
    host: String,
    port: u16,
}

/// An address of a server, and which others it comes after: SRV priorities.
pub(super) struct Place {
    pub address: SocketAddr,
    pub priority: u16,
}

impl Place {
    /// Without SRV all are equal.
    fn equal(address: SocketAddr) -> Self {
        Place { address, priority: 0 }
    }
}

/// What names had, when they were last answered for.
struct LastGood<T>(Mutex<HashMap<String, Vec<T>>>);

impl<T: Clone + Send + 'static> LastGood<T> {
    fn known(&self, name: &str) -> Option<Vec<T>> {
        self.0.lock().get(name).cloned()
    }

    fn keep(&self, name: &str, found: Vec<T>) {
        let mut known = self.0.lock();
        if known.len() >= KNOWN && !known.contains_key(name) {
            known.clear();
        }
        known.insert(name.to_owned(), found);
    }

    /// The answer to `question`, if it comes in time; what was known before, if it does not. One that comes
    /// later is kept for the next who asks.
    async fn ask(
        self: &Arc<Self>,
        name: &str,
        question: impl Future<Output = Result<Vec<T>, NetError>> + Send + 'static,
    ) -> Result<Vec<T>, SipError> {
        let (keeper, asked) = (self.clone(), name.to_owned());
        let answer = tokio::spawn(async move {
            let found = match question.await {
                Ok(found) => found,
                // The name is answered for: there is no such thing.
                Err(error) if error.is_no_records_found() || error.is_nx_domain() => Vec::new(),
                Err(error) => {
                    tracing::debug!(%error, "DNS failed");
                    return None;
                }
            };
            keeper.keep(&asked, found.clone());
            Some(found)
        });
        let patience = if self.known(name).is_some() { SHORT_PATIENCE } else { PATIENCE };
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(Some(found))) => Ok(found),
            _ => self.known(name).ok_or_else(|| SipError::Unreachable("DNS does not answer".into())),
        }
    }
}

impl Resolver {
    /// Asks `nameservers`, the system's if there are none.
    pub fn new(nameservers: &[SocketAddr]) -> Self {
        let made = dns(nameservers).inspect_err(|error| {
            tracing::warn!(%error, "no DNS resolver: trunks are looked up by the system, without SRV");
        });
        Resolver {
            dns: made.ok(),
            services: Arc::new(LastGood(Mutex::default())),
            hosts: Arc::new(LastGood(Mutex::default())),
        }
    }

    /// Where requests to `server` go, the first to be tried first.
    pub async fn addresses(&self, server: &Server, transport: Transport) -> Result<Vec<Place>, SipError> {
        let port = server.port.unwrap_or(transport.default_port());
        if let Ok(address) = server.host.parse() {
            return Ok(vec![Place::equal(SocketAddr::new(address, port))]);
        }
        let services = match server.port {
            None => self.services(&format!("{}.{}", transport.service(), server.host)).await,
            Some(_) => Ok(Vec::new()),
        };
        let found = match services {
            Ok(services) if !services.is_empty() => self.addresses_of(services).await?,
            // A nameserver that fails at one question may know the other.
            _ => self.host(&server.host, port).await?.into_iter().map(Place::equal).collect(),
        };
        match found.is_empty() {
            true => Err(SipError::Unreachable("the name has no address".into())),
            false => Ok(found),
        }
    }

    /// The addresses of every target in the order of RFC 2782; targets that have none are passed over.
    async fn addresses_of(&self, services: Vec<Service>) -> Result<Vec<Place>, SipError> {
        let services = ordered(services, |service| service.rank, |most| rand::random_range(0..=most));
        let lookups = services.iter().take(MAX_SERVICES).map(async |service| {
            let found = self.host(&service.host, service.port).await?;
            let priority = service.rank.priority;
            Ok(found.into_iter().map(|address| Place { address, priority }).collect::<Vec<_>>())
        });
        let mut failure = None;
        let mut found = Vec::new();
        for addresses in join_all(lookups).await {
            match addresses {
                Ok(places) => found.extend(places),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    async fn services(&self, name: &str) -> Result<Vec<Service>, SipError> {
        let Some(dns) = self.dns.clone() else { return Ok(Vec::new()) };
        let question = fully_qualified(name);
        let answer = async move { dns.srv_lookup(question).await.map(|lookup| services_in(&lookup)) };
        self.services.ask(name, answer).await
    }

    async fn host(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, SipError> {
        let (dns, question) = (self.dns.clone(), name.to_owned());
        let answer = async move {
            match dns {
                Some(dns) => Ok(dns.lookup_ip(fully_qualified(&question)).await?.iter().collect()),
                None => by_system(&question).await,
            }
        };
        let found = self.hosts.ask(name, answer).await?;
        Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }
}

fn services_in(lookup: &Lookup) -> Vec<Service> {
    let services = lookup.answers().iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => Some(Service {
            rank: Rank { priority: srv.priority, weight: srv.weight },
            host: srv.target.to_utf8().trim_end_matches('.').to_owned(),
            port: srv.port,
        }),
        _ => None,
    });
    // The target `.` says that there is no such service.
    services.filter(|service| !service.host.is_empty()).collect()
}

impl Core {
    /// Where the trunk's requests go now, the first to be tried first.
    pub async fn targets(&self, trunk: &Trunk) -> Result<Vec<SipAddr>, SipError> {
        let server = &trunk.config.server;
        let found = self.resolver.addresses(server, trunk.config.transport).await;
        let mut found = found.map_err(|error| match error {
            SipError::Unreachable(detail) => SipError::Unreachable(format!("{server}: {detail}")),
            error => error,
        })?;
        let now = Instant::now();
        self.sources.allow_servers(trunk.index, found.iter().map(|place| place.address.ip()), now);
        // Stable: those left alone for a while come last, and among equals those that are connected to first,
        // so that a registration and the calls share one connection.
        found.sort_by_cached_key(|Place { address, priority }| {
            let connected = self.flows.is_alive(&trunk.address(*address));
            (trunk.leaves_alone(address, now), *priority, !connected)
        });
        let found: Vec<_> = found.into_iter().map(|place| place.address).collect();
        let tried = found.iter().take(MAX_TARGETS).map(|address| trunk.address(*address)).collect();
        *trunk.found.lock() = found;
        Ok(tried)
    }

    /// The first of them that is connected to, if the trunk's transport has connections.
    pub async fn resolve(&self, trunk: &Trunk) -> Result<SipAddr, SipError> {
        let mut failed = SipError::Unreachable("no address".into());
        for target in self.targets(trunk).await? {
            match self.connect(trunk, &target).await {
                Ok(()) => return Ok(target),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl Transport {
    /// Its SRV label (RFC 3263 section 4.1).
    const fn service(self) -> &'static str {
        match self {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
        }
    }
}

/// Search domains are for people's shorthand. A name without a dot is one that only they, or a hosts file,
/// can know.
fn fully_qualified(name: &str) -> String {
    if name.contains('.') { format!("{}.", name.trim_end_matches('.')) } else { name.to_owned() }
}

fn dns(nameservers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if nameservers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = nameservers.iter().map(|server| {
            let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
            (udp.port, tcp.port) = (server.port(), server.port());
            NameServerConfig::new(server.ip(), true, vec![udp, tcp])
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    (options.timeout, options.attempts) = (DNS_TIMEOUT, 2);
    builder.build()
}

async fn by_system(name: &str) -> Result<Vec<IpAddr>, NetError> {
    Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
}
