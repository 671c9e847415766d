//! What a number says about itself, by libphonenumber's metadata: its country and its area code.

use std::{fmt, str::FromStr};

use phonenumber::metadata::DATABASE;
use serde::{Deserialize, Serialize};

use crate::base::E164;

/// Two capital letters of ISO 3166-1, of a country that has telephone numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Country(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a country's two letters by ISO 3166, such as US or CA")]
pub struct UnknownCountry;

impl Country {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The country whose numbering plan the number belongs to. Where several countries share a calling
    /// code and the plan does not tell, there is none.
    pub fn of(number: &E164) -> Option<Country> {
        let parsed = phonenumber::parse(None, number.as_str()).ok()?;
        let told = parsed.country().id().map(|id| id.as_ref().to_owned());
        told.or_else(|| main_country(parsed.code().value())).map(Country)
    }

    /// The digits after the `+` of this country's numbers.
    pub fn calling_code(&self) -> String {
        DATABASE.by_id(self.as_str()).map(|plan| plan.country_code().to_string()).unwrap_or_default()
    }

    /// Whether the number begins with this country's calling code.
    pub fn may_hold(&self, number: &E164) -> bool {
        number.digits().starts_with(&self.calling_code())
    }

    /// Whether its area codes have three digits, as in the North American plan.
    pub fn is_nanp(&self) -> bool {
        self.calling_code() == "1"
    }
}

/// libphonenumber's parser drops the zeros that Italian numbers begin with, and then finds no country.
fn main_country(calling_code: u16) -> Option<String> {
    match DATABASE.region(&calling_code)?.as_slice() {
        [only] if *only != "001" => Some((*only).to_owned()),
        ["IT", ..] => Some("IT".to_owned()),
        _ => None,
    }
}

/// The first three national digits of a North American number; elsewhere area codes vary in length, and
/// there is none to be had from the digits alone.
pub fn area_code(number: &E164) -> Option<&str> {
    if number.is_nanp() { number.digits().get(1..4) } else { None }
}

/// Whether the number's digits begin with `code` after the country's.
pub fn begins_with_area(number: &E164, code: &str) -> bool {
    let Ok(parsed) = phonenumber::parse(None, number.as_str()) else { return false };
    let national = number.digits().strip_prefix(&parsed.code().value().to_string());
    national.is_some_and(|national| national.starts_with(code))
}

impl FromStr for Country {
    type Err = UnknownCountry;

    fn from_str(text: &str) -> Result<Self, UnknownCountry> {
        let code = text.to_ascii_uppercase();
        let letters = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        if letters && DATABASE.by_id(code.as_str()).is_some() {
            Ok(Country(code))
        } else {
            Err(UnknownCountry)
        }
    }
}

impl TryFrom<String> for Country {
    type Error = UnknownCountry;

    fn try_from(text: String) -> Result<Self, UnknownCountry> {
        text.parse()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> E164 {
        text.parse().unwrap()
    }

    #[test]
    fn a_number_tells_its_country() {
        for (text, country) in [
            ("+14155550123", "US"),
            ("+12125550187", "US"),
            ("+14165550123", "CA"),
            ("+16045550123", "CA"),
            ("+18765550123", "JM"),
            ("+493012345678", "DE"),
            ("+442079460123", "GB"),
            ("+390612345678", "IT"),
            ("+5215512345678", "MX"),
        ] {
            let found = Country::of(&number(text));
            assert_eq!(found.as_ref().map(Country::as_str), Some(country), "{text}");
        }
    }

    #[test]
    fn area_codes_are_told_in_north_america_alone() {
        assert_eq!(area_code(&number("+14155550123")), Some("415"));
        assert_eq!(area_code(&number("+493012345678")), None);
        assert!(begins_with_area(&number("+493012345678"), "30"));
        assert!(!begins_with_area(&number("+493012345678"), "49"));
    }

    #[test]
    fn countries_are_read_in_any_case_and_must_exist() {
        assert_eq!("us".parse::<Country>().unwrap().as_str(), "US");
        for bad in ["", "U", "USA", "XX", "001", "Ü", "u5"] {
            assert_eq!(bad.parse::<Country>(), Err(UnknownCountry), "{bad}");
        }
        assert!("CA".parse::<Country>().unwrap().may_hold(&number("+14165550123")));
        assert!(!"DE".parse::<Country>().unwrap().may_hold(&number("+14165550123")));
    }

    proptest! {
        #[test]
        fn no_number_makes_the_metadata_panic(text in r"\+[1-9][0-9]{6,14}") {
            let number = number(&text);
            let country = Country::of(&number);
            prop_assert!(country.is_none_or(|country| country.may_hold(&number)));
        }
    }
}
