//! A trunk at run time: its addresses, its URIs, its registration.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use rsipstack::{
    dialog::authenticate::Credential,
    sip::{Auth, Uri, typed::Route},
    transport::SipAddr,
};
use tokio::sync::watch;

use super::{
    backoff::is_told,
    binding::RegistrationState,
    config::Config,
    error::SipError,
    flow::Flow,
    guard::Sources,
    keepalive::Liveness,
    node::Core,
    routes::Aside,
    trunk::{BracketedHost, TrunkConfig},
    turns::Turns,
};

/// How often the trunks' names are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Trunk {
    /// Place in the configuration.
    pub index: usize,
    pub config: TrunkConfig,
    pub registration: watch::Receiver<RegistrationState>,
    /// By which proxies the registrar wants calls to leave (RFC 3608).
    pub service_route: Mutex<Vec<Route>>,
    pub liveness: watch::Receiver<Liveness>,
    /// Who may send the next INVITE, if calls a second are limited.
    pub turns: Option<Turns>,
    /// Addresses that are tried last for a while.
    pub aside: Mutex<Aside>,
    /// Its addresses as they were last found.
    pub found: Mutex<Vec<SocketAddr>>,
    /// The connections to it, if it is reached by them.
    pub flow: Flow,
}

impl Trunk {
    pub fn credential(&self) -> Option<Credential> {
        let config = &self.config;
        let username = config.username.clone().or_else(|| config.auth_username.clone())?;
        Some(Credential {
            username,
            password: config.password.as_ref().map(|p| p.expose().clone()).unwrap_or_default(),
            realm: None,
            auth_username: config.auth_username.clone(),
        })
    }

    /// `sip:user@server`, which a request to the trunk is addressed to.
    pub fn server_uri(&self, user: Option<&str>) -> Result<Uri, SipError> {
        let mut uri = parse_uri(&self.config.server.to_string(), user)?;
        uri.params.extend(self.config.transport.param());
        Ok(uri)
    }

    /// `sip:user@domain`, our own address of record.
    pub fn our_uri(&self) -> Result<Uri, SipError> {
        self.domain_uri(self.config.user())
    }

    pub fn domain_uri(&self, user: &str) -> Result<Uri, SipError> {
        parse_uri(&BracketedHost(self.config.domain()).to_string(), Some(user))
    }

    pub fn registrar_uri(&self) -> Result<Uri, SipError> {
        let mut uri = match &self.config.from_domain {
            Some(domain) => parse_uri(&BracketedHost(domain).to_string(), None)?,
            None => parse_uri(&self.config.server.to_string(), None)?,
        };
        uri.params.extend(self.config.transport.param());
        Ok(uri)
    }

    /// The trunk's server stays the next hop: it is where the registrar is found, too.
    pub fn service_route(&self) -> Vec<Route> {
        self.service_route.lock().clone()
    }

    /// An address of its server's, over its transport.
    pub fn address(&self, at: SocketAddr) -> SipAddr {
        SipAddr { r#type: Some(self.config.transport.into()), addr: at.into() }
    }

    /// The longest wait for a turn.
    pub fn patience(&self) -> Duration {
        patience(&self.config)
    }

    /// Whether calls are likely to go through: registered if it has to be, not found dead, and not left
    /// alone by all its addresses.
    pub fn is_ready(&self, now: Instant) -> bool {
        let registration = self.registration.borrow();
        let registered = *registration == RegistrationState::NotConfigured || registration.is_registered();
        let dead = matches!(*self.liveness.borrow(), Liveness::Dead { .. });
        let found = self.found.lock();
        let left_alone = !found.is_empty() && found.iter().all(|address| self.leaves_alone(address, now));
        registered && !dead && !left_alone
    }

    /// Whether an address is tried after the others.
    pub fn leaves_alone(&self, address: &SocketAddr, now: Instant) -> bool {
        self.aside.lock().holds(address, now) || self.flow.is_down(address)
    }
}

fn patience(config: &TrunkConfig) -> Duration {
    Duration::try_from_secs_f64(config.cps_queue_secs).unwrap_or_default()
}

pub(super) fn parse_uri(host: &str, user: Option<&str>) -> Result<Uri, SipError> {
    let mut uri = Uri::try_from(format!("sip:{host}").as_str())?;
    uri.auth = user.map(|user| Auth { user: user.to_owned(), password: None });
    Ok(uri)
}

/// What is told of the trunks, by their places in the configuration.
#[derive(Default)]
pub(super) struct Watched {
    /// Those that register.
    pub registrations: Vec<(usize, watch::Sender<RegistrationState>)>,
    /// Those that are asked whether they live.
    pub lives: Vec<(usize, watch::Sender<Liveness>)>,
}

/// The trunks, and who is to tell of them.
pub(super) fn trunks(config: &Config, sources: &Sources) -> Result<(Vec<Arc<Trunk>>, Watched), SipError> {
    let mut watched = Watched::default();
    let tls = &config.tls;
    let make = |(index, config): (usize, &TrunkConfig)| {
        let flow = Flow::new(tls, config)?;
        let (state, registration) = watch::channel(RegistrationState::NotConfigured);
        if config.register {
            watched.registrations.push((index, state));
        }
        let (state, liveness) = watch::channel(Liveness::Unknown);
        if config.options_interval_secs > 0 {
            watched.lives.push((index, state));
        }
        sources.allow_networks(index, &config.allow);
        if let Ok(address) = config.server.host.parse() {
            sources.allow_servers(index, [address], Instant::now());
        }
        let turns = (config.cps > 0.0).then(|| Turns::new(&config.name, config.cps, patience(config)));
        let (aside, found, service_route) = Default::default();
        let config = config.clone();
        Ok(Arc::new(Trunk {
            index,
            config,
            registration,
            service_route,
            liveness,
            turns,
            aside,
            found,
            flow,
        }))
    };
    let trunks: Result<Vec<_>, SipError> = config.trunks.iter().enumerate().map(make).collect();
    Ok((trunks?, watched))
}

/// Looks the trunks' names up again and again, so that calls from new addresses are known.
pub(super) async fn keep_resolving(core: Arc<Core>) {
    let named = |trunk: &&Arc<Trunk>| trunk.config.server.host.parse::<IpAddr>().is_err();
    join_all(core.trunks.iter().filter(named).map(|trunk| keep_resolving_one(&core, trunk))).await;
}

async fn keep_resolving_one(core: &Core, trunk: &Trunk) {
    let (mut ticks, mut failures) = (tokio::time::interval(RESOLVE_EVERY), 0);
    loop {
        ticks.tick().await;
        match core.targets(trunk).await {
            Ok(_) => failures = 0,
            Err(error) => {
                failures += 1;
                if is_told(failures) {
                    tracing::warn!(trunk = %trunk.config.name, failures, %error, "trunk's server has no address");
                }
            }
        }
    }
}
