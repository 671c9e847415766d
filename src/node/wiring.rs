//! Plugs the floors together: a configuration becomes a running node.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::mpsc;

use crate::base::{CallId, E164};
use crate::call::directory::{Advertise, Directory, Parts, Refusal, TransferLeave};
use crate::call::record::{CallPlan, EndedBy};
use crate::media::MediaPlane;
use crate::models;
use crate::node::config::{NodeConfig, Sources};
use crate::node::engines::EngineRoom;
use crate::node::front::{self, Backend};
use crate::node::health::HealthBoard;
use crate::node::own_numbers::own_numbers;
use crate::node::{Books, Shutdown, http};
use crate::service::{Admin, AdminError, Calls, Gate, HangUpError, PlaceError, Policy, TransferCall, Voices};
use crate::sip::{IncomingCall, Liveness, RegistrationState, SipNode};
use crate::store::Store;

/// How long live calls have to end when the node stops.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long open requests have.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// A node whose parts run. [`Node::serve`] serves HTTP until it is told to stop.
pub struct Node {
    config: NodeConfig,
    books: Books,
    directory: Directory,
    sip: SipNode,
    backend: Backend,
    listener: tokio::net::TcpListener,
    room: Arc<EngineRoom>,
}

impl Node {
    /// Starts every part. `sources` are read again on reload. Models load in the background.
    pub async fn start(
        config: NodeConfig,
        sources: Sources,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Node> {
        let listener = http::bind(config.http.bind).await?;
        let models = models::Store::open(&config.models)?;
        let room = Arc::new(EngineRoom::start(&config.engines, models)?);
        let books = Books::open(&config.store).await?;
        let recordings = config.store.recordings();
        std::fs::create_dir_all(&recordings)
            .with_context(|| format!("cannot make the recordings folder {}", recordings.display()))?;
        let media = Arc::new(MediaPlane::start(config.media.clone())?);
        let (sip, incoming) = SipNode::start(config.sip.clone()).await?;
        let (source, picker) = (room.clone(), room.clone());
        let gate = Gate::new(Policy::new(config.policy.clone()), books.store.clone());
        let directory = Directory::new(Parts {
            config: config.call.clone(),
            voice: config.voice.clone(),
            sip: sip.clone(),
            media: media.clone(),
            advertise: advertised_address(&config, &sip),
            engines: Arc::new(move |wanted| source.voices(wanted)),
            voices: Arc::new(move |asked, language| picker.pick_voice(asked, language)),
            numbers: own_numbers(configured_numbers(&config), &books.store),
            transfers: leave_to_transfer(TransferCall::new(gate.clone())),
            personas: config.personas.clone(),
            recordings,
            events: books.events.clone(),
        });
        tokio::spawn(take_calls(directory.clone(), incoming));
        warn_of_silence(&config);
        let health = HealthBoard::default();
        EngineRoom::watch(&room, &health);
        watch_media(&media, &health);
        watch_trunks(&config, &sip, &health);
        let backend = Backend {
            gate,
            calls: Arc::new(Lines { directory: directory.clone(), sip: sip.clone() }),
            voices: Arc::new(VoiceNames(room.clone())),
            admin: Arc::new(Operator { room: room.clone(), sip: sip.clone(), sources }),
            health,
            metrics,
        };
        Ok(Node { config, books, directory, sip, backend, listener, room })
    }

    pub fn http_address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn sip_address(&self) -> SocketAddr {
        self.sip.local_address()
    }

    /// The database that it keeps its books in.
    pub fn store(&self) -> Store {
        self.books.store.clone()
    }

    pub fn engines(&self) -> Arc<EngineRoom> {
        self.room.clone()
    }

    /// Serves until `shutdown` begins, then ends live calls and writes the books.
    pub async fn serve(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let Node { config, books, directory, sip, backend, listener, room } = self;
        let admin = backend.admin.clone();
        shutdown.listen(move || {
            let admin = admin.clone();
            async move { log_reload(admin.reload().await) }
        })?;
        let router = front::open(&config, &books, backend)?;
        tracing::info!(http = %listener.local_addr()?, sip = %sip.local_address(), "ready to take calls");
        let served = http::serve(listener, router, shutdown, LAST_REQUESTS).await;
        directory.shutdown(FAREWELL).await;
        sip.shutdown().await;
        drop((directory, room));
        if !Shutdown::within(FAREWELL, books.close()).await {
            tracing::warn!("the books were not closed in time");
        }
        served
    }
}

/// Without its store the node knows no list and no caps, and transfers nothing.
fn leave_to_transfer(transfers: TransferCall) -> TransferLeave {
    Arc::new(move |call, plan| {
        let transfers = transfers.clone();
        async move {
            let leave = transfers.may_begin(call, &plan, Utc::now()).await;
            leave.inspect_err(|error| tracing::error!(%error, "a call is not transferred")).unwrap_or(false)
        }
        .boxed()
    })
}

/// What trunks and calls may show.
fn configured_numbers(config: &NodeConfig) -> HashSet<E164> {
    let trunks = config.sip.trunks.iter().flat_map(|trunk| trunk.caller_id.iter().chain(&trunk.caller_ids));
    trunks.chain(&config.policy.caller_ids).cloned().collect()
}

async fn take_calls(directory: Directory, mut incoming: mpsc::Receiver<IncomingCall>) {
    while let Some(call) = incoming.recv().await {
        directory.take(call);
    }
}

/// The address SDP names: the public one, else the one that media is bound to, else the one that SIP
/// tells its peers. Asked for each call, since a public one may change.
fn advertised_address(config: &NodeConfig, sip: &SipNode) -> Advertise {
    let bound = Some(config.media.bind).filter(|address| !address.is_unspecified());
    let sip = sip.clone();
    Arc::new(move || sip.public_address().or(bound).unwrap_or_else(|| sip.advertised_address()))
}

fn warn_of_silence(config: &NodeConfig) {
    if config.voice.phrases.disclosure.trim().is_empty() {
        tracing::warn!(
            "voice.phrases.disclosure is empty: calls begin without saying that an AI speaks, which the law of \
             many places asks for"
        );
    }
}

fn watch_media(media: &Arc<MediaPlane>, health: &HealthBoard) {
    // Whoever asks does not keep it alive: it completes its recordings when it is dropped.
    let media = Arc::downgrade(media);
    health.add("media", move || {
        let threads = media.upgrade().map(|media| (media.running_threads(), media.threads()));
        async move {
            match threads {
                Some((running, threads)) if running == threads => Ok(format!("{threads} threads")),
                Some((running, threads)) => {
                    Err(format!("{running} of {threads} threads run after an error; restart the node"))
                }
                None => Err("has shut down".to_owned()),
            }
        }
    });
}

fn watch_trunks(config: &NodeConfig, sip: &SipNode, health: &HealthBoard) {
    for trunk in &config.sip.trunks {
        let states = (sip.registration(&trunk.name), sip.liveness(&trunk.name));
        let (Ok(registration), Ok(liveness)) = states else { continue };
        health.add(&format!("trunk {}", trunk.name), move || {
            let (registration, liveness) = (registration.borrow().clone(), liveness.borrow().clone());
            async move {
                match registration {
                    // A registrar may answer where calls do not, and the other way round.
                    _ if matches!(liveness, Liveness::Dead { .. }) => {
                        Err("does not answer OPTIONS (if it never does, set options_interval_secs = 0)"
                            .to_owned())
                    }
                    RegistrationState::NotConfigured if liveness == Liveness::Unknown => {
                        Ok("configured, without registration".to_owned())
                    }
                    RegistrationState::NotConfigured => Ok("answers OPTIONS".to_owned()),
                    RegistrationState::Registered { .. } => Ok("registered".to_owned()),
                    RegistrationState::Expiring { detail, .. } => {
                        Ok(format!("registered, but the last refresh failed: {detail}"))
                    }
                    RegistrationState::Registering => Err("is registering".to_owned()),
                    RegistrationState::Failed { detail, .. } => Err(detail),
                    RegistrationState::Unregistered => Err("has been unregistered".to_owned()),
                }
            }
        });
    }
}

fn log_reload(outcome: Result<Vec<String>, AdminError>) {
    match outcome {
        Ok(changed) if changed.is_empty() => tracing::info!("reloaded: nothing that can change has changed"),
        Ok(changed) => tracing::info!(?changed, "reloaded"),
        Err(error) => tracing::error!(%error, "the configuration was not reloaded"),
    }
}

/// The directory as the service sees it.
struct Lines {
    directory: Directory,
    sip: SipNode,
}

impl Calls for Lines {
    fn place(&self, plan: CallPlan) -> Result<CallId, PlaceError> {
        if let Some(to) = &plan.to {
            let road = self.sip.road(to, plan.from.as_ref(), plan.home.as_deref());
            if let Some(retry_after) = road.map_err(|error| PlaceError::NoTrunk(error.to_string()))? {
                return Err(PlaceError::Congested { retry_after });
            }
        }
        self.directory.place(plan).map_err(|refusal| match refusal {
            Refusal::AtCapacity { limit } => PlaceError::AtCapacity { limit },
            Refusal::Stopping => PlaceError::Stopping,
        })
    }

