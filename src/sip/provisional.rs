//! Before the answer: what is told and heard meanwhile, reliably where it must be (RFC 3262), and
//! requests in the early dialog.

use std::time::Instant;

use futures_util::FutureExt;
use rsipstack::{
    dialog::dialog::Dialog,
    sip::{
        Header, Method, Response, StatusCode,
        prelude::{HasHeaders, HeadersExt},
        typed::Contact,
    },
    transaction::transaction::Transaction,
};
use tokio::sync::oneshot;

use super::{
    dialog::{Event, State},
    driver::Driver,
    early::EarlyDialog,
    end::SipEnd,
    error::describe,
    message::{SDP, allow, body_text, retry_soon},
    reliable::{Due, Provisional, RELIABLE, Rack, Told},
    renegotiation::{Done, ask_user},
    router,
    session_timer::TIMER,
};

/// An answer of the user's that waits until what we described before is acknowledged.
pub(super) struct HeldAnswer {
    sdp: String,
    done: oneshot::Sender<()>,
}

/// The role of who calls.
impl Driver {
    pub(super) fn on_provisional(&mut self, response: &Response) {
        let early = EarlyDialog::of(response);
        let callee = early.as_ref().map(|early| early.tag.clone());
        if let Some(rseq) = response.rseq_value() {
            // Without a tag there is no dialog to acknowledge it in.
            let Some(early) = early.filter(|early| self.heard.is_next(&early.tag, rseq)) else { return };
            self.acknowledge(&early, rseq, response);
        }
        let sdp = body_text(&response.body);
        // Where the peer is to make the offer, this is at best what it will offer: it plays, but not to us.
        let unheard = sdp.is_some() && self.ours.lock().late_offer;
        if response.status_code == StatusCode::Ringing || unheard {
            self.feed(Event::Ringing);
        } else if sdp.is_none() {
            self.feed(Event::Progressing);
        }
        if let Some(sdp) = sdp.filter(|_| !unheard) {
            self.agreed_early |= response.rseq_value().is_some();
            if let Some(callee) = callee {
                self.described.hear(&callee, &sdp);
            }
            self.heard_description = Some(sdp.clone());
            self.feed(Event::EarlyMedia { sdp });
        }
    }

    fn acknowledge(&mut self, early: &EarlyDialog, rseq: u32, response: &Response) {
        let cseq = response.cseq_header().and_then(|cseq| cseq.seq());
        let (Some(dialog), Ok(cseq)) = (self.dialog.clone(), cseq) else { return };
        let Dialog::ClientSubscription(requests) = dialog.as_subscription() else { return };
        let target = early.target.clone().filter(|_| early.is_direct());
        let mut headers = early.headers();
        headers.push(Header::RAck(Rack { rseq, cseq }.to_string().into()));
        headers.extend(self.if_challenged());
        let before = self.prack.take();
        self.prack = Some(tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            if let Some(target) = target {
                Dialog::Invite(dialog).set_remote_target(target, None);
            }
            if let Err(error) = requests.request(Method::PRack, Some(headers), None).await {
                tracing::debug!(error = describe(&error), "PRACK failed");
            }
        }));
    }
}

/// The role of who is called.
impl Driver {
    /// Rings, or with a description plays before the answer.
    pub(super) fn ring(&mut self, early_media: Option<String>) {
        if self.call.state() != State::Offered {
            return;
        }
        if early_media.is_some() {
            self.description.clone_from(&early_media);
        }
        let response = Provisional { sdp: early_media };
        match &mut self.told {
            Some(told) => {
                let due = told.tell(Instant::now(), response);
                self.do_due(due);
            }
            None => self.send_provisional(response, vec![]),
        }
    }

    /// Repeats what was not acknowledged.
    pub(super) fn tell_again(&mut self, now: Instant) {
        let due = self.told.as_mut().and_then(|told| told.handle_timeout(now));
        self.do_due(due);
    }

    fn do_due(&mut self, due: Option<Due>) {
        match due {
            Some(Due::Send { rseq, response }) => {
                let headers = vec![Header::Require(RELIABLE.into()), Header::RSeq(rseq.to_string().into())];
                self.send_provisional(response, headers);
            }
            Some(Due::GiveUp) => self.feed(Event::Unacknowledged),
            None => {}
        }
    }

    fn send_provisional(&self, response: Provisional, mut headers: Vec<Header>) {
        let Some(dialog) = &self.dialog else { return };
        if response.sdp.is_some() {
            headers.extend(self.core.sdp_headers());
        }
        // It fails only if the INVITE's transaction is gone, and with it who would hear.
        let _ = dialog.ringing(Some(headers), response.sdp.map(String::into_bytes));
    }

    pub(super) fn answer(&mut self, sdp: String, done: oneshot::Sender<()>) {
        if done.is_closed() {
            // Whoever wanted to answer has gone.
            return self.feed(Event::HangUp);
        }
        if self.call.state() != State::Offered {
            return;
        }
        if self.told.as_ref().is_none_or(Told::may_answer) {
            self.feed(Event::Accept { sdp });
            let _ = done.send(());
        } else {
            self.held_answer = Some(HeldAnswer { sdp, done });
        }
    }

    pub(super) fn send_answer(&mut self, sdp: String) {
        let Some(dialog) = self.dialog.clone() else { return };
        if let Some(told) = &mut self.told {
            told.handle_answered();
        }
        // Our offer left before, and was answered by a PRACK, or the session is another one by now: there is
        // nothing to describe any more.
        let described = self.agreed_early && (self.asked_for_offer || self.changed_early);
        let mut headers =
            if described { vec![allow(), self.core.supported()] } else { self.core.sdp_headers() };
        if let Some(promised) = &self.promised {
            headers.push(Header::SessionExpires(promised.expires.to_string().into()));
            headers.extend(promised.require.then(|| Header::Require(TIMER.into())));
        }
        let body = (!described).then(|| self.description.insert(sdp).clone().into_bytes());
        if let Err(error) = dialog.accept(Some(headers), body) {
            self.feed(Event::Broke(SipEnd::ProtocolError { detail: describe(&error) }));
        }
    }

