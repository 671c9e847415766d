//! How a call begins: the INVITE that leaves, and the one that comes in.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use rsipstack::{
    dialog::{dialog::DialogStateSender, invitation::InviteOption, invite_dialog::InviteDialog},
    sip::{Header, Response, StatusCode, Uri, prelude::HasHeaders, prelude::HeadersExt},
    transaction::{make_uuid_v4, transaction::Transaction},
    transport::SipAddr,
};

use super::{
    call::{IncomingCall, SipCall},
    dialog::{Call, Event},
    driver::Driver,
    end::SipEnd,
    error::{SipError, describe},
    link::Trunk,
    message::{SDP, allow, allows_update, asked, body_text, min_se, requires},
    node::{Core, Dial},
    reliable::{RELIABLE, Told},
    router,
    session_timer::SessionExpires,
};

/// Where an INVITE goes, and where its peer then reaches us.
pub(super) type Found = Result<(SipAddr, Uri), SipError>;
type Lookup = Pin<Box<dyn Future<Output = Found> + Send>>;

/// Our INVITE before it leaves, and the address it will go to.
pub(super) struct Outbound {
    lookup: Lookup,
    invite: Invite,
}

/// Our INVITE, kept while it may have to leave once more.
pub(super) struct Invite {
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
    let lookup: Lookup = Box::pin(async move {
        let address = resolving.resolve(&trunk).await?;
        Ok((address, resolving.contact(&trunk)?))
    });
    driver.description = Some(dial.offer);
    driver.outbound = Some(Outbound { lookup, invite: Invite { options, states } });
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
    let mut headers = vec![allow(), core.supported()];
    if let Some(terms) = core.config.terms() {
        headers.extend(session_headers(terms.ask(), terms.floor));
    }
    if shown.is_some() {
        headers.push(Header::PAssertedIdentity(format!("<{caller}>").into()));
    }
    Ok(InviteOption {
        caller,
        callee,
        contact: core.contact(trunk)?,
        content_type: Some(SDP.into()),
        offer: Some(dial.offer.clone().into_bytes()),
        credential: trunk.credential(),
        headers: Some(headers),
        call_id: Some(call_id.to_owned()),
        ..InviteOption::default()
    })
}

pub(super) fn session_headers(expires: SessionExpires, min_se: Duration) -> [Header; 2] {
    [Header::SessionExpires(expires.to_string().into()), Header::MinSE(min_se.as_secs().to_string().into())]
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
    let invite = &request.original;
    let call_id = invite.call_id_header()?.value().to_owned();
    let cseq = invite.cseq_header()?.seq()?;
    let (states, receiver) = core.layer.new_dialog_state_channel();
    let machine = Call::inbound(Instant::now(), core.limits(core.config.ring_timeout));
    // A second INVITE with the Call-ID of a live call is a merged request (RFC 3261 section 8.2.2.2).
    if core.sources.knows_call(&call_id) {
        return Err(SipError::Refused(482));
    }
    let (mut driver, call) = Driver::new(core, call_id.clone(), machine, receiver)?;
    let headers = invite.headers();
    // Too short an interval was refused before.
    driver.promised = core.config.terms().and_then(|terms| terms.answer(&asked(headers)).ok());
    driver.peer_updates = allows_update(headers);
    driver.told =
        requires(headers, RELIABLE).then(|| Told::new(cseq, rand::random_range(1..1 << 31), core.config.t1));
    driver.late_offer = invite.body().is_empty();
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
    pub(super) fn on_resolved(&mut self, found: Found) {
        let Some(Outbound { mut invite, .. }) = self.outbound.take() else { return };
        let started = found.and_then(|(address, contact)| {
            invite.options.contact = contact;
            self.destination = address.get_socketaddr().ok();
            invite.options.destination = Some(address);
            self.send_invite(&invite)
        });
        match started {
            Ok(()) => self.again = Some(invite),
            Err(SipError::Unreachable(detail)) => self.feed(Event::Failed(SipEnd::Unreachable { detail })),
            Err(error) => self.feed(Event::Failed(SipEnd::ProtocolError { detail: error.to_string() })),
        }
    }

    fn send_invite(&mut self, invite: &Invite) -> Result<(), SipError> {
        let options = (*invite.options).clone();
        let (dialog, task) = self.core.layer.do_invite_async(options, invite.states.clone())?;
        self.dialog = Some(dialog);
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
        self.send_invite(&invite).is_ok()
    }
}

/// The address our INVITE goes to, or never if it needs none.
pub(super) async fn resolved(outbound: &mut Option<Outbound>) -> Found {
    match outbound {
        Some(outbound) => outbound.lookup.as_mut().await,
        None => std::future::pending().await,
    }
}
