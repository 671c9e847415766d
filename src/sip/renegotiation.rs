//! Requests inside a call: re-INVITE and UPDATE both ways, INFO.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rsipstack::{
    dialog::{dialog::TransactionHandle, invite_dialog::InviteDialog},
    sip::{Header, Method, Request, Response, StatusCode},
};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};

use super::{
    call::{Reoffer, Signal},
    dialog::State,
    driver::Driver,
    error::SipError,
    info::dtmf,
    message::{SDP, allow, asked, body_text, is_success, retry_soon},
    session_timer::{Agreed, TIMER, TooSmall},
};

/// How long the user may take to answer a re-INVITE.
const REOFFER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer's offer waits for ours to be done with.
const GLARE: Duration = Duration::from_millis(200);
/// Tries of a re-INVITE that meets the peer's own (491).
const REINVITE_ATTEMPTS: usize = 3;

/// One offer at a time is under way in a call (RFC 3261 section 14).
#[derive(Debug)]
pub(super) struct Negotiation {
    turn: Semaphore,
    ours: AtomicBool,
}

impl Default for Negotiation {
    fn default() -> Self {
        Negotiation { turn: Semaphore::new(1), ours: AtomicBool::new(false) }
    }
}

/// Held while our offer is under way.
pub(super) struct OurTurn<'a> {
    negotiation: &'a Negotiation,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Drop for OurTurn<'_> {
    fn drop(&mut self) {
        self.negotiation.ours.store(false, Ordering::Relaxed);
    }
}

impl Negotiation {
    /// Waits while the peer's offer is under way.
    pub async fn ours(&self) -> OurTurn<'_> {
        // It is never closed.
        let permit = self.turn.acquire().await.ok();
        self.ours.store(true, Ordering::Relaxed);
        OurTurn { negotiation: self, _permit: permit }
    }

    /// The peer's offer may go on, or what it is refused with.
    async fn theirs(&self) -> Result<SemaphorePermit<'_>, (StatusCode, Vec<Header>)> {
        // Our own offer's answer may be here and its task not yet done: a moment, then it is glare.
        match tokio::time::timeout(GLARE, self.turn.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ if self.ours.load(Ordering::Relaxed) => Err((StatusCode::RequestPending, vec![])),
            _ => Err((StatusCode::ServerInternalError, vec![retry_soon()])),
        }
    }
}

/// How long to wait after a 491 (RFC 3261 section 14.1); who gave the call its Call-ID waits longer.
pub(super) fn glare_pause(call_is_ours: bool) -> Duration {
    let hundredths = if call_is_ours { 210..=400 } else { 0..=200 };
    Duration::from_millis(10 * rand::random_range(hundredths))
}

/// How a session was refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Update,
    /// With this description.
    Reinvite(String),
}

/// A request within the call that is over.
#[derive(Debug)]
pub(super) enum Done {
    /// The peer's, answered with a 2xx.
    Answered {
        description: String,
        heard: Option<String>,
        agreed: Option<Agreed>,
    },
    /// The same before the call was answered; by the tag of the peer, of which a forked call has several.
    AnsweredEarly {
        description: String,
        heard: String,
        peer: Option<String>,
    },
    /// The peer's, answered with a 2xx: nothing but the session's timer changed.
    Kept(Option<Agreed>),
    Refreshed {
        by: Asked,
        response: Option<Response>,
    },
    /// Our re-INVITE; its answer was told.
    Reinvited {
        description: String,
        response: Response,
    },
    /// Our REFER was answered, or not.
    Referred {
        response: Option<Response>,
    },
    Nothing,
}

