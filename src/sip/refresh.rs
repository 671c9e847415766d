//! Keeps an answered call's session alive, or ends it when nobody did (RFC 4028).

use std::time::{Duration, Instant};

use rsipstack::sip::{Header, Response};

use super::{
    dialog::Event,
    driver::Driver,
    end::SipEnd,
    hunt::retry_after,
    message::{SDP, allow, body_text, is_success, min_se, session_expires},
    renegotiation::{Asked, Done, glare_pause},
    session_timer::{Agreed, Due, Timer, Unrefreshed},
    setup::session_headers,
};

impl Driver {
    /// The session lives from here on for as long as agreed.
    pub(super) fn begin_session(&mut self, agreed: Option<Agreed>) {
        self.session = agreed.map(|agreed| Timer::new(Instant::now(), agreed));
    }

    pub(super) fn refresh_if_due(&mut self, now: Instant) {
        let Some(session) = &mut self.session else { return };
        match session.handle_timeout(now) {
            Some(Due::Refresh) => self.refresh(),
            Some(Due::Expired) => {
                let within = session.interval().as_secs();
                self.lose_session(format!("nobody refreshed the session within {within} s"));
            }
            None => {}
        }
    }

    pub(super) fn lose_session(&mut self, detail: String) {
        self.feed(Event::Lost(SipEnd::SessionLost { detail }));
    }

    /// What every request carries that refreshes the session.
    pub(super) fn refresh_headers(&self) -> Vec<Header> {
        let mut headers = vec![allow(), self.core.supported()];
        headers.extend(self.if_challenged());
        if let (Some(session), Some(terms)) = (&self.session, self.core.config.terms()) {
            headers.extend(session_headers(session.ask(), session.min_se().unwrap_or(terms.floor)));
        }
        headers
    }

    /// By UPDATE, which touches nothing else; by our description as it was where the peer takes none.
    fn refresh(&mut self) {
        let Some(dialog) = self.dialog.clone() else { return };
        let mut headers = self.refresh_headers();
        let description = self.description.clone().filter(|_| !self.peer_updates);
        let negotiation = self.negotiation.clone();
        self.inside.spawn(async move {
            let response = match description.clone() {
                None => dialog.update(Some(headers), None).await,
                Some(sdp) => {
                    headers.push(Header::ContentType(SDP.into()));
                    let _turn = negotiation.ours().await;
                    dialog.reinvite(Some(headers), Some(sdp.into_bytes())).await
                }
            };
            Done::Refreshed {
                by: description.map_or(Asked::Update, Asked::Reinvite),
                response: response.ok().flatten(),
            }
        });
    }

    pub(super) fn on_refreshed(&mut self, by: Asked, response: Option<&Response>) {
        let now = Instant::now();
        let status = response.map_or(0, |response| response.status_code.code());
        let why = match (response, status) {
            (Some(response), _) if is_success(&response.status_code) => {
                return self.on_session_kept(response);
            }
            (_, 405 | 501) if by == Asked::Update => {
                self.peer_updates = false;
                return self.refresh();
            }
            (_, 408 | 481) => return self.lose_session(format!("the peer answers a refresh with {status}")),
            (_, 491) => Unrefreshed::Glare { pause: glare_pause(self.call_is_outbound()) },
            (Some(response), 422) => {
                let min_se = min_se(&response.headers).unwrap_or(Duration::ZERO);
                Unrefreshed::TooSmall { min_se }
            }
            _ => Unrefreshed::Failed { retry_after: response.and_then(retry_after) },
        };
        tracing::debug!(status, ?why, "session refresh failed");
        if let Some(session) = &mut self.session {
            session.handle_unrefreshed(now, why);
        }
    }

    /// A 2xx to a request that refreshes the session, with its answer if it had an offer.
    pub(super) fn on_session_kept(&mut self, response: &Response) {
        let expires = session_expires(&response.headers);
        let agreed = self.core.config.terms().and_then(|terms| terms.accept(expires));
        self.begin_session(agreed.or_else(|| self.session.as_ref()?.unnamed()));
        if let Some(sdp) = body_text(&response.body)
            && self.heard_description.as_ref() != Some(&sdp)
        {
            self.tell_late_answer(sdp);
        }
    }
}
