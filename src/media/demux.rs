//! Whose datagram it is, where many calls share one port.
//!
//! In: what each call claims ([`Claim`]: the address its SDP names, the source it is latched to, the stream
//! it hears), and the source and SSRC of a datagram. Out: the call to give it to, which then judges it as
//! if the port were its own ([`latching`](super::latching)).
//!
//! * A source that one call alone claims, as latched or else as its SDP names it, is that call's.
//! * Of a source that several calls claim (a gateway that sends them all from one port), the SSRC decides.
//!   A stream that no call hears yet is that of the only call that waits for one; where several wait,
//!   nobody gets it, since a guess might let a stranger hear a call.
//! * A source that no call claims is that of the only call that waits for media from its host (symmetric
//!   NAT changes ports). From another host nothing is taken: on a port of its own a call may be found by
//!   chance by the first that sends, on a port that never changes it would be by anybody who keeps sending.
//! * That is a guess: a call's media may be here before its answer is, which names the source. The call whose SDP
//!   does so soon after has it, and the one that was mistaken for it waits for its own again.
//! * A report tells by itself whose it is where it speaks of a stream of ours, whose SSRC nobody guesses;
//!   and so proves which stream of the far end belongs to it.
//! * A stream whose call has ended rests: its last packets are nobody's.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::rtp::Ssrc;

/// Streams of ended calls that are remembered; the oldest is forgotten first.
const RESTING: usize = 4_096;

/// How long a guess counts as one: longer than media is ahead of the answer.
const GUESS: Duration = Duration::from_secs(10);

/// What a call says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Of what it sends.
    pub ours: Ssrc,
    /// Where its SDP says that the far end is.
    pub expected: SocketAddr,
    /// Where the far end's media really comes from, once it does.
    pub latched: Option<SocketAddr>,
    /// The stream that is heard.
    pub heard: Option<Ssrc>,
}

impl Claim {
    /// Where its media comes from, as far as is known.
    fn source(&self) -> SocketAddr {
        canonical(self.latched.unwrap_or(self.expected))
    }

    /// Whether its media comes from elsewhere than its SDP says.
    fn is_elsewhere(&self) -> bool {
        self.source() != canonical(self.expected)
    }
}

/// Names a call; chosen by whoever claims.
pub type Call = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The stream that the call hears.
    Known(Call),
    /// Probably the call's. What it claims may change by it: [`Demux::claim`] is to follow.
    New(Call),
    Nobody,
}

impl Route {
    pub const fn known(&self) -> Option<Call> {
        if let Route::Known(call) = self { Some(*call) } else { None }
    }
}

/// The calls on one port. Takes the time, reads no clock.
pub struct Demux {
    rest: Duration,
    calls: HashMap<Call, Entry>,
    by_source: HashMap<SocketAddr, Vec<Call>>,
    by_host: HashMap<IpAddr, Vec<Call>>,
    by_ours: HashMap<Ssrc, Call>,
    /// Calls by the stream that they hear and the host it comes from.
    by_heard: HashMap<(IpAddr, Ssrc), Vec<Call>>,
    /// Of these, the first by the whole source: nearly all packets are told by one look here, however many
    /// calls a gateway has.
    flows: HashMap<Flow, Call, RandomState>,
    /// Oldest first, with the time when it may be heard again.
    resting: VecDeque<(Instant, SocketAddr, Ssrc)>,
}

/// A source and a stream of it in numbers: with its call it fills half a line of a cache.
type Flow = [u64; 3];

fn flow(from: SocketAddr, ssrc: Ssrc) -> Flow {
    let ip = match from.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let ip = ip.to_bits();
    [(ip >> 64) as u64, ip as u64, u64::from(from.port()) << 32 | u64::from(ssrc.0)]
}

struct Entry {
    claim: Claim,
    /// When it first claimed its source.
    since: Instant,
    /// The far end's stream, by its own report.
    proven: Option<Ssrc>,
}

impl Demux {
    /// Streams of ended calls rest for `rest`.
    pub fn new(rest: Duration) -> Self {
        Demux {
            rest,
            calls: HashMap::new(),
            by_source: HashMap::new(),
            by_host: HashMap::new(),
            by_ours: HashMap::new(),
            by_heard: HashMap::new(),
            flows: HashMap::default(),
            resting: VecDeque::new(),
        }
    }

    /// A call begins, or claims something else than before. Gives the calls that were taken for those of the source
    /// that it names: they are to wait for media again.
    pub fn claim(&mut self, call: Call, claim: Claim, now: Instant) -> Vec<Call> {
        let before = self.remove(call);
        let proven = before.as_ref().and_then(|before| before.proven);
        let since =
            before.filter(|before| before.claim.source() == claim.source()).map(|before| before.since);
        let mistaken = if claim.is_elsewhere() { Vec::new() } else { self.guessed(claim.source(), now) };
        self.by_source.entry(claim.source()).or_default().push(call);
        self.by_host.entry(claim.source().ip()).or_default().push(call);
        self.by_ours.insert(claim.ours, call);
        if let Some(heard) = claim.heard {
            self.by_heard.entry((claim.source().ip(), heard)).or_default().push(call);
            self.flows.entry(flow(claim.source(), heard)).or_insert(call);
        }
        self.calls.insert(call, Entry { claim, since: since.unwrap_or(now), proven });
        mistaken
    }

