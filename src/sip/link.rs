//! A trunk at run time: its addresses, its URIs, its registration.

use std::{net::IpAddr, sync::Arc, time::Duration};

use rsipstack::{
    dialog::authenticate::Credential,
    sip::{Auth, HostWithPort, Uri},
    transport::SipAddr,
};
use tokio::sync::watch;

use super::{
    config::Config,
    error::SipError,
    flow::Flow,
    guard::Sources,
    keepalive::Liveness,
    node::Core,
    registration::RegistrationState,
    trunk::{BracketedHost, Transport, TrunkConfig},
};

/// How often the trunks' names are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Trunk {
    /// Place in the configuration.
    pub index: usize,
    pub config: TrunkConfig,
    pub registration: watch::Receiver<RegistrationState>,
    pub liveness: watch::Receiver<Liveness>,
    /// The connection to it, if it is reached by one.
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
        self.domain_uri(self.config.username.as_deref().unwrap_or("callbox"))
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

    /// Where its requests go, before any name is looked up.
    pub fn address(&self) -> Result<SipAddr, SipError> {
        let addr = HostWithPort::try_from(self.config.server.to_string().as_str())?;
        Ok(SipAddr { r#type: Some(self.config.transport.into()), addr })
    }
}

fn parse_uri(host: &str, user: Option<&str>) -> Result<Uri, SipError> {
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
            sources.allow_server(index, address);
        }
        Ok(Arc::new(Trunk { index, config: config.clone(), registration, liveness, flow }))
    };
    let trunks: Result<Vec<_>, SipError> = config.trunks.iter().enumerate().map(make).collect();
    Ok((trunks?, watched))
}

/// Looks the trunks' names up again and again, so that calls from new addresses are known.
pub(super) async fn keep_resolving(core: Arc<Core>) {
    let named = |trunk: &&Arc<Trunk>| trunk.config.server.host.parse::<IpAddr>().is_err();
    let mut ticks = tokio::time::interval(RESOLVE_EVERY);
    loop {
        ticks.tick().await;
        for trunk in core.trunks.iter().filter(named) {
            let server = &trunk.config.server;
            let port = server.port.unwrap_or(trunk.config.transport.default_port());
            let addresses = tokio::net::lookup_host((server.host.as_str(), port)).await;
            match addresses {
                Ok(found) => found.for_each(|address| core.sources.allow_server(trunk.index, address.ip())),
                Err(error) => {
                    tracing::warn!(trunk = %trunk.config.name, %error, "trunk's server has no address")
                }
            }
            if trunk.config.transport == Transport::Udp {
                // SRV may name hosts that the plain lookup does not.
                let _ = core.resolve(trunk).await;
            }
        }
    }
}
