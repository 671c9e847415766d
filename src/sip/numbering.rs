//! How a trunk writes numbers, and what those mean that it sends. A number that could be another one is
//! none: `4155550123` is a telephone in San Francisco or one in Switzerland.

use serde::{Deserialize, Serialize};

use super::trunk::TrunkConfig;
use crate::base::E164;

/// How numbers are written in the URIs of a trunk, both ways. One with a plus is read in every format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberFormat {
    /// `+14155550123`. What comes in without the plus is read from eleven digits on: fewer may be national.
    #[default]
    E164,
    /// `14155550123`, and shorter ones of the world
    E164WithoutPlus,
    /// `4155550123` in its own country, `01149301234567` elsewhere: `country_code`, `national_prefix` and
    /// `international_prefix` say how.
    National,
}

/// Fewer digits without a plus are an extension, not a number of the world.
const SHORTEST_INTERNATIONAL: usize = 10;
/// Fewer may be a national number, where a trunk does not say that it leaves the plus out.
const SHORTEST_UNSAID: usize = 11;
/// The same for a number within a country.
const SHORTEST_NATIONAL: usize = 7;
/// The North American plan, whose numbers show whether they are one.
const NANP: &str = "1";

impl TrunkConfig {
    /// `number` as this trunk writes it.
    pub fn write_number(&self, number: &E164) -> String {
        match self.number_format {
            NumberFormat::E164 => number.as_str().to_owned(),
            NumberFormat::E164WithoutPlus => number.digits().to_owned(),
            NumberFormat::National => match number.digits().strip_prefix(&self.country_code) {
                Some(national) => format!("{}{national}", self.national_prefix),
                None => format!("{}{}", self.international_prefix, number.digits()),
            },
        }
    }

    /// The number that this trunk means by `text`, which has no separators; none where it may be another, or
    /// is no number.
    pub fn read_number(&self, text: &str) -> Option<E164> {
        if text.starts_with('+') {
            return text.parse().ok();
        }
        match self.number_format {
            NumberFormat::E164 if text.len() < SHORTEST_UNSAID => None,
            NumberFormat::E164 => international(text),
            NumberFormat::E164WithoutPlus if text.len() < SHORTEST_INTERNATIONAL => None,
            NumberFormat::E164WithoutPlus if self.may_be_american(text) => None,
            NumberFormat::E164WithoutPlus => international(text),
            NumberFormat::National => match text.strip_prefix(&self.international_prefix) {
                Some(abroad) => international(abroad),
                None => self.read_national(text),
            },
        }
    }

    /// What `text` may mean, with or without the plus, and American ones without the 1, too: enough to know a
    /// number that is ours again, and not enough to tell one of anybody else.
    pub(super) fn readings(&self, text: &str) -> Vec<E164> {
        let american = || international(&format!("{NANP}{text}")).filter(E164::is_nanp);
        let mut readings = Vec::from_iter(self.read_number(text));
        if !text.starts_with('+') {
            readings.extend(international(text).into_iter().chain(american()));
        }
        readings
    }

    /// Whether a trunk with American numbers may have left out their country code.
    fn may_be_american(&self, text: &str) -> bool {
        let is_american = international(&format!("{NANP}{text}")).is_some_and(|number| number.is_nanp());
        is_american && self.caller_id.iter().chain(&self.caller_ids).any(E164::is_nanp)
    }

    fn read_national(&self, text: &str) -> Option<E164> {
        if self.country_code == NANP {
            // The 1 before the area code may be left out, whatever the trunk does of itself.
            let national = text.strip_prefix(NANP).unwrap_or(text);
            return international(&format!("{NANP}{national}")).filter(E164::is_nanp);
        }
        let national = text.strip_prefix(&self.national_prefix)?;
        // A second zero is that of an international prefix which this trunk does not have.
        let strange = !self.national_prefix.is_empty() && national.starts_with('0');
        if strange || text.len() < SHORTEST_NATIONAL {
            return None;
        }
        international(&format!("{}{national}", self.country_code))
    }

    /// Whether the rules of national numbers are there, and make sense.
    pub(super) fn validate_numbering(&self) -> Result<(), (&'static str, &'static str)> {
        let national = self.number_format == NumberFormat::National;
        let digits = |text: &str| text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
        let fields = [
            ("country_code", &self.country_code),
            ("national_prefix", &self.national_prefix),
            ("international_prefix", &self.international_prefix),
        ];
        for (field, text) in fields {
            if !national && !text.is_empty() {
                return Err((field, "must not be set, since `number_format` is not \"national\""));
            }
        }
        if !national {
            return Ok(());
        }
        let code = &self.country_code;
        if !digits(code) || !(1..=3).contains(&code.len()) || code.starts_with('0') {
            return Err((
                "country_code",
                "must be 1 to 3 digits, such as \"1\", as number_format = \"national\"",
            ));
        }
        if !digits(&self.national_prefix) {
            return Err(("national_prefix", "must be at most 5 digits, such as \"0\", or empty"));
        }
        let abroad = &self.international_prefix;
        if !abroad.is_empty() && self.national_prefix.starts_with(abroad.as_str()) {
            return Err((
                "national_prefix",
                "must not begin with `international_prefix`: they could not be told apart",
            ));
        }
        if abroad.is_empty() || !(abroad == "+" || digits(abroad)) {
            return Err(("international_prefix", "must be at most 5 digits, such as \"00\", or \"+\""));
        }
        Ok(())
    }
}

