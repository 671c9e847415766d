//! Text as words that can be compared: two spellings of one utterance become one.
//!
//! Case, punctuation and the writing of numbers are no errors of a recogniser: `7:30 p.m.` and `seven
//! thirty PM` are the same words spoken. Numbers become digits one by one as they are dictated, and
//! quantities otherwise; English only. The idea is that of Whisper's English normaliser (Radford et al.,
//! 2022, appendix C), the rules are our own and fewer.

/// The words of `text`, normalised.
pub fn words(text: &str) -> Vec<String> {
    let spelt: Vec<String> = split(text).into_iter().flat_map(|word| expand(&word)).collect();
    join_numbers(&spelt)
}

/// Lower-case words of letters and digits. What stands between digits divides them (`7:30`, `555-0123`);
/// an apostrophe is dropped, and so are the dots of `p.m.`.
fn split(text: &str) -> Vec<String> {
    let lower = text.to_lowercase().replace('’', "'");
    let mut words = Vec::new();
    for token in lower.split(|c: char| c.is_whitespace() || "-–—/,:;!?\"()".contains(c)) {
        let token = token.trim_matches('.');
        if token.is_empty() {
            continue;
        }
        let is_number = token.chars().any(|c| c.is_ascii_digit());
        match token.split_once('.') {
            Some((whole, "00")) if token.starts_with('$') => words.push(whole.to_owned()),
            // 3.50 is spoken as two numbers.
            Some((whole, part)) if is_number => words.extend([whole.to_owned(), part.to_owned()]),
            _ => words.push(token.replace(['.', '\''], "")),
        }
    }
    words.into_iter().flat_map(|word| letters_and_digits(&word)).collect()
}

/// `5pm` is two words, `$40` is forty dollars, `21st` is one word.
fn letters_and_digits(word: &str) -> Vec<String> {
    let (dollars, word) = match word.strip_prefix('$') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let cleaned: String = word.chars().filter(|c| c.is_alphanumeric()).collect();
    let digits = cleaned.chars().take_while(char::is_ascii_digit).count();
    let (number, rest) = cleaned.split_at(digits);
    let mut parts = Vec::new();
    match (number, rest) {
        ("", rest) => parts.push(rest.to_owned()),
        (number, "" | "st" | "nd" | "rd" | "th") => parts.push(format!("{number}{rest}")),
        (number, rest) => parts.extend([number.to_owned(), rest.to_owned()]),
    }
    if dollars {
        parts.push("dollars".into());
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// One spelling for words that have several.
fn expand(word: &str) -> Vec<String> {
    let spelt = match word {
        "mr" => "mister",
        "mrs" => "missus",
        "dr" => "doctor",
        "st" => "street",
        "ave" => "avenue",
        "rd" => "road",
        "ok" => "okay",
        "whats" => "what is",
        "its" => "it is",
        "im" => "i am",
        "id" => "i would",
        "ill" => "i will",
        "thats" => "that is",
        "oclock" => "o clock",
        "oh" => "zero",
        _ => word,
    };
    spelt.split(' ').map(str::to_owned).collect()
}

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const ORDINALS: [(&str, u64); 21] = [
    ("first", 1),
    ("second", 2),
    ("third", 3),
    ("fourth", 4),
    ("fifth", 5),
    ("sixth", 6),
    ("seventh", 7),
    ("eighth", 8),
    ("ninth", 9),
    ("tenth", 10),
    ("eleventh", 11),
    ("twelfth", 12),
    ("thirteenth", 13),
    ("fourteenth", 14),
    ("fifteenth", 15),
    ("sixteenth", 16),
    ("seventeenth", 17),
    ("eighteenth", 18),
    ("nineteenth", 19),
    ("twentieth", 20),
    ("thirtieth", 30),
];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A number word, by the place it can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Unit(u64),
    Teen(u64),
    Tens(u64),
    Scale(u64),
}

fn number(word: &str) -> Option<Number> {
    if let Some(n) = SMALL.iter().position(|small| *small == word) {
        return Some(if n < 10 { Number::Unit(n as u64) } else { Number::Teen(n as u64) });
    }
    if let Some(n) = TENS.iter().position(|tens| *tens == word) {
        return Some(Number::Tens(20 + 10 * n as u64));
    }
    match word {
        "hundred" => Some(Number::Scale(100)),
        "thousand" => Some(Number::Scale(1_000)),
        _ => None,
    }
}

/// Number words become digits, and every number its digits one by one: what a caller dictates as `five five
/// five`, and a recogniser writes as `555`, is the same either way.
fn join_numbers(words: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let (value, used) = match quantity(&words[at..]) {
            Some(found) => found,
            None => (ordinal(&words[at]).unwrap_or_else(|| words[at].clone()), 1),
        };
        // "March third" is written March 3.
        let in_date = out.last().is_some_and(|word| MONTHS.contains(&word.as_str()));
        let value = if in_date { value.trim_end_matches("th").to_owned() } else { value };
        match value.chars().all(|c| c.is_ascii_digit()) {
            true => out.extend(value.chars().map(String::from)),
            false => out.push(value),
        }
        at += used;
    }
    out
}