impl Driver {
    pub(super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Answered { description, heard, agreed } => {
                self.description = Some(description);
                self.heard_description = heard.or_else(|| self.heard_description.take());
                self.renew_session(agreed);
            }
            Done::AnsweredEarly { description, heard, peer } => {
                self.description = Some(description);
                self.changed_early = true;
                if let Some(peer) = peer {
                    self.described.hear(&peer, &heard);
                }
                self.heard_description = Some(heard);
            }
            Done::Kept(agreed) => self.renew_session(agreed),
            Done::Refreshed { by, response } => self.on_refreshed(by, response.as_ref()),
            Done::Reinvited { description, response } if is_success(&response.status_code) => {
                self.description = Some(description);
                self.heard_description = body_text(&response.body);
                self.on_session_kept(&response);
            }
            Done::Reinvited { response, .. } => {
                let status = response.status_code.code();
                // It knows the call no more (RFC 3261 section 12.2.1.2).
                if matches!(status, 408 | 481) {
                    self.lose_session(format!("the peer answers a re-INVITE with {status}"));
                }
            }
            Done::Referred { response } => self.on_referred(response.as_ref()),
            Done::Nothing => {}
        }
    }

    fn renew_session(&mut self, agreed: Option<Agreed>) {
        if agreed.is_some() {
            self.begin_session(agreed);
        }
    }

    pub(super) fn reinvite(&mut self, sdp: String, done: oneshot::Sender<Result<String, SipError>>) {
        let dialog = self.dialog.clone().filter(|_| self.call.state() == State::Answered);
        let Some(dialog) = dialog else {
            let _ = done.send(Err(SipError::CallOver));
            return;
        };
        let mut headers = self.refresh_headers();
        headers.push(Header::ContentType(SDP.into()));
        let (negotiation, ours) = (self.negotiation.clone(), self.call_is_outbound());
        self.inside.spawn(async move {
            let result = reinvite(&dialog, &negotiation, headers, &sdp, ours).await;
            let (told, over) = match result {
                Ok(Some(response)) if is_success(&response.status_code) => {
                    (Ok(body_text(&response.body).unwrap_or_default()), Some(response))
                }
                Ok(Some(response)) => (Err(SipError::Refused(response.status_code.code())), Some(response)),
                Ok(None) => (Err(SipError::CallOver), None),
                Err(error) => (Err(error.into()), None),
            };
            let _ = done.send(told);
            over.map_or(Done::Nothing, |response| Done::Reinvited { description: sdp, response })
        });
    }

    pub(super) fn on_reoffer(&mut self, request: &Request, handle: TransactionHandle) {
        if !matches!(self.call.state(), State::Accepted | State::Answered) {
            return respond(handle, StatusCode::RequestTerminated, vec![], None);
        }
        let mut headers = vec![allow(), self.core.supported()];
        let promised = self.core.config.terms().map(|terms| terms.answer(&asked(&request.headers)));
        let agreed = match promised {
            Some(Err(TooSmall(min_se))) => {
                let min_se = vec![Header::MinSE(min_se.as_secs().to_string().into())];
                return respond(handle, StatusCode::SessionIntervalTooSmall, min_se, None);
            }
            Some(Ok(promised)) => {
                headers.push(Header::SessionExpires(promised.expires.to_string().into()));
                headers.extend(promised.require.then(|| Header::Require(TIMER.into())));
                Some(promised.agreed())
            }
            None => None,
        };
        let offer = body_text(request.body());
        // A session refresh: nothing to negotiate (RFC 3311).
        if offer.is_none() && request.method == Method::Update {
            self.inside.spawn(async move {
                let sent = handle.respond(StatusCode::OK, Some(headers), None).await;
                sent.map_or(Done::Nothing, |()| Done::Kept(agreed))
            });
            return;
        }
        headers.push(Header::ContentType(SDP.into()));
        let (negotiation, signals) = (self.negotiation.clone(), self.signals.clone());
        self.inside.spawn(async move {
            let _turn = match negotiation.theirs().await {
                Ok(turn) => turn,
                Err((status, headers)) => {
                    let _ = handle.respond(status, Some(headers), None).await;
                    return Done::Nothing;
                }
            };
            let answer = ask_user(&signals, offer.clone()).await;
            let sent = match &answer {
                Ok(sdp) => {
                    handle.respond(StatusCode::OK, Some(headers), Some(sdp.clone().into_bytes())).await
                }
                Err(status) => handle.reply(status.clone()).await,
            };
            match (answer, sent) {
                (Ok(description), Ok(())) => Done::Answered { description, heard: offer, agreed },
                _ => Done::Nothing,
            }
        });
    }

    pub(super) fn on_info(&mut self, request: &Request, handle: TransactionHandle) {
        let kind = request.headers.iter().find_map(|header| match header {
            Header::ContentType(kind) => Some(kind.value().trim().to_ascii_lowercase()),
            _ => None,
        });
        let digit =
            kind.as_deref().and_then(|kind| dtmf(kind, &body_text(request.body()).unwrap_or_default()));
        match digit {
            Some((digit, duration)) => {
                self.tell(Signal::Dtmf { digit, duration });
                respond(handle, StatusCode::OK, vec![], None);
            }
            None if request.body().is_empty() => respond(handle, StatusCode::OK, vec![], None),
            None => respond(handle, StatusCode::UnsupportedMediaType, vec![], None),
        }
    }
}

/// Sends a re-INVITE, again after a pause where it meets the peer's own; the peer's may pass meanwhile.
async fn reinvite(
    dialog: &InviteDialog,
    negotiation: &Negotiation,
    headers: Vec<Header>,
    sdp: &str,
    call_is_ours: bool,
) -> rsipstack::Result<Option<Response>> {
    let mut attempts = 1;
    loop {
        let turn = negotiation.ours().await;
        let response = dialog.reinvite(Some(headers.clone()), Some(sdp.as_bytes().to_vec())).await?;
        drop(turn);
        match response {
            Some(response)
                if response.status_code == StatusCode::RequestPending && attempts < REINVITE_ATTEMPTS =>
            {
                tokio::time::sleep(glare_pause(call_is_ours)).await;
                attempts += 1;
            }
            response => return Ok(response),
        }
    }
}

/// The user's answer to an offer, or its offer where the peer made none; or the status to refuse with.
pub(super) async fn ask_user(
    signals: &mpsc::Sender<Signal>,
    offer: Option<String>,
) -> Result<String, StatusCode> {
    let (reply, answer) = oneshot::channel();
    if signals.try_send(Signal::Reoffer(Reoffer { sdp: offer, reply })).is_err() {
        return Err(StatusCode::ServerInternalError);
    }
    match tokio::time::timeout(REOFFER_TIMEOUT, answer).await {
        Ok(Ok(Ok(sdp))) => Ok(sdp),
        Ok(Ok(Err(status))) => Err(StatusCode::from(status)),
        Ok(Err(_)) => Err(StatusCode::NotAcceptableHere),
        Err(_) => Err(StatusCode::ServerInternalError),
    }
}

pub(super) fn respond(
    handle: TransactionHandle,
    status: StatusCode,
    headers: Vec<Header>,
    body: Option<Vec<u8>>,
) {
    tokio::spawn(async move {
        let _ = handle.respond(status, Some(headers), body).await;
    });
}
