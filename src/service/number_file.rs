//! The operator's list of numbers: CSV (RFC 4180) with a header, checked as a whole before any of it is used.
//!
//! Columns, in any order: `number` (needed), `trunk`, `country`, `area_code`, `capabilities`. What is left
//! empty is found out: the trunk where the node has only one, country and area code from the number's
//! digits, and the capabilities are `voice`.

use std::collections::HashMap;

use super::nearest::nearest;
use crate::{
    base::E164,
    store::numbers::{Capability, Country, Number, area_code, begins_with_area},
};

const COLUMNS: [&str; 5] = ["number", "trunk", "country", "area_code", "capabilities"];

/// What is wrong, where, and what to do. No value is quoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}; {fix}")]
pub struct NumberFileError {
    /// From 1, the header included.
    pub line: usize,
    pub column: String,
    pub problem: String,
    pub fix: String,
}

type Checked<T> = Result<T, (&'static str, String)>;

/// The numbers of the file, or everything that is wrong with it. `trunks` are those of the configuration.
pub fn parse(text: &str, trunks: &[String]) -> Result<Vec<Number>, Vec<NumberFileError>> {
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let header = lines.next().map(|(_, line)| line).unwrap_or_default();
    let columns = columns(header).map_err(|error| vec![error])?;
    let mut sheet = Sheet { columns, trunks, seen: HashMap::new(), errors: Vec::new() };
    let rows = lines.filter(|(_, line)| !line.trim().is_empty());
    let numbers: Vec<Number> = rows.filter_map(|(index, line)| sheet.row(index + 1, line)).collect();
    if sheet.errors.is_empty() { Ok(numbers) } else { Err(sheet.errors) }
}

/// Which column each field of a row belongs to.
fn columns(header: &str) -> Result<Vec<&'static str>, NumberFileError> {
    let error = |column: &str, problem: &str, fix: String| NumberFileError {
        line: 1,
        column: column.to_owned(),
        problem: problem.to_owned(),
        fix,
    };
    let names = fields(header).map_err(|(problem, fix)| error("1", problem, fix))?;
    let mut columns = Vec::new();
    for name in names {
        let name = name.trim().to_lowercase();
        let Some(known) = COLUMNS.into_iter().find(|column| *column == name) else {
            let fix = match nearest(&name, COLUMNS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("begin the file with the header `{}`", COLUMNS.join(",")),
            };
            return Err(error(&(columns.len() + 1).to_string(), "is not a column of this list", fix));
        };
        if columns.contains(&known) {
            return Err(error(known, "is there twice", "keep one of them".to_owned()));
        }
        columns.push(known);
    }
    if !columns.contains(&COLUMNS[0]) {
        let fix = format!("begin the file with the header `{}`", COLUMNS.join(","));
        return Err(error(COLUMNS[0], "is missing", fix));
    }
    Ok(columns)
}

/// One line's fields. A field in quotes may hold commas, and `""` is a quote in it.
fn fields(line: &str) -> Checked<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("there is one from the beginning");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    if quoted {
        Err(("has a quote that is not closed", "add the closing `\"`".to_owned()))
    } else {
        Ok(fields)
    }
}

struct Sheet<'a> {
    columns: Vec<&'static str>,
    trunks: &'a [String],
    /// Numbers and the lines they were on.
    seen: HashMap<E164, usize>,
    errors: Vec<NumberFileError>,
}

