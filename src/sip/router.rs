//! What comes in from the network and belongs to no call yet.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rsipstack::{
    dialog::dialog::Dialog,
    sip::{
        Header, Method, Request, SipMessage, StatusCode,
        prelude::{HasHeaders, HeadersExt},
    },
    transaction::{TransactionReceiver, endpoint::TransportEventInspector, transaction::Transaction},
    transport::{SipAddr, SipConnection, TransportEvent},
};
use tokio::sync::{Semaphore, mpsc};

use super::{
    call::{IncomingCall, Party},
    error::{SipError, describe},
    guard::{self, Gate, Sources},
    link::Trunk,
    message::{SDP, accepts_sdp, allow, asked, unknown_extensions},
    node::Core,
    party::{party, uri_of},
    screen,
    session_timer::TooSmall,
    setup,
    trunk::TrunkConfig,
    vouched,
};

/// Answers to requests that the stack does not see which may be on their way over connections. Beyond them nothing
/// is said.
const ANSWERS: usize = 64;

/// How long a request waits for its dialog to be ready.
const DIALOG_WAIT: Duration = Duration::from_millis(500);

/// Drops requests from sources that no trunk allows, those of streams beyond what their source may send (a trunk is
/// told to wait: it would take the request for accepted), and stream messages whose length is in doubt, before the
/// stack answers them; screens those of streams, which the stack reads by itself.
pub(super) struct SourceFilter {
    sources: Sources,
    gate: Arc<Gate>,
    answers: Arc<Semaphore>,
}

#[async_trait::async_trait]
impl TransportEventInspector for SourceFilter {
    async fn handle(&self, event: TransportEvent) -> Option<TransportEvent> {
        let TransportEvent::Incoming(message, connection, from) = &event else { return Some(event) };
        if connection.is_reliable() && !self.has_room(message, from) {
            tracing::debug!(source = %from, "SIP request beyond the limit dropped");
            let source = from.get_socketaddr().ok().filter(|source| self.gate.is_trunk(source.ip()))?;
            self.answer(connection.clone(), screen::busy(&message.to_bytes(), source));
            return None;
        }
        let length_is_sound = !connection.is_reliable() || has_sound_length(message);
        let welcome = match message {
            SipMessage::Response(_) => true,
            SipMessage::Request(request) => self.is_welcome(request, from),
        };
        if !length_is_sound || !welcome {
            if welcome {
                self.gate.count_malformed()
            } else {
                self.gate.count_stranger()
            }
            tracing::debug!(source = %from, length_is_sound, welcome, "SIP message dropped");
            return None;
        }
        match event {
            TransportEvent::Incoming(message, connection, from) if connection.is_reliable() => {
                self.screen_stream(message, connection, from)
            }
            datagram => Some(datagram),
        }
    }
}

impl SourceFilter {
    pub fn new(sources: Sources, gate: Arc<Gate>) -> Self {
        SourceFilter { sources, gate, answers: Arc::new(Semaphore::new(ANSWERS)) }
    }

    fn screen_stream(
        &self,
        message: SipMessage,
        connection: SipConnection,
        from: SipAddr,
    ) -> Option<TransportEvent> {
        let screened = screen::screen(&message.to_bytes(), from.get_socketaddr().ok()?);
        let refused = match screened {
            Ok(plain) => {
                let plain = SipMessage::try_from(&plain[..]).ok()?;
                return Some(TransportEvent::Incoming(plain, connection, from));
            }
            Err(refused) => refused,
        };
        self.gate.count_malformed();
        tracing::debug!(source = %from, why = refused.why, "SIP message refused");
        self.answer(connection, refused.answer);
        None
    }

    /// Sends the response to a request that the stack does not see. Does not wait for it: the stack hears nobody
    /// meanwhile, and a peer may be slow to read.
    fn answer(&self, connection: SipConnection, response: Option<Vec<u8>>) {
        let Some(Ok(response)) = response.map(|response| SipMessage::try_from(&response[..])) else { return };
        let Ok(place) = self.answers.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            if let Err(error) = connection.send(response, None).await {
                tracing::debug!(error = describe(&error), "refusal not sent");
            }
            drop(place);
        });
    }

    /// Whether the source may send this, too. What is of a call that lives is not counted, nor is what begins
    /// nothing: responses and ACK, which come once and only to what was said before.
    fn has_room(&self, message: &SipMessage, from: &SipAddr) -> bool {
        let counts = match message {
            SipMessage::Response(_) => false,
            SipMessage::Request(request) => match request.method {
                Method::Ack => false,
                Method::Cancel => !self.knows_call_of(request),
                _ => !self.is_of_a_call(request),
            },
        };
        let source = from.get_socketaddr();
        !counts || source.is_ok_and(|from| self.gate.has_room(from.ip(), Instant::now()))
    }

    /// A request within a call that lives is heard wherever it comes from: a carrier may send it from
    /// another machine than the one that set the call up.
    fn is_welcome(&self, request: &Request, from: &SipAddr) -> bool {
        let by_address = from.get_socketaddr().is_ok_and(|from| self.sources.allows(from.ip()));
        by_address || self.is_of_a_call(request)
    }

    fn is_of_a_call(&self, request: &Request) -> bool {
        let in_dialog = matches!(request.to_header().map(|to| to.tag()), Ok(Ok(Some(_))));
        in_dialog && self.knows_call_of(request)
    }

    fn knows_call_of(&self, request: &Request) -> bool {
        request.call_id_header().is_ok_and(|id| self.sources.knows_call(id.value()))
    }
}

