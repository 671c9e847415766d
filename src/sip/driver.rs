//! Drives one call: feeds [`super::dialog::Call`] with what the stack, the user and the clock say, and
//! does what it answers.

use std::{
    mem,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rsipstack::{
    dialog::{
        dialog::{DialogState, DialogStateReceiver},
        invitation::InviteAsyncResult,
        invite_dialog::InviteDialog,
    },
    sip::{Header, Response, StatusCode, prelude::HeadersExt},
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    admission::Place,
    call::{COMMANDS, CallHandle, Command, Ours, SIGNALS, Signal, SipCall, Way},
    calls::Origin,
    challenge::without_credentials,
    dialog::{Call, Effect, Event, Progress, State},
    early::{Described, callee_of},
    end::SipEnd,
    error::{SipError, describe},
    hunt::{Hunt, Preparation, prepared},
    link::Trunk,
    message::{
        allow, allows_refer, allows_update, body_text, end_by, end_of, is_success, session_expires,
        terminated,
    },
    node::Core,
    provisional::{HeldAnswer, answer_late},
    referral::Referring,
    reliable::{Heard, Told},
    renegotiation::{Done, Negotiation, respond},
    session_timer::{self, Timer},
    setup::Invite,
};

pub(super) struct Driver {
    /// First, and so given back before anybody hears that the rest is gone.
    pub(super) place: Place,
    pub(super) core: Arc<Core>,
    pub(super) call: Call,
    /// Once the INVITE is out, or in.
    pub(super) dialog: Option<InviteDialog>,
    pub(super) states: DialogStateReceiver,
    commands: mpsc::Receiver<Command>,
    hang_up: CancellationToken,
    pub(super) signals: mpsc::Sender<Signal>,
    /// Kept free for [`Signal::Ended`].
    last: Option<mpsc::OwnedPermit<Signal>>,
    /// While the next attempt of our call is prepared.
    pub(super) outbound: Option<Preparation>,
    /// The addresses and trunks that it may be tried by, while one of them is.
    pub(super) hunt: Option<Hunt>,
    pub(super) way: watch::Sender<Option<Way>>,
    /// Our INVITE, until it left a second time.
    pub(super) again: Option<Invite>,
    pub(super) invite: Option<JoinHandle<InviteAsyncResult>>,
    bye: Option<JoinHandle<()>>,
    pub(super) destination: Option<SocketAddr>,
    unreachable: broadcast::Receiver<SocketAddr>,
    /// Whether a 2xx to the first INVITE was seen.
    confirmed: bool,
    /// CSeq of the last ACK looked at for a late answer.
    acknowledged: Option<u32>,
    /// Whose offer is under way.
    pub(super) negotiation: Arc<Negotiation>,
    /// Requests within the call, ours and the peer's, that are under way.
    pub(super) inside: JoinSet<Done>,
    /// What we described last and the peer has, or will have.
    pub(super) description: Option<String>,
    /// What the peer described last.
    pub(super) heard_description: Option<String>,
    pub(super) described: Described,
    /// Once the call is answered, if the session expires.
    pub(super) session: Option<Timer>,
    /// What our 200 to the peer's INVITE says of session timers.
    pub(super) promised: Option<session_timer::Answer>,
    /// Whether the peer takes UPDATE requests.
    pub(super) peer_updates: bool,
    /// Whether the peer says that it takes REFER requests.
    pub(super) peer_refers: bool,
    /// Our REFER, the last if there were more.
    pub(super) referring: Option<Referring>,
    /// Reliable responses to our INVITE.
    pub(super) heard: Heard,
    /// Our PRACK that leaves last: the next waits for it, so that their numbers stay in order.
    pub(super) prack: Option<JoinHandle<()>>,
    /// Our responses to the peer's INVITE, if they must be reliable.
    pub(super) told: Option<Told>,
    /// Our answer while it waits for a PRACK.
    pub(super) held_answer: Option<HeldAnswer>,
    /// Whether the peer's INVITE had no offer.
    pub(super) asked_for_offer: bool,
    /// Whether offer and answer were exchanged before the call is answered.
    pub(super) agreed_early: bool,
    /// What was agreed on then was changed by another offer.
    pub(super) changed_early: bool,
    pub(super) ours: Arc<Mutex<Ours>>,
}

impl Driver {
    pub(super) fn new(
        core: &Arc<Core>,
        call_id: String,
        origin: Option<Origin>,
        call: Call,
        states: DialogStateReceiver,
    ) -> Result<(Driver, SipCall), SipError> {
        let (signals, receiver) = mpsc::channel(SIGNALS);
        let (commands, command_receiver) = mpsc::channel(COMMANDS);
        let hang_up = CancellationToken::new();
        let (way, goes) = watch::channel(None);
        let ours = Arc::<Mutex<Ours>>::default();
        let handle = CallHandle { hang_up: hang_up.clone(), commands, ours: ours.clone() };
        let place = core.admit(&call_id, origin, handle.clone())?;
        let driver = Driver {
            place,
            core: core.clone(),
            call,
            dialog: None,
            states,
            commands: command_receiver,
            hang_up,
            last: signals.clone().try_reserve_owned().ok(),
            signals,
            outbound: None,
            hunt: None,
            way,
            again: None,
            invite: None,
            bye: None,
            destination: None,
            unreachable: core.unreachable.subscribe(),
            confirmed: false,
            acknowledged: None,
            negotiation: Arc::default(),
            inside: JoinSet::new(),
            description: None,
            heard_description: None,
            described: Described::default(),
            session: None,
            promised: None,
            peer_updates: false,
            peer_refers: false,
            referring: None,
            heard: Heard::default(),
            prack: None,
            told: None,
            held_answer: None,
            asked_for_offer: false,
            agreed_early: false,
            changed_early: false,
            ours,
        };
        Ok((driver, SipCall { id: call_id, signals: receiver, handle, way: goes }))
    }

    pub(super) async fn run(mut self) {
        while self.call.state() != State::Closed {
            let ended = self.call.has_ended();
            let deadline = self.poll_timeout();
            tokio::select! {
                Some(state) = self.states.recv() => self.on_state(state),
                (hunt, found) = prepared(&mut self.outbound) => self.on_prepared(hunt, found),
                result = finished(&mut self.invite) => self.on_invite_over(result),
                _ = finished(&mut self.bye) => self.feed(Event::ByeOver),
                Some(Ok(done)) = self.inside.join_next() => self.on_done(done),
                Some(command) = self.commands.recv() => self.on_command(command),
                () = self.hang_up.cancelled(), if !ended => self.feed(Event::HangUp),
                () = self.signals.closed(), if !ended => self.feed(Event::HangUp),
                Ok(address) = self.unreachable.recv() => self.on_unreachable(address),
                () = tokio::time::sleep_until(deadline.into()) => self.handle_timeout(Instant::now()),
            }
        }
        self.finish().await;
    }

    fn poll_timeout(&self) -> Instant {
        let session = self.session.as_ref().filter(|_| self.call.state() == State::Answered);
        let told = self.told.as_ref().filter(|_| self.call.state() == State::Offered);
        let referring = self.referring.as_ref().and_then(Referring::poll_timeout);
        let session = session.map(Timer::poll_timeout);
        let deadlines = [self.call.poll_timeout(), session, told.and_then(Told::poll_timeout), referring];
        deadlines.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    fn handle_timeout(&mut self, now: Instant) {
        let effects = self.call.handle_timeout(now);
        self.apply(effects);
        if self.call.state() == State::Offered {
            self.tell_again(now);
        }
        if self.call.state() == State::Answered {
            self.refresh_if_due(now);
        }
        self.referral_if_due(now);
    }

    /// Forgets the dialog: the stack keeps it until it is told to.
    async fn finish(mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Early(request) = command {
                answer_late(request);
            }
        }
        if let Some(invite) = self.invite.take() {
            invite.abort();
            if let Ok(Ok((id, _))) = invite.await {
                self.core.forget(&id);
            }
        }
        if let Some(bye) = self.bye.take() {
            bye.abort();
        }
        // What is under way still answers its peer; nobody waits for it here.
        self.inside.detach_all();
        if let Some(dialog) = &self.dialog {
            self.core.forget(&dialog.id());
        }
    }

    pub(super) fn feed(&mut self, event: Event) {
        let effects = self.call.handle(Instant::now(), event);
        self.apply(effects);
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Tell(progress) => {
                    self.is_taken();
                    self.tell(match progress {
                        Progress::Trying => Signal::Trying,
                        Progress::Ringing => Signal::Ringing,
                        Progress::EarlyMedia { sdp } => Signal::EarlyMedia { sdp },
                        Progress::Answered { sdp } => Signal::Answered { sdp },
                    });
                }
                Effect::TellEnd(end) => self.tell_end(end),
                Effect::Abandon => self.abandon(),
                Effect::TryNext(end) => self.try_next(end),
                Effect::SendBye => self.send_bye(),
                Effect::SendAnswer { sdp } => self.send_answer(sdp),
                Effect::SendRefusal { status } => self.send_refusal(status),
            }
        }
    }

    /// Before the signal that says so, lest the user have that one first.
    fn is_taken(&self) {
        let take =
            |way: &mut Option<Way>| way.as_mut().is_some_and(|way| !mem::replace(&mut way.taken, true));
        self.way.send_if_modified(take);
    }

    pub(super) fn tell(&mut self, signal: Signal) {
        let vital = matches!(signal, Signal::Answered { .. } | Signal::LateAnswer { .. });
        if self.signals.try_send(signal).is_err() && vital {
            // The user reads nothing any more; the next turn of the loop ends the call.
            self.hang_up.cancel();
        }
    }

    fn tell_end(&mut self, end: SipEnd) {
        tracing::debug!(call = self.place.key.call_id(), ?end, "SIP call ended");
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

    fn send_refusal(&mut self, status: u16) {
        if let Some(dialog) = &self.dialog {
            // It fails only if the INVITE's transaction is gone, and with it who would hear.
            let _ = dialog.reject(Some(StatusCode::from(status)), None);
        }
    }

    fn on_unreachable(&mut self, address: SocketAddr) {
        // The response may be here, and what nobody listened to be our ACK.
        let is_over = self.invite.as_ref().is_some_and(JoinHandle::is_finished);
        if self.call.state() == State::Inviting && self.destination == Some(address) && !is_over {
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
        self.follow_states();
        let event = match result {
            Ok(Ok((_, Some(response)))) if self.invite_again(&response) => return,
            Ok(Ok((_, Some(response)))) if is_success(&response.status_code) && self.confirmed => return,
            Ok(Ok((_, Some(response)))) => {
                self.heed_retry_after(&response);
                Event::Failed(end_of(&response))
            }
            Ok(Ok((_, None))) | Err(_) => Event::InviteOver,
            Ok(Err(error)) => Event::Failed(end_by(&error)),
        };
        self.feed(event);
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Ring { early_media } => self.ring(early_media),
            Command::Answer { sdp, done } => self.answer(sdp, done),
            Command::Reject { status } => {
                let status = if (300..700).contains(&status) { status } else { 480 };
                self.feed(Event::Refuse { status });
            }
            Command::Reinvite { sdp, done } => self.reinvite(sdp, done),
            // Whoever asked may have gone.
            Command::TransferBy { reply } => drop(reply.send(self.transfer_by())),
            Command::Refer { refer, done } => drop(done.send(self.refer(&refer))),
            Command::Early(request) => self.on_early_request(request),
        }
    }

    pub(super) fn follow_states(&mut self) {
        while let Ok(state) = self.states.try_recv() {
            self.on_state(state);
        }
    }

    fn on_state(&mut self, state: DialogState) {
        let ours = self.invite.is_some() || self.call_is_outbound();
        match state {
            DialogState::Trying(_) if ours => self.feed(Event::Trying),
            DialogState::Early(_, response) if ours && !self.confirmed => self.on_provisional(&response),
            DialogState::Confirmed(_, response) => self.on_confirmed(&response, ours),
            DialogState::Updated(_, request, handle) => self.on_reoffer(&request, handle),
            DialogState::Info(_, request, handle) => self.on_info(&request, handle),
            DialogState::Options(_, _, handle) => {
                respond(handle, StatusCode::OK, self.core.capabilities(), None)
            }
            DialogState::Refer(_, _, handle)
            | DialogState::Message(_, _, handle)
            | DialogState::Notify(_, _, handle)
            | DialogState::Publish(_, _, handle) => {
                respond(handle, StatusCode::MethodNotAllowed, vec![allow()], None)
            }
            // Before an answer to our INVITE its own outcome says more.
            DialogState::Terminated(_, reason) if !ours || self.confirmed => self.feed(terminated(reason)),
            _ => {}
        }
    }

    pub(super) fn call_is_outbound(&self) -> bool {
        use rsipstack::transaction::key::TransactionRole::Client;
        self.dialog.as_ref().is_some_and(|dialog| dialog.role() == Client)
    }

    /// The trunk that it goes out or came in by.
    pub(super) fn by_trunk(&self) -> Option<Arc<Trunk>> {
        let way = self.way.borrow();
        let name = &way.as_ref()?.trunk;
        self.core.trunks.iter().find(|trunk| trunk.config.name == *name).cloned()
    }

    /// What every request of ours within the call carries, for [`super::challenge`].
    pub(super) fn if_challenged(&self) -> Option<Header> {
        self.by_trunk().filter(|trunk| trunk.credential().is_none()).map(|_| without_credentials())
    }

    /// Told after every ACK of ours and of the peer's, and after in-dialog requests.
    fn on_confirmed(&mut self, response: &Response, ours: bool) {
        if ours && !self.confirmed {
            self.confirmed = true;
            return self.on_answered(response);
        }
        if !self.confirmed {
            self.confirmed = true;
            self.begin_session(self.promised.map(|promised| promised.agreed()));
        }
        self.core.dialogs_changed.notify_waiters();
        self.feed(Event::Acknowledged);
        let Some(ack) = self.dialog.as_ref().and_then(InviteDialog::last_remote_ack) else { return };
        let seq = ack.cseq_header().and_then(|cseq| cseq.seq()).ok();
        if seq.is_some() && seq != self.acknowledged {
            self.acknowledged = seq;
            if let Some(sdp) = body_text(ack.body()) {
                self.tell_late_answer(sdp);
            }
        }
    }

    fn on_answered(&mut self, response: &Response) {
        self.peer_updates = allows_update(&response.headers);
        self.peer_refers = allows_refer(&response.headers);
        let agreed =
            self.core.config.terms().and_then(|terms| terms.accept(session_expires(&response.headers)));
        self.begin_session(agreed);
        // A callee whose early description counts need not repeat it (RFC 3262 section 5); another callee of
        // a forked call may have played since.
        let before = || Some(self.described.by(&callee_of(response)?)?.to_owned());
        if let Some(sdp) = body_text(&response.body).or_else(before) {
            self.heard_description = Some(sdp);
        }
        if let (Some(dialog), Some(callee)) = (&self.dialog, callee_of(response)) {
            let answered = self.core.late_offers.answered(&dialog.id(), &callee);
            self.description = answered.or(self.description.take());
        }
        self.feed(Event::Answered { sdp: self.heard_description.clone().unwrap_or_default() });
    }

    pub(super) fn tell_late_answer(&mut self, sdp: String) {
        self.heard_description = Some(sdp.clone());
        self.tell(Signal::LateAnswer { sdp });
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
