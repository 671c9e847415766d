//! Whether a stream is encrypted: what the profile and the keys of a description say, against what the
//! trunk wants.
//!
//! `required` offers `RTP/SAVP`. `optional` offers `RTP/AVP` with keys: a peer that knows nothing of SRTP
//! answers as if they were not there, and one that does takes a key. (RFC 4568 has keys under `RTP/SAVP` only; to
//! offer that and fall back would need a second INVITE or a second stream, which carriers take badly. Baresip,
//! Asterisk and FreeSWITCH read it this way.) In what the peer says the keys count, not the profile: a
//! gateway that answers `RTP/SAVP` with `RTP/AVP` and a key encrypts.
//!
//! `RTP/AVPF` and `RTP/SAVPF` (RFC 4585, RFC 5124) are taken as what they add feedback to, and answered in
//! kind: no feedback is agreed on, since none is asked for.

use super::{Local, Offered, SdpError, parse::Media};
use crate::{base::srtp::Keying, sip::trunk::Srtp};

/// The profile that an offer names.
pub(super) const fn profile(srtp: Srtp) -> &'static str {
    match srtp {
        Srtp::Off | Srtp::Optional => "RTP/AVP",
        Srtp::Required => "RTP/SAVP",
    }
}

/// The keys of the stream, or `None` where it is not encrypted.
pub(super) fn agree(local: &Local, media: &Media, offered: Offered) -> Result<Option<Keying>, SdpError> {
    let secure = is_secure(&media.profile)?;
    let keys = &local.keys;
    let theirs = match offered {
        Offered::ByThem => media.cryptos.first(),
        // It takes one of our lines, unchanged (RFC 4568 section 5.1.3).
        Offered::ByUs => media
            .cryptos
            .iter()
            .find(|theirs| keys.lines().any(|ours| (ours.tag, ours.suite) == (theirs.tag, theirs.suite))),
    };
    match (local.srtp, theirs) {
        (Srtp::Off, _) if secure => Err(SdpError::Encrypted),
        (Srtp::Off, _) => Ok(None),
        (_, Some(theirs)) => {
            Ok(Some(Keying { suite: theirs.suite, sends: keys.of(theirs.suite), receives: theirs.key }))
        }
        // An answer with a key encrypts, whether or not we can read it.
        (_, None) if secure || media.keyed && offered == Offered::ByUs => Err(SdpError::NoCommonSuite),
        (Srtp::Optional, None) => Ok(None),
        (Srtp::Required, None) => Err(SdpError::Unencrypted),
    }
}

fn is_secure(profile: &str) -> Result<bool, SdpError> {
    match profile {
        "RTP/AVP" | "RTP/AVPF" => Ok(false),
        "RTP/SAVP" | "RTP/SAVPF" => Ok(true),
        other => Err(SdpError::Profile { profile: other.chars().take(32).collect() }),
    }
}

/// The lines of an offer.
pub(super) fn offer_lines(local: &Local) -> String {
    let lines = local.keys.lines().filter(|_| local.srtp != Srtp::Off);
    lines.map(|line| format!("a=crypto:{line}\r\n")).collect()
}

/// That of an answer, with the tag of the line that was taken.
pub(super) fn answer_line(local: &Local, media: &Media, keying: Option<Keying>) -> String {
    let taken = media.cryptos.first().filter(|_| keying.is_some());
    let line = taken.map(|theirs| local.keys.line(theirs.tag, theirs.suite));
    line.map(|line| format!("a=crypto:{line}\r\n")).unwrap_or_default()
}
