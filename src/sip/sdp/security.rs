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
        // It takes one of our lines, unchanged (RFC 4568 section 5.1.3). There is one for each suite, whose tag is
        // the peer's own where our offer repeats what we answered before.
        Offered::ByUs => {
            media.cryptos.iter().find(|theirs| keys.lines().any(|ours| ours.suite == theirs.suite))
        }
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

#[cfg(test)]
mod tests {
    use super::super::{Keys, Negotiated, accept, answer, offer};
    use super::*;
    use crate::base::srtp::Suite;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    const SUITES: [&str; 2] = ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"];

    fn local(srtp: Srtp) -> Local {
        Local { srtp, ..Local::new("192.0.2.1:40000".parse().unwrap(), 7) }
    }

    fn stream(profile: &str, cryptos: &str) -> String {
        format!("m=audio 4000 {profile} 0\r\n{cryptos}")
    }

    fn described(streams: &str) -> String {
        format!("v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n{streams}")
    }

    fn crypto(tag: u32, suite: &str) -> String {
        format!("a=crypto:{tag} {suite} inline:{KEY}\r\n")
    }

    fn of(srtp: Srtp, profile: &str, cryptos: &str) -> Result<(String, Negotiated), SdpError> {
        answer(&local(srtp), &described(&stream(profile, cryptos)))
    }

    /// Both ends of an offer and its answer; `true` if they encrypt with each other's keys.
    fn agree_on(ours: &Local, theirs: &Local) -> Result<bool, SdpError> {
        let (answer, heard) = answer(theirs, &offer(ours))?;
        let agreed = accept(ours, &answer)?;
        match (agreed.terms.srtp, heard.terms.srtp) {
            (Some(a), Some(b)) => {
                assert_eq!((a.suite, a.sends, a.receives), (b.suite, b.receives, b.sends));
                Ok(true)
            }
            (a, b) => {
                assert_eq!((a, b), (None, None));
                Ok(false)
            }
        }
    }

    #[test]
    fn every_pair_of_wishes_meets_or_is_refused() {
        use Srtp::{Off, Optional, Required};
        let met = |ours, theirs| agree_on(&local(ours), &local(theirs));
        for (ours, theirs) in [(Off, Off), (Off, Optional), (Optional, Off)] {
            assert_eq!(met(ours, theirs), Ok(false), "{ours:?} {theirs:?}");
        }
        for (ours, theirs) in
            [(Optional, Optional), (Optional, Required), (Required, Optional), (Required, Required)]
        {
            assert_eq!(met(ours, theirs), Ok(true), "{ours:?} {theirs:?}");
        }
        assert_eq!(met(Off, Required), Err(SdpError::Unencrypted));
        assert_eq!(met(Required, Off), Err(SdpError::Encrypted));
    }

    #[test]
    fn offer_names_its_profile_and_the_stronger_suite_first() {
        let [strong, weak] = SUITES;
        for (srtp, profile) in [(Srtp::Optional, "RTP/AVP"), (Srtp::Required, "RTP/SAVP")] {
            let sdp = offer(&local(srtp));
            assert!(sdp.contains(&format!("m=audio 40000 {profile} 0 8 101\r\n")), "{sdp}");
            let line = |tag, suite| sdp.find(&format!("\r\na=crypto:{tag} {suite} inline:")).unwrap();
            assert!(line(1, strong) < line(2, weak));
            assert_eq!(sdp.matches("a=crypto").count(), 2);
        }
        assert!(!offer(&local(Srtp::Off)).contains("crypto"));
    }

    #[test]
    fn keys_stay_for_a_call_and_differ_between_calls() {
        let first = local(Srtp::Required);
        let lines = |local: &Local| offer_lines(local);
        assert_eq!(lines(&first.next(first.direction)), lines(&first));
        assert_ne!(lines(&local(Srtp::Required)), lines(&first));
        let answer_of = |local: &Local| {
            let offered = described(&stream("RTP/SAVP", &crypto(1, SUITES[0])));
            answer(local, &offered).unwrap().1.terms.srtp.unwrap().sends
        };
        assert_eq!(answer_of(&first), answer_of(&first.next(first.direction)));
        assert_eq!(answer_of(&first), first.keys.of(Suite::AesCm128HmacSha1_80), "offered or answered");
    }

    #[test]
    fn answer_takes_the_first_line_that_it_knows_under_its_tag() {
        let cryptos = format!(
            "a=crypto:1 AEAD_AES_256_GCM inline:x\r\na=crypto:3 {} inline:{KEY}|2^20|1:4\r\n{}{}",
            SUITES[0],
            crypto(57, SUITES[1]),
            crypto(58, SUITES[0])
        );
        let (sdp, agreed) = of(Srtp::Required, "RTP/SAVP", &cryptos).unwrap();
        assert_eq!(agreed.terms.srtp.unwrap().suite, Suite::AesCm128HmacSha1_32);
        assert!(sdp.contains("m=audio 40000 RTP/SAVP 0\r\n"), "{sdp}");
        assert!(sdp.contains(&format!("a=crypto:57 {} inline:", SUITES[1])), "{sdp}");
        assert!(sdp.matches("a=crypto").count() == 1 && !sdp.contains(KEY), "{sdp}");
    }

