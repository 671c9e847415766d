//! A text cut into clauses, each with the mark that ends it.
//!
//! espeak-ng finds clauses by itself, but gives their phonemes without marks and even without the space
//! between two of them. So each clause is given to it alone, and the mark is put back.

/// Words between two marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    pub text: String,
    /// One of `, ; : . ! ?`.
    pub mark: char,
}

/// Abbreviations whose point ends no sentence, and how they are said where espeak does not know.
const ABBREVIATIONS: &[(&str, &str)] = &[
    ("a.m.", "AM"),
    ("p.m.", "PM"),
    ("e.g.", "for example"),
    ("i.e.", "that is"),
    ("etc.", "et cetera"),
    ("approx.", "approximately"),
    ("dr.", "doctor"),
    ("mr.", "mister"),
    ("mrs.", "missis"),
    ("ms.", "miz"),
    ("st.", "saint"),
    ("vs.", "versus"),
];

pub fn ends_sentence(mark: char) -> bool {
    matches!(mark, '.' | '!' | '?')
}

/// The clauses of a text; a text without a last mark is given a full stop.
pub fn clauses(text: &str) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = Vec::new();
    for line in text.lines() {
        let mut words: Vec<String> = Vec::new();
        for word in spaced(line).split_whitespace() {
            let (word, mark) = split_mark(word);
            if !word.is_empty() {
                words.push(word);
            }
            if let Some(mark) = mark {
                close(&mut clauses, &mut words, mark);
            }
        }
        close(&mut clauses, &mut words, '.');
    }
    clauses
}

/// Ends a clause. A mark without words strengthens the one before it: "really)?" asks.
fn close(clauses: &mut Vec<Clause>, words: &mut Vec<String>, mark: char) {
    let text = std::mem::take(words).join(" ");
    if text.chars().any(char::is_alphanumeric) {
        clauses.push(Clause { text, mark });
    } else if let Some(last) = clauses.last_mut().filter(|last| !ends_sentence(last.mark)) {
        last.mark = mark;
    }
}

/// The line with every mark at the end of a word, and control characters gone: a dash or a bracket is a
/// pause like a comma.
fn spaced(line: &str) -> String {
    let mut spaced = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '—' | '–' | '(' | ')' | '[' | ']' => spaced.push_str(", "),
            '…' => spaced.push_str(". "),
            '“' | '”' | '"' | '«' | '»' | '*' | '_' | '`' | '#' => {}
            '’' => spaced.push('\''),
            c if c.is_control() => spaced.push(' '),
            c => spaced.push(c),
        }
    }
    spaced
}

/// A word and the mark it ends with. The points of abbreviations and initials are no marks, and marks
/// inside a word (`1,200`, `10:30`) never were.
fn split_mark(word: &str) -> (String, Option<char>) {
    let lower = word.to_lowercase();
    for (abbreviation, said) in ABBREVIATIONS {
        if let Some(after) = lower.strip_prefix(abbreviation)
            && after.chars().all(is_mark)
        {
            return ((*said).to_owned(), strongest(after));
        }
    }
    let bare = word.trim_end_matches(is_mark);
    let marks = &word[bare.len()..];
    let is_initial = marks == "." && bare.chars().count() == 1 && bare.chars().all(char::is_uppercase);
    if is_initial && bare != "I" {
        return (bare.to_owned(), None);
    }
    (bare.to_owned(), strongest(marks))
}

fn is_mark(c: char) -> bool {
    matches!(c, ',' | ';' | ':' | '.' | '!' | '?')
}

/// Of several marks the one that says most.
fn strongest(marks: &str) -> Option<char> {
    ['?', '!', '.', ':', ';', ','].into_iter().find(|mark| marks.contains(*mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> String {
        clauses(text).iter().map(|clause| format!("{}{}|", clause.text, clause.mark)).collect()
    }

    #[test]
    fn clauses_keep_their_marks() {
        assert_eq!(cut("Yes, of course! What is it?"), "Yes,|of course!|What is it?|");
        assert_eq!(cut("one; two: three"), "one;|two:|three.|");
    }

    #[test]
    fn numbers_times_and_abbreviations_are_not_cut() {
        assert_eq!(
            cut("Dr. Smith's fee is 1,200.50 at 10:30 a.m. today."),
            "doctor Smith's fee is 1,200.50 at 10:30 AM today.|"
        );
        assert_eq!(cut("We met J. R. Brown etc., fine"), "We met J R Brown et cetera,|fine.|");
        assert_eq!(cut("So am I. You too."), "So am I.|You too.|");
    }

    #[test]
    fn dashes_brackets_and_quotes_become_pauses_or_nothing() {
        assert_eq!(cut("the fee (about five) — “really”?"), "the fee,|about five,|really?|");
        assert_eq!(cut("*Well* … yes"), "Well.|yes.|");
    }

    #[test]
    fn a_text_without_words_has_no_clauses() {
        assert_eq!(cut(""), "");
        assert_eq!(cut(" … — ?! \n 🙂"), "");
    }
}
