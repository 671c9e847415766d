//! Reading SDP (RFC 8866): only what an audio call needs, bounded, and never panicking.

use std::net::IpAddr;

use super::SdpError;
use crate::base::audio::Direction;

/// A description longer than this is refused unread: a real one fits in a datagram.
const MAX_BYTES: usize = 16 * 1024;
const MAX_MEDIA: usize = 16;
const MAX_FORMATS: usize = 64;
const MAX_RTPMAPS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Description {
    pub connection: Option<IpAddr>,
    pub direction: Option<Direction>,
    pub media: Vec<Media>,
}

#[derive(Debug, Default)]
pub(super) struct Media {
    pub kind: String,
    pub port: u16,
    pub profile: String,
    pub formats: Vec<String>,
    pub connection: Option<IpAddr>,
    pub direction: Option<Direction>,
    pub rtpmaps: Vec<RtpMap>,
    /// Payload type and events of each `fmtp`.
    pub fmtps: Vec<(u8, String)>,
    pub ptime: Option<u16>,
    /// `a=rtcp` (RFC 3605): a port, and the address where it is not that of the media.
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    pub rtcp_mux: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RtpMap {
    pub payload_type: u8,
    pub name: String,
    pub clock_rate: u32,
    pub channels: u8,
}

impl Media {
    /// The payload types in order of preference; a format that is none is left out.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        self.formats.iter().filter_map(|format| format.parse().ok()).filter(|&pt: &u8| pt < 128)
    }

    pub fn rtpmap(&self, payload_type: u8) -> Option<&RtpMap> {
        self.rtpmaps.iter().find(|map| map.payload_type == payload_type)
    }
}

pub(super) fn parse(text: &str) -> Result<Description, SdpError> {
    if text.len() > MAX_BYTES {
        return Err(SdpError::TooLong { bytes: text.len(), limit: MAX_BYTES });
    }
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    match lines.next() {
        Some((_, line)) if line.trim_end() == "v=0" => {}
        _ => return Err(malformed(0, "must begin with `v=0`")),
    }
    let mut description = Description::default();
    for (number, line) in lines {
        let (kind, value) = line.trim_end().split_once('=').ok_or_else(|| malformed(number, "has no `=`"))?;
        read_line(&mut description, number, kind, value)?;
    }
    Ok(description)
}

fn read_line(into: &mut Description, number: usize, kind: &str, value: &str) -> Result<(), SdpError> {
    match kind {
        "m" if into.media.len() == MAX_MEDIA => return Err(malformed(number, "too many `m=` lines")),
        "m" => into.media.push(media_line(number, value)?),
        "c" => {
            let address = connection_line(number, value)?;
            match into.media.last_mut() {
                Some(media) => media.connection = Some(address),
                None => into.connection = Some(address),
            }
        }
        "a" => attribute(into, number, value)?,
        _ => {}
    }
    Ok(())
}

fn media_line(number: usize, value: &str) -> Result<Media, SdpError> {
    // What is refused stands in the answer as it was offered.
    if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(malformed(number, "`m=` has other than printable ASCII"));
    }
    let mut words = value.split_ascii_whitespace();
    let mut word = |what| words.next().ok_or_else(|| malformed(number, what));
    let kind = word("`m=` has no media type")?.to_owned();
    let port = word("`m=` has no port")?;
    let port = port.split('/').next().unwrap_or(port);
    let port = port.parse().map_err(|_| malformed(number, "`m=` port is not a number below 65536"))?;
    let profile = word("`m=` has no profile")?.to_owned();
    let formats: Vec<String> = words.map(str::to_owned).take(MAX_FORMATS + 1).collect();
    match formats.len() {
        0 => Err(malformed(number, "`m=` has no format")),
        n if n > MAX_FORMATS => Err(malformed(number, "`m=` has too many formats")),
        _ => Ok(Media { kind, port, profile, formats, ..Media::default() }),
    }
}

fn connection_line(number: usize, value: &str) -> Result<IpAddr, SdpError> {
    let mut words = value.split_ascii_whitespace();
    let (network, family, address) = (words.next(), words.next(), words.next());
    if network != Some("IN") || !matches!(family, Some("IP4" | "IP6")) {
        return Err(malformed(number, "`c=` must be `IN IP4` or `IN IP6`"));
    }
    let address = address.and_then(|text| text.split('/').next()).and_then(|text| text.parse().ok());
    address.ok_or_else(|| malformed(number, "`c=` must carry an IP address"))
}

fn attribute(into: &mut Description, number: usize, value: &str) -> Result<(), SdpError> {
    let (name, argument) = value.split_once(':').unwrap_or((value, ""));
    if let Some(direction) = direction(name) {
        match into.media.last_mut() {
            Some(media) => media.direction = Some(direction),
            None => into.direction = Some(direction),
        }
        return Ok(());
    }
    let Some(media) = into.media.last_mut() else { return Ok(()) };
    match name {
        "rtpmap" if media.rtpmaps.len() < MAX_RTPMAPS => {
            // A line of a codec unknown to us may look like anything; only its loss matters.
            media.rtpmaps.extend(rtpmap(argument));
        }
        "fmtp" if media.fmtps.len() < MAX_RTPMAPS => {
            let (payload_type, parameters) = argument.split_once(' ').unwrap_or((argument, ""));
            if let Ok(payload_type) = payload_type.parse() {
                media.fmtps.push((payload_type, parameters.trim().to_owned()));
            }
        }
        // A line that cannot be read leaves RTCP on the port above RTP's.
        "rtcp" => media.rtcp = rtcp(argument),
        "rtcp-mux" => media.rtcp_mux = true,
        "ptime" => {
            let ptime = argument.trim().parse().ok().filter(|ms| (1..=200).contains(ms));
            media.ptime = Some(ptime.ok_or_else(|| malformed(number, "`ptime` must be 1 to 200 ms"))?);
        }
        _ => {}
    }
    Ok(())
}

/// `4001`, or `4001 IN IP4 192.0.2.1`.
fn rtcp(text: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut words = text.split_ascii_whitespace();
    let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
    Some((port, words.nth(2).and_then(|address| address.parse().ok())))
}

fn direction(name: &str) -> Option<Direction> {
    Some(match name {
        "sendrecv" => Direction::SendRecv,
        "sendonly" => Direction::SendOnly,
        "recvonly" => Direction::RecvOnly,
        "inactive" => Direction::Inactive,
        _ => return None,
    })
}

/// `101 telephone-event/8000`, `111 opus/48000/2`.
fn rtpmap(text: &str) -> Option<RtpMap> {
    let (payload_type, encoding) = text.trim().split_once(' ')?;
    let mut parts = encoding.trim().split('/');
    let (name, clock_rate, channels) = (parts.next()?, parts.next()?, parts.next());
    Some(RtpMap {
        payload_type: payload_type.parse().ok().filter(|pt| *pt < 128)?,
        name: name.to_owned(),
        clock_rate: clock_rate.parse().ok()?,
        channels: channels.map_or(Some(1), |channels| channels.parse().ok())?,
    })
}

fn malformed(line: usize, what: &'static str) -> SdpError {
    SdpError::Malformed { line: line + 1, what }
}
