//! The hunt for a trunk that takes a call: one address after the other, one trunk after the other, each in
//! its turn. What comes next is prepared here; whether it is tried, [`super::dialog`] decides.
//!
//! Every attempt is a request of its own, with a branch, a From tag and a CSeq of its own and the Call-ID of
//! the call (RFC 3261 section 8.1.3.5): the very same request by another way would be a merged one, which
//! servers behind both ways refuse with 482. A late answer to an abandoned one is hung up. Each is of a session
//! with an id and keys of its own, so that nobody who was tried before can listen.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use rsipstack::{
    dialog::invitation::{InviteAsyncResult, InviteOption},
    sip::{Header, Response},
    transport::SipAddr,
};
use tokio::task::JoinHandle;

use super::{
    call::{Ours, Way},
    dialog::Event,
    driver::Driver,
    early::Described,
    end::SipEnd,
    error::SipError,
    identity::{self, Identity},
    link::Trunk,
    message::{SDP, allow},
    next_hop,
    node::{Core, Dial},
    reliable::Heard,
    routes::AFTER_SILENCE,
    sdp::{self, Local},
    setup::session_headers,
};

/// The next attempt, or how it all ended.
pub(super) type Preparation = Pin<Box<dyn Future<Output = (Hunt, Result<(), SipEnd>)> + Send>>;

pub(super) struct Hunt {
    core: Arc<Core>,
    dial: Dial,
    call_id: String,
    /// Not tried yet.
    trunks: VecDeque<Arc<Trunk>>,
    /// The one that is being tried.
    trunk: Option<Arc<Trunk>>,
    /// Of its addresses, the one that is being tried and those that are not yet.
    address: Option<SipAddr>,
    addresses: VecDeque<SipAddr>,
    /// What to tell if nothing is left.
    end: Option<SipEnd>,
}

/// What stands between a call and an address.
enum Obstacle {
    Address(SipEnd),
    Trunk(SipEnd),
}

impl Hunt {
    pub fn new(core: &Arc<Core>, trunks: Vec<Arc<Trunk>>, dial: Dial, call_id: String) -> Self {
        Hunt {
            core: core.clone(),
            dial,
            call_id,
            trunks: trunks.into(),
            trunk: None,
            address: None,
            addresses: VecDeque::new(),
            end: None,
        }
    }

    pub fn prepare(mut self) -> Preparation {
        Box::pin(async move {
            let found = self.next().await;
            (self, found)
        })
    }

    /// Finds the next address that may be sent to now.
    async fn next(&mut self) -> Result<(), SipEnd> {
        loop {
            if let (Some(trunk), Some(address)) = (self.trunk.clone(), self.addresses.pop_front()) {
                match reach(&self.core, &trunk, &address).await {
                    Ok(()) => {
                        self.address = Some(address);
                        return Ok(());
                    }
                    Err(Obstacle::Address(end)) => self.note(end),
                    Err(Obstacle::Trunk(end)) => {
                        self.addresses.clear();
                        self.note(end);
                    }
                }
            } else if let Some(trunk) = self.trunks.pop_front() {
                match self.core.targets(&trunk).await {
                    Ok(addresses) => self.addresses = addresses.into(),
                    Err(error) => self.note(unreachable(&error)),
                }
                self.trunk = Some(trunk);
            } else {
                return Err(self.end.take().unwrap_or(SipEnd::Unreachable { detail: "no trunk".into() }));
            }
        }
    }

    pub fn is_last(&self) -> bool {
        self.trunks.is_empty() && self.addresses.is_empty()
    }

    /// Keeps what says most: a response before silence, and the shortest of waits.
    fn note(&mut self, end: SipEnd) {
        use SipEnd::{Congested, Rejected};
        let keep = match (&self.end, &end) {
            (Some(Rejected { .. }), Rejected { .. }) => false,
            (Some(Rejected { .. }), _) => true,
            (Some(Congested { retry_after: a }), Congested { retry_after: b }) => a <= b,
            _ => false,
        };
        if !keep {
            self.end = Some(end);
        }
    }

    /// Our side of the session as the trunk wants it.
    fn local(&self, trunk: &Trunk) -> Local {
        Local { srtp: trunk.config.srtp, ..self.dial.offer.clone() }
    }

    /// The INVITE for the address that is being tried.
    fn invite(&self, trunk: &Trunk, offer: Option<&str>) -> Result<InviteOption, SipError> {
        let (core, dial) = (&self.core, &self.dial);
        let Identity { caller, caller_name, callee, headers: identity } =
            identity::written(trunk, &dial.to, dial.from.as_ref(), dial.diverted.as_ref())?;
        let mut headers: Vec<Header> = vec![allow()];
        let supported = if offer.is_some() { Some(core.supported()) } else { core.supported_late() };
        headers.extend(supported);
        if let Some(terms) = core.config.terms() {
            headers.extend(session_headers(terms.ask(), terms.floor));
        }
        headers.extend(identity);
        Ok(InviteOption {
            caller,
            caller_display_name: caller_name,
            callee,
            contact: core.contact(trunk, self.address.as_ref())?,
            content_type: offer.map(|_| SDP.into()),
            offer: offer.map(Into::into),
            credential: trunk.credential(),
            headers: Some(headers),
            call_id: Some(self.call_id.clone()),
            destination: self.address.clone(),
            route_set: self.address.iter().map(next_hop::route).chain(trunk.service_route()).collect(),
            ..InviteOption::default()
        })
    }
}