/// On a stream exactly one `Content-Length` delimits a message (RFC 3261 section 20.14).
fn has_sound_length(message: &SipMessage) -> bool {
    let mut lengths = message.headers().iter().filter_map(|header| match header {
        Header::ContentLength(length) => Some(length.value()),
        _ => None,
    });
    let first = lengths.next().and_then(|text| guard::parse_content_length(text.as_bytes()));
    let body = match message {
        SipMessage::Request(request) => &request.body,
        SipMessage::Response(response) => &response.body,
    };
    first == Some(body.len()) && lengths.next().is_none()
}

/// Runs the stack.
pub(super) async fn serve(core: Arc<Core>) {
    if let Err(error) = core.endpoint.serve().await {
        tracing::error!(error = describe(&error), "SIP stack stopped");
    }
}

/// Hands each request to its dialog, or answers it.
pub(super) async fn route(
    core: Arc<Core>,
    mut requests: TransactionReceiver,
    incoming: mpsc::Sender<IncomingCall>,
) {
    while let Some(request) = requests.recv().await {
        let in_dialog = match request.original.to_header().and_then(|to| to.tag()) {
            Ok(tag) => tag.is_some(),
            Err(_) => {
                tokio::spawn(async move { refuse(request, StatusCode::BadRequest, vec![]).await });
                continue;
            }
        };
        match (in_dialog, request.original.method) {
            (true, _) => handle_in_dialog(&core, request),
            (false, Method::Invite) => invite(&core, request, &incoming),
            (false, Method::Options) => drop(tokio::spawn(answer_options(core.clone(), request))),
            (false, Method::Ack) => {}
            (false, Method::Bye | Method::Info | Method::Update | Method::PRack) => {
                drop(tokio::spawn(refuse(request, StatusCode::CallTransactionDoesNotExist, vec![])));
            }
            (false, _) => {
                drop(tokio::spawn(refuse(request, StatusCode::MethodNotAllowed, vec![allow()])));
            }
        }
    }
}

/// What a peer may ask of us; a node that stops says so, that calls go elsewhere.
async fn answer_options(core: Arc<Core>, mut request: Transaction) {
    let unknown = unknown_extensions(request.original.headers(), core.config.terms().is_some());
    if let Some(unknown) = unknown {
        let unsupported = vec![Header::Unsupported(unknown.into())];
        return refuse(request, StatusCode::BadExtension, unsupported).await;
    }
    let status = if core.draining.is_cancelled() { StatusCode::ServiceUnavailable } else { StatusCode::OK };
    let _ = request.reply_with(status, core.capabilities(), None).await;
}

fn handle_in_dialog(core: &Arc<Core>, request: Transaction) {
    let unknown = unknown_extensions(request.original.headers(), core.config.terms().is_some());
    if let Some(unknown) = unknown.filter(|_| request.original.method != Method::Bye) {
        let unsupported = vec![Header::Unsupported(unknown.into())];
        return drop(tokio::spawn(refuse(request, StatusCode::BadExtension, unsupported)));
    }
    // The stack answers a PRACK whatever it says, leaves an UPDATE before the answer and a NOTIFY after the BYE
    // unanswered, and the INVITE that a BYE before the answer ends.
    let state = || Some(core.layer.match_dialog(&request)?.state());
    let early = match request.original.method {
        Method::PRack | Method::Notify => true,
        Method::Update => !state().is_some_and(|state| state.is_confirmed()),
        Method::Bye => state().is_some_and(|state| state.can_cancel()),
        _ => false,
    };
    if !early {
        return drop(tokio::spawn(deliver(core.clone(), request)));
    }
    if let Err((request, status)) = core.hand_over(request) {
        drop(tokio::spawn(refuse(*request, status, vec![])));
    }
}

