//! Symmetric RTP (RFC 4961) with a latch that closes once.
//!
//! Behind NAT the address in the SDP is not where RTP comes from, so the first packet decides where
//! we send and whom we hear. Whoever could send that packet could steal the call ("RTP bleed"), so:
//!
//! * the source must be plausible: the address the SDP names, at any port; or any source where the
//!   SDP names none that the Internet can reach (private, carrier-grade NAT, link-local, unspecified);
//! * once latched, only that very address and port is heard;
//! * only a re-INVITE opens the latch again: one that moves the far end's media, any one when the
//!   latched source has gone silent (a rebound NAT), or the one that begins to encrypt. After a move the
//!   source that was latched must wait for a while: its last packets, or an announcement that goes on after
//!   the answer, would else win against the one that the SDP names;
//! * after a mere silence, whoever is heard first closes it, the latched source as any plausible one; until
//!   then we send where we sent, since silence may be all that the far end has to say.
//!
//! A trunk that sends media from another public address than its SDP names is not heard.

use std::net::{IpAddr, SocketAddr};

/// What a packet's source means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Ours.
    Known,
    /// Plausible: the first valid packet from it closes the latch.
    Plausible,
    /// Ours before a re-INVITE moved it; see [`Latch::hold_off`].
    Left,
    Stranger,
}

pub struct Latch {
    /// Where the SDP says that media is received.
    sdp: SocketAddr,
    latched: Option<SocketAddr>,
    /// It has been silent, and may have moved.
    doubted: bool,
    /// The source that a re-INVITE moved media away from, and how many packets of it are still thrown away.
    left: Option<(SocketAddr, u32)>,
}

/// Packets of a source that was left behind before it counts as plausible again: a second of them.
const LEFT_BEHIND: u32 = 50;

impl Latch {
    pub fn new(sdp: SocketAddr) -> Self {
        Latch { sdp, latched: None, doubted: false, left: None }
    }

    pub fn judge(&self, from: SocketAddr) -> Source {
        match self.latched {
            Some(latched) if same(latched, from) => Source::Known,
            Some(_) if !self.doubted => Source::Stranger,
            _ if self.left.is_some_and(|(left, _)| same(left, from)) => Source::Left,
            _ if is_plausible(self.sdp.ip(), from.ip()) => Source::Plausible,
            _ => Source::Stranger,
        }
    }

    /// Closes the latch on `from`.
    pub fn latch(&mut self, from: SocketAddr) {
        (self.latched, self.doubted, self.left) = (Some(from), false, None);
    }

    /// The latched source is heard, and so has not moved.
    pub fn confirm(&mut self) {
        self.doubted = false;
    }

    /// Counts a packet of [`Source::Left`]: after a second of them, with nobody else to hear, the far end has
    /// stayed where it was.
    pub fn hold_off(&mut self) {
        self.left = self.left.and_then(|(left, packets)| Some((left, packets.checked_sub(1)?)));
    }

    /// Where the SDP says that media is received.
    pub fn expected(&self) -> SocketAddr {
        self.sdp
    }

    /// Where media comes from, once it does.
    pub fn latched(&self) -> Option<SocketAddr> {
        self.latched
    }

    /// Where to send: the latched source, else the SDP's address. `None` where that is no address
    /// (`0.0.0.0` or port 0: the old way to say hold, RFC 3264 §8.4).
    pub fn destination(&self) -> Option<SocketAddr> {
        let nowhere = self.sdp.ip().is_unspecified() || self.sdp.port() == 0;
        if nowhere { None } else { Some(self.latched.unwrap_or(self.sdp)) }
    }

    /// Whether media comes from this host: that of the latched source, or the SDP's as long as none is.
    pub fn is_peer_host(&self, host: IpAddr) -> bool {
        let peer = self.latched.unwrap_or(self.sdp).ip();
        peer.to_canonical() == host.to_canonical()
    }

    /// Whether media comes from another address than the SDP names: there is a NAT between.
    pub fn is_elsewhere(&self) -> bool {
        self.latched.is_some_and(|latched| !same(latched, self.sdp))
    }

    /// The next plausible source is heard, as at the beginning. `true` if another one was latched.
    pub fn open(&mut self) -> bool {
        self.doubted = false;
        self.latched.take().is_some()
    }

    /// The latched source turns out to be another call's: the next plausible one is heard, and that one only once
    /// it has kept on for a while.
    pub fn forsake(&mut self) {
        let before = self.latched;
        self.open();
        self.left = before.map(|left| (left, LEFT_BEHIND));
    }

    /// A re-INVITE names `sdp`; `silent` says that the latched source has not been heard lately, and should
    /// be from now on.
    /// `true` if the latch is open again because of it. An SDP without an address keeps the latch:
    /// the call is on hold and comes back.
    pub fn update(&mut self, sdp: SocketAddr, silent: bool) -> bool {
        let moved = !same(sdp, self.sdp) && !sdp.ip().is_unspecified() && !self.sdp.ip().is_unspecified();
        self.sdp = sdp;
        if moved {
            let opens = self.latched.is_some();
            self.forsake();
            return opens;
        }
        self.doubted = silent && self.latched.is_some() && !sdp.ip().is_unspecified();
        self.doubted
    }
}

