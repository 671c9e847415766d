//! One REGISTER, as often as it takes: by the trunk's addresses one after the other, for as long as the
//! registrar wants at least (423), and always as the same device.
//!
//! The Call-ID and the instance (RFC 5626) stay the same over restarts of this node, with numbers that rise,
//! so that a registrar replaces the binding of before instead of ringing both.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rsipstack::{
    dialog::registration::Registration,
    sip::{
        Header, Request, Response, StatusCode, Uri,
        headers::CallId,
        typed::{Contact, Route},
    },
    transport::SipAddr,
};
use sha2::{Digest, Sha256};

use super::{
    error::{SipError, describe},
    hunt::retry_after,
    link::Trunk,
    node::Core,
    trunk::Transport,
};

/// Longest registration that a registrar may want.
const LONGEST: u32 = 86_400;
/// Carries the instance to the Contact, which the stack writes.
const INSTANCE: &str = "Callbox-Instance";
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
}

impl Attempt {
    pub fn failed(detail: String) -> Self {
        Attempt { failure: Failure::Passing, status: None, detail, retry_after: None }
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
        Attempt { failure, status: Some(status), detail, retry_after: retry_after(response) }
    }
}

pub(super) struct Registrar {
    inner: Registration,
    uri: Uri,
    /// The shortest registration that it grants.
    shortest: u32,
}

impl Registrar {
    pub fn new(core: &Core, trunk: &Trunk) -> Result<Self, SipError> {
        let mut inner = Registration::new(core.endpoint.clone(), trunk.credential());
        let instance = instance(core.config.bind.port());
        inner.call_id = CallId::from(call_id(&instance, trunk));
        inner.last_seq = first_number();
        inner.extra_headers = vec![Header::Other(INSTANCE.into(), instance)];
        Ok(Registrar { inner, uri: trunk.registrar_uri()?, shortest: 0 })
    }

    /// Where calls should reach us. Without a contact of ours the stack takes the address the registrar
    /// sees, which is right behind NAT; over a connection, and where our public address is known, we say
    /// it. Either may have changed since the last time.
    fn contact(core: &Core, trunk: &Trunk) -> Option<Contact> {
        let known = core.addresses.public().is_some() || trunk.config.transport != Transport::Udp;
        let uri = core.contact(trunk).ok().filter(|_| known)?;
        Some(Contact { display_name: None, uri, params: vec![] })
    }

    /// What the last answer says of it; nothing if a proxy of it takes no loose route, as all must.
    pub fn service_route(&self) -> Vec<Route> {
        let route = self.inner.preloaded_route_set();
        if route.iter().all(Route::has_lr) { route } else { Vec::new() }
    }

    /// What was granted.
    pub async fn register(&mut self, core: &Core, trunk: &Trunk, expires: u32) -> Result<Duration, Attempt> {
        let addresses = core.targets(trunk).await.map_err(|e| Attempt::failed(e.to_string()))?;
        let mut failed = Attempt::failed("the name has no address".into());
        for (index, address) in addresses.iter().enumerate() {
            let is_last = index + 1 == addresses.len();
            failed = match self.register_at(core, trunk, address, expires, is_last).await {
                Err(attempt) if attempt.failure == Failure::Passing => attempt,
                done => return done,
            };
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
        self.inner.contact = Self::contact(core, trunk);
        self.inner.outbound_proxy = address.get_socketaddr().ok();
        // The last one has as long as its transaction lives.
        let limit = if is_last { core.config.t1 * 68 } else { core.config.setup_timeout };
        let mut corrections = 0;
        loop {
            let asked = if expires == 0 { 0 } else { expires.max(self.shortest) };
            let answer =
                tokio::time::timeout(limit, self.inner.register(self.uri.clone(), Some(asked))).await;
            let answer = answer.map_err(|_| Attempt::failed("the registrar does not answer".into()))?;
            let response = answer.map_err(|error| Attempt::failed(describe(&error)))?;
            if response.status_code == StatusCode::OK {
                return Ok(Duration::from_secs(self.inner.expires().into()));
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
            NO_OUTBOUND => !std::mem::take(&mut self.inner.extra_headers).is_empty(),
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

/// Moves the instance to where it belongs.
pub(super) fn name_instance(request: &mut Request) {
    let mut instance = None;
    request.headers.retain(|header| match header {
        Header::Other(name, value) if name == INSTANCE => {
            instance = Some(value.clone());
            false
        }
        _ => true,
    });
    let Some(instance) = instance else { return };
    for header in request.headers.iter_mut() {
        if let Header::Contact(contact) = header {
            let value = format!("{};+sip.instance=\"<urn:uuid:{instance}>\";reg-id=1", contact.value());
            *header = Header::Contact(value.into());
        }
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
    fn instance_stands_in_the_contact_and_nowhere_else() {
        let text = "REGISTER sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
                    To: <sip:a@b>\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\nContact: <sip:a@192.0.2.1>\r\n\
                    Callbox-Instance: 1-2\r\n\r\n";
        let mut request = Request::try_from(text.as_bytes()).unwrap();
        name_instance(&mut request);
        let sent = request.to_string();
        assert!(
            sent.contains("Contact: <sip:a@192.0.2.1>;+sip.instance=\"<urn:uuid:1-2>\";reg-id=1\r\n"),
            "{sent}"
        );
        assert!(!sent.contains("Callbox"), "{sent}");
    }
}
