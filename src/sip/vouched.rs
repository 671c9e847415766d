//! What the trunk of a call that comes in says of it: which number was called before ours (Diversion,
//! RFC 5806; History-Info, RFC 7044), and what it found out about the caller's (STIR/SHAKEN, RFC 8224).

use rsipstack::sip::{Header, Request};

use super::{
    call::Party,
    party::{party, uri_of, without_display_name},
    quoting::elements,
    trunk::TrunkConfig,
};
use crate::base::{E164, words::text_enum};

text_enum! {
    /// What a trunk found out about the number that a caller shows.
    Verification {
        /// The caller is known and may use the number (attestation A).
        PassedA = "passed_a",
        /// The caller is known (B).
        PassedB = "passed_b",
        /// The call came in by a gateway that knows neither (C).
        PassedC = "passed_c",
        /// Signed rightly; by which attestation, the trunk does not say.
        Passed = "passed",
        /// Signed, and not rightly: take the number for false.
        Failed = "failed",
        /// Not signed.
        Unsigned = "unsigned",
    }
}

/// The number that was called first, where another forwarded the call to ours.
pub(super) fn redirected_from(request: &Request, trunk: &TrunkConfig) -> Option<E164> {
    // The topmost Diversion is the latest.
    let diverting = values(request, "Diversion").flat_map(entries).last();
    // An only entry is the number that was called.
    let history: Vec<_> = values(request, "History-Info").flat_map(entries).collect();
    let first = history.first().filter(|_| history.len() > 1).copied();
    match party(uri_of(diverting.or(first)?)?, trunk)? {
        Party::Number(number) => Some(number),
        Party::Other(_) => None,
    }
}

/// The verdict in the headers that the trunk's configuration names; `None` if there is none, or if two
/// differ: one of them is then not the trunk's.
pub(super) fn verification(request: &Request, trunk: &TrunkConfig) -> Option<Verification> {
    let header = trunk.verification_header.as_deref()?;
    let attested = trunk.attestation_header.as_deref();
    let attested = attested.and_then(|header| values(request, header).next()).map(str::trim);
    let verdicts = values(request, header).flat_map(entries).filter_map(|entry| verdict(entry, attested));
    let mut found = None;
    for verdict in verdicts {
        if found.is_some_and(|other| other != verdict) {
            return None;
        }
        found = Some(verdict);
    }
    found
}

/// A bare verdict, or that of a `verstat` parameter of a number (3GPP TS 24.229 section 7.2A.20), which a
/// display name cannot forge.
fn verdict(entry: &str, attested: Option<&str>) -> Option<Verification> {
    let entry = without_display_name(entry);
    let word = match find_parameter(entry, "verstat") {
        Some(word) => word,
        None if entry.contains([':', '<']) => return None,
        None => entry.trim(),
    };
    let word = word.to_ascii_lowercase();
    let level = match word.strip_prefix("tn-validation-passed") {
        None if word.starts_with("tn-validation-failed") => return Some(Verification::Failed),
        None => return word.starts_with("no-tn-validation").then_some(Verification::Unsigned),
        Some(rest) => rest.trim_start_matches('-').chars().next().map(|c| c.to_ascii_uppercase()),
    };
    // What follows may also say that the call was diverted: a letter alone is an attestation.
    let level = level.filter(|level| matches!(level, 'A'..='C'));
    Some(match level.or_else(|| attested?.chars().next()) {
        Some('A') => Verification::PassedA,
        Some('B') => Verification::PassedB,
        Some('C') => Verification::PassedC,
        _ => Verification::Passed,
    })
}

fn find_parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut parameters = text.split([';', '@', '>', '<', ',', ' ']).filter_map(|part| part.split_once('='));
    parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn values<'a>(request: &'a Request, name: &str) -> impl Iterator<Item = &'a str> {
    let named = move |header: &&Header| header.name().eq_ignore_ascii_case(name);
    request.headers.iter().filter(named).map(Header::value)
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    elements(list).into_iter().filter(|entry| !entry.is_empty())
}

