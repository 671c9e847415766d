//! A call's REFER: sent along the dialog's route, followed by its NOTIFYs.
//!
//! A REFER of the peer's is refused (405, and `Allow` does not name it): whom this node calls is for those
//! to say who may place calls with it, and a peer that could refer it would call at its expense.

use std::time::Instant;

use rsipstack::{
    sip::{Header, Headers, Response, StatusCode, prelude::HasHeaders, prelude::HeadersExt},
    transaction::transaction::Transaction,
};

use super::{
    call::{Refer, Signal},
    dialog::State,
    driver::Driver,
    error::SipError,
    identity::{self, Identity},
    message::{allow, body_text},
    provisional::reply,
    referral::{Notice, Referral, Referring},
    renegotiation::Done,
    trunk::TransferBy,
};

impl Driver {
    /// How this call may be transferred: what the trunk is configured to, as far as the peer takes part.
    pub(super) fn transfer_by(&self) -> TransferBy {
        let by = self.by_trunk().map_or(TransferBy::Bridge, |trunk| trunk.config.transfer);
        match by {
            TransferBy::Auto if !self.peer_refers => TransferBy::Bridge,
            by => by,
        }
    }

    /// Asks the peer to call somebody else; what becomes of it comes as [`Signal::Referral`].
    pub(super) fn refer(&mut self, refer: &Refer) -> Result<(), SipError> {
        let dialog = self.dialog.clone().filter(|_| self.call.state() == State::Answered);
        let (Some(dialog), Some(trunk)) = (dialog, self.by_trunk()) else {
            return Err(SipError::CallOver);
        };
        if self.referring.as_ref().is_some_and(|referring| !referring.is_over()) {
            return Err(SipError::Refused(StatusCode::RequestPending.code()));
        }
        let Identity { caller, callee, .. } = identity::written(&trunk, &refer.to, refer.by.as_ref(), None)?;
        let by = Header::ReferredBy(format!("<{caller}>").into());
        let mut headers = vec![by, allow(), self.core.supported()];
        headers.extend(self.if_challenged());
        self.referring = Some(Referring::new(Instant::now(), refer.patience));
        self.inside.spawn(async move {
            let response = dialog.refer(callee, Some(headers), None).await;
            Done::Referred { response: response.ok().flatten() }
        });
        Ok(())
    }

    pub(super) fn on_referred(&mut self, response: Option<&Response>) {
        let status = response.map_or(408, |response| response.status_code.code());
        let id = response.and_then(|response| response.cseq_header().and_then(|cseq| cseq.seq()).ok());
        let subscribed = response.is_some_and(|response| subscribes(&response.headers));
        let news = self.referring.as_mut().and_then(|r| r.handle_response(status, id, subscribed));
        self.tell_referral(news);
    }

    /// A NOTIFY, whatever the state of the call.
    pub(super) fn on_notify(&mut self, request: Box<Transaction>) {
        let body = body_text(request.original.body()).unwrap_or_default();
        let read = Notice::read(request.original.headers(), &body);
        let heard = read.and_then(|notice| match &mut self.referring {
            Some(referring) => referring.handle_notice(notice),
            None => Err(StatusCode::CallTransactionDoesNotExist),
        });
        match heard {
            Ok(news) => {
                reply(request, StatusCode::OK, vec![]);
                self.tell_referral(news);
            }
            Err(status) => reply(request, status, vec![]),
        }
    }

    pub(super) fn referral_if_due(&mut self, now: Instant) {
        let news = self.referring.as_mut().and_then(|referring| referring.handle_timeout(now));
        self.tell_referral(news);
    }

    fn tell_referral(&mut self, news: Option<Referral>) {
        if let Some(referral) = news {
            tracing::debug!(?referral, "REFER");
            self.tell(Signal::Referral(referral));
        }
    }
}

/// Whether a 2xx to a REFER opens a subscription: `Refer-Sub: false` says no (RFC 4488).
fn subscribes(headers: &Headers) -> bool {
    let declined = |header: &Header| match header {
        Header::Other(name, value) => {
            name.eq_ignore_ascii_case("Refer-Sub") && value.trim().eq_ignore_ascii_case("false")
        }
        _ => false,
    };
    !headers.iter().any(declined)
}
