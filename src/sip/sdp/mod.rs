//! Offer and answer (RFC 3264) for one audio stream, its telephone events (RFC 4733) and its keys (RFC 4568).
//!
//! In: our address and codecs, and the peer's description as text. Out: our description as text and
//! what was [`Negotiated`]. Pure: no socket, no clock.
//!
//! RTCP on RTP's port (RFC 5761) is agreed to where it is offered and never offered: a carrier's border
//! controller has both ports anyway, and an offer must be ready for a peer that has not heard of it.

pub(super) mod crypto;
mod parse;
mod security;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use self::crypto::Keys;
use self::parse::{Description, Media};
use super::trunk::Srtp;
use crate::base::audio::{Codec, Direction};
use crate::base::srtp::{Keying, Suite};
use crate::base::terms::{Agreed, Format, Formats, OpusTerms, Rtcp, Terms};

/// Payload types we offer for telephone events, and the clocks they count at, which is the codec's
/// (RFC 4733 section 2.1). Any dynamic ones would do; 101 is what carriers use.
const TELEPHONE_EVENTS: [(u8, u32); 2] = [(101, 8_000), (110, 48_000)];
const TELEPHONE_EVENT_NAME: &str = "telephone-event";
/// One voice at 16 kHz, both ways.
const OPUS_RATES: &str = "maxplaybackrate=16000;sprop-maxcapturerate=16000;stereo=0;sprop-stereo=0";
/// Milliseconds of audio in each packet we send.
const PTIME: u16 = 20;

/// Our side of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Where we receive RTP. The port belongs to this call alone.
    pub address: SocketAddr,
    /// In order of preference; never empty.
    pub codecs: Vec<Codec>,
    /// What we want; the peer can only narrow it.
    pub direction: Direction,
    /// `o=` session id: the same in every description of one call.
    pub session: u64,
    /// `o=` version: one more in every description that differs from the last.
    pub version: u64,
    /// What the call's trunk wants.
    pub srtp: Srtp,
    /// Of this call alone; told only as `srtp` allows.
    pub keys: Keys,
    /// Of [`Negotiated::beside`]: a session keeps all its streams in every description (RFC 3264 section 8).
    pub beside: Beside,
}

/// The streams beside the audio, which are refused, as lines of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beside {
    before: String,
    after: String,
}

impl Local {
    /// Both codecs of G.711, μ-law first, both directions, not encrypted; with keys of its own, in case it
    /// comes to be.
    pub fn new(address: SocketAddr, session: u64) -> Self {
        Local {
            address,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            direction: Direction::SendRecv,
            session,
            version: 1,
            srtp: Srtp::Off,
            keys: Keys::draw(),
            beside: Beside::default(),
        }
    }

    /// The next description of the same session, wanting `direction`.
    pub fn next(&self, direction: Direction) -> Self {
        Local { direction, version: self.version + 1, ..self.clone() }
    }

    /// The same in a session of its own, with keys of its own: what is offered to another peer must tell
    /// nothing of this one.
    pub fn anew(&self) -> Self {
        Local { session: session_id(), version: 1, keys: Keys::draw(), ..self.clone() }
    }

    /// What holds between an offer of ours and its answer: nothing is sent. Where the audio must be encrypted,
    /// nothing is heard either, since nobody has the key that is listened with.
    pub fn unanswered(&self) -> Negotiated {
        let codec = self.codecs.first().copied().unwrap_or(Codec::Pcmu);
        let suite = Suite::AesCm128HmacSha1_80;
        let deaf = Keying { suite, sends: self.keys.of(suite), receives: Keys::draw().of(suite) };
        Negotiated {
            remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            codec,
            payload_type: codec.payload_type(),
            telephone_event: None,
            direction: Direction::RecvOnly,
            ptime: PTIME,
            terms: Terms { srtp: (self.srtp == Srtp::Required).then_some(deaf), ..Terms::default() },
            beside: Beside::default(),
        }
    }
}

/// What two descriptions agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Where to send RTP. Unspecified (`0.0.0.0`) while the peer holds the call the old way, and then
    /// `direction` does not send.
    pub remote: SocketAddr,
    pub codec: Codec,
    /// RTP payload type of `codec`, by the peer's numbering.
    pub payload_type: u8,
    /// RTP payload type of telephone events, if the peer takes them.
    pub telephone_event: Option<u8>,
    /// From our side.
    pub direction: Direction,
    /// Milliseconds per packet the peer asked for; what it sends may still differ.
    pub ptime: u16,
    pub terms: Terms,
    /// What the session has beside the audio.
    pub beside: Beside,
}