    #[test]
    fn answer_is_of_the_profile_of_the_offer() {
        for profile in ["RTP/AVP", "RTP/SAVP", "RTP/AVPF", "RTP/SAVPF"] {
            let (sdp, agreed) = of(Srtp::Optional, profile, &crypto(1, SUITES[0])).unwrap();
            assert!(sdp.contains(&format!("m=audio 40000 {profile} 0\r\n")), "{sdp}");
            assert!(agreed.terms.srtp.is_some());
        }
        let dtls = of(Srtp::Optional, "UDP/TLS/RTP/SAVPF", "a=fingerprint:sha-256 00\r\n");
        assert_eq!(dtls.unwrap_err(), SdpError::Profile { profile: "UDP/TLS/RTP/SAVPF".into() });
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |srtp, profile, cryptos: &str| of(srtp, profile, cryptos).unwrap_err();
        let known = crypto(1, SUITES[0]);
        assert_eq!(refused(Srtp::Off, "RTP/SAVP", &known), SdpError::Encrypted);
        assert_eq!(refused(Srtp::Required, "RTP/AVP", ""), SdpError::Unencrypted);
        assert_eq!(refused(Srtp::Optional, "RTP/SAVP", ""), SdpError::NoCommonSuite);
        let gcm = "a=crypto:1 AEAD_AES_256_GCM inline:x\r\n";
        assert_eq!(refused(Srtp::Required, "RTP/AVP", gcm), SdpError::Unencrypted);
        // Best effort: with keys that nobody here knows, or wants, it goes on without.
        assert_eq!(of(Srtp::Optional, "RTP/AVP", gcm).unwrap().1.terms.srtp, None);
        let (sdp, agreed) = of(Srtp::Off, "RTP/AVP", &known).unwrap();
        assert!(agreed.terms.srtp.is_none() && !sdp.contains("crypto"), "{sdp}");
    }

    #[test]
    fn encrypted_stream_is_taken_before_one_that_is_not() {
        let both = [stream("RTP/AVP", ""), stream("RTP/SAVP", &crypto(4, SUITES[0]))];
        for (srtp, taken) in [(Srtp::Off, 0), (Srtp::Optional, 1), (Srtp::Required, 1)] {
            for turned in [false, true] {
                let streams = if turned { [&both[1], &both[0]] } else { [&both[0], &both[1]] };
                let offer = described(&streams.map(String::as_str).concat());
                let (sdp, agreed) = answer(&local(srtp), &offer).unwrap();
                assert_eq!(agreed.terms.srtp.is_some(), taken == 1);
                let ports: Vec<_> = sdp.lines().filter(|line| line.starts_with("m=audio")).collect();
                let place = if turned { 1 - taken } else { taken };
                assert!(ports[place].starts_with("m=audio 40000 "), "{sdp}");
                assert!(ports[1 - place].starts_with("m=audio 0 "), "{sdp}");
            }
        }
    }

    #[test]
    fn answer_takes_a_line_of_ours_which_its_suite_names() {
        let judge = |srtp, profile, cryptos: &str| {
            let answer = described(&stream(profile, cryptos));
            accept(&local(srtp), &answer).map(|agreed| agreed.terms.srtp.map(|keying| keying.suite))
        };
        let [strong, weak] = [Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];
        for srtp in [Srtp::Optional, Srtp::Required] {
            assert_eq!(judge(srtp, "RTP/SAVP", &crypto(1, SUITES[0])), Ok(Some(strong)));
            assert_eq!(judge(srtp, "RTP/SAVP", &crypto(2, SUITES[1])), Ok(Some(weak)));
            assert_eq!(judge(srtp, "RTP/AVP", &crypto(1, SUITES[0])), Ok(Some(strong)), "the key counts");
            assert_eq!(judge(srtp, "RTP/SAVP", &crypto(1, SUITES[1])), Ok(Some(weak)), "whatever its tag");
            let unknown = crypto(1, "AEAD_AES_256_GCM");
            assert_eq!(judge(srtp, "RTP/SAVP", &unknown), Err(SdpError::NoCommonSuite));
            assert_eq!(judge(srtp, "RTP/AVP", &unknown), Err(SdpError::NoCommonSuite), "it encrypts");
        }
        assert_eq!(judge(Srtp::Optional, "RTP/AVP", ""), Ok(None));
        assert_eq!(judge(Srtp::Required, "RTP/AVP", ""), Err(SdpError::Unencrypted));
        assert_eq!(judge(Srtp::Off, "RTP/SAVP", &crypto(1, SUITES[0])), Err(SdpError::Encrypted));
    }

    #[test]
    fn nothing_is_heard_before_the_key_where_one_is_required() {
        let of = |srtp| local(srtp).unanswered().terms.srtp;
        assert_eq!((of(Srtp::Off), of(Srtp::Optional)), (None, None));
        let (ours, once) = (local(Srtp::Required), |local: &Local| local.unanswered().terms.srtp.unwrap());
        assert_eq!(once(&ours).sends, ours.keys.of(Suite::AesCm128HmacSha1_80));
        assert_ne!(once(&ours).receives, once(&ours).receives, "a key that nobody has");
        assert_ne!(ours.keys, Keys::draw());
    }

    #[test]
    fn errors_and_debug_hold_no_key() {
        let key = local(Srtp::Required);
        let text = format!("{key:?} {:?}", of(Srtp::Required, "RTP/SAVP", &crypto(1, SUITES[0])).unwrap().1);
        assert!(!text.contains(KEY) && !text.contains("89, 83") && text.contains("redacted"), "{text}");
    }
}
