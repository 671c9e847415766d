//! Requests inside a call: re-INVITE and UPDATE both ways, INFO.

use std::time::Duration;

use rsipstack::{
    dialog::dialog::TransactionHandle,
    sip::{Header, Method, Request, StatusCode},
};
use tokio::sync::oneshot;

use super::{
    call::{Reoffer, Signal},
    dialog::State,
    driver::Driver,
    error::SipError,
    info::dtmf,
    message::{allow, body_text, is_success, sdp_headers},
};

/// How long the user may take to answer a re-INVITE.
const REOFFER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer's offer waits for ours to be done with.
const GLARE: Duration = Duration::from_millis(200);
/// Tries of a re-INVITE that meets the peer's own (491).
const REINVITE_ATTEMPTS: usize = 3;

impl Driver {
    pub(super) fn reinvite(&mut self, sdp: String, done: oneshot::Sender<Result<String, SipError>>) {
        let dialog = self.dialog.clone().filter(|_| self.call.state() == State::Answered);
        let Some(dialog) = dialog else {
            let _ = done.send(Err(SipError::CallOver));
            return;
        };
        let renegotiation = self.renegotiation.clone();
        tokio::spawn(async move {
            // Never closed; while the peer's offer is under way, ours waits (RFC 3261 section 14.1).
            let _turn = renegotiation.acquire().await;
            let body = Some(sdp.into_bytes());
            let result = dialog.reinvite_with_glare_retry(Some(sdp_headers()), body, REINVITE_ATTEMPTS).await;
            let _ = done.send(match result {
                Ok(Some(response)) if is_success(&response.status_code) => {
                    Ok(body_text(&response.body).unwrap_or_default())
                }
                Ok(Some(response)) => Err(SipError::Refused(response.status_code.code())),
                Ok(None) => Err(SipError::CallOver),
                Err(error) => Err(error.into()),
            });
        });
    }

    pub(super) fn on_reoffer(&mut self, request: &Request, handle: TransactionHandle) {
        let sdp = body_text(request.body());
        if !matches!(self.call.state(), State::Accepted | State::Answered) {
            return respond(handle, StatusCode::RequestTerminated, vec![], None);
        }
        // A session refresh: nothing to negotiate (RFC 3311).
        if sdp.is_none() && request.method == Method::Update {
            return respond(handle, StatusCode::OK, allow(), None);
        }
        let (renegotiation, signals) = (self.renegotiation.clone(), self.signals.clone());
        tokio::spawn(async move {
            // Our own offer's answer may be here and its task not yet done: a moment, then it is glare.
            let Ok(_turn) = tokio::time::timeout(GLARE, renegotiation.acquire()).await else {
                let _ = handle.reply(StatusCode::RequestPending).await;
                return;
            };
            let (reply, answer) = oneshot::channel();
            let told = signals.try_send(Signal::Reoffer(Reoffer { sdp, reply }));
            let answer = match told {
                Ok(()) => tokio::time::timeout(REOFFER_TIMEOUT, answer).await,
                Err(_) => Ok(Ok(Err(500))),
            };
            let _ = match answer {
                Ok(Ok(Ok(sdp))) => {
                    handle.respond(StatusCode::OK, Some(sdp_headers()), Some(sdp.into_bytes())).await
                }
                Ok(Ok(Err(status))) => handle.reply(StatusCode::from(status)).await,
                Ok(Err(_)) => handle.reply(StatusCode::NotAcceptableHere).await,
                Err(_) => handle.reply(StatusCode::ServerInternalError).await,
            };
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