impl Negotiated {
    /// What media is told.
    pub fn agreed(&self) -> Agreed {
        let Negotiated { remote, codec, payload_type, telephone_event, direction, terms, .. } = *self;
        Agreed { codec, payload_type, telephone_event, remote, direction, terms }
    }
}

/// Whose offer it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offered {
    ByUs,
    ByThem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("SDP is {bytes} bytes long, more than {limit}")]
    TooLong { bytes: usize, limit: usize },
    #[error("SDP line {line}: {what}")]
    Malformed { line: usize, what: &'static str },
    #[error("SDP has no `m=audio` line")]
    NoAudio,
    #[error("SDP refuses the audio stream (`m=audio 0`)")]
    Refused,
    #[error("SDP has audio as `{profile}`; `RTP/AVP` and `RTP/SAVP` are spoken here")]
    Profile { profile: String },
    #[error("SDP wants SRTP (`RTP/SAVP`), and the trunk's `srtp` is off")]
    Encrypted,
    #[error("SDP has no key for SRTP (`a=crypto`), and the trunk's `srtp` is `required`")]
    Unencrypted,
    #[error("SDP has no key for SRTP (`a=crypto`) that fits: AES_CM_128_HMAC_SHA1_80 or _32, without MKI")]
    NoCommonSuite,
    #[error("SDP has no `c=` line for the audio stream")]
    NoConnection,
    #[error("SDP has no codec of media.codecs among its formats `{formats}`")]
    NoCommonCodec { formats: String },
}

/// A new session id. Sixty-two bits, since some peers read it as a signed number.
pub fn session_id() -> u64 {
    rand::random::<u64>() >> 2
}

/// Our offer: `local`'s codecs and telephone events, and its keys where it may be encrypted.
pub fn offer(local: &Local) -> String {
    let codecs: Vec<_> = local.codecs.iter().map(|&codec| (codec.payload_type(), codec)).collect();
    let events: Vec<_> = events_of(local).map(|payload_type| (payload_type, "0-16")).collect();
    let stream = (local.address.port(), security::profile(local.srtp));
    let keys = security::offer_lines(local);
    let audio = audio_lines(stream, &codecs, &events, local.direction) + &keys;
    session_lines(local) + &local.beside.before + &audio + &local.beside.after
}

/// Answers `offer` with the first of our codecs that it has, its payload types, and every other
/// stream refused in place (RFC 3264 section 6).
pub fn answer(local: &Local, offer: &str) -> Result<(String, Negotiated), SdpError> {
    let description = parse::parse(offer)?;
    let (media, negotiated) = negotiate(local, &description, Offered::ByThem)?;
    let events = negotiated.telephone_event.map(|pt| (pt, events_taken(media, pt)));
    let codec = (negotiated.payload_type, negotiated.codec);
    let mux = if negotiated.terms.rtcp == Rtcp::Mux { "a=rtcp-mux\r\n" } else { "" };
    let stream = (local.address.port(), media.profile.as_str());
    let key = security::answer_line(local, media, negotiated.terms.srtp);
    let audio = audio_lines(stream, &[codec], events.as_slice(), negotiated.direction) + mux + &key;
    let Beside { before, after } = &negotiated.beside;
    Ok((session_lines(local) + before + &audio + after, negotiated))
}

/// Answers `offer` with every stream refused: where nothing can be agreed on, and an answer is owed.
pub fn refuse(local: &Local, offer: &str) -> Result<String, SdpError> {
    let description = parse::parse(offer)?;
    Ok(session_lines(local) + &refused(&description.media))
}

/// Reads the peer's answer to the offer made from `local`.
pub fn accept(local: &Local, answer: &str) -> Result<Negotiated, SdpError> {
    negotiate(local, &parse::parse(answer)?, Offered::ByUs).map(|(_, negotiated)| negotiated)
}

fn refused(streams: &[Media]) -> String {
    let line =
        |media: &Media| format!("m={} 0 {} {}\r\n", media.kind, media.profile, media.formats.join(" "));
    streams.iter().map(line).collect()
}