/// The longest number that the words begin with, and how many of them it takes.
fn quantity(words: &[String]) -> Option<(String, usize)> {
    let mut quantity = Quantity::default();
    let mut used = 0;
    while let Some(word) = words.get(used) {
        let then = words.get(used + 1).and_then(|word| number(word));
        match number(word) {
            Some(next) if quantity.take(next) => used += 1,
            // "one hundred and five"
            None if word == "and" && then.is_some_and(|then| quantity.take_after_and(then)) => used += 2,
            _ => break,
        }
    }
    (used > 0).then(|| ((quantity.thousands + quantity.rest).to_string(), used))
}

/// A number, as far as it has been read.
#[derive(Default)]
struct Quantity {
    thousands: u64,
    rest: u64,
    last: Option<Number>,
}

impl Quantity {
    /// Adds a word, unless it begins another number.
    fn take(&mut self, next: Number) -> bool {
        match (self.last, next) {
            (None | Some(Number::Scale(_)), Number::Unit(n) | Number::Teen(n) | Number::Tens(n)) => {
                self.rest += n
            }
            (Some(Number::Tens(_)), Number::Unit(n)) if n > 0 => self.rest += n,
            (Some(Number::Unit(_) | Number::Teen(_) | Number::Tens(_)), Number::Scale(100))
                if self.rest < 100 =>
            {
                self.rest *= 100;
            }
            (Some(_), Number::Scale(1_000)) if self.thousands == 0 && self.rest > 0 => {
                (self.thousands, self.rest) = (self.rest * 1_000, 0);
            }
            _ => return false,
        }
        self.last = Some(next);
        true
    }

    fn take_after_and(&mut self, next: Number) -> bool {
        matches!(self.last, Some(Number::Scale(_))) && !matches!(next, Number::Scale(_)) && self.take(next)
    }
}

/// `21st`, `first` and `twenty first`'s second half as digits with `th`.
fn ordinal(word: &str) -> Option<String> {
    let digits = word.strip_suffix("st").or(word.strip_suffix("nd")).or(word.strip_suffix("rd"));
    let digits =
        digits.or(word.strip_suffix("th")).filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    if let Some(digits) = digits {
        return Some(format!("{digits}th"));
    }
    ORDINALS.iter().find(|(name, _)| *name == word).map(|(_, n)| format!("{n}th"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) {
        assert_eq!(words(a), words(b));
    }

    #[test]
    fn case_and_punctuation_are_no_words() {
        assert_eq!(words("  Hello, World! — it’s ME. "), ["hello", "world", "it", "is", "me"]);
    }

    #[test]
    fn a_number_dictated_is_the_number_written() {
        same("five five five, zero one two three", "555-0123");
        same("My number is four one five five five five", "my number is 415 555.");
        same("oh one", "01");
    }

    #[test]
    fn quantities_are_read_as_a_whole() {
        same("twenty-four", "24");
        same("one hundred and five dollars", "$105");
        same("one thousand two hundred", "1200");
        same("twelve hundred", "1,200");
        same("five hundred thousand and one", "500,001");
        same("one hundred and five dollars", "$105.00.");
        assert_eq!(words("two thirty"), ["2", "3", "0"]);
    }

    #[test]
    fn times_are_the_same_however_they_are_written() {
        same("seven thirty p.m.", "7:30 PM");
        same("at 5pm", "at five PM");
        same("nine o'clock", "9 o’clock");
    }

    #[test]
    fn dates_are_the_same_however_they_are_written() {
        same("March third", "March 3rd");
        same("the twelfth", "the 12th");
        same("on March third", "on March 3");
    }

    #[test]
    fn abbreviations_are_spelt_out() {
        same("Dr. Smith, 12 Main St.", "doctor smith twelve main street");
    }

    #[test]
    fn other_words_stay_other_words() {
        assert_ne!(words("fifteen"), words("fifty"));
        assert_ne!(words("to"), words("two"));
    }
}