    fn hang_up(&self, call: CallId) -> Result<(), HangUpError> {
        if self.directory.hang_up(call, EndedBy::Client) { Ok(()) } else { Err(HangUpError) }
    }
}

struct VoiceNames(Arc<EngineRoom>);

impl Voices for VoiceNames {
    fn names(&self) -> Vec<String> {
        self.0.voice_names()
    }
}

struct Operator {
    room: Arc<EngineRoom>,
    sip: SipNode,
    sources: Sources,
}

impl Admin for Operator {
    fn use_model<'a>(&'a self, kind: &'a str, name: &'a str) -> BoxFuture<'a, Result<(), AdminError>> {
        self.room.use_model(kind, name).boxed()
    }

    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, AdminError>> {
        async move {
            let loaded = self.sources.load().map_err(|error| AdminError::Failed(error.to_string()))?;
            let certificates = self.sip.reload_certificates();
            let changed = self.room.reload(&loaded.config.engines).await?;
            match certificates {
                Ok(true) => tracing::info!("certificates were read again, for connections from now on"),
                Ok(false) => {}
                Err(error) => {
                    let problem = format!("{error}; the certificates of before stay in force");
                    return Err(AdminError::Failed(problem));
                }
            }
            Ok(changed)
        }
        .boxed()
    }
}