/// Takes the first stream that can be had; of an offer, an encrypted one before one that is not.
fn negotiate<'a>(
    local: &Local,
    description: &'a Description,
    offered: Offered,
) -> Result<(&'a Media, Negotiated), SdpError> {
    let mut problem = SdpError::NoAudio;
    let mut plain = None;
    for (index, media) in description.media.iter().enumerate().filter(|(_, m)| m.kind == "audio") {
        match negotiate_stream(local, description, index, offered) {
            Ok(agreed) if agreed.terms.srtp.is_some() => return Ok((media, agreed)),
            Ok(agreed) => plain = plain.or(Some((media, agreed))),
            // The first stream's problem is the one to tell: it is the one the peer meant.
            Err(e) if problem == SdpError::NoAudio => problem = e,
            Err(_) => {}
        }
    }
    plain.ok_or(problem)
}

fn negotiate_stream(
    local: &Local,
    session: &Description,
    index: usize,
    offered: Offered,
) -> Result<Negotiated, SdpError> {
    let media = &session.media[index];
    if media.port == 0 {
        return Err(SdpError::Refused);
    }
    let srtp = security::agree(local, media, offered)?;
    let address = media.connection.or(session.connection).ok_or(SdpError::NoConnection)?;
    let (payload_type, codec) = choose(local, media, offered)
        .ok_or_else(|| SdpError::NoCommonCodec { formats: media.formats.join(" ") })?;
    let telephone_event = media.payload_types().find(|&pt| is_telephone_event(media, pt, codec));
    let peer = media.direction.or(session.direction).unwrap_or_default();
    Ok(Negotiated {
        remote: SocketAddr::new(address, media.port),
        codec,
        payload_type,
        telephone_event,
        direction: our_direction(local.direction, peer, address),
        ptime: media.ptime.unwrap_or(PTIME),
        terms: Terms {
            rtcp: rtcp(media, address),
            receives: match offered {
                Offered::ByUs => formats_of(local),
                Offered::ByThem => formats(payload_type, codec, telephone_event),
            },
            opus: opus_terms(media, payload_type),
            srtp,
        },
        beside: match offered {
            Offered::ByUs => local.beside.clone(),
            Offered::ByThem => Beside {
                before: refused(&session.media[..index]),
                after: refused(&session.media[index + 1..]),
            },
        },
    })
}

/// In an answer to us the far end's order counts, since it will send the first; of an offer we take what
/// we like best.
fn choose(local: &Local, media: &Media, offered: Offered) -> Option<(u8, Codec)> {
    let theirs = media.payload_types().filter_map(|pt| Some((pt, codec_of(media, pt)?)));
    let mut common = theirs.filter(|(_, codec)| local.codecs.contains(codec));
    match offered {
        Offered::ByUs => common.next(),
        Offered::ByThem => common.min_by_key(|(_, codec)| local.codecs.iter().position(|ours| ours == codec)),
    }
}

/// What we said that payload types mean in an offer.
fn formats_of(local: &Local) -> Formats {
    let mut formats = Formats::default();
    local.codecs.iter().for_each(|&codec| formats.insert(codec.payload_type(), Format::Speech(codec)));
    events_of(local).for_each(|payload_type| formats.insert(payload_type, Format::Event));
    formats
}

/// And in an answer, whose payload types are those of the offer.
fn formats(payload_type: u8, codec: Codec, event: Option<u8>) -> Formats {
    let mut formats = Formats::default();
    formats.insert(payload_type, Format::Speech(codec));
    event.into_iter().for_each(|payload_type| formats.insert(payload_type, Format::Event));
    formats
}

/// Telephone events for every clock that our codecs have.
fn events_of(local: &Local) -> impl Iterator<Item = u8> + '_ {
    let on = |clock| local.codecs.iter().any(|codec| codec.clock_rate() == clock);
    TELEPHONE_EVENTS.into_iter().filter(move |(_, clock)| on(*clock)).map(|(payload_type, _)| payload_type)
}

/// What the peer wants of Opus under this payload type (RFC 7587 section 6.1).
fn opus_terms(media: &Media, payload_type: u8) -> OpusTerms {
    let mut terms = OpusTerms::default();
    let Some((_, parameters)) = media.fmtps.iter().find(|(pt, _)| *pt == payload_type) else { return terms };
    for (name, value) in parameters.split(';').filter_map(|parameter| parameter.trim().split_once('=')) {
        match (name, value.parse::<u32>()) {
            ("maxaveragebitrate", Ok(bitrate)) => {
                terms.bitrate = bitrate.clamp(OpusTerms::LOWEST, OpusTerms::BITRATE);
            }
            ("useinbandfec", Ok(wanted)) => terms.fec = wanted == 1,
            _ => {}
        }
    }
    terms
}

