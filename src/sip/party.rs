//! Whom an address names: the user part of a `sip:` URI, or a `tel:` number.
//!
//! It is read here and not by the stack, which ends a user part at its first semicolon. What stands behind that,
//! up to the `@`, are parameters of the user (RFC 3261 section 19.1.1), such as `cpc` and `phone-context`
//! (RFC 3966) or `tgrp` (RFC 4904), and not of the URI.

use super::{call::Party, quoting::bracket, trunk::TrunkConfig};
use crate::base::Pii;

/// The URI of an address as headers have it, with or without brackets and a display name.
pub(super) fn uri_of(entry: &str) -> Option<&str> {
    let (uri, _) = parted(entry)?;
    Some(uri.trim()).filter(|uri| !uri.is_empty())
}

/// Whether an address, with no white space around its separators, has a tag: itself, not its name or its URI.
pub(super) fn has_tag(entry: &str) -> bool {
    let is_tag =
        |param: &str| param.trim().split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case("tag"));
    parted(entry).is_some_and(|(_, params)| params.split(';').any(is_tag))
}

/// The URI of an address, and what follows it.
fn parted(entry: &str) -> Option<(&str, &str)> {
    let address = without_display_name(entry);
    if let Some(rest) = address.strip_prefix('<') {
        return rest.split_once('>');
    }
    // Without brackets, what follows the host is of the header (section 20).
    let host = address.find('@').unwrap_or_default();
    let end = address[host..].find(';').map_or(address.len(), |at| host + at);
    Some(address.split_at(end))
}

/// From the `<` on, if there is one outside of quotes: a caller chooses what stands before it.
pub(super) fn without_display_name(entry: &str) -> &str {
    bracket(entry).map_or(entry, |at| &entry[at..])
}

/// Whom a URI of this trunk's names; nobody where it is anonymous or has no user.
pub(super) fn party(uri: &str, trunk: &TrunkConfig) -> Option<Party> {
    let user = user(uri).filter(|user| !user.eq_ignore_ascii_case("anonymous"))?;
    Some(trunk.read_number(&compact(&user)).map_or_else(|| Party::Other(Pii::new(user)), Party::Number))
}

/// A number without its separators, which are for people (RFC 3966 section 5.1.1).
pub(super) fn compact(user: &str) -> String {
    user.replace(['-', '.', '(', ')'], "")
}

/// The user part of a URI, without its parameters.
pub(super) fn user(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let user = match scheme.trim().to_ascii_lowercase().as_str() {
        "sip" | "sips" => rest.split_once('@')?.0,
        "tel" => rest,
        _ => return None,
    };
    // A colon begins a password.
    let user = unescaped(user.split([';', ':']).next()?);
    (!user.is_empty()).then_some(user)
}

/// `%2B` is a plus (RFC 3261 section 19.1.2). What would not be plain text stays as it is written.
fn unescaped(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let octet = digits.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        plain.push(octet.unwrap_or(first));
        rest = if octet.is_some() { &after[2..] } else { after };
    }
    match String::from_utf8(plain) {
        Ok(plain) if !plain.contains(char::is_control) => plain,
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trunk::NumberFormat, *};

    fn party(uri: &str) -> Option<Party> {
        let number_format = NumberFormat::E164WithoutPlus;
        super::party(uri, &TrunkConfig { number_format, ..TrunkConfig::peer("a", "x".parse().unwrap()) })
    }

    fn number(text: &str) -> Option<Party> {
        Some(Party::Number(text.parse().unwrap()))
    }

    fn other(text: &str) -> Option<Party> {
        Some(Party::Other(Pii::new(text.into())))
    }

    #[test]
    fn parameters_of_the_user_are_no_part_of_the_number() {
        for uri in [
            "sip:+14155550123;cpc=ordinary@a",
            "sip:+14155550123;cpc=ordinary;tgrp=x;trunk-context=b@a;user=phone",
            "SIPS:+14155550123;phone-context=+1:secret@a:5061;transport=tls?x=y",
            "sip:%2B14155550123;cpc=x@a",
            "sip:+1-415.555(0123);cpc=x@a",
            "sip:14155550123;verstat=TN-Validation-Passed@a",
            "tel:+1-415-555-0123;cpc=payphone",
        ] {
            assert_eq!(party(uri), number("+14155550123"), "{uri}");
        }
    }

    #[test]
    fn digits_that_could_be_two_numbers_stay_text() {
        let peer = TrunkConfig::peer("a", "x".parse().unwrap());
        assert_eq!(super::party("sip:4155550123@a;user=phone", &peer), other("4155550123"));
        assert_eq!(super::party("sip:+1-415-555-0123@a;user=phone", &peer), number("+14155550123"));
        assert_eq!(super::party("sip:anonymous@anonymous.invalid;user=phone", &peer), None);
        let american = TrunkConfig {
            number_format: NumberFormat::National,
            country_code: "1".into(),
            international_prefix: "011".into(),
            ..peer
        };
        assert_eq!(super::party("sip:(415)555-0123;cpc=x@a", &american), number("+14155550123"));
        assert_eq!(super::party("tel:011-49-30-1234567", &american), number("+49301234567"));
    }

    #[test]
    fn extensions_and_names_stay_what_they_are() {
        assert_eq!(party("sip:1001;phone-context=example.com@a"), other("1001"));
        assert_eq!(party("tel:7042;phone-context=example.com"), other("7042"));
        assert_eq!(party("sip:j%61ne.doe:secret@a"), other("jane.doe"));
        assert_eq!(party("sip:a%0d%0ab@a"), other("a%0d%0ab"));
        assert_eq!(party("sip:%zz%2@a"), other("%zz%2"));
        for nobody in ["sip:a", "sip:@a", "sip:Anonymous@a", "sip:;cpc=x@a", "mailto:a@b", "a@b", ""] {
            assert_eq!(party(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn uri_is_found_in_every_form_of_an_address() {
        let uri = "sip:+14155550123;cpc=x@a;user=phone";
        assert_eq!(uri_of(&format!("\"a \\\"<b\" <{uri}>;tag=1")), Some(uri));
        assert_eq!(uri_of(&format!("< {uri} >")), Some(uri));
        assert_eq!(uri_of("sip:+14155550123;cpc=x@a;tag=1"), Some("sip:+14155550123;cpc=x@a"));
        assert_eq!(uri_of("sip:a;tag=1"), Some("sip:a"));
        assert_eq!((uri_of("<sip:a"), uri_of("")), (None, None));
    }

    #[test]
    fn tag_is_of_the_address_and_not_of_its_name_or_its_user() {
        for tagged in ["<sip:a@b>;tag=1", "sip:a;x=y@b;TAG=1", "\";tag=2\" <sip:a>;lr;tag=", "a;b <c>;tag=1"]
        {
            assert!(has_tag(tagged), "{tagged}");
        }
        for bare in
            ["<sip:a@b;tag=1>", "sip:a;tag=1@b", "sip:a@b;tag=1 <sip:c@d>", "<a>;tagged=1", "<a>;tag", ""]
        {
            assert!(!has_tag(bare), "{bare}");
        }
    }
}
