//! What is looked at before a message reaches the parser: its size, its `Content-Length` against its
//! body (RFC 3261 section 18.3; the parser accepts a negative one and two of them), and where it came
//! from. A stranger gets no answer, so that a scanner learns nothing.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};

use super::{
    rate::{Limiter, RateLimit},
    trunk::Network,
};

/// How long an address stays a trunk's after its name no longer leads there: calls are under way.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Largest datagram read. The stack's buffer is one byte longer, so a longer datagram shows.
pub(super) const MAX_DATAGRAM: usize = 8_191;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    TooLong,
    NoHeaderEnd,
    BadContentLength,
    RepeatedContentLength,
    BodyShorterThanContentLength,
}

/// How many bytes of a datagram are the message: what follows the body that `Content-Length` declares
/// is no part of it.
pub(super) fn message_length(datagram: &[u8]) -> Result<usize, Refusal> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(Refusal::TooLong);
    }
    if is_keepalive(datagram) {
        return Ok(datagram.len());
    }
    let headers = find(datagram, b"\r\n\r\n").ok_or(Refusal::NoHeaderEnd)?;
    let body_start = headers + 4;
    let Some(declared) = content_length(&datagram[..headers])? else { return Ok(datagram.len()) };
    if declared > datagram.len() - body_start {
        return Err(Refusal::BodyShorterThanContentLength);
    }
    Ok(body_start + declared)
}

/// RFC 5626 section 3.5.1.
pub(super) fn is_keepalive(datagram: &[u8]) -> bool {
    !datagram.is_empty() && datagram.iter().all(u8::is_ascii_whitespace)
}

fn content_length(headers: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut declared = None;
    for line in headers.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let name = line[..colon].trim_ascii_end();
        if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = parse_content_length(&line[colon + 1..]).ok_or(Refusal::BadContentLength)?;
        if declared.replace(value).is_some() {
            return Err(Refusal::RepeatedContentLength);
        }
    }
    Ok(declared)
}

/// Digits alone; `None` for a sign, for nothing, and for more than a message can hold.
pub(super) fn parse_content_length(text: &[u8]) -> Option<usize> {
    let digits = text.trim_ascii();
    let plausible = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    plausible.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Messages that the stack did not get to see, since the start. Of these, only requests of a trunk are answered:
/// malformed ones, and those beyond the limit over TCP and TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Messages that are not what RFC 3261 says of their length, their start line or their header fields.
    pub malformed: u64,
    /// Datagrams, and requests over TCP and TLS, beyond what their source may send.
    pub limited: u64,
    /// Requests from addresses that belong to no trunk and name no live call.
    pub strangers: u64,
}

/// What stands before the parser, and counts.
#[derive(Debug)]
pub(super) struct Gate {
    limiter: Mutex<Limiter>,
    sources: Sources,
    received: AtomicU64,
    malformed: AtomicU64,
    limited: AtomicU64,
    strangers: AtomicU64,
}

impl Gate {
    pub fn new(limit: RateLimit, sources: Sources, now: Instant) -> Self {
        Gate {
            limiter: Mutex::new(Limiter::new(limit, now)),
            sources,
            received: AtomicU64::default(),
            malformed: AtomicU64::default(),
            limited: AtomicU64::default(),
            strangers: AtomicU64::default(),
        }
    }

    /// Whether a datagram from `source` is looked at.
    pub fn admits(&self, source: IpAddr, now: Instant) -> bool {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.has_room(source, now)
    }

    /// Whether one more message from `source`, by whatever transport, is looked at.
    pub fn has_room(&self, source: IpAddr, now: Instant) -> bool {
        let admitted = self.limiter.lock().admit(source, self.is_trunk(source), now);
        if !admitted {
            count(&self.limited, "rate");
        }
        admitted
    }

    pub fn is_trunk(&self, source: IpAddr) -> bool {
        self.sources.allows(source)
    }

    /// Datagrams since the start.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub fn count_malformed(&self) {
        count(&self.malformed, "malformed");
    }

    pub fn count_stranger(&self) {
        count(&self.strangers, "stranger");
    }

    pub fn dropped(&self) -> Dropped {
        Dropped {
            malformed: self.malformed.load(Ordering::Relaxed),
            limited: self.limited.load(Ordering::Relaxed),
            strangers: self.strangers.load(Ordering::Relaxed),
        }
    }
}

fn count(counter: &AtomicU64, why: &'static str) {
    counter.fetch_add(1, Ordering::Relaxed);
    metrics::counter!("callbox_sip_dropped_total", "why" => why).increment(1);
}

/// Who may speak to us: trunks by address, and anyone who names a call that lives. A carrier may
/// send a BYE from a machine that no configuration lists; its Call-ID proves that it belongs.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources(Arc<Lists>);

#[derive(Debug, Default)]
struct Lists {
    /// What each trunk's `allow` says, by the trunk's place in the configuration.
    networks: RwLock<Vec<(usize, Network)>>,
    /// The trunks whose server has an address, and when a lookup gave it last.
    servers: RwLock<HashMap<IpAddr, Vec<(usize, Instant)>>>,
    /// How many calls live of each Call-ID.
    calls: Mutex<HashMap<String, usize>>,
}

impl Sources {
    pub fn allow_networks(&self, trunk: usize, networks: &[Network]) {
        self.0.networks.write().extend(networks.iter().map(|network| (trunk, *network)));
    }