/// Connects where the transport has connections, and waits for a turn.
async fn reach(core: &Core, trunk: &Trunk, address: &SipAddr) -> Result<(), Obstacle> {
    core.connect(trunk, address).await.map_err(|error| Obstacle::Address(unreachable(&error)))?;
    let Some(turns) = &trunk.turns else { return Ok(()) };
    turns.take().await.map_err(|retry_after| Obstacle::Trunk(SipEnd::Congested { retry_after }))
}

fn unreachable(error: &SipError) -> SipEnd {
    let detail = match error {
        SipError::Unreachable(detail) => detail.clone(),
        error => error.to_string(),
    };
    SipEnd::Unreachable { detail }
}

impl Driver {
    pub(super) fn on_prepared(&mut self, hunt: Hunt, found: Result<(), SipEnd>) {
        self.outbound = None;
        let sent = found.and_then(|()| self.send_first(&hunt));
        let last = hunt.is_last();
        self.hunt = Some(hunt);
        self.feed(match sent {
            Ok(()) => Event::Sent { last },
            Err(end) => Event::Failed(end),
        });
    }

    fn send_first(&mut self, hunt: &Hunt) -> Result<(), SipEnd> {
        let wrong = |error: SipError| SipEnd::ProtocolError { detail: error.to_string() };
        let Some(trunk) = &hunt.trunk else { return Ok(()) };
        self.destination = hunt.address.as_ref().and_then(|address| address.get_socketaddr().ok());
        let (local, late_offer) = (hunt.local(trunk), trunk.config.late_offer);
        let offer = (!late_offer).then(|| sdp::offer(&local));
        let options = hunt.invite(trunk, offer.as_deref()).map_err(wrong)?;
        // The peer's description is judged by ours.
        let offered = Some((local.session, local.keys.clone()));
        *self.ours.lock() = Ours { srtp: local.srtp, late_offer, offered };
        self.description = offer;
        // What an attempt before this one still says is not heard any more.
        let (states, receiver) = self.core.layer.new_dialog_state_channel();
        self.states = receiver;
        self.send_invite(options, states, late_offer.then_some(local)).map_err(wrong)?;
        self.way.send_replace(Some(Way { trunk: trunk.config.name.clone(), taken: false }));
        Ok(())
    }

    /// Leaves the attempt to the stack, which takes it back, and looks for the next.
    pub(super) fn try_next(&mut self, end: SipEnd) {
        let Some(mut hunt) = self.hunt.take() else { return self.feed(Event::Failed(end)) };
        if let Some(trunk) = &hunt.trunk {
            tracing::info!(trunk = %trunk.config.name, ?end, "the call is tried by another way");
            let name = trunk.config.name.clone();
            metrics::counter!("callbox_trunk_failovers_total", "trunk" => name).increment(1);
            if matches!(end, SipEnd::Unreachable { .. }) {
                trunk.leave_alone(self.destination, AFTER_SILENCE);
            }
        }
        hunt.note(end);
        hunt.dial.offer = hunt.dial.offer.anew();
        let (dialog, invite) = (self.dialog.take(), self.invite.take());
        self.core.tasks.spawn(forget(self.core.clone(), dialog.map(|dialog| dialog.id()), invite));
        (self.again, self.prack, self.destination) = (None, None, None);
        (self.heard, self.heard_description) = (Heard::default(), None);
        (self.agreed_early, self.changed_early) = (false, false);
        self.described = Described::default();
        self.outbound = Some(hunt.prepare());
    }

    /// A server that names a time is left alone until then (RFC 3261 section 21.5.4).
    pub(super) fn heed_retry_after(&self, response: &Response) {
        let trunk = self.hunt.as_ref().and_then(|hunt| hunt.trunk.as_ref());
        if let (Some(trunk), 503) = (trunk, response.status_code.code())
            && let Some(pause) = retry_after(response)
        {
            trunk.leave_alone(self.destination, pause);
        }
    }
}

/// Takes an attempt out of the stack once it is over.
async fn forget(
    core: Arc<Core>,
    dialog: Option<rsipstack::dialog::DialogId>,
    invite: Option<JoinHandle<InviteAsyncResult>>,
) {
    if let Some(invite) = invite {
        invite.abort();
        if let Ok(Ok((id, _))) = invite.await {
            core.forget(&id);
        }
    }
    if let Some(id) = dialog {
        core.forget(&id);
    }
}

/// The seconds of a `Retry-After`, which may have a comment and parameters.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers.iter().find_map(|header| match header {
        Header::RetryAfter(value) => Some(value.value()),
        _ => None,
    })?;
    let digits = value.trim().split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(Duration::from_secs)
}

/// What a prepared attempt says; never, while none is being prepared.
pub(super) async fn prepared(outbound: &mut Option<Preparation>) -> (Hunt, Result<(), SipEnd>) {
    match outbound {
        Some(preparation) => preparation.await,
        None => std::future::pending().await,
    }
}

impl Trunk {
    /// Tries an address after all others for a while.
    pub fn leave_alone(&self, address: Option<SocketAddr>, pause: Duration) {
        if let Some(address) = address {
            self.aside.lock().put(address, Instant::now(), pause);
        }
    }

    /// The address has answered: it is tried in its turn again.
    pub fn take_up(&self, address: Option<SocketAddr>) {
        if let Some(address) = address {
            self.aside.lock().remove(&address);
        }
    }
}