    /// The calls of which it was guessed lately, and not proven since, that this is their source.
    fn guessed(&self, source: SocketAddr, now: Instant) -> Vec<Call> {
        let is_guess = |call: &&Call| {
            let Entry { claim, since, proven } = &self.calls[*call];
            let is_proven = proven.is_some() && *proven == claim.heard;
            claim.is_elsewhere() && !is_proven && now.saturating_duration_since(*since) < GUESS
        };
        self.by_source.get(&source).into_iter().flatten().filter(is_guess).copied().collect()
    }

    /// A call ends.
    pub fn release(&mut self, call: Call, now: Instant) {
        self.resting.retain(|(until, ..)| *until > now);
        if let Some(Entry { claim, .. }) = self.remove(call)
            && let Some(heard) = claim.heard
        {
            self.resting.push_back((now + self.rest, claim.source(), heard));
            if self.resting.len() > RESTING {
                self.resting.pop_front();
            }
        }
    }

    /// Whose RTP it is.
    pub fn rtp(&self, now: Instant, from: SocketAddr, ssrc: Ssrc) -> Route {
        if let Some(call) = self.flows.get(&flow(from, ssrc)) {
            return Route::Known(*call);
        }
        let from = canonical(from);
        let claimants = self.by_source.get(&from).map_or(&[][..], Vec::as_slice);
        let proven = |call: &&Call| self.calls[*call].proven == Some(ssrc);
        let found = match claimants {
            [] => self.waiting(self.by_host.get(&from.ip()).map_or(&[], Vec::as_slice), ssrc),
            [call] => Some(*call),
            several => several.iter().find(proven).copied().or_else(|| self.waiting(several, ssrc)),
        };
        found.filter(|_| !self.rests(now, from, ssrc)).map_or(Route::Nobody, Route::New)
    }

    /// Whose RTCP it is: from `from`, by the sender `sender`, about the streams `about`.
    pub fn rtcp(
        &mut self,
        from: SocketAddr,
        sender: Ssrc,
        about: impl IntoIterator<Item = Ssrc>,
    ) -> Option<Call> {
        let from = canonical(from);
        let spoken_of = about.into_iter().find_map(|ours| self.by_ours.get(&ours).copied());
        if let Some(call) = spoken_of.filter(|call| self.source(*call).ip() == from.ip()) {
            self.calls.entry(call).and_modify(|entry| entry.proven = Some(sender));
            return Some(call);
        }
        let heard = self.hearing(from.ip(), sender).next();
        heard.or_else(|| only(self.by_host.get(&from.ip())?).copied())
    }

    /// The calls that hear this stream from this host.
    fn hearing(&self, host: IpAddr, ssrc: Ssrc) -> impl Iterator<Item = Call> {
        self.by_heard.get(&(host, ssrc)).into_iter().flatten().copied()
    }

    fn source(&self, call: Call) -> SocketAddr {
        self.calls[&call].claim.source()
    }

    /// The only one that has not heard anything yet, and does not send this itself: two calls of one port
    /// may have each other for far ends.
    fn waiting(&self, calls: &[Call], ssrc: Ssrc) -> Option<Call> {
        let waits = |claim: &Claim| claim.heard.is_none() && claim.ours != ssrc;
        let mut waiting = calls.iter().filter(|call| waits(&self.calls[*call].claim));
        let first = waiting.next()?;
        waiting.next().is_none().then_some(*first)
    }

    fn rests(&self, now: Instant, from: SocketAddr, ssrc: Ssrc) -> bool {
        self.resting.iter().any(|(until, source, old)| (*source, *old) == (from, ssrc) && *until > now)
    }

    /// A flow that was a call's is that of another one that hears the same, if there is one.
    fn hand_on(&mut self, call: Call, source: SocketAddr, heard: Ssrc) {
        let flow = flow(source, heard);
        if self.flows.get(&flow) != Some(&call) {
            return;
        }
        let other = self.hearing(source.ip(), heard).find(|other| self.source(*other) == source);
        match other {
            Some(other) => self.flows.insert(flow, other),
            None => self.flows.remove(&flow),
        };
    }

    fn remove(&mut self, call: Call) -> Option<Entry> {
        let entry = self.calls.remove(&call)?;
        let source = entry.claim.source();
        leave(&mut self.by_source, source, call);
        leave(&mut self.by_host, source.ip(), call);
        if let Some(heard) = entry.claim.heard {
            leave(&mut self.by_heard, (source.ip(), heard), call);
            self.hand_on(call, source, heard);
        }
        self.by_ours.remove(&entry.claim.ours);
        Some(entry)
    }
}

fn leave<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Vec<Call>>, key: K, call: Call) {
    if let Some(calls) = map.get_mut(&key) {
        calls.retain(|other| *other != call);
        if calls.is_empty() {
            map.remove(&key);
        }
    }
}

fn only(calls: &[Call]) -> Option<&Call> {
    if let [call] = calls { Some(call) } else { None }
}

/// An IPv4 address that an IPv6 socket tells of is the same.
fn canonical(addr: SocketAddr) -> SocketAddr {
    if addr.is_ipv4() { addr } else { SocketAddr::new(addr.ip().to_canonical(), addr.port()) }
}

#[cfg(test)]
mod tests;