fn is_plausible(sdp: IpAddr, from: IpAddr) -> bool {
    sdp.to_canonical() == from.to_canonical() || !is_reachable(sdp.to_canonical())
}

fn same(a: SocketAddr, b: SocketAddr) -> bool {
    a == b || a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical()
}

/// Whether the Internet can reach the address. Loopback counts as reachable: it only stands for
/// itself.
fn is_reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let carrier_nat = a == 100 && (64..128).contains(&b);
            !(ip.is_private() || ip.is_link_local() || ip.is_unspecified() || carrier_nat)
        }
        IpAddr::V6(ip) => !(ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn source_that_was_another_calls_is_heard_again_only_if_it_keeps_on() {
        let mut latch = Latch::new(at("203.0.113.7:4000"));
        latch.latch(at("203.0.113.7:4002"));
        latch.forsake();
        assert_eq!(latch.destination(), Some(at("203.0.113.7:4000")));
        assert_eq!(latch.judge(at("203.0.113.7:4002")), Source::Left);
        assert_eq!(latch.judge(at("203.0.113.7:4000")), Source::Plausible);
    }

    #[test]
    fn only_the_sdp_address_is_plausible_when_it_is_public() {
        let mut latch = Latch::new(at("203.0.113.7:4000"));
        assert_eq!(latch.judge(at("198.51.100.1:4000")), Source::Stranger);
        assert_eq!(latch.judge(at("203.0.113.7:5555")), Source::Plausible);
        assert_eq!(latch.judge(at("[::ffff:203.0.113.7]:5555")), Source::Plausible);
        assert_eq!(latch.destination(), Some(at("203.0.113.7:4000")));
        latch.latch(at("203.0.113.7:5555"));
        assert_eq!(latch.destination(), Some(at("203.0.113.7:5555")));
        assert_eq!(latch.judge(at("203.0.113.7:4000")), Source::Stranger);
        assert_eq!(latch.judge(at("203.0.113.7:5555")), Source::Known);
    }

    #[test]
    fn anybody_is_plausible_once_when_the_sdp_address_is_private() {
        for sdp in ["10.0.0.2:4000", "192.168.1.9:1", "100.64.0.1:4000", "0.0.0.0:4000", "[fd00::1]:4000"] {
            let mut latch = Latch::new(at(sdp));
            assert_eq!(latch.judge(at("198.51.100.1:9")), Source::Plausible, "{sdp}");
            latch.latch(at("198.51.100.1:9"));
            assert_eq!(latch.judge(at("198.51.100.2:9")), Source::Stranger, "{sdp}");
        }
        let loopback = Latch::new(at("127.0.0.1:4000"));
        assert_eq!(loopback.judge(at("198.51.100.1:9")), Source::Stranger);
    }

    #[test]
    fn a_re_invite_opens_the_latch_only_when_media_moves_or_is_silent() {
        let mut latch = Latch::new(at("203.0.113.7:4000"));
        latch.latch(at("203.0.113.7:5555"));
        assert!(!latch.update(at("203.0.113.7:4000"), false));
        assert!(latch.update(at("203.0.113.7:4000"), true));
        assert_eq!(latch.destination(), Some(at("203.0.113.7:5555")), "until another is heard");
        assert_eq!(latch.judge(at("203.0.113.7:5555")), Source::Known);
        assert_eq!(latch.judge(at("203.0.113.7:6666")), Source::Plausible);
        latch.confirm();
        assert_eq!(latch.judge(at("203.0.113.7:6666")), Source::Stranger);
        assert!(latch.update(at("203.0.113.7:4000"), true));
        latch.latch(at("203.0.113.7:6666"));
        assert_eq!(latch.judge(at("203.0.113.7:5555")), Source::Stranger);
        assert!(latch.update(at("203.0.113.8:4000"), false));
        assert_eq!(latch.destination(), Some(at("203.0.113.8:4000")));
    }

    #[test]
    fn the_source_that_was_left_waits_until_it_is_clear_that_nobody_else_speaks() {
        let (early, answered) = (at("203.0.113.7:4000"), at("203.0.113.7:5000"));
        let mut latch = Latch::new(early);
        latch.latch(early);
        assert!(latch.update(answered, false));
        assert_eq!((latch.judge(early), latch.judge(answered)), (Source::Left, Source::Plausible));
        assert_eq!(latch.destination(), Some(answered));
        for _ in 0..=LEFT_BEHIND {
            assert_eq!(latch.judge(early), Source::Left);
            latch.hold_off();
        }
        assert_eq!(latch.judge(early), Source::Plausible);
        assert!(!latch.update(early, false));
        latch.latch(answered);
        assert_eq!(latch.judge(early), Source::Stranger);
    }

    #[test]
    fn the_old_hold_stops_sending_and_keeps_the_latch() {
        let mut latch = Latch::new(at("203.0.113.7:4000"));
        latch.latch(at("203.0.113.7:5555"));
        assert!(!latch.update(at("0.0.0.0:4000"), true));
        assert_eq!(latch.judge(at("198.51.100.1:4000")), Source::Stranger);
        assert_eq!(latch.destination(), None);
        assert!(!latch.update(at("203.0.113.7:4000"), false));
        assert_eq!(latch.destination(), Some(at("203.0.113.7:5555")));
    }
}
