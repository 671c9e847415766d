//! What a number says about itself, offline: its kind and its country. The carrier is not in it: numbers are
//! ported between carriers, and who has one now is known by databases that cost money.

use phonenumber::Type;

use super::countries;
use crate::{base::E164, service::policy::numbering};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub kind: &'static str,
    /// The digits after the `+` that its country has.
    pub calling_code: String,
    /// As it is written in its country.
    pub national: String,
    /// `None` for numbers that belong to no country, such as those of satellites.
    pub country: Option<Country>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Country {
    pub name: &'static str,
    /// ISO 3166-1, two capital letters.
    pub iso2: &'static str,
    /// The two letters as one flag.
    pub flag: String,
}

/// `None` for a number that nobody can have.
pub fn line(number: &E164) -> Option<Line> {
    let line = numbering::line(number)?;
    let country = countries::find(&line.region);
    let country = country.map(|(iso2, name)| Country { name, iso2, flag: flag(iso2) });
    // Only a plan that keeps them apart can say which of the two it is.
    let kind =
        if number.is_nanp() && line.kind == Type::FixedLine { "landline_or_mobile" } else { word(line.kind) };
    let parsed = phonenumber::parse(None, number.as_str()).ok()?;
    let national = parsed.format().mode(phonenumber::Mode::National).to_string();
    Some(Line { kind, calling_code: parsed.code().value().to_string(), national, country })
}

fn word(kind: Type) -> &'static str {
    match kind {
        Type::FixedLine => "landline",
        Type::Mobile => "mobile",
        Type::FixedLineOrMobile => "landline_or_mobile",
        Type::TollFree => "toll_free",
        Type::PremiumRate => "premium_rate",
        Type::SharedCost => "shared_cost",
        Type::PersonalNumber => "personal",
        Type::Voip => "voip",
        Type::Pager => "pager",
        Type::Uan => "company",
        Type::Voicemail => "voicemail",
        _ => "unknown",
    }
}

/// Regional indicator symbols (Unicode, UTS #51) of two capital letters.
fn flag(iso2: &str) -> String {
    let symbol = |letter: u8| char::from_u32(0x1F1E6 + u32::from(letter.saturating_sub(b'A')));
    iso2.bytes().filter_map(symbol).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(number: &str) -> Option<(&'static str, Option<(&'static str, String)>)> {
        let line = line(&number.parse().unwrap())?;
        Some((line.kind, line.country.map(|country| (country.name, country.flag))))
    }

    #[test]
    fn numbers_tell_their_kind_and_country() {
        let of = |kind, name, flag: &str| Some((kind, Some((name, flag.to_owned()))));
        assert_eq!(told("+14155550123"), of("landline_or_mobile", "United States", "🇺🇸"));
        assert_eq!(told("+16045550123"), of("landline_or_mobile", "Canada", "🇨🇦"));
        assert_eq!(told("+447400123456"), of("mobile", "United Kingdom", "🇬🇧"));
        assert_eq!(told("+493012345678"), of("landline", "Germany", "🇩🇪"));
        assert_eq!(told("+18005550123").map(|(kind, _)| kind), Some("toll_free"));
    }

    #[test]
    fn numbers_are_written_as_in_their_country() {
        let written = |number: &str| {
            let line = line(&number.parse().unwrap()).unwrap();
            (line.calling_code, line.national)
        };
        assert_eq!(written("+14155550123"), ("1".to_owned(), "(415) 555-0123".to_owned()));
        assert_eq!(written("+447400123456"), ("44".to_owned(), "07400 123456".to_owned()));
    }

    #[test]
    fn numbers_of_no_plan_have_no_line() {
        assert_eq!(told("+9991234567"), None);
        assert_eq!(told("+11155550123"), None);
    }
}
