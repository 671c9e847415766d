//! One REGISTER, as often as it takes: by the trunk's addresses one after the other, for as long as the
//! registrar wants at least (423), and always as the same device.
//!
//! The Call-ID and the instance (RFC 5626) stay the same over restarts of this node, with numbers that rise,
//! so that a registrar replaces the binding of before instead of ringing both.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rsipstack::{
    dialog::registration::Registration,
    sip::{
        Header, Request, Response, StatusCode, Uri,
        headers::CallId,
        prelude::HeadersExt,
        typed::{Contact, Route},
    },
    transport::SipAddr,
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    error::{SipError, describe},
    hunt::retry_after,
    link::Trunk,
    node::Core,
    routes::AFTER_SILENCE,
    trunk::Transport,
};

/// Longest registration that a registrar may want.
const LONGEST: u32 = 86_400;
/// Carries the instance to the Contact, which the stack writes.
const INSTANCE: &str = "Callbox-Instance";
/// Carries a Contact that the stack must not overwrite.
const HELD: &str = "Callbox-Contact";
/// `First Hop Lacks Outbound Support` (RFC 5626 section 11.6).
const NO_OUTBOUND: u16 = 439;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No answer, or a server that is busy: it may pass soon.
    Passing,
    /// Wrong credentials or a refusal: nothing changes by asking often, and carriers ban those who do.
    Standing,
}

/// A REGISTER that did not register.
pub(super) struct Attempt {
    pub failure: Failure,
    pub status: Option<u16>,
    pub detail: String,
    pub retry_after: Option<Duration>,
    /// How long the address is tried after the others.
    aside: Option<Duration>,
}

impl Attempt {
    pub fn failed(detail: String) -> Self {
        Attempt { failure: Failure::Passing, status: None, detail, retry_after: None, aside: None }
    }

    /// The REGISTER left, and nothing came back.
    fn unanswered(detail: String) -> Self {
        Attempt { aside: Some(AFTER_SILENCE), ..Attempt::failed(detail) }
    }

    fn refused(response: &Response) -> Self {
        let status = response.status_code.code();
        let failure =
            if matches!(status, 408 | 423 | 429 | 500..=599) { Failure::Passing } else { Failure::Standing };
        let detail = match status {
            401 | 407 => "the registrar rejects `username` and `password`".to_owned(),
            408 => "the registrar does not answer".to_owned(),
            _ => format!("the registrar answers {status}"),
        };
        let retry_after = retry_after(response);
        let aside = match status {
            // The stack's own word for silence, too.
            408 => Some(AFTER_SILENCE),
            503 => retry_after,
            _ => None,
        };
        Attempt { failure, status: Some(status), detail, retry_after, aside }
    }
}

pub(super) struct Registrar {
    inner: Registration,
    uri: Uri,
    /// The shortest registration that it grants.
    shortest: u32,
    binding: Option<Binding>,
    /// By the last REGISTER; else by one before it.
    is_fresh: bool,
}

/// What was granted last.
struct Binding {
    address: SipAddr,
    /// As it was said.
    contact: Option<Uri>,
    /// Of the connection that it was granted over.
    life: CancellationToken,
    /// How long calls reach us by it, whatever becomes of its refreshes.
    until: Instant,
}

impl Registrar {
    pub fn new(core: &Core, trunk: &Trunk) -> Result<Self, SipError> {
        let mut inner = Registration::new(core.endpoint.clone(), trunk.credential());
        let instance = instance(core.config.bind.port());
        inner.call_id = CallId::from(call_id(&instance, trunk));
        inner.last_seq = first_number();
        inner.extra_headers = vec![Header::Other(INSTANCE.into(), instance)];
        Ok(Registrar { inner, uri: trunk.registrar_uri()?, shortest: 0, binding: None, is_fresh: false })
    }

