//! How a call begins: the INVITE that leaves, and the one that comes in.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rsipstack::{
    dialog::{dialog::DialogStateSender, invitation::InviteOption, invite_dialog::InviteDialog},
    sip::{Header, Response, StatusCode, prelude::HasHeaders, prelude::HeadersExt},
    transaction::{make_uuid_v4, transaction::Transaction},
    transport::SipConnection,
};

use super::{
    call::{IncomingCall, SipCall, Way},
    called::called,
    calls::{CallKey, Origin},
    dialog::Call,
    driver::Driver,
    error::{SipError, describe},
    hunt::Hunt,
    link::Trunk,
    message::{allows_refer, allows_update, asked, body_text, min_se, requires},
    node::{Core, Dial},
    reliable::{RELIABLE, Told},
    router,
    sdp::Local,
    session_timer::SessionExpires,
    vouched,
};

/// Our INVITE, kept while it may have to leave once more.
pub(super) struct Invite {
    options: Box<InviteOption>,
    states: DialogStateSender,
    /// What the peer's offer is answered by, where it is to make one.
    answers: Option<Local>,
}

/// Starts an outbound call, which is tried by one of `trunks` after the other.
pub(super) fn dial(
    core: &Arc<Core>,
    trunks: Vec<Arc<Trunk>>,
    dial: Dial,
    ring: Duration,
) -> Result<SipCall, SipError> {
    let call_id = make_uuid_v4();
    let queue = trunks.iter().filter(|trunk| trunk.turns.is_some()).map(|trunk| trunk.patience()).max();
    let machine = Call::outbound(Instant::now(), core.limits(ring, queue.unwrap_or_default()));
    // Every attempt has its own.
    let (_, states) = core.layer.new_dialog_state_channel();
    let (mut driver, call) = Driver::new(core, call_id.clone(), None, machine, states)?;
    driver.outbound = Some(Hunt::new(core, trunks, dial, call_id).prepare());
    core.tasks.spawn(driver.run());
    Ok(call)
}

pub(super) fn session_headers(expires: SessionExpires, min_se: Duration) -> [Header; 2] {
    [Header::SessionExpires(expires.to_string().into()), Header::MinSE(min_se.as_secs().to_string().into())]
}

/// Takes on an INVITE that came in; gives it back if it cannot be a call.
pub(super) fn receive(
    core: &Arc<Core>,
    trunk: &Arc<Trunk>,
    source: SocketAddr,
    request: Transaction,
) -> Result<IncomingCall, Box<(Transaction, SipError)>> {
    let invite = request.original.clone();
    let (driver, call) = match receive_dialog(core, trunk, &request) {
        Ok(started) => started,
        Err(error) => return Err(Box::new((request, error))),
    };
    if let Some(dialog) = driver.dialog.clone() {
        tokio::spawn(serve_invite(core.clone(), dialog, request, driver.place.key.clone()));
    }
    core.tasks.spawn(driver.run());
    let called = called(&invite, &trunk.config);
    Ok(IncomingCall {
        from: router::caller(&invite, &trunk.config),
        to: called.party,
        called: called.numbers,
        trunk: trunk.config.name.clone(),
        source,
        redirected_from: vouched::redirected_from(&invite, &trunk.config),
        verification: vouched::verification(&invite, &trunk.config),
        offer: body_text(invite.body()),
        call,
    })
}