    fn on_prack(&mut self, request: Box<Transaction>) {
        let rack = request.original.headers().iter().find_map(|header| match header {
            Header::RAck(value) => Some(Rack::parse(value.value())),
            _ => None,
        });
        let Some(rack) = rack.flatten() else { return reply(request, StatusCode::BadRequest, vec![]) };
        let Some(Ok(told)) = self.told.as_mut().map(|told| told.handle_prack(rack)) else {
            return reply(request, StatusCode::CallTransactionDoesNotExist, vec![]);
        };
        self.agreed_early |= told.sdp.is_some();
        match body_text(request.original.body()) {
            // Our 183 was the offer.
            Some(sdp) if told.sdp.is_some() && self.asked_for_offer => {
                self.tell_late_answer(sdp);
                reply(request, StatusCode::OK, vec![]);
            }
            Some(sdp) => self.ask_user_early(request, sdp),
            None => reply(request, StatusCode::OK, vec![]),
        }
        let due = self.told.as_mut().and_then(|told| told.tell_next(Instant::now()));
        self.do_due(due);
        if self.told.as_ref().is_none_or(Told::may_answer)
            && let Some(HeldAnswer { sdp, done }) = self.held_answer.take()
        {
            self.answer(sdp, done);
        }
    }
}

/// Requests in the early dialog.
impl Driver {
    /// A NOTIFY, a PRACK, or an UPDATE or a BYE that came before the call was confirmed.
    pub(super) fn on_early_request(&mut self, request: Box<Transaction>) {
        use State::{Inviting, Offered, Proceeding, Trying};
        // An answer that came before it may wait to be told.
        self.follow_states();
        if !self.is_addressed(&request) {
            return reply(request, StatusCode::CallTransactionDoesNotExist, vec![]);
        }
        match request.original.method {
            Method::PRack => self.on_prack(request),
            Method::Notify => self.on_notify(request),
            Method::Update if matches!(self.call.state(), Inviting | Trying | Proceeding | Offered) => {
                self.on_early_update(request);
            }
            Method::Bye if self.call.state() == Offered => {
                reply(request, StatusCode::OK, vec![]);
                self.feed(Event::PeerHungUp);
            }
            // The answer is on its way to the stack's list of dialogs.
            _ => drop(tokio::spawn(router::deliver(self.core.clone(), *request))),
        }
    }

    /// An attempt by another way may have begun since it was handed over.
    fn is_addressed(&self, request: &Transaction) -> bool {
        let ours = self.dialog.as_ref().map(|dialog| dialog.id().local_tag);
        let named = request.original.to_header().and_then(|to| to.tag()).ok().flatten();
        ours.is_some_and(|ours| named.is_some_and(|named| named.value() == ours))
    }

    fn on_early_update(&mut self, request: Box<Transaction>) {
        match body_text(request.original.body()) {
            None => reply(request, StatusCode::OK, self.target_headers()),
            Some(sdp) if self.agreed_early => self.ask_user_early(request, sdp),
            // Our offer, or the peer's own, still waits for an answer (RFC 3311 section 5.2).
            Some(_) if self.call_is_outbound() => reply(request, StatusCode::RequestPending, vec![]),
            Some(_) => reply(request, StatusCode::ServerInternalError, vec![retry_soon()]),
        }
    }

    fn ask_user_early(&mut self, mut request: Box<Transaction>, offer: String) {
        let (signals, mut headers) = (self.signals.clone(), self.target_headers());
        let from = request.original.from_header().and_then(|from| from.tag()).ok().flatten();
        let peer = from.map(|tag| tag.value().to_owned());
        headers.push(Header::ContentType(SDP.into()));
        self.inside.spawn(async move {
            let answer = ask_user(&signals, Some(offer.clone())).await;
            let sent = match &answer {
                Ok(answer) => {
                    let body = Some(answer.clone().into_bytes());
                    request.reply_with(StatusCode::OK, headers, body).await
                }
                Err(status) => request.reply(status.clone()).await,
            };
            match (answer, sent) {
                (Ok(description), Ok(())) => Done::AnsweredEarly { description, heard: offer, peer },
                _ => Done::Nothing,
            }
        });
    }

    /// What a 2xx to a request that may change the peer's idea of us says.
    fn target_headers(&self) -> Vec<Header> {
        let contact = self.dialog.as_ref().and_then(|dialog| dialog.snapshot().local_contact);
        let contact = contact.map(|uri| Header::Contact(Contact::from(uri).into()));
        contact.into_iter().chain([allow(), self.core.supported()]).collect()
    }
}

/// What came when the call was over already.
pub(super) fn answer_late(request: Box<Transaction>) {
    let status = match request.original.method {
        Method::Bye => StatusCode::OK,
        _ => StatusCode::CallTransactionDoesNotExist,
    };
    reply(request, status, vec![]);
}

/// Nearly always it has left when this returns, before anything that the request leads to; a connection that does not
/// take it at once is waited for elsewhere.
pub(super) fn reply(mut request: Box<Transaction>, status: StatusCode, headers: Vec<Header>) {
    let mut sending = Box::pin(async move {
        if let Err(error) = request.reply_with(status, headers, None).await {
            tracing::debug!(error = describe(&error), "no answer within the call");
        }
    });
    if sending.as_mut().now_or_never().is_none() {
        tokio::spawn(sending);
    }
}