    /// Where calls should reach us. Without a contact of ours the stack takes the address the registrar
    /// sees, which is right behind NAT; over a connection, and where our public address is known, we say
    /// it, until a challenge tells what the registrar sees: then the stack says that. Either may have changed
    /// since the last time.
    fn contact(core: &Core, trunk: &Trunk, address: &SipAddr) -> Option<Uri> {
        let known = core.addresses.public().is_some() || trunk.config.transport != Transport::Udp;
        core.contact(trunk, Some(address)).ok().filter(|_| known)
    }

    /// Whether the contact stays as we said it, whatever the registrar sees: the operator set our address, and
    /// peers can reach us there.
    fn holds_contact(core: &Core, trunk: &Trunk) -> bool {
        core.config.public_address.is_some() && core.addresses.serves(trunk.config.transport)
    }

    /// Whether what was registered is no longer what would be, and the last REGISTER did not try to mend it.
    pub fn has_moved(&self, core: &Core, trunk: &Trunk) -> bool {
        self.is_fresh && self.leads_elsewhere(core, trunk)
    }

    fn leads_elsewhere(&self, core: &Core, trunk: &Trunk) -> bool {
        self.live().is_some_and(|live| Self::contact(core, trunk, &live.address) != live.contact)
    }

    fn live(&self) -> Option<&Binding> {
        self.binding.as_ref().filter(|binding| !binding.life.is_cancelled())
    }

