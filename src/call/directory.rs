//! The live calls: placing, ending, capacity, shutdown.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::base::{CallId, E164};
use crate::call::event::CallEvents;
use crate::call::persona::Persona;
use crate::call::record::{CallDirection, CallPlan, EndedBy};
use crate::call::teller::Teller;
use crate::call::{Config, conversing, inbound, outbound};
use crate::media::MediaPlane;
use crate::sip::{IncomingCall, SipNode};
use crate::voice::driver::Voices;
use crate::voice::mouth::VoiceChoice;

/// Gives the engines in force for a call that begins; it keeps them to its end.
pub type EngineSource = Arc<dyn Fn(Wanted<'_>) -> Voices + Send + Sync>;
/// Gives the installed voice nearest to the one asked for, in a language.
pub type VoicePicker = Arc<dyn Fn(&str, &str) -> VoiceChoice + Send + Sync>;

/// Says whether a live call may be transferred as its plan has it, now; and counts it if so.
pub type TransferLeave = Arc<dyn Fn(CallId, CallPlan) -> BoxFuture<'static, bool> + Send + Sync>;

/// Says whether a number is one of the node's: in its stock, or in its configuration.
pub type OwnNumbers = Arc<dyn Fn(E164) -> BoxFuture<'static, bool> + Send + Sync>;

/// What a call's plan asks of the engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// `base` or `turbo`.
    pub model: &'a str,
    /// BCP 47.
    pub language: &'a str,
}

/// Our address as peers are told it, when a call begins.
pub type Advertise = Arc<dyn Fn() -> IpAddr + Send + Sync>;

/// What calls are made of.
#[derive(Clone)]
pub struct Parts {
    pub config: Config,
    pub voice: crate::voice::Config,
    pub sip: SipNode,
    pub media: Arc<MediaPlane>,
    /// The address SDP names for media.
    pub advertise: Advertise,
    pub engines: EngineSource,
    pub voices: VoicePicker,
    pub transfers: TransferLeave,
    pub numbers: OwnNumbers,
    pub personas: BTreeMap<String, Persona>,
    /// Folder of the recordings; exists.
    pub recordings: PathBuf,
    pub events: CallEvents,
}

/// Why a call cannot be taken now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("all {limit} lines are in use")]
    AtCapacity { limit: usize },
    #[error("the node is stopping")]
    Stopping,
}

/// The live calls. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    parts: Arc<Parts>,
    lines: Arc<Semaphore>,
    live: Arc<Mutex<HashMap<CallId, Stop>>>,
    tasks: TaskTracker,
}

/// Asks one call to end, and says who asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    by: Arc<OnceLock<EndedBy>>,
}

impl Stop {
    fn ask(&self, by: EndedBy) {
        // The first to ask is the one who ended it.
        let _ = self.by.set(by);
        self.token.cancel();
    }

    pub(super) async fn asked(&self) {
        self.token.cancelled().await;
    }

    pub(super) fn asked_by(&self) -> Option<EndedBy> {
        self.by.get().copied()
    }
}

/// A call's place in the directory; leaving it gives the line back.
pub(super) struct Place {
    pub(super) call: CallId,
    pub(super) teller: Teller,
    pub(super) stop: Stop,
    live: Arc<Mutex<HashMap<CallId, Stop>>>,
    line: OwnedSemaphorePermit,
}

impl Place {
    /// A line for a second leg; none where all are in use, or the node is stopping.
    pub(super) fn another_line(&self) -> Option<OwnedSemaphorePermit> {
        self.line.semaphore().clone().try_acquire_owned().ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut live = self.live.lock();
        live.remove(&self.call);
        metrics::gauge!("callbox_calls_live").set(live.len() as f64);
    }
}

impl Directory {
    pub fn new(parts: Parts) -> Self {
        let lines = Arc::new(Semaphore::new(parts.config.max_concurrent));
        Directory { parts: Arc::new(parts), lines, live: Arc::default(), tasks: TaskTracker::new() }
    }

    /// Begins to dial. What becomes of the call is told by its events.
    pub fn place(&self, plan: CallPlan) -> Result<CallId, Refusal> {
        let place = self.take_place()?;
        let call = place.call;
        let parts = self.parts.clone();
        let span = tracing::info_span!("call", id = %call, direction = %CallDirection::Outbound);
        let task = async move { outbound::run(&parts, plan, &place).await };
        self.tasks.spawn(task.instrument(span));
        Ok(call)
    }

    /// Answers a call that came in, or refuses it.
    pub fn take(&self, incoming: IncomingCall) {
        let persona = self.parts.personas.get(&self.parts.config.inbound_persona).cloned();
        let (Some(persona), Ok(place)) = (persona, self.take_place()) else {
            self.tasks.spawn(inbound::refuse(incoming, self.parts.config.inbound_persona.is_empty()));
            return;
        };
        let parts = self.parts.clone();
        let span = tracing::info_span!("call", id = %place.call, direction = %CallDirection::Inbound);
        let task = async move { inbound::run(&parts, incoming, &persona, &place).await };
        self.tasks.spawn(task.instrument(span));
    }

    /// Asks a live call to end; `false` if it is not live.
    pub fn hang_up(&self, call: CallId, by: EndedBy) -> bool {
        let stop = self.live.lock().get(&call).cloned();
        stop.as_ref().map(|stop| stop.ask(by)).is_some()
    }

    pub fn live(&self) -> usize {
        self.live.lock().len()
    }

    /// Takes no more calls, asks the live ones to end, and waits for them.
    pub async fn shutdown(&self, within: Duration) {
        self.tasks.close();
        self.lines.close();
        let stops: Vec<Stop> = self.live.lock().values().cloned().collect();
        stops.iter().for_each(|stop| stop.ask(EndedBy::Node));
        if tokio::time::timeout(within, self.tasks.wait()).await.is_err() {
            tracing::warn!(calls = self.live(), "calls did not end in time");
        }
    }

    fn take_place(&self) -> Result<Place, Refusal> {
        let line = self.lines.clone().try_acquire_owned().map_err(|error| match error {
            tokio::sync::TryAcquireError::NoPermits => {
                Refusal::AtCapacity { limit: self.parts.config.max_concurrent }
            }
            tokio::sync::TryAcquireError::Closed => Refusal::Stopping,
        })?;
        let (call, stop) = (CallId::generate(), Stop::default());
        let mut live = self.live.lock();
        live.insert(call, stop.clone());
        metrics::gauge!("callbox_calls_live").set(live.len() as f64);
        let teller = Teller::new(call, self.parts.events.clone());
        Ok(Place { call, teller, stop, live: self.live.clone(), line })
    }
}

impl Parts {
    /// Prepares the conversation of a call.
    pub(super) fn talk(
        &self,
        plan: &CallPlan,
        voice: &VoiceChoice,
        direction: CallDirection,
    ) -> conversing::Prepared {
        conversing::prepare(self, plan, voice, direction)
    }
}