fn receive_dialog(
    core: &Arc<Core>,
    trunk: &Arc<Trunk>,
    request: &Transaction,
) -> Result<(Driver, SipCall), SipError> {
    let invite = &request.original;
    let call_id = invite.call_id_header()?.value().to_owned();
    let cseq = invite.cseq_header()?.seq()?;
    let (states, receiver) = core.layer.new_dialog_state_channel();
    let machine = Call::inbound(Instant::now(), core.limits(core.config.ring_timeout, Duration::ZERO));
    let from_tag = invite.from_header()?.tag()?.map(|tag| tag.value().to_owned()).unwrap_or_default();
    let origin = Some(Origin { from_tag, cseq });
    let (mut driver, call) = Driver::new(core, call_id, origin, machine, receiver)?;
    driver.way.send_replace(Some(Way { trunk: trunk.config.name.clone(), taken: true }));
    let headers = invite.headers();
    // Too short an interval was refused before.
    driver.promised = core.config.terms().and_then(|terms| terms.answer(&asked(headers)).ok());
    driver.peer_updates = allows_update(headers);
    driver.peer_refers = allows_refer(headers);
    driver.told =
        requires(headers, RELIABLE).then(|| Told::new(cseq, rand::random_range(1..1 << 31), core.config.t1));
    driver.asked_for_offer = invite.body().is_empty();
    driver.ours.lock().srtp = trunk.config.srtp;
    let peer = request.connection.as_ref().and_then(SipConnection::get_remote_addr);
    let contact = core.contact(trunk, peer)?;
    let dialog =
        core.layer.get_or_create_server_invite(request, states, trunk.credential(), Some(contact))?;
    driver.place.name(dialog.id().local_tag);
    driver.dialog = Some(dialog);
    Ok((driver, call))
}

async fn serve_invite(core: Arc<Core>, mut dialog: InviteDialog, mut request: Transaction, call: CallKey) {
    tokio::select! {
        handled = dialog.handle(&mut request) => if let Err(error) = handled {
            tracing::debug!(error = describe(&error), "INVITE failed");
        },
        // The stack waits for ever where it cannot read its own answer.
        () = forgotten(&core, &call) => tracing::debug!("INVITE left unacknowledged"),
    }
}

/// Once the call is over, and as long after as a transaction may live.
async fn forgotten(core: &Core, call: &CallKey) {
    loop {
        let changed = core.dialogs_changed.notified();
        tokio::pin!(changed);
        // Before the look, so that no change between the two is missed.
        changed.as_mut().enable();
        if !core.is_up(call) {
            break;
        }
        changed.await;
    }
    tokio::time::sleep(core.config.t1 * 68).await;
}

impl Driver {
    /// Sends an INVITE, and keeps it while it may have to leave once more.
    pub(super) fn send_invite(
        &mut self,
        options: InviteOption,
        states: DialogStateSender,
        answers: Option<Local>,
    ) -> Result<(), SipError> {
        let invite = Invite { options: Box::new(options), states, answers };
        self.send(&invite)?;
        self.again = Some(invite);
        Ok(())
    }

    fn send(&mut self, invite: &Invite) -> Result<(), SipError> {
        let options = (*invite.options).clone();
        let send = || Ok::<_, SipError>(self.core.layer.do_invite_async(options, invite.states.clone())?);
        let (dialog, task) = match invite.answers.clone() {
            Some(local) => self.core.late_offers.expect(local, send)?,
            None => send()?,
        };
        self.place.name(dialog.id().local_tag);
        if let Some(before) = self.dialog.replace(dialog) {
            self.core.late_offers.forget(&before.id());
        }
        self.invite = Some(task);
        Ok(())
    }

    /// Sends the INVITE once more, with the interval that the peer's 422 wants (RFC 4028 section 7.3): with
    /// the same Call-ID and a higher CSeq, but not with the same From tag, as RFC 3261 section 8.1.3.5 would
    /// have it, since the stack draws one for each INVITE. False if the response is no such thing or came
    /// before.
    pub(super) fn invite_again(&mut self, response: &Response) -> bool {
        let wanted = min_se(&response.headers)
            .filter(|_| response.status_code == StatusCode::SessionIntervalTooSmall)
            .filter(|_| !self.call.has_ended());
        let (Some(min_se), Some(terms)) = (wanted, self.core.config.terms()) else { return false };
        let Some(mut invite) = self.again.take() else { return false };
        let expires = SessionExpires { interval: terms.wanted.max(min_se), refresher: None };
        let headers = invite.options.headers.get_or_insert_default();
        headers.retain(|header| !matches!(header, Header::SessionExpires(_) | Header::MinSE(_)));
        headers.extend(session_headers(expires, min_se));
        self.send(&invite).is_ok()
    }
}
