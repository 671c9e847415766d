//! What the numbering plans say about a number: libphonenumber's metadata, offline.
//!
//! The metadata is asked directly. The library's own parser keeps a number as an integer, and without the
//! zeros at its beginning an Italian landline has another kind.

use phonenumber::{
    Metadata, Type,
    metadata::{DATABASE, Database},
};

use crate::base::E164;

/// A number that its country's plan has room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Line {
    /// ISO 3166, such as `US`; `001` for codes that belong to no country.
    pub region: String,
    pub kind: Type,
}

/// What a number can be, in the order in which the plans' patterns are tried: the costly ones first,
/// because some lie within an ordinary one.
const KINDS: [Type; 10] = [
    Type::PremiumRate,
    Type::TollFree,
    Type::SharedCost,
    Type::Voip,
    Type::PersonalNumber,
    Type::Pager,
    Type::Uan,
    Type::Voicemail,
    Type::FixedLine,
    Type::Mobile,
];

/// Unpacks the metadata, which takes a tenth of a second, before the first number waits for it.
pub(super) fn load() {
    let _: &Database = &DATABASE;
}

/// `None` for a number that no subscriber can have: an unknown country code, or no number of that plan.
pub(in crate::service) fn line(number: &E164) -> Option<Line> {
    let (plans, national) = plans(number.digits())?;
    plans.into_iter().find_map(|plan| {
        let kind = kind(plan, national)?;
        Some(Line { region: plan.id().to_owned(), kind })
    })
}

/// The plans under a number's country code, the main country's first, and the digits after it. No country
/// code begins another.
fn plans(digits: &str) -> Option<(Vec<&'static Metadata>, &str)> {
    (1..=3).find_map(|length| {
        let (code, national) = digits.split_at_checked(length)?;
        Some((DATABASE.by_code(&code.parse::<u16>().ok()?)?, national))
    })
}

fn kind(plan: &Metadata, national: &str) -> Option<Type> {
    let leads = |digits: &str| match plan.leading_digits() {
        Some(pattern) => pattern.find(digits).is_some_and(|found| found.start() == 0),
        None => true,
    };
    if !leads(national) || !plan.descriptors().general().is_match(national) {
        return None;
    }
    let is = |kind: &Type| plan.descriptors().get(*kind).is_some_and(|pattern| pattern.is_match(national));
    KINDS.into_iter().find(is)
}

/// +1 NXX 555-01XX: kept for films, examples and tests, so that nobody answers. Some area codes of such
/// numbers exist nowhere.
pub(super) fn is_fictional(number: &E164) -> bool {
    number.is_nanp() && number.as_str()[5..].starts_with("55501")
}