/// Hands a request to its dialog.
pub(super) async fn deliver(core: Arc<Core>, mut request: Transaction) {
    let mut dialog = match dialog_of(&core, &request).await {
        Ok(dialog) => dialog,
        Err(status) => return refuse(request, status, vec![]).await,
    };
    if let Err(error) = dialog.handle(&mut request).await {
        tracing::debug!(method = %request.original.method, error = describe(&error), "in-dialog request failed");
    }
}

/// The stack acknowledges a 200 before it lists the dialog that the 200 made, and takes a moment to
/// act on an ACK; a quick peer's next request comes in between. For a call that lives, its dialog is
/// waited for until it can take the request.
async fn dialog_of(core: &Core, request: &Transaction) -> Result<Dialog, StatusCode> {
    let lives = || request.original.call_id_header().is_ok_and(|id| core.sources.knows_call(id.value()));
    let is_bye = request.original.method == Method::Bye;
    let ready = async {
        loop {
            let changed = core.dialogs_changed.notified();
            tokio::pin!(changed);
            // Before the look, so that no change between the two is missed.
            changed.as_mut().enable();
            match core.layer.match_dialog(request) {
                Some(dialog) if is_bye || !dialog.state().waiting_ack() => return Some(dialog),
                None if !lives() => return None,
                _ => changed.await,
            }
        }
    };
    match tokio::time::timeout(DIALOG_WAIT, ready).await {
        Ok(dialog) => dialog.ok_or(StatusCode::CallTransactionDoesNotExist),
        Err(_) if core.layer.match_dialog(request).is_some() => Err(StatusCode::ServerInternalError),
        Err(_) => Err(StatusCode::CallTransactionDoesNotExist),
    }
}

/// Answers with a final status and, for an INVITE, stays until its ACK.
async fn refuse(mut request: Transaction, status: StatusCode, headers: Vec<Header>) {
    if request.original.method == Method::Ack {
        return;
    }
    let timer_h = request.endpoint_inner.option.t1x64;
    if request.reply_with(status, headers, None).await.is_ok() && request.original.method == Method::Invite {
        // The stack starts no timer where it cannot read its own answer.
        let acknowledged = async { while request.receive().await.is_some() {} };
        let _ = tokio::time::timeout(timer_h * 2, acknowledged).await;
    }
}

fn invite(core: &Arc<Core>, request: Transaction, incoming: &mpsc::Sender<IncomingCall>) {
    let refusal = match admit_invite(core, &request) {
        Ok((trunk, source)) => match incoming.try_reserve() {
            Ok(place) => match setup::receive(core, &trunk, source, request) {
                Ok(call) => return place.send(call),
                Err(refused) => {
                    let (request, error) = *refused;
                    (request, status_of(&error), vec![])
                }
            },
            Err(_) => (request, StatusCode::ServiceUnavailable, vec![]),
        },
        Err((status, headers)) => (request, status, headers),
    };
    let (request, status, headers) = refusal;
    tokio::spawn(refuse(request, status, headers));
}

fn status_of(error: &SipError) -> StatusCode {
    match error {
        SipError::ShuttingDown | SipError::TooManyCalls(_) => StatusCode::ServiceUnavailable,
        SipError::Refused(status) => StatusCode::from(*status),
        _ => StatusCode::BadRequest,
    }
}

type Refusal = (StatusCode, Vec<Header>);

/// The trunk an INVITE comes by, or why it is refused.
fn admit_invite(core: &Core, request: &Transaction) -> Result<(Arc<Trunk>, SocketAddr), Refusal> {
    let source = request.connection.as_ref().and_then(SipConnection::get_remote_addr);
    let source = source.and_then(|source| source.get_socketaddr().ok());
    let source = source.ok_or((StatusCode::BadRequest, vec![]))?;
    let trunk = trunk_of(core, source).ok_or((StatusCode::Forbidden, vec![]))?;
    let headers = request.original.headers();
    let terms = core.config.terms();
    if let Some(unknown) = unknown_extensions(headers, terms.is_some()) {
        return Err((StatusCode::BadExtension, vec![Header::Unsupported(unknown.into())]));
    }
    if let Some(Err(TooSmall(shortest))) = terms.map(|terms| terms.answer(&asked(headers))) {
        let min_se = Header::MinSE(shortest.as_secs().to_string().into());
        return Err((StatusCode::SessionIntervalTooSmall, vec![min_se, core.supported()]));
    }
    let is_sdp = |kind: &str| kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case(SDP));
    let foreign_body = !request.original.body().is_empty()
        && headers.iter().any(|h| matches!(h, Header::ContentType(kind) if !is_sdp(kind.value())));
    if foreign_body {
        return Err((StatusCode::UnsupportedMediaType, vec![Header::Accept(SDP.into())]));
    }
    if !accepts_sdp(headers) {
        return Err((StatusCode::NotAcceptable, vec![]));
    }
    Ok((trunk, source))
}

