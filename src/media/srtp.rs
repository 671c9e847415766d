//! Encrypted and authenticated RTP and RTCP (RFC 3711), with the suites of [`Suite`].
//!
//! In: the [`Keying`] that SDP agreed on, and packets. Out: the same packets, protected or opened, in place
//! and without an allocation. Pure: no socket, no clock.
//!
//! A packet is believed once its tag is right, and only then changes anything here: so what anybody can
//! send costs one HMAC, and no memory. Sources (SSRCs) are told apart, and the last [`SOURCES`] are remembered.
//!
//! # When keys change
//! A peer that tells another key in a new offer sends with the old one until our answer has arrived, so the old
//! one opens packets until the first that the new one opens. Packets of a new key are counted from the start
//! (RFC 3711 §3.3.1 would go on, and the peers that use SDP do not); `candidates` finds one that goes on
//! after a first wrap.
//!
//! What was sent under a key is remembered as long as this lives, since two packets of one index tell both to
//! whoever listens (RFC 3711 §9.1): a key that comes back, after another one or in another suite, goes on where
//! it was. So do the last [`KEYS`] that the far end used: what was opened once is not opened again.

mod index;
mod keys;

use hmac::Mac;

use self::{
    index::{Window, candidates},
    keys::{Purpose, SessionKeys},
};
use super::rtp;
use crate::base::srtp::{Keying, MasterKey, Suite};

/// What protection adds to an RTP packet at the most.
pub const LONGEST_TAG: usize = 10;
/// Tag of an RTCP packet, of either suite (RFC 4568 §6.2.2).
const RTCP_TAG: usize = 10;
/// The flag that an RTCP packet is encrypted, and its index.
const RTCP_INDEX: usize = 4;
const ENCRYPTED: u32 = 1 << 31;
/// Header and SSRC of an RTCP packet stay legible.
const RTCP_HEADER: usize = 8;
/// Sources of the far end that are remembered: a border controller changes them a few times in a call.
const SOURCES: usize = 16;
/// Keys of the far end that are remembered beside the one in use.
const KEYS: usize = 4;

/// Why a datagram is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("too short for a protected packet")]
    Malformed,
    #[error("the tag is not what the key makes of the packet")]
    Unauthenticated,
    #[error("the packet was opened before")]
    Replayed,
}

/// The cryptographic contexts of one session, both ways. It prints nothing: it is made of keys.
pub struct Srtp {
    outbound: Outbound,
    /// Of our keys that rest: as many as were ever told to the far end, which is one for each suite.
    rested: Vec<Outbound>,
    inbound: Inbound,
    /// What the far end used before, the latest last.
    previous: Vec<Inbound>,
    /// The latest of them still opens packets.
    changing: bool,
}

impl Srtp {
    pub fn new(keying: Keying) -> Self {
        Srtp {
            outbound: Outbound::new(keying.sends, keying.suite),
            rested: Vec::new(),
            inbound: Inbound::new(keying.receives, keying.suite),
            previous: Vec::new(),
            changing: false,
        }
    }

    /// Takes what a new offer and its answer agreed on; a direction whose key stays goes on as it was.
    pub fn update(&mut self, keying: Keying) {
        let Keying { suite, sends, receives } = keying;
        if self.outbound.master != sends {
            let rested = self.rested.iter().position(|known| known.master == sends);
            let next = rested.map(|at| self.rested.swap_remove(at));
            let next = next.unwrap_or_else(|| Outbound::new(sends, suite));
            self.rested.push(std::mem::replace(&mut self.outbound, next));
        }
        self.outbound.tag = rtp_tag(suite);
        let is_it = |known: &Inbound| (known.master, known.tag) == (receives, rtp_tag(suite));
        if !is_it(&self.inbound) {
            let known = self.previous.iter().position(is_it).map(|at| self.previous.remove(at));
            let next = known.unwrap_or_else(|| Inbound::new(receives, suite));
            if self.previous.len() == KEYS {
                self.previous.remove(0);
            }
            self.previous.push(std::mem::replace(&mut self.inbound, next));
            self.changing = true;
        }
    }

    /// Protects the RTP packet of `len` bytes at the beginning of `buffer`, which has room for
    /// [`LONGEST_TAG`] more, and gives its new length. Packets are to come in the order of their numbers.
    pub fn protect(&mut self, buffer: &mut [u8], len: usize) -> usize {
        self.outbound.protect(buffer, len)
    }

    /// Protects a compound RTCP packet.
    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) {
        self.outbound.protect_rtcp(packet);
    }

    /// Opens an RTP or RTCP packet and gives its length without the protection. What is refused stays as it
    /// was.
    pub fn open(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let opened = self.inbound.open(packet);
        match (&opened, self.previous.last_mut()) {
            (Ok(_), _) => self.changing = false,
            (Err(Refused::Unauthenticated), Some(previous)) if self.changing => return previous.open(packet),
            _ => {}
        }
        opened
    }
}

const fn rtp_tag(suite: Suite) -> usize {
    match suite {
        Suite::AesCm128HmacSha1_80 => LONGEST_TAG,
        Suite::AesCm128HmacSha1_32 => 4,
    }
}

struct Outbound {
    master: MasterKey,
    rtp: SessionKeys,
    rtcp: SessionKeys,
    tag: usize,
    /// Index of the last packet.
    sent: Option<u64>,
    rtcp_index: u32,
}

impl Outbound {
    fn new(master: MasterKey, suite: Suite) -> Self {
        Outbound {
            master,
            rtp: SessionKeys::derive(&master, Purpose::Rtp),
            rtcp: SessionKeys::derive(&master, Purpose::Rtcp),
            tag: rtp_tag(suite),
            sent: None,
            rtcp_index: 0,
        }
    }