/// An answer has RTP's port for both only where the offer had: one that repeats what we answered before.
fn rtcp(media: &Media, address: IpAddr) -> Rtcp {
    match media.rtcp {
        _ if media.rtcp_mux => Rtcp::Mux,
        Some((port, host)) => Rtcp::At(SocketAddr::new(host.unwrap_or(address), port)),
        None => Rtcp::NextPort,
    }
}

/// The codec behind a payload type. Where `rtpmap` contradicts the static table the `rtpmap` wins: a
/// gateway that rewrites one writes what it means there.
fn codec_of(media: &Media, payload_type: u8) -> Option<Codec> {
    let is = |codec: &Codec, map: &parse::RtpMap| {
        map.name.eq_ignore_ascii_case(codec.encoding_name())
            && (map.clock_rate, map.channels) == (codec.clock_rate(), channels(*codec))
    };
    match media.rtpmap(payload_type) {
        Some(map) => Codec::ALL.into_iter().find(|codec| is(codec, map)),
        None => Codec::ALL.into_iter().find(|codec| codec.static_payload_type() == Some(payload_type)),
    }
}

/// Opus always says two (RFC 7587 section 7), whatever is sent.
const fn channels(codec: Codec) -> u8 {
    if matches!(codec, Codec::Opus) { 2 } else { 1 }
}

/// Telephone events run on the clock of the codec they interrupt (RFC 4733 section 2.1).
fn is_telephone_event(media: &Media, payload_type: u8, codec: Codec) -> bool {
    media.rtpmap(payload_type).is_some_and(|map| {
        map.name.eq_ignore_ascii_case(TELEPHONE_EVENT_NAME)
            && (map.clock_rate, map.channels) == (codec.clock_rate(), 1)
    })
}

/// 16 is the flash hook: taken only if offered, since an answer must not exceed the offer.
fn events_taken(media: &Media, payload_type: u8) -> &'static str {
    let offered = media.fmtps.iter().find(|(pt, _)| *pt == payload_type);
    if offered.is_some_and(|(_, events)| events == "0-16") { "0-16" } else { "0-15" }
}

fn our_direction(wanted: Direction, peer: Direction, address: IpAddr) -> Direction {
    // An unspecified address is hold as RFC 2543 did it: nothing can be sent there.
    let sends = wanted.sends() && peer.receives() && !address.is_unspecified();
    let receives = wanted.receives() && peer.sends();
    match (sends, receives) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

fn session_lines(local: &Local) -> String {
    let ip = local.address.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let (session, version) = (local.session, local.version);
    format!("v=0\r\no=- {session} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n")
}

/// `stream` is our port and the profile.
fn audio_lines(
    stream: (u16, &str),
    codecs: &[(u8, Codec)],
    events: &[(u8, &str)],
    direction: Direction,
) -> String {
    let formats = codecs.iter().map(|(pt, _)| *pt).chain(events.iter().map(|(pt, _)| *pt));
    let mut sdp = format!("m=audio {} {}", stream.0, stream.1);
    formats.for_each(|pt| sdp += &format!(" {pt}"));
    sdp += "\r\n";
    for (pt, codec) in codecs {
        sdp += &format!("a=rtpmap:{pt} {}/{}", codec.encoding_name(), codec.clock_rate());
        sdp += if *codec == Codec::Opus { "/2\r\n" } else { "\r\n" };
        if *codec == Codec::Opus {
            let bitrate = OpusTerms::BITRATE;
            sdp += &format!("a=fmtp:{pt} useinbandfec=1;maxaveragebitrate={bitrate};{OPUS_RATES}\r\n");
        }
    }
    for (pt, events) in events {
        // An answer has the one clock of its codec, under whatever number was offered.
        let ours = TELEPHONE_EVENTS.iter().find(|(known, _)| known == pt).filter(|_| codecs.len() > 1);
        let clock = ours.map(|(_, clock)| *clock);
        let clock = clock.or(codecs.first().map(|(_, codec)| codec.clock_rate())).unwrap_or(8_000);
        sdp += &format!("a=rtpmap:{pt} {TELEPHONE_EVENT_NAME}/{clock}\r\na=fmtp:{pt} {events}\r\n");
    }
    sdp += &format!("a=ptime:{PTIME}\r\na={}\r\n", direction_name(direction));
    sdp
}

const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }
}

#[cfg(test)]
mod tests;