fn international(digits: &str) -> Option<E164> {
    format!("+{digits}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(format: &str) -> TrunkConfig {
        toml::from_str(&format!("name = 'a'\nserver = 'x'\n{format}")).unwrap()
    }

    fn reads(format: &str, text: &str) -> Option<String> {
        trunk(format).read_number(text).map(|number| number.to_string())
    }

    const PLAIN: &str = "number_format = 'e164_without_plus'";
    const AMERICAN: &str = "number_format = 'national'\ncountry_code = '1'\ninternational_prefix = '011'";
    const GERMAN: &str = "number_format = 'national'\ncountry_code = '49'\nnational_prefix = '0'\n\
                          international_prefix = '00'";
    const SPANISH: &str = "number_format = 'national'\ncountry_code = '34'\ninternational_prefix = '00'";

    #[test]
    fn plus_is_read_in_every_format() {
        for format in ["", PLAIN, AMERICAN, GERMAN, SPANISH] {
            assert_eq!(reads(format, "+14155550123").as_deref(), Some("+14155550123"), "{format}");
            assert_eq!(reads(format, "+0123456789"), None, "{format}");
            assert_eq!(reads(format, "jane.doe"), None, "{format}");
            assert_eq!(reads(format, ""), None, "{format}");
        }
    }

    #[test]
    fn digits_without_a_plus_are_a_number_where_they_can_be_no_other() {
        assert_eq!(reads("", "4155550123"), None, "not one of Switzerland");
        assert_eq!(reads("", "14155550123").as_deref(), Some("+14155550123"), "too long to be anything else");
        assert_eq!(reads(PLAIN, "14155550123").as_deref(), Some("+14155550123"));
        assert_eq!(reads(PLAIN, "493012345"), None, "an extension, perhaps");
        assert_eq!(reads(PLAIN, "004930123456"), None);
    }

    #[test]
    fn ten_digits_are_no_number_abroad_on_a_trunk_with_american_numbers() {
        let with = |number: &str| format!("{PLAIN}\ncaller_id = '{number}'");
        assert_eq!(reads(&with("+14155550100"), "4155550123"), None);
        assert_eq!(reads(&with("+14155550100"), "14155550123").as_deref(), Some("+14155550123"));
        assert_eq!(reads(&with("+14155550100"), "41555501234").as_deref(), Some("+41555501234"));
        assert_eq!(reads(&with("+41445550100"), "4155550123").as_deref(), Some("+4155550123"));
    }

    #[test]
    fn national_numbers_are_those_of_the_trunks_country() {
        for text in ["4155550123", "14155550123"] {
            assert_eq!(reads(AMERICAN, text).as_deref(), Some("+14155550123"), "{text}");
        }
        assert_eq!(reads(AMERICAN, "01149301234567").as_deref(), Some("+49301234567"));
        for text in ["5550123", "49301234567", "0114", "9115550123", "114155550123"] {
            assert_eq!(reads(AMERICAN, text), None, "{text}");
        }
        assert_eq!(reads(GERMAN, "0301234567").as_deref(), Some("+49301234567"));
        assert_eq!(reads(GERMAN, "0014155550123").as_deref(), Some("+14155550123"));
        for text in ["49301234567", "301234567", "000123456789", "0110"] {
            assert_eq!(reads(GERMAN, text), None, "{text}");
        }
        assert_eq!(reads(SPANISH, "912345678").as_deref(), Some("+34912345678"));
        assert_eq!(reads(SPANISH, "1001"), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (format, own, abroad) in [
            (AMERICAN, "4155550123", "01149301234567"),
            (GERMAN, "0014155550123", "0301234567"),
            (SPANISH, "0014155550123", "0049301234567"),
            (PLAIN, "14155550123", "49301234567"),
            ("", "+14155550123", "+49301234567"),
        ] {
            for (number, text) in [("+14155550123", own), ("+49301234567", abroad)] {
                let number: E164 = number.parse().unwrap();
                assert_eq!(trunk(format).write_number(&number), text, "{format}");
                assert_eq!(trunk(format).read_number(text), Some(number), "{format}");
            }
        }
    }

    #[test]
    fn rules_of_national_numbers_are_checked() {
        let invalid = |text: &str| trunk(text).validate().err().map(|error| error.field);
        for format in [AMERICAN, GERMAN, SPANISH, PLAIN, ""] {
            assert_eq!(invalid(format), None, "{format}");
        }
        assert_eq!(invalid("number_format = 'national'"), Some("country_code"));
        assert_eq!(invalid(&AMERICAN.replace("'1'", "'+1'")), Some("country_code"));
        assert_eq!(invalid(&AMERICAN.replace("'011'", "''")), Some("international_prefix"));
        assert_eq!(invalid(&GERMAN.replace("'0'", "'x'")), Some("national_prefix"));
        assert_eq!(invalid(&GERMAN.replace("'00'", "'0'")), Some("national_prefix"));
        assert_eq!(invalid("country_code = '1'"), Some("country_code"));
    }
}
