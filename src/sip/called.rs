//! Which number a call that came in was made to. Carriers put it into the Request-URI, some into To, where the
//! Request-URI is the Contact that we registered; a proxy that overwrote it says so in `P-Called-Party-ID`
//! (RFC 7315 section 4.2).

use rsipstack::sip::{Header, Request, prelude::HeadersExt};

use super::{
    call::Party,
    party::{compact, party, uri_of, user},
    trunk::TrunkConfig,
    vouched::first_uri,
};
use crate::base::E164;

/// Whom an INVITE names as called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Called {
    /// The likeliest, where nobody knows which numbers are ours beyond those of the trunk.
    pub party: Option<Party>,
    /// Every number that it may be, the likeliest first. One that is not ours means nothing.
    pub numbers: Vec<E164>,
}

pub(super) fn called(request: &Request, trunk: &TrunkConfig) -> Called {
    let uri = request.uri.to_string();
    let target = party(&uri, trunk);
    // What a registrar puts in place of the number that was dialled.
    let is_contact = user(&uri).is_some_and(|user| user == trunk.user());
    let (target, contact) = if is_contact { (None, target) } else { (target, None) };
    let to = request.to_header().ok().and_then(|to| party(uri_of(to.value())?, trunk));
    let asked = first_called(request).and_then(|uri| party(uri, trunk));
    let mut numbers: Vec<E164> = Vec::new();
    for number in
        [&target, &to, &asked, &contact].into_iter().flatten().flat_map(|named| readings(named, trunk))
    {
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    let ours = numbers.iter().find(|number| trunk.names(number)).cloned().map(Party::Number);
    let named = [asked, target, to, contact];
    let likeliest = named.iter().flatten().find(|party| matches!(party, Party::Number(_)));
    let party = ours.or_else(|| likeliest.or(named.iter().flatten().next()).cloned());
    Called { party, numbers }
}

fn readings(party: &Party, trunk: &TrunkConfig) -> Vec<E164> {
    match party {
        Party::Number(number) => vec![number.clone()],
        Party::Other(text) => trunk.readings(&compact(text.expose())),
    }
}

fn first_called(request: &Request) -> Option<&str> {
    let named = |header: &&Header| header.name().eq_ignore_ascii_case("P-Called-Party-ID");
    request.headers.iter().find(named).and_then(|header| first_uri(header.value()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::Pii, sip::trunk::NumberFormat};

    fn request(uri: &str, to: &str, more: &str) -> Request {
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <{to}>\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n{more}\r\n"
        );
        Request::try_from(text.as_bytes()).unwrap()
    }

    /// A trunk that registers as alice and has the number …0100.
    fn trunk() -> TrunkConfig {
        TrunkConfig {
            username: Some("alice".into()),
            caller_id: Some("+14155550100".parse().unwrap()),
            ..TrunkConfig::peer("a", "x".parse().unwrap())
        }
    }

    fn to_number(party: Option<Party>) -> Option<String> {
        match party? {
            Party::Number(number) => Some(number.to_string()),
            Party::Other(other) => Some(other.expose().clone()),
        }
    }

    fn finds(uri: &str, to: &str, more: &str) -> Option<String> {
        to_number(called(&request(uri, to, more), &trunk()).party)
    }

    #[test]
    fn number_of_ours_is_found_wherever_it_stands() {
        let (ours, other) = ("sip:+14155550100@x", "sip:+14155550199@x");
        let asked = format!("P-Called-Party-ID: \"x\" <{ours};npdi>\r\n");
        for (uri, to, more) in [(ours, other, ""), (other, ours, ""), ("sip:alice@x", other, &*asked)] {
            assert_eq!(finds(uri, to, more).as_deref(), Some("+14155550100"), "{uri} {to} {more}");
        }
    }

    #[test]
    fn where_none_is_known_the_one_that_was_dialled_counts_and_the_contact_does_not() {
        let (dialled, shown) = ("sip:+14155550111@x;user=phone", "sip:+14155550122@x");
        assert_eq!(finds(dialled, shown, "").as_deref(), Some("+14155550111"));
        assert_eq!(finds("sip:alice@192.0.2.1", shown, "").as_deref(), Some("+14155550122"));
        let asked = "P-Called-Party-ID: <sip:+14155550133@x>\r\n";
        assert_eq!(finds("sip:alice@192.0.2.1", shown, asked).as_deref(), Some("+14155550133"));
        let digits = TrunkConfig {
            username: Some("14155550144".into()),
            number_format: NumberFormat::E164WithoutPlus,
            ..trunk()
        };
        let by_contact = request("sip:14155550144@192.0.2.1", shown, "");
        assert_eq!(to_number(called(&by_contact, &digits).party).as_deref(), Some("+14155550122"));
        let alone = request("sip:14155550144@192.0.2.1", "sip:office@x", "");
        assert_eq!(to_number(called(&alone, &digits).party).as_deref(), Some("+14155550144"));
    }

    #[test]
    fn our_number_is_known_however_it_is_written_and_no_other_is() {
        for written in ["sip:+14155550100@x", "sip:1-415-555-0100@x", "sip:4155550100@x"] {
            assert_eq!(finds("sip:alice@x", written, "").as_deref(), Some("+14155550100"), "{written}");
        }
        assert_eq!(finds("sip:4155550111@x", "sip:office@x", "").as_deref(), Some("4155550111"));
    }

    #[test]
    fn every_number_is_told_once_and_names_are_kept() {
        let all = request(
            "sip:+14155550111@x",
            "sip:+14155550122@x",
            "P-Called-Party-ID: <sip:+14155550111@x>\r\n",
        );
        let numbers: Vec<_> = called(&all, &trunk()).numbers.iter().map(E164::to_string).collect();
        assert_eq!(numbers, ["+14155550111", "+14155550122"]);
        assert_eq!(finds("sip:1001@x", "sip:office@x", "").as_deref(), Some("1001"));
        assert_eq!(finds("sip:alice@x", "sip:office@x", "").as_deref(), Some("office"));
        let nobody = called(&request("sip:192.0.2.1", "sip:anonymous@anonymous.invalid", ""), &trunk());
        assert_eq!(nobody, Called { party: None, numbers: vec![] });
        assert_eq!(
            called(&request("sip:alice@x", "sip:x", ""), &trunk()).party,
            Some(Party::Other(Pii::new("alice".into())))
        );
    }
}