impl Sheet<'_> {
    /// A number, or `None` after keeping what is wrong with the line.
    fn row(&mut self, line: usize, text: &str) -> Option<Number> {
        let last = self.columns.last().copied().unwrap_or(COLUMNS[0]);
        let values = self.check(line, last, fields(text))?;
        if values.len() > self.columns.len() {
            let fix = format!("write {} fields, or put quotes around one with commas", self.columns.len());
            return self.check(line, last, Err(("is followed by more fields", fix)));
        }
        let value = |column: &str| {
            let index = self.columns.iter().position(|name| *name == column);
            index.and_then(|index| values.get(index)).map_or("", |text| text.trim())
        };
        let [number, trunk, country, area, capabilities] = COLUMNS.map(value);

        let number = self.check(line, "number", parse_number(number))?;
        let unseen = self.unseen(line, &number);
        self.check(line, "number", unseen)?;
        let trunk = self.check(line, "trunk", parse_trunk(trunk, self.trunks));
        let country = self.check(line, "country", parse_country(country, &number));
        let area_code = self.check(line, "area_code", parse_area_code(area, &number));
        let capabilities = self.check(line, "capabilities", parse_capabilities(capabilities));
        Some(Number {
            number,
            trunk: trunk?,
            country: country?,
            area_code: area_code?,
            capabilities: capabilities?,
        })
    }

    fn check<T>(&mut self, line: usize, column: &str, result: Checked<T>) -> Option<T> {
        result
            .map_err(|(problem, fix)| {
                let (column, problem) = (column.to_owned(), problem.to_owned());
                self.errors.push(NumberFileError { line, column, problem, fix });
            })
            .ok()
    }

    fn unseen(&mut self, line: usize, number: &E164) -> Checked<()> {
        match self.seen.insert(number.clone(), line) {
            None => Ok(()),
            Some(first) => Err(("is there twice", format!("delete it here or on line {first}"))),
        }
    }
}

fn parse_number(text: &str) -> Checked<E164> {
    if text.is_empty() {
        return Err(("is empty", "write the number, such as +14155550123".to_owned()));
    }
    let Ok(number) = text.parse::<E164>() else {
        let fix = match text.bytes().all(|b| b.is_ascii_digit()) {
            // Spreadsheets read +1415… as a formula or a number, and write it without its sign.
            true => "put a `+` and the country code before it; in a spreadsheet, make the column text",
            false => "write `+`, country code and number without spaces, such as +14155550123",
        };
        return Err(("is not an E.164 number", fix.to_owned()));
    };
    if number.as_str().starts_with("+1") && !number.is_nanp() {
        let fix = "after +1 write a three-digit area code and seven digits".to_owned();
        return Err(("is not a North American number", fix));
    }
    Ok(number)
}

fn parse_trunk(text: &str, trunks: &[String]) -> Checked<String> {
    if trunks.is_empty() {
        return Err(("names no trunk: none is configured", "add one to `[[sip.trunks]]` first".to_owned()));
    }
    if text.is_empty() {
        return match trunks {
            [only] => Ok(only.clone()),
            _ => Err(("is empty", format!("name the trunk that carries it: {}", trunks.join(", ")))),
        };
    }
    if trunks.iter().any(|trunk| trunk == text) {
        return Ok(text.to_owned());
    }
    let fix = match nearest(text, trunks.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of `[[sip.trunks]]`: {}", trunks.join(", ")),
    };
    Err(("is not a trunk of this node", fix))
}

fn parse_country(text: &str, number: &E164) -> Checked<Country> {
    if text.is_empty() {
        let fix = || "write its two letters by ISO 3166, such as US".to_owned();
        return Country::of(number).ok_or_else(|| ("cannot be told from the number", fix()));
    }
    let country: Country = text
        .parse()
        .map_err(|_| ("is not a country", "write its two letters by ISO 3166, such as US".to_owned()))?;
    if country.may_hold(number) {
        return Ok(country);
    }
    let fix = format!("its numbers begin with +{}; correct the one or the other", country.calling_code());
    Err(("is not the number's country", fix))
}

fn parse_area_code(text: &str, number: &E164) -> Checked<String> {
    let told = area_code(number);
    match told {
        Some(code) if text.is_empty() || text == code => Ok(code.to_owned()),
        Some(code) => Err(("is not the number's area code", format!("leave it empty or write {code}"))),
        None if begins_with_area(number, text) => Ok(text.to_owned()),
        None => Err(("is not the number's area code", "write its digits without the 0 before it".to_owned())),
    }
}

