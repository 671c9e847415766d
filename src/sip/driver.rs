//! Drives one call: feeds [`super::dialog::Call`] with what the stack, the user and the clock say, and
//! does what it answers.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use rsipstack::{
    dialog::{
        DialogId,
        dialog::{DialogState, DialogStateReceiver, DialogStateSender},
        invitation::{InviteAsyncResult, InviteOption},
        invite_dialog::InviteDialog,
    },
    sip::{Header, Response, StatusCode, prelude::HeadersExt},
    transaction::{make_uuid_v4, transaction::Transaction},
    transport::SipAddr,
};
use tokio::{
    sync::{Semaphore, broadcast, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    call::{COMMANDS, CallHandle, Command, IncomingCall, SIGNALS, Signal, SipCall},
    dialog::{Call, Effect, Event, Progress, State},
    end::SipEnd,
    error::{SipError, describe},
    link::Trunk,
    message::{allow, body_text, end_of, is_success, sdp_headers, terminated},
    node::{Core, Dial},
    renegotiation::respond,
    router,
};

type Lookup = Pin<Box<dyn Future<Output = Result<SipAddr, SipError>> + Send>>;

pub(super) struct Driver {
    core: Arc<Core>,
    call_id: String,
    pub(super) call: Call,
    /// Once the INVITE is out, or in.
    pub(super) dialog: Option<InviteDialog>,
    states: DialogStateReceiver,
    commands: mpsc::Receiver<Command>,
    hang_up: CancellationToken,
    pub(super) signals: mpsc::Sender<Signal>,
    /// Kept free for [`Signal::Ended`].
    last: Option<mpsc::OwnedPermit<Signal>>,
    /// Our INVITE before it leaves, and the address it will go to.
    outbound: Option<Outbound>,
    invite: Option<JoinHandle<InviteAsyncResult>>,
    bye: Option<JoinHandle<()>>,
    destination: Option<SocketAddr>,
    unreachable: broadcast::Receiver<SocketAddr>,
    /// Whether a 2xx to the first INVITE was seen.
    confirmed: bool,
    /// CSeq of the last ACK looked at for a late answer.
    acknowledged: Option<u32>,
    /// Held while a re-INVITE, ours or the peer's, is under way.
    pub(super) renegotiation: Arc<Semaphore>,
}

struct Outbound {
    lookup: Lookup,
    options: Box<InviteOption>,
    states: DialogStateSender,
}

/// Starts an outbound call.
pub(super) fn dial(
    core: &Arc<Core>,
    trunk: Arc<Trunk>,
    dial: Dial,
    ring: Duration,
) -> Result<SipCall, SipError> {
    let call_id = make_uuid_v4();
    let options = Box::new(invite_options(core, &trunk, &dial, &call_id)?);
    let (states, receiver) = core.layer.new_dialog_state_channel();
    let machine = Call::outbound(Instant::now(), core.limits(ring));
    let (mut driver, call) = Driver::new(core, call_id, machine, receiver)?;
    let resolving = core.clone();
    let lookup: Lookup = Box::pin(async move { resolving.resolve(&trunk).await });
    driver.outbound = Some(Outbound { lookup, options, states });
    core.tasks.spawn(driver.run());
    Ok(call)
}

fn invite_options(core: &Core, trunk: &Trunk, dial: &Dial, call_id: &str) -> Result<InviteOption, SipError> {
    let callee = trunk.server_uri(Some(trunk.config.write_number(&dial.to)))?;
    let shown = dial.from.as_ref().or(trunk.config.caller_id.as_ref());
    let caller = match shown {
        Some(number) => trunk.domain_uri(trunk.config.write_number(number))?,
        None => trunk.our_uri()?,
    };
    let mut headers = vec![Header::Allow(router::ALLOW.into())];
    if shown.is_some() {
        headers.push(Header::PAssertedIdentity(format!("<{caller}>").into()));
    }
    Ok(InviteOption {
        caller,
        callee,
        contact: core.contact(trunk)?,
        content_type: Some("application/sdp".into()),
        offer: Some(dial.offer.clone().into_bytes()),
        credential: trunk.credential(),
        headers: Some(headers),
        call_id: Some(call_id.to_owned()),
        ..InviteOption::default()
    })
}

/// Takes on an INVITE that came in; gives it back if it cannot be a call.
pub(super) fn receive(
    core: &Arc<Core>,
    trunk: &Trunk,
    source: SocketAddr,
    request: Transaction,
) -> Result<IncomingCall, Box<(Transaction, SipError)>> {
    let invite = request.original.clone();
    let (driver, call) = match receive_dialog(core, trunk, &request) {
        Ok(started) => started,
        Err(error) => return Err(Box::new((request, error))),
    };
    if let Some(dialog) = driver.dialog.clone() {
        tokio::spawn(serve_invite(dialog, request));
    }
    core.tasks.spawn(driver.run());
    Ok(IncomingCall {
        from: router::caller(&invite),
        to: router::callee(&invite),
        trunk: trunk.config.name.clone(),
        source,
        offer: body_text(invite.body()),
        call,
    })
}

fn receive_dialog(
    core: &Arc<Core>,
    trunk: &Trunk,
    request: &Transaction,
) -> Result<(Driver, SipCall), SipError> {
    let call_id = request.original.call_id_header()?.value().to_owned();
    let (states, receiver) = core.layer.new_dialog_state_channel();
    let machine = Call::inbound(Instant::now(), core.limits(core.config.ring_timeout));
    // A second INVITE with the Call-ID of a live call is a merged request (RFC 3261 section 8.2.2.2).
    if core.sources.knows_call(&call_id) {
        return Err(SipError::Refused(482));
    }
    let (mut driver, call) = Driver::new(core, call_id.clone(), machine, receiver)?;
    let contact = core.contact(trunk)?;
    let dialog = core.layer.get_or_create_server_invite(request, states, trunk.credential(), Some(contact));
    match dialog {
        Ok(dialog) => driver.dialog = Some(dialog),
        Err(error) => {
            core.release(&call_id);
            return Err(error.into());
        }
    }
    Ok((driver, call))
}

async fn serve_invite(mut dialog: InviteDialog, mut request: Transaction) {
    if let Err(error) = dialog.handle(&mut request).await {
        tracing::debug!(error = describe(&error), "INVITE failed");
    }
}

impl Driver {
    fn new(
        core: &Arc<Core>,
        call_id: String,
        call: Call,
        states: DialogStateReceiver,
    ) -> Result<(Driver, SipCall), SipError> {
        let (signals, receiver) = mpsc::channel(SIGNALS);
        let (commands, command_receiver) = mpsc::channel(COMMANDS);
        let hang_up = CancellationToken::new();
        let handle = CallHandle { hang_up: hang_up.clone(), commands };
        core.admit(&call_id, handle.clone())?;
        let driver = Driver {
            core: core.clone(),
            call_id: call_id.clone(),
            call,
            dialog: None,
            states,
            commands: command_receiver,
            hang_up,
            last: signals.clone().try_reserve_owned().ok(),
            signals,
            outbound: None,
            invite: None,
            bye: None,
            destination: None,
            unreachable: core.unreachable.subscribe(),
            confirmed: false,
            acknowledged: None,
            renegotiation: Arc::new(Semaphore::new(1)),
        };
        Ok((driver, SipCall { id: call_id, signals: receiver, handle }))
    }

    async fn run(mut self) {
        while self.call.state() != State::Closed {
            let ended = self.call.has_ended();
            let deadline =
                self.call.poll_timeout().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                Some(state) = self.states.recv() => self.on_state(state),
                found = resolved(&mut self.outbound) => self.on_resolved(found),
                result = finished(&mut self.invite) => self.on_invite_over(result),
                _ = finished(&mut self.bye) => self.feed(Event::ByeOver),
                Some(command) = self.commands.recv() => self.on_command(command),
                () = self.hang_up.cancelled(), if !ended => self.feed(Event::HangUp),
                () = self.signals.closed(), if !ended => self.feed(Event::HangUp),
                Ok(address) = self.unreachable.recv() => self.on_unreachable(address),
                () = tokio::time::sleep_until(deadline.into()) => {
                    let effects = self.call.handle_timeout(Instant::now());
                    self.apply(effects);
                }
            }
        }
        self.finish().await;
    }

    /// Forgets the dialog: the stack keeps it until it is told to.
    async fn finish(mut self) {
        if let Some(invite) = self.invite.take() {
            invite.abort();
            if let Ok(Ok((id, _))) = invite.await {
                self.core.layer.remove_dialog(&id);
            }
        }
        if let Some(bye) = self.bye.take() {
            bye.abort();
        }
        if let Some(dialog) = &self.dialog {
            self.core.layer.remove_dialog(&dialog.id());
        }
        self.core.release(&self.call_id);
    }

    fn feed(&mut self, event: Event) {
        let effects = self.call.handle(Instant::now(), event);
        self.apply(effects);
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Tell(progress) => self.tell(match progress {
                    Progress::Trying => Signal::Trying,
                    Progress::Ringing => Signal::Ringing,
                    Progress::EarlyMedia { sdp } => Signal::EarlyMedia { sdp },
                    Progress::Answered { sdp } => Signal::Answered { sdp },
                }),
                Effect::TellEnd(end) => self.tell_end(end),
                Effect::Abandon => self.abandon(),
                Effect::SendBye => self.send_bye(),
                Effect::SendAnswer { sdp } => self.send_answer(sdp),
                Effect::SendRefusal { status } => self.send_refusal(status),
            }
        }
    }

    pub(super) fn tell(&mut self, signal: Signal) {
        let vital = matches!(signal, Signal::Answered { .. } | Signal::LateAnswer { .. });
        if self.signals.try_send(signal).is_err() && vital {
            // The user reads nothing any more; the next turn of the loop ends the call.
            self.hang_up.cancel();
        }
    }

    fn tell_end(&mut self, end: SipEnd) {
        tracing::debug!(call = %self.call_id, ?end, "SIP call ended");
        if let Some(last) = self.last.take() {
            last.send(Signal::Ended(end));
        }
    }

    /// Dropping the INVITE's task takes the INVITE back, by the rules of RFC 3261 section 9.1.
    fn abandon(&mut self) {
        match &self.invite {
            Some(invite) => invite.abort(),
            None => {
                self.outbound = None;
                self.feed(Event::InviteOver);
            }
        }
    }

    fn send_bye(&mut self) {
        let Some(dialog) = self.dialog.clone() else { return };
        self.bye = Some(tokio::spawn(async move {
            if let Err(error) = dialog.bye().await {
                tracing::debug!(error = describe(&error), "BYE failed");
            }
        }));
    }

    fn send_answer(&mut self, sdp: String) {
        if let Some(dialog) = &self.dialog
            && let Err(error) = dialog.accept(Some(sdp_headers()), Some(sdp.into_bytes()))
        {
            self.feed(Event::Broke(SipEnd::ProtocolError { detail: describe(&error) }));
        }
    }

    fn send_refusal(&mut self, status: u16) {
        if let Some(dialog) = &self.dialog {
            // It fails only if the INVITE's transaction is gone, and with it who would hear.
            let _ = dialog.reject(Some(StatusCode::from(status)), None);
        }
    }

    fn on_resolved(&mut self, found: Result<SipAddr, SipError>) {
        let Some(Outbound { mut options, states, .. }) = self.outbound.take() else { return };
        let started = found.and_then(|address| {
            self.destination = address.get_socketaddr().ok();
            options.destination = Some(address);
            Ok(self.core.layer.do_invite_async(*options, states)?)
        });
        match started {
            Ok((dialog, invite)) => {
                self.dialog = Some(dialog);
                self.invite = Some(invite);
            }
            Err(SipError::Unreachable(detail)) => self.feed(Event::Failed(SipEnd::Unreachable { detail })),
            Err(error) => self.feed(Event::Failed(SipEnd::ProtocolError { detail: error.to_string() })),
        }
    }

    fn on_unreachable(&mut self, address: SocketAddr) {
        if self.call.state() == State::Inviting && self.destination == Some(address) {
            let detail = format!("nobody listens at {address}");
            if let Some(invite) = &self.invite {
                invite.abort();
            }
            self.feed(Event::Failed(SipEnd::Unreachable { detail }));
        }
    }

    fn on_invite_over(&mut self, result: Result<InviteAsyncResult, tokio::task::JoinError>) {
        self.core.dialogs_changed.notify_waiters();
        // The answer, if there was one, is among the states.
        while let Ok(state) = self.states.try_recv() {
            self.on_state(state);
        }
        let event = match result {
            Ok(Ok((_, Some(response)))) if is_success(&response.status_code) && self.confirmed => return,
            Ok(Ok((_, Some(response)))) => Event::Failed(end_of(&response)),
            Ok(Ok((_, None))) | Err(_) => Event::InviteOver,
            Ok(Err(error)) => Event::Failed(SipEnd::ProtocolError { detail: describe(&error) }),
        };
        self.feed(event);
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Ring { early_media } => {
                if let (State::Offered, Some(dialog)) = (self.call.state(), &self.dialog) {
                    let headers = early_media.is_some().then(sdp_headers);
                    let _ = dialog.ringing(headers, early_media.map(String::into_bytes));
                }
            }
            Command::Answer { sdp, done } => {
                let open = self.call.state() == State::Offered;
                self.feed(Event::Accept { sdp });
                let _ = done.send(if open { Ok(()) } else { Err(SipError::CallOver) });
            }
            Command::Reject { status } => {
                let status = if (300..700).contains(&status) { status } else { 480 };
                self.feed(Event::Refuse { status });
            }
            Command::Reinvite { sdp, done } => self.reinvite(sdp, done),
        }
    }

    fn on_state(&mut self, state: DialogState) {
        let ours = self.invite.is_some() || self.call_is_outbound();
        match state {
            DialogState::Trying(_) if ours => self.feed(Event::Trying),
            DialogState::Early(_, response) if ours && !self.confirmed => self.on_provisional(&response),
            DialogState::Confirmed(id, response) => self.on_confirmed(&id, &response, ours),
            DialogState::Updated(_, request, handle) => self.on_reoffer(&request, handle),
            DialogState::Info(_, request, handle) => self.on_info(&request, handle),
            DialogState::Options(_, _, handle) => respond(handle, StatusCode::OK, allow(), None),
            DialogState::Refer(_, _, handle)
            | DialogState::Message(_, _, handle)
            | DialogState::Notify(_, _, handle)
            | DialogState::Publish(_, _, handle) => {
                respond(handle, StatusCode::MethodNotAllowed, allow(), None)
            }
            // Before an answer to our INVITE its own outcome says more.
            DialogState::Terminated(_, reason) if !ours || self.confirmed => self.feed(terminated(reason)),
            _ => {}
        }
    }

    fn call_is_outbound(&self) -> bool {
        use rsipstack::transaction::key::TransactionRole::Client;
        self.dialog.as_ref().is_some_and(|dialog| dialog.role() == Client)
    }

    fn on_provisional(&mut self, response: &Response) {
        let sdp = body_text(&response.body);
        if response.status_code == StatusCode::Ringing {
            self.feed(Event::Ringing);
        } else if sdp.is_none() {
            self.feed(Event::Trying);
        }
        if let Some(sdp) = sdp {
            self.feed(Event::EarlyMedia { sdp });
        }
    }

    /// Told after every ACK of ours and of the peer's, and after in-dialog requests.
    fn on_confirmed(&mut self, _id: &DialogId, response: &Response, ours: bool) {
        if ours && !self.confirmed {
            self.confirmed = true;
            self.feed(Event::Answered { sdp: body_text(&response.body).unwrap_or_default() });
            return;
        }
        self.confirmed = true;
        self.core.dialogs_changed.notify_waiters();
        self.feed(Event::Acknowledged);
        let Some(ack) = self.dialog.as_ref().and_then(InviteDialog::last_remote_ack) else { return };
        let seq = ack.cseq_header().and_then(|cseq| cseq.seq()).ok();
        if seq.is_some() && seq != self.acknowledged {
            self.acknowledged = seq;
            if let Some(sdp) = body_text(ack.body()) {
                self.tell(Signal::LateAnswer { sdp });
            }
        }
    }
}

/// The address our INVITE goes to, or never if it needs none.
async fn resolved(outbound: &mut Option<Outbound>) -> Result<SipAddr, SipError> {
    match outbound {
        Some(outbound) => outbound.lookup.as_mut().await,
        None => std::future::pending().await,
    }
}

/// A task's result, once; never if there is none.
async fn finished<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    let result = match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    };
    *task = None;
    result
}