    /// Returns when the connection is gone that was registered over; never where there is none.
    pub async fn lost(&self) {
        match self.binding.as_ref().filter(|_| self.is_fresh) {
            Some(binding) => binding.life.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// How long calls reach us by what was granted, though later attempts failed.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.live()?.until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Returns when what was granted has expired, or its connection has gone and no refresh of it stands: that is
    /// [mended](Registrar::lost). Never where nothing was granted.
    pub fn expired(&self) -> impl Future<Output = ()> + use<> {
        let ends = self.binding.as_ref().map(|binding| (binding.until, binding.life.clone()));
        let is_fresh = self.is_fresh;
        async move {
            match ends {
                Some((until, _)) if is_fresh => tokio::time::sleep_until(until.into()).await,
                // An error means that it expires first.
                Some((until, life)) => {
                    tokio::time::timeout_at(until.into(), life.cancelled()).await.unwrap_or_default()
                }
                None => std::future::pending().await,
            }
        }
    }

    /// What the last answer says of it; nothing if a proxy of it takes no loose route, as all must.
    pub fn service_route(&self) -> Vec<Route> {
        let route = self.inner.preloaded_route_set();
        if route.iter().all(Route::has_lr) { route } else { Vec::new() }
    }

    /// What was granted.
    pub async fn register(&mut self, core: &Core, trunk: &Trunk, expires: u32) -> Result<Duration, Attempt> {
        if self.leads_elsewhere(core, trunk) {
            self.binding = None;
        }
        self.is_fresh = false;
        let addresses = core.targets(trunk).await.map_err(|e| Attempt::failed(e.to_string()))?;
        let mut failed = Attempt::failed("the name has no address".into());
        for (index, address) in addresses.iter().enumerate() {
            let is_last = index + 1 == addresses.len();
            failed = match self.register_at(core, trunk, address, expires, is_last).await {
                Err(attempt) if attempt.failure == Failure::Passing => attempt,
                Err(refused) => {
                    self.binding = None;
                    return Err(refused);
                }
                granted => {
                    trunk.take_up(address.get_socketaddr().ok());
                    return granted;
                }
            };
            if let Some(pause) = failed.aside {
                trunk.leave_alone(address.get_socketaddr().ok(), pause);
            }
        }
        Err(failed)
    }

    async fn register_at(
        &mut self,
        core: &Core,
        trunk: &Trunk,
        address: &SipAddr,
        expires: u32,
        is_last: bool,
    ) -> Result<Duration, Attempt> {
        core.connect(trunk, address).await.map_err(|error| Attempt::failed(error.to_string()))?;
        let (contact, life) = (Self::contact(core, trunk, address), core.life(address));
        let held = contact.clone().filter(|_| Self::holds_contact(core, trunk));
        self.inner.extra_headers.retain(|header| header.name() != HELD);
        self.inner.extra_headers.extend(held.iter().map(|uri| Header::Other(HELD.into(), uri.to_string())));
        let said = contact.clone().map(|uri| Contact { display_name: None, uri, params: vec![] });
        self.inner.contact = said;
        self.inner.outbound_proxy = address.get_socketaddr().ok();
        // The last one has as long as its transaction lives.
        let limit = if is_last { core.config.t1 * 68 } else { core.config.setup_timeout };
        let mut corrections = 0;
        loop {
            let asked = if expires == 0 { 0 } else { expires.max(self.shortest) };
            let refused = core.refused(address);
            let answer = tokio::select! {
                biased;
                answer = self.inner.register(self.uri.clone(), Some(asked)) => Ok(answer),
                () = refused => Err(format!("nobody listens at {}", address.addr)),
                () = tokio::time::sleep(limit) => Err("the registrar does not answer".to_owned()),
            };
            let answer = answer.map_err(Attempt::unanswered)?;
            let response = answer.map_err(|error| Attempt::unanswered(describe(&error)))?;
            if response.status_code == StatusCode::OK {
                let granted = held.and_then(|uri| granted(&response, &uri));
                let granted = granted.unwrap_or_else(|| self.inner.expires());
                let granted = Duration::from_secs(granted.into());
                let until = Instant::now() + granted;
                self.binding = Some(Binding { address: address.clone(), contact, life, until });
                self.is_fresh = true;
                return Ok(granted);
            }
            corrections += 1;
            if corrections > 2 || !self.corrects(&response, asked) {
                return Err(Attempt::refused(&response));
            }
        }
    }

    /// Whether the next REGISTER says what this response misses in the last one.
    fn corrects(&mut self, response: &Response, asked: u32) -> bool {
        match response.status_code.code() {
            423 => {
                let wanted = min_expires(response).filter(|wanted| (asked + 1..=LONGEST).contains(wanted));
                self.shortest = wanted.unwrap_or(self.shortest);
                wanted.is_some()
            }
            NO_OUTBOUND => {
                let before = self.inner.extra_headers.len();
                self.inner.extra_headers.retain(|header| header.name() != INSTANCE);
                self.inner.extra_headers.len() < before
            }
            _ => false,
        }
    }
}

fn min_expires(response: &Response) -> Option<u32> {
    response.headers.iter().find_map(|header| match header {
        Header::MinExpires(value) => value.value().trim().parse().ok(),
        _ => None,
    })
}

/// What is granted to a Contact that is held: the stack looks for the one that it would have sent.
fn granted(response: &Response, contact: &Uri) -> Option<u32> {
    let bindings = response.typed_contact_headers().ok()?;
    let ours = bindings.iter().filter(|binding| {
        (&binding.uri.auth, &binding.uri.host_with_port) == (&contact.auth, &contact.host_with_port)
    });
    ours.filter_map(Contact::expires).min()
}

/// Writes the Contact that is held, and moves the instance to where it belongs.
pub(super) fn write_contact(request: &mut Request) {
    let (mut instance, mut held) = (None, None);
    request.headers.retain(|header| {
        let Header::Other(name, value) = header else { return true };
        match name.as_str() {
            INSTANCE => instance = Some(value.clone()),
            HELD => held = Some(value.clone()),
            _ => return true,
        }
        false
    });
    for header in request.headers.iter_mut() {
        let Header::Contact(contact) = header else { continue };
        let uri = held.as_ref().map_or_else(|| contact.value().to_owned(), |uri| format!("<{uri}>"));
        let instance = instance.as_ref().map(|id| format!(";+sip.instance=\"<urn:uuid:{id}>\";reg-id=1"));
        *header = Header::Contact(format!("{uri}{}", instance.unwrap_or_default()).into());
    }
}

/// This node among all: the same after a restart, another on another machine or port.
fn instance(port: u16) -> String {
    let read = |path| std::fs::read_to_string(path).ok().filter(|text| !text.trim().is_empty());
    let machine = read("/etc/machine-id").or_else(|| read("/proc/sys/kernel/hostname")).unwrap_or_default();
    let hash = digest(&["callbox instance", machine.trim(), &port.to_string()]);
    uuid::Builder::from_random_bytes(hash).into_uuid().to_string()
}

fn call_id(instance: &str, trunk: &Trunk) -> String {
    let config = &trunk.config;
    let user = config.username.as_deref().unwrap_or_default();
    hex::encode(digest(&["callbox registration", instance, &config.name, user, config.domain()]))
}

fn digest(parts: &[&str]) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(parts.join("\n")).into();
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// Seconds since 2024: more than any CSeq of before the last start.
fn first_number() -> u32 {
    const BEGINNING: u64 = 1_704_067_200;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(now.saturating_sub(BEGINNING) & 0x7fff_ffff).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_the_same_device_after_a_restart_and_another_one_by_another_port() {
        assert_eq!(instance(5060), instance(5060));
        assert_ne!(instance(5060), instance(5062));
        assert!(uuid::Uuid::parse_str(&instance(5060)).is_ok());
        let (before, after) = (first_number(), first_number());
        assert!(0 < before && before <= after);
    }

    #[test]
    fn address_that_is_silent_or_names_a_time_is_set_aside() {
        let aside = |status: &str, more: &str| {
            let text = format!(
                "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
                 To: <sip:a@b>;tag=2\r\nCall-ID: a\r\nCSeq: 2 REGISTER\r\n{more}\r\n"
            );
            Attempt::refused(&Response::try_from(text.as_bytes()).unwrap()).aside
        };
        assert_eq!(Attempt::unanswered("silent".into()).aside, Some(AFTER_SILENCE));
        assert_eq!(aside("408 Request Timeout", ""), Some(AFTER_SILENCE));
        assert_eq!(aside("503 Service Unavailable", "Retry-After: 7\r\n"), Some(Duration::from_secs(7)));
        assert_eq!(aside("503 Service Unavailable", ""), None);
        assert_eq!(aside("403 Forbidden", ""), None);
        assert_eq!(Attempt::failed("no such name".into()).aside, None, "nothing was sent");
    }

    fn written(headers: &str) -> String {
        let text = format!(
            "REGISTER sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\nContact: <sip:a@192.0.2.1>\r\n{headers}\r\n"
        );
        let mut request = Request::try_from(text.as_bytes()).unwrap();
        write_contact(&mut request);
        let sent = request.to_string();
        assert!(!sent.contains("Callbox"), "{sent}");
        sent
    }

    #[test]
    fn instance_stands_in_the_contact_and_nowhere_else() {
        let sent = written("Callbox-Instance: 1-2\r\n");
        let contact = "Contact: <sip:a@192.0.2.1>;+sip.instance=\"<urn:uuid:1-2>\";reg-id=1\r\n";
        assert!(sent.contains(contact), "{sent}");
        let sent = written("Callbox-Instance: 1-2\r\nCallbox-Contact: sip:a@203.0.113.1:5060\r\n");
        let contact = "Contact: <sip:a@203.0.113.1:5060>;+sip.instance=\"<urn:uuid:1-2>\";reg-id=1\r\n";
        assert!(sent.contains(contact), "{sent}");
        assert!(written("").contains("Contact: <sip:a@192.0.2.1>\r\n"));
    }

    #[test]
    fn held_contact_is_granted_what_stands_beside_it() {
        let response = Response::try_from(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>;tag=2\r\nCall-ID: a\r\nCSeq: 2 REGISTER\r\n\
             Contact: <sip:a@198.51.100.7>;expires=9, <sip:a@203.0.113.1:5060>;expires=120\r\n\r\n"
                .as_bytes(),
        )
        .unwrap();
        let of = |uri: &str| granted(&response, &Uri::try_from(uri).unwrap());
        assert_eq!(of("sip:a@203.0.113.1:5060;transport=tcp"), Some(120));
        assert_eq!(of("sip:a@203.0.113.2:5060"), None);
    }
}