/// Words with spaces, commas or semicolons between them. A number that cannot call has no use here yet.
fn parse_capabilities(text: &str) -> Checked<Vec<Capability>> {
    if text.is_empty() {
        return Ok(vec![Capability::Voice]);
    }
    let mut found = Vec::new();
    for word in text.split([' ', ',', ';', '|']).filter(|word| !word.is_empty()) {
        let capability = word
            .to_lowercase()
            .parse()
            .map_err(|_| ("has an unknown word", "use `voice` and `sms`".to_owned()))?;
        if !found.contains(&capability) {
            found.push(capability);
        }
    }
    match found.contains(&Capability::Voice) {
        true => Ok(found),
        false => Err(("lacks `voice`", "leave out numbers that cannot make calls".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trunks() -> Vec<String> {
        vec!["carrier".into()]
    }

    fn errors(text: &str) -> Vec<String> {
        parse(text, &trunks()).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_left_empty_is_found_out() {
        let numbers = parse("number\n+14155550123\n\n+14165550123\r\n", &trunks()).unwrap();
        let told: Vec<_> = numbers
            .iter()
            .map(|n| (n.trunk.as_str(), n.country.as_str(), n.area_code.as_str(), &n.capabilities[..]))
            .collect();
        let voice = &[Capability::Voice][..];
        assert_eq!(told, [("carrier", "US", "415", voice), ("carrier", "CA", "416", voice)]);
    }

    #[test]
    fn a_whole_row_is_read_with_its_columns_in_any_order() {
        let text = "\u{feff}Trunk,number,country,area_code,capabilities\n\
                    carrier,+493012345678,de,30,\"voice,SMS\"\n";
        let numbers = parse(text, &trunks()).unwrap();
        assert_eq!((numbers[0].country.as_str(), numbers[0].area_code.as_str()), ("DE", "30"));
        assert_eq!(numbers[0].capabilities, [Capability::Voice, Capability::Sms]);
    }

    #[test]
    fn every_error_names_line_column_and_fix() {
        let text = "number,trunk,country,area_code,capabilities\n\
                    +14155550101,,,,\n\
                    14155550102,,,,\n\
                    +14155550103,carier,DE,212,fax\n\
                    +14155550101,,,,\n";
        assert_eq!(
            errors(text),
            [
                "line 3, column number: is not an E.164 number; put a `+` and the country code before it; \
                 in a spreadsheet, make the column text",
                "line 4, column trunk: is not a trunk of this node; did you mean `carrier`?",
                "line 4, column country: is not the number's country; its numbers begin with +49; correct \
                 the one or the other",
                "line 4, column area_code: is not the number's area code; leave it empty or write 415",
                "line 4, column capabilities: has an unknown word; use `voice` and `sms`",
                "line 5, column number: is there twice; delete it here or on line 2",
            ]
        );
    }

    #[test]
    fn a_header_is_needed_and_a_typo_in_it_is_told() {
        assert!(errors("+14155550101,carrier\n")[0].contains("begin the file with the header"));
        assert!(errors("")[0].contains("begin the file with the header"));
        assert!(errors("number,trnk\n")[0].contains("did you mean `trunk`?"));
        assert!(errors("trunk,country\n")[0].contains("column number: is missing"));
    }

    #[test]
    fn loose_fields_and_open_quotes_are_told() {
        assert!(errors("number\n+14155550101,carrier\n")[0].contains("is followed by more fields"));
        assert!(errors("number,trunk\n+14155550101,\"carrier\n")[0].contains("not closed"));
    }

    #[test]
    fn a_trunk_must_be_named_where_there_are_several_and_exist_at_all() {
        let several = ["a".to_owned(), "b".to_owned()];
        assert!(parse("number\n+14155550101", &several).unwrap_err()[0].fix.contains("a, b"));
        assert!(parse("number\n+14155550101", &[]).unwrap_err()[0].fix.contains("[[sip.trunks]]"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(number(,trunk)?\n)?([+0-9a-z,\"\n\u{e9} ]{0,40})") {
            let _ = parse(&text, &trunks());
        }
    }
}