    fn protect(&mut self, buffer: &mut [u8], len: usize) -> usize {
        let (packet, room) = buffer.split_at_mut(len);
        let Some(head) = RtpHead::read(packet) else { return len };
        let index = match self.sent {
            None => u64::from(head.sequence),
            // The same number again comes after a whole wrap, which was sent under another key.
            Some(sent) => sent + 1 + u64::from(head.sequence.wrapping_sub(sent as u16).wrapping_sub(1)),
        };
        self.sent = Some(index);
        self.rtp.apply(head.ssrc, index, &mut packet[head.len..]);
        let mut mac = self.rtp.sign(packet);
        mac.update(&rollover(index));
        room[..self.tag].copy_from_slice(&mac.finalize().into_bytes()[..self.tag]);
        len + self.tag
    }

    fn protect_rtcp(&mut self, packet: &mut Vec<u8>) {
        let Some(ssrc) = word(packet, 4) else { return };
        self.rtcp_index = (self.rtcp_index + 1) & !ENCRYPTED;
        self.rtcp.apply(ssrc, self.rtcp_index.into(), &mut packet[RTCP_HEADER..]);
        packet.extend_from_slice(&(ENCRYPTED | self.rtcp_index).to_be_bytes());
        let tag = self.rtcp.sign(packet).finalize().into_bytes();
        packet.extend_from_slice(&tag[..RTCP_TAG]);
    }
}

struct Inbound {
    master: MasterKey,
    rtp: SessionKeys,
    rtcp: SessionKeys,
    tag: usize,
    /// The one heard last comes last; at most [`SOURCES`].
    sources: Vec<Source>,
}

struct Source {
    ssrc: u32,
    rtp: Option<Window>,
    rtcp: Option<Window>,
}

impl Inbound {
    fn new(master: MasterKey, suite: Suite) -> Self {
        Inbound {
            master,
            rtp: SessionKeys::derive(&master, Purpose::Rtp),
            rtcp: SessionKeys::derive(&master, Purpose::Rtcp),
            tag: rtp_tag(suite),
            sources: Vec::new(),
        }
    }

    fn open(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        if rtp::is_rtcp_packet(packet) { self.open_rtcp(packet) } else { self.open_rtp(packet) }
    }

    fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let len = packet.len().checked_sub(self.tag).ok_or(Refused::Malformed)?;
        let (packet, tag) = packet.split_at_mut(len);
        let head = RtpHead::read(packet).ok_or(Refused::Malformed)?;
        let window = self.source(head.ssrc).and_then(|source| source.rtp);
        let mac = self.rtp.sign(packet);
        let is_it =
            |index: &u64| mac.clone().chain_update(rollover(*index)).verify_truncated_left(tag).is_ok();
        let index = candidates(window.as_ref(), head.sequence).into_iter().flatten().find(is_it);
        let index = index.ok_or(Refused::Unauthenticated)?;
        note(&mut self.heard(head.ssrc).rtp, index)?;
        self.rtp.apply(head.ssrc, index, &mut packet[head.len..]);
        Ok(len)
    }

    fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let signed = packet.len().checked_sub(RTCP_TAG).ok_or(Refused::Malformed)?;
        let (packet, tag) = packet.split_at_mut(signed);
        let len =
            signed.checked_sub(RTCP_INDEX).filter(|len| *len >= RTCP_HEADER).ok_or(Refused::Malformed)?;
        let (ssrc, trailer) = word(packet, 4).zip(word(packet, len)).ok_or(Refused::Malformed)?;
        self.rtcp.sign(packet).verify_truncated_left(tag).map_err(|_| Refused::Unauthenticated)?;
        let index = u64::from(trailer & !ENCRYPTED);
        note(&mut self.heard(ssrc).rtcp, index)?;
        if trailer & ENCRYPTED != 0 {
            self.rtcp.apply(ssrc, index, &mut packet[RTCP_HEADER..len]);
        }
        Ok(len)
    }

    fn source(&self, ssrc: u32) -> Option<&Source> {
        self.sources.iter().find(|source| source.ssrc == ssrc)
    }

    /// The source of an authentic packet; the one that was silent the longest is forgotten for a new one.
    fn heard(&mut self, ssrc: u32) -> &mut Source {
        match self.sources.iter().position(|source| source.ssrc == ssrc) {
            Some(at) => self.sources[at..].rotate_left(1),
            None => {
                if self.sources.len() == SOURCES {
                    self.sources.remove(0);
                }
                self.sources.push(Source { ssrc, rtp: None, rtcp: None });
            }
        }
        self.sources.last_mut().expect("it was just put there")
    }
}

fn note(window: &mut Option<Window>, index: u64) -> Result<(), Refused> {
    match window {
        Some(window) if window.is_replay(index) => return Err(Refused::Replayed),
        Some(window) => window.note(index),
        None => *window = Some(Window::begin(index)),
    }
    Ok(())
}

/// What protection needs of an RTP header.
struct RtpHead {
    len: usize,
    sequence: u16,
    ssrc: u32,
}

impl RtpHead {
    fn read(packet: &[u8]) -> Option<Self> {
        let len = rtp::header_len(packet).ok()?;
        let sequence = u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?);
        Some(RtpHead { len, sequence, ssrc: word(packet, 8)? })
    }
}

fn word(packet: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?))
}

/// The count of wraps, which a tag covers beside the packet.
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

#[cfg(test)]
mod tests;
