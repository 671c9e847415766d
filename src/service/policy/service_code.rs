//! Numbers that no agent calls, whatever the configuration says: emergency and N11 services, crisis lines,
//! short codes, the North American codes that bill the caller, and the networks of satellites.

use crate::base::E164;

/// The service behind a short code, however it is dressed: `911`, `+911`, `+1 911`. `None` for what is too
/// long to be one.
pub(super) fn short_code(text: &str) -> Option<&'static str> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let code = match digits.len() {
        4 => digits.strip_prefix('1').unwrap_or(&digits),
        _ => &digits,
    };
    match code {
        "911" | "112" | "999" | "000" | "110" | "118" | "119" | "933" => Some("an emergency service"),
        "988" => Some("a crisis line"),
        "211" | "311" | "411" | "511" | "611" | "711" | "811" => Some("an N11 service code"),
        // A country code before an emergency number, a text service, a carrier's own code.
        _ if (3..=6).contains(&digits.len()) => Some("a short code"),
        _ => None,
    }
}

/// What bills the caller or belongs to a service though it looks like a subscriber in North America. The
/// numbering plan's metadata knows area code 900 and none of the others.
pub(super) fn north_american(number: &E164) -> Option<&'static str> {
    let national = number.as_str().strip_prefix("+1")?;
    match (&national[..3], &national[3..6]) {
        ("900", _) => Some("a premium-rate number (area code 900)"),
        (_, "976") => Some("a premium-rate number (exchange 976)"),
        ("988", _) => Some("in area code 988, which is kept for the crisis line"),
        ("710", _) => Some("in area code 710, which is the government's emergency network"),
        ("700", _) => Some("in area code 700, where each carrier has services of its own"),
        ("600" | "622" | "633" | "644" | "655" | "677" | "688", _) => {
            Some("in a Canadian code without a place, used by satellites")
        }
        _ => None,
    }
}

/// ITU-T E.164's codes for networks instead of countries; their operators set the rate, and fraud goes there.
pub(super) fn international_network(number: &E164) -> Option<&'static str> {
    match number.digits().get(..3)? {
        "870" | "881" => Some("a satellite number"),
        "882" | "883" => Some("a number of an international network, billed like a satellite's"),
        "878" => Some("a universal personal number"),
        "888" => Some("a number of the United Nations' disaster relief"),
        "979" => Some("an international premium-rate number"),
        "808" => Some("an international shared-cost number"),
        _ => None,
    }
}