/// The first URI of a list of addresses.
pub(super) fn first_uri(list: &str) -> Option<&str> {
    entries(list).next().and_then(uri_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(headers: &[&str]) -> Request {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let text = format!(
            "INVITE sip:14155550100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
             From: <sip:+4930123456@a>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n{headers}\r\n"
        );
        Request::try_from(text.as_bytes()).unwrap()
    }

    fn verified(header: Option<&str>, headers: &[&str]) -> Option<&'static str> {
        attested(header, None, headers)
    }

    fn attested(header: Option<&str>, letter: Option<&str>, headers: &[&str]) -> Option<&'static str> {
        let trunk = TrunkConfig {
            verification_header: header.map(Into::into),
            attestation_header: letter.map(Into::into),
            ..TrunkConfig::peer("a", "x".parse().unwrap())
        };
        verification(&invite(headers), &trunk).map(Verification::as_str)
    }

    #[test]
    fn verdicts_of_carriers_are_read() {
        let twilio =
            |word: &str| verified(Some("X-Twilio-VerStat"), &[format!("x-twilio-verstat: {word}").as_str()]);
        assert_eq!(twilio("TN-Validation-Passed-A"), Some("passed_a"));
        assert_eq!(twilio("TN-Validation-Passed-B-Diverted"), Some("passed_b"));
        assert_eq!(twilio("TN-Validation-Passed-Diverted"), Some("passed"));
        assert_eq!(twilio("TN-Validation-Failed-C"), Some("failed"));
        assert_eq!(twilio("No-TN-Validation"), Some("unsigned"));
        assert_eq!(twilio("whatever"), None);
        let asserted = |value: &str, more: &str| {
            let header = format!("P-Asserted-Identity: {value}");
            attested(Some("P-Asserted-Identity"), Some("P-Attestation-Indicator"), &[&header, more])
        };
        let number = "<sip:+14155550123;verstat=TN-Validation-Passed@carrier;user=phone>";
        assert_eq!(asserted(number, "X: y"), Some("passed"));
        assert_eq!(asserted(number, "P-Attestation-Indicator: B"), Some("passed_b"));
        let headers = [&format!("P-Asserted-Identity: {number}"), "P-Attestation-Indicator: A"];
        let unnamed = verified(Some("P-Asserted-Identity"), &headers);
        assert_eq!(unnamed, Some("passed"), "a header that the caller may have written");
        assert_eq!(asserted("<tel:+14155550123;verstat=TN-Validation-Failed>", "X: y"), Some("failed"));
        assert_eq!(asserted("<sip:+14155550123@carrier>;verstat=No-TN-Validation", "X: y"), Some("unsigned"));
        assert_eq!(asserted("<sip:+14155550123@carrier>", "P-Attestation-Indicator: A"), None);
    }

    #[test]
    fn verdict_counts_only_where_the_trunk_puts_it() {
        let header = "X-Twilio-VerStat: TN-Validation-Passed-A";
        assert_eq!(verified(None, &[header]), None);
        assert_eq!(verified(Some("P-Asserted-Identity"), &[header]), None);
        let other = "X-Twilio-VerStat: TN-Validation-Failed";
        assert_eq!(verified(Some("X-Twilio-VerStat"), &[header, other]), None, "one of them is forged");
    }

    #[test]
    fn display_name_forges_nothing() {
        for name in [
            "\";verstat=TN-Validation-Passed-A;\"",
            "\"<sip:+1;verstat=TN-Validation-Passed-A@x>\"",
            "\"\\\"<tel:+1;verstat=TN-Validation-Passed-A>\"",
            "verstat=TN-Validation-Passed-A",
            "TN-Validation-Passed-A",
        ] {
            let forged = format!("P-Asserted-Identity: {name} <sip:+14155550123@carrier>");
            assert_eq!(verified(Some("P-Asserted-Identity"), &[&forged]), None, "{name}");
        }
        let uri = first_uri("\"a, <sip:+19005550123@evil>\" <sip:+14155550123@carrier>");
        assert_eq!(uri, Some("sip:+14155550123@carrier"));
    }

    #[test]
    fn number_that_was_called_first_is_the_lowest_diversion_or_the_first_of_the_history() {
        let trunk = TrunkConfig::peer("a", "x".parse().unwrap());
        let first =
            |headers: &[&str]| redirected_from(&invite(headers), &trunk).map(|n| n.as_str().to_owned());
        let later = "Diversion: \"b, c\" <sip:+14155550102@x>;reason=no-answer";
        let earlier = "Diversion: <sip:+14155550109@x>, <tel:+1-415-555-0101>;counter=1";
        assert_eq!(first(&[later, earlier]).as_deref(), Some("+14155550101"));
        let history = "History-Info: <sip:+14155550103@x>;index=1, <sip:+14155550100@y;cause=302>;index=1.1";
        assert_eq!(first(&[history]).as_deref(), Some("+14155550103"));
        assert_eq!(first(&["History-Info: <sip:+14155550100@x>;index=1"]), None);
        assert_eq!(first(&["Diversion: <sip:1001@pbx>;reason=away"]), None);
        let with_parameters = "Diversion: <sip:+14155550107;cpc=x@x;user=phone>";
        assert_eq!(first(&[with_parameters]).as_deref(), Some("+14155550107"));
        assert_eq!(first(&["Diversion: <"]), None);
        assert_eq!(first(&[]), None);
    }
}