    /// Takes what a trunk's server resolved to. What it resolved to before stays for an hour.
    pub fn allow_servers(&self, trunk: usize, found: impl IntoIterator<Item = IpAddr>, now: Instant) {
        let mut servers = self.0.servers.write();
        for address in found {
            let trunks = servers.entry(address.to_canonical()).or_default();
            match trunks.iter_mut().find(|(known, _)| *known == trunk) {
                Some((_, seen)) => *seen = now,
                None => trunks.push((trunk, now)),
            }
        }
        servers.retain(|_, trunks| {
            trunks.retain(|(of, seen)| *of != trunk || now.duration_since(*seen) < REMEMBERED);
            !trunks.is_empty()
        });
    }

    /// The trunks an address belongs to, in the order of the configuration.
    pub fn trunks_of(&self, address: IpAddr) -> Vec<usize> {
        let address = address.to_canonical();
        let networks = self.0.networks.read();
        let servers = self.0.servers.read();
        let by_network = networks.iter().filter(|(_, net)| net.contains(address)).map(|(trunk, _)| *trunk);
        let by_server = servers.get(&address).into_iter().flatten().map(|(trunk, _)| *trunk);
        let mut trunks: Vec<usize> = by_server.chain(by_network).collect();
        trunks.sort_unstable();
        trunks.dedup();
        trunks
    }

    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.servers.read().contains_key(&address)
            || self.0.networks.read().iter().any(|(_, net)| net.contains(address))
    }

    pub fn knows_call(&self, call_id: &str) -> bool {
        self.0.calls.lock().contains_key(call_id)
    }

    pub fn call_began(&self, call_id: &str) {
        *self.0.calls.lock().entry(call_id.to_owned()).or_default() += 1;
    }

    pub fn call_ended(&self, call_id: &str) {
        let mut calls = self.0.calls.lock();
        if let Some(left) = calls.get_mut(call_id) {
            *left -= 1;
            if *left == 0 {
                calls.remove(call_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content_length: &str, body: &str) -> Vec<u8> {
        format!("OPTIONS sip:a SIP/2.0\r\nCall-ID: x\r\n{content_length}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn body_is_cut_to_its_content_length() {
        let exact = message("Content-Length: 4", "body");
        assert_eq!(message_length(&exact), Ok(exact.len()));
        assert_eq!(message_length(&message("l : 4", "body and more")), Ok(message("l : 4", "body").len()));
        let none = message("X: y", "body");
        assert_eq!(message_length(&none), Ok(none.len()));
    }

    #[test]
    fn wrong_content_length_is_refused() {
        let refused = |header: &str| message_length(&message(header, "body")).unwrap_err();
        assert_eq!(refused("Content-Length: -999"), Refusal::BadContentLength);
        assert_eq!(refused("Content-Length: "), Refusal::BadContentLength);
        assert_eq!(refused("Content-Length: +4"), Refusal::BadContentLength);
        assert_eq!(refused("Content-Length: 18446744073709551615"), Refusal::BadContentLength);
        assert_eq!(refused("Content-Length: 4\r\nContent-Length: 4"), Refusal::RepeatedContentLength);
        assert_eq!(refused("Content-Length: 4\r\nl: 5"), Refusal::RepeatedContentLength);
        assert_eq!(refused("Content-Length: 9999"), Refusal::BodyShorterThanContentLength);
    }

    #[test]
    fn oversize_and_endless_headers_are_refused() {
        assert_eq!(message_length(&[b'a'; MAX_DATAGRAM + 1]), Err(Refusal::TooLong));
        assert_eq!(message_length(b"OPTIONS sip:a SIP/2.0\r\n"), Err(Refusal::NoHeaderEnd));
        assert_eq!(message_length(b""), Err(Refusal::NoHeaderEnd));
        assert_eq!(message_length(b"\r\n\r\n"), Ok(4));
    }

    #[test]
    fn sources_are_known_by_trunk_or_by_live_call() {
        let sources = Sources::default();
        sources.allow_networks(0, &["192.0.2.0/24".parse().unwrap()]);
        let server = "198.51.100.1".parse().unwrap();
        sources.allow_servers(1, [server], Instant::now());
        sources.allow_servers(0, [server], Instant::now());
        assert_eq!(sources.trunks_of("192.0.2.9".parse().unwrap()), [0]);
        assert_eq!(sources.trunks_of("::ffff:198.51.100.1".parse().unwrap()), [0, 1]);
        assert!(!sources.allows("203.0.113.1".parse().unwrap()));
        sources.call_began("a@b");
        sources.call_began("a@b");
        sources.call_ended("a@b");
        assert!(sources.knows_call("a@b"), "the other call of this Call-ID lives");
        sources.call_ended("a@b");
        assert!(!sources.knows_call("a@b"));
    }

    #[test]
    fn address_that_a_trunk_gave_up_is_a_strangers_after_an_hour() {
        let (sources, began) = (Sources::default(), Instant::now());
        let [old, new]: [IpAddr; 2] = ["198.51.100.1", "198.51.100.2"].map(|text| text.parse().unwrap());
        sources.allow_servers(0, [old], began);
        sources.allow_servers(1, [old], began);
        let minute = Duration::from_secs(60);
        sources.allow_servers(0, [new], began + minute);
        assert_eq!((sources.trunks_of(old), sources.trunks_of(new)), (vec![0, 1], vec![0]));
        sources.allow_servers(0, [new], began + REMEMBERED);
        assert_eq!(sources.trunks_of(old), [1], "to the other trunk it belongs still");
        sources.allow_servers(1, [new], began + REMEMBERED);
        assert!(!sources.allows(old) && sources.allows(new));
        assert_eq!(sources.0.servers.read().len(), 1, "nothing is left of it");
    }
}
