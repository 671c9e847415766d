//! Who may be called, and as whom.
//!
//! Some numbers are refused whatever the configuration says: emergency and N11 services, the crisis
//! line 988, and numbers that bill the caller (area code 900, exchange 976). An agent has no business
//! there, and a mistake costs lives or money. The rest is the operator's choice by prefix.

use serde::{Deserialize, Serialize};

use super::field::FieldError;
use crate::base::E164;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Numbers that begin with one of these may be called.
    pub allowed_prefixes: Vec<String>,
    /// Numbers that begin with one of these may not, allowed or not.
    pub denied_prefixes: Vec<String>,
    /// The numbers this node may show as its own.
    pub caller_ids: Vec<E164>,
}

/// The rules in force.
#[derive(Debug, Clone)]
pub struct Policy {
    config: Config,
}

const EXAMPLE: &str = "write it as `+`, country code and number, such as +14155550123";

impl Policy {
    pub fn new(config: Config) -> Policy {
        Policy { config }
    }

    /// A number to call or to transfer to; `field` is the name the client knows it by.
    pub fn callable(&self, field: &str, text: &str) -> Result<E164, FieldError> {
        if let Some(service) = service_code(text) {
            let fix = "dial it yourself from a telephone; this service never calls it";
            return Err(FieldError::refused(field, format!("is {service}"), fix));
        }
        let number = e164(field, text)?;
        if let Some(premium) = premium(&number) {
            let fix = "use the organisation's ordinary number";
            return Err(FieldError::refused(field, format!("is {premium}"), fix));
        }
        self.by_prefix(field, number)
    }

    /// A number to show the called party: one that this node owns.
    pub fn caller_id(&self, field: &str, text: &str) -> Result<E164, FieldError> {
        let number = e164(field, text)?;
        if self.config.caller_ids.contains(&number) {
            return Ok(number);
        }
        let fix = "leave it out to use the trunk's number, or name one of the node's own \
                   (`policy.caller_ids` in its configuration)";
        Err(FieldError::refused(field, "is not a number of this node", fix))
    }

    fn by_prefix(&self, field: &str, number: E164) -> Result<E164, FieldError> {
        let begins = |prefixes: &[String]| {
            prefixes.iter().find(|prefix| number.as_str().starts_with(prefix.as_str())).cloned()
        };
        if let Some(prefix) = begins(&self.config.denied_prefixes) {
            let fix = "do not try this number again; the operator decides by `policy.denied_prefixes`";
            return Err(FieldError::refused(
                field,
                format!("begins with {prefix}, which is not called"),
                fix,
            ));
        }
        if begins(&self.config.allowed_prefixes).is_none() {
            let allowed = self.config.allowed_prefixes.join(", ");
            let fix = format!("call a number that begins with one of: {allowed} (`policy.allowed_prefixes`)");
            return Err(FieldError::refused(field, "is outside the area this node calls", fix));
        }
        Ok(number)
    }
}

/// An E.164 number, which under +1 must be one that the North American plan can hold.
fn e164(field: &str, text: &str) -> Result<E164, FieldError> {
    let number: E164 =
        text.parse().map_err(|_| FieldError::invalid(field, "is not an E.164 number", EXAMPLE))?;
    if number.as_str().starts_with("+1") && !number.is_nanp() {
        let problem = "is not a North American number";
        let fix = "after +1 write a three-digit area code and seven digits; area code and exchange \
                   begin with 2 to 9 and do not end in 11";
        return Err(FieldError::invalid(field, problem, fix));
    }
    Ok(number)
}

/// The service behind a short code, however it is dressed: `911`, `+911`, `+1 911`.
fn service_code(text: &str) -> Option<&'static str> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let code = match digits.len() {
        4 => digits.strip_prefix('1').unwrap_or(&digits),
        _ => &digits,
    };
    match code {
        "911" | "112" | "999" | "000" | "110" | "118" | "119" | "933" => Some("an emergency service"),
        "988" => Some("a crisis line"),
        "211" | "311" | "411" | "511" | "611" | "711" | "811" => Some("an N11 service code"),
        _ => None,
    }
}

fn premium(number: &E164) -> Option<&'static str> {
    let national = number.as_str().strip_prefix("+1")?;
    match (&national[..3], &national[3..6]) {
        ("900", _) => Some("a premium-rate number (area code 900)"),
        (_, "976") => Some("a premium-rate number (exchange 976)"),
        ("988", _) => Some("in area code 988, which is kept for the crisis line"),
        ("710", _) => Some("in area code 710, which is the government's emergency network"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Verdict;

    fn policy() -> Policy {
        Policy::new(Config {
            allowed_prefixes: vec!["+1".into(), "+49".into()],
            denied_prefixes: vec!["+1876".into(), "+12025550199".into()],
            caller_ids: vec!["+14155550100".parse().unwrap()],
        })
    }

    fn verdict(text: &str) -> Result<(), Verdict> {
        policy().callable("phone_number", text).map(|_| ()).map_err(|error| error.verdict)
    }

    #[test]
    fn ordinary_numbers_may_be_called() {
        for number in ["+14155550123", "+12125550187", "+4930555012345"] {
            assert_eq!(verdict(number), Ok(()), "{number}");
        }
    }

    #[test]
    fn services_and_premium_numbers_are_refused_however_written() {
        for number in [
            "911",
            "+911",
            "+1911",
            "9-1-1",
            "112",
            "988",
            "+1988",
            "411",
            "+1611",
            "+19005550123",
            "+14159760123",
            "+17105550123",
            "+19885550123",
        ] {
            assert_eq!(verdict(number), Err(Verdict::Refused), "{number}");
        }
    }

    #[test]
    fn numbers_outside_the_plan_are_invalid() {
        for number in ["4155550123", "+1415555012", "+141555501234", "+11155550123", "+14159110123", "", "+1"]
        {
            assert_eq!(verdict(number), Err(Verdict::Invalid), "{number}");
        }
    }

    #[test]
    fn prefixes_decide_and_denial_wins() {
        for number in ["+442079460123", "+18765550123", "+12025550199"] {
            assert_eq!(verdict(number), Err(Verdict::Refused), "{number}");
        }
    }

    #[test]
    fn caller_id_must_be_our_own() {
        assert!(policy().caller_id("from", "+14155550100").is_ok());
        let error = policy().caller_id("from", "+14155550101").unwrap_err();
        assert_eq!(error.verdict, Verdict::Refused);
        assert!(error.fix.contains("policy.caller_ids"));
    }
}