/// Where several trunks share an address, the one whose server's port the request came from.
fn trunk_of(core: &Core, source: SocketAddr) -> Option<Arc<Trunk>> {
    let trunks: Vec<_> = core.sources.trunks_of(source.ip()).into_iter().map(|i| &core.trunks[i]).collect();
    let by_port = trunks.iter().find(|trunk| trunk.config.server.port == Some(source.port()));
    by_port.or(trunks.first()).map(|trunk| Arc::clone(trunk))
}

/// Who calls: the trunk's word before the caller's own.
pub(super) fn caller(request: &Request, trunk: &TrunkConfig) -> Option<Party> {
    let asserted = request.headers.iter().find_map(|header| match header {
        Header::PAssertedIdentity(value) => vouched::first_uri(value.value()),
        _ => None,
    });
    let own = || uri_of(request.from_header().ok()?.value());
    asserted.or_else(own).and_then(|uri| party(uri, trunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Pii,
        sip::{called::called, trunk::NumberFormat},
    };

    fn peer() -> TrunkConfig {
        TrunkConfig::peer("a", "x".parse().unwrap())
    }

    fn caller(request: &Request) -> Option<Party> {
        let number_format = NumberFormat::E164WithoutPlus;
        super::caller(request, &TrunkConfig { number_format, ..peer() })
    }

    fn request(headers: &str) -> Request {
        let text = format!(
            "INVITE sip:14155550100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
             Call-ID: a\r\nCSeq: 1 INVITE\r\n{headers}\r\n\r\n"
        );
        Request::try_from(text.as_bytes()).unwrap()
    }

    #[test]
    fn asserted_identity_beats_from_and_anonymous_is_nobody() {
        let number = |text: &str| Some(Party::Number(text.parse().unwrap()));
        let from = "From: \"x\" <sip:+4930123456@a>;tag=1\r\nTo: <sip:b@c>";
        assert_eq!(caller(&request(from)), number("+4930123456"));
        let asserted = format!("{from}\r\nP-Asserted-Identity: \"Y\" <sip:14155550123@a>");
        assert_eq!(caller(&request(&asserted)), number("+14155550123"));
        let anonymous = "From: <sip:anonymous@anonymous.invalid>;tag=1\r\nTo: <sip:b@c>";
        assert_eq!(caller(&request(anonymous)), None);
        let extension = "From: <sip:1001@a>;tag=1\r\nTo: <sip:b@c>";
        assert_eq!(caller(&request(extension)), Some(Party::Other(Pii::new("1001".into()))));
        let plain = TrunkConfig { number_format: NumberFormat::E164WithoutPlus, ..peer() };
        assert_eq!(called(&request(extension), &plain).party, number("+14155550100"));
    }

    #[test]
    fn parameters_of_a_user_leave_its_number_whole() {
        let number = |text: &str| Some(Party::Number(text.parse().unwrap()));
        let from = "From: <sip:+4930123456;cpc=ordinary@a;user=phone>;tag=1";
        let asked = request(&format!("{from}\r\nTo: <sip:+14155550177;npdi@c>"));
        let ours = TrunkConfig { caller_id: Some("+14155550177".parse().unwrap()), ..peer() };
        assert_eq!(
            (caller(&asked), called(&asked, &ours).party),
            (number("+4930123456"), number("+14155550177"))
        );
        let asserted = format!("{from}\r\nTo: <sip:b@c>\r\nP-Asserted-Identity: <sip:+14155550123;cpc=x@a>");
        assert_eq!(caller(&request(&asserted)), number("+14155550123"));
        let by_uri = "INVITE sip:+14155550188;rn=+14155550000;npdi@192.0.2.1 SIP/2.0\r\n\
                      Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\
                      From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\n\r\n";
        let by_uri = Request::try_from(by_uri.as_bytes()).unwrap();
        assert_eq!(called(&by_uri, &peer()).party, number("+14155550188"));
    }

    #[test]
    fn stream_message_needs_exactly_one_true_length() {
        let sound = |lengths: &str| {
            has_sound_length(&request(&format!("From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>{lengths}")).into())
        };
        assert!(sound("\r\nContent-Length: 0"));
        assert!(!sound(""));
        assert!(!sound("\r\nContent-Length: 5"));
        assert!(!sound("\r\nContent-Length: 0\r\nContent-Length: 0"));
        assert!(!sound("\r\nContent-Length: -1"));
    }
}
