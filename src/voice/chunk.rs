//! Text that arrives token by token is cut into clauses that can be spoken one after the other. The
//! first cut comes early, at the first clause of two words or more, so that speech starts before the
//! answer is complete; later cuts come at the ends of sentences, which sound better whole.

/// Longest clause, in characters; longer ones are cut at a space.
const LONGEST: usize = 220;
/// A clause that ends with a comma has at least this many characters.
const SHORTEST_CLAUSE: usize = 12;
/// Sentences longer than this are cut at commas even after the first clause.
const LONG_SENTENCE: usize = 110;

/// Abbreviations whose full stop ends no sentence.
const ABBREVIATIONS: [&str; 14] =
    ["mr", "mrs", "ms", "dr", "st", "no", "vs", "jr", "sr", "e.g", "i.e", "a.m", "p.m", "approx"];

#[derive(Debug, Default)]
pub struct Chunker {
    buffer: String,
    any: bool,
}

impl Chunker {
    /// Adds text; gives the clauses that are complete.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        self.buffer.extend(text.chars().filter_map(speakable));
        let mut clauses = Vec::new();
        while let Some(end) = self.next_cut() {
            let rest = self.buffer.split_off(end);
            let clause = std::mem::replace(&mut self.buffer, rest);
            self.emit(&clause, &mut clauses);
        }
        clauses
    }

    /// The text is complete; gives what is left.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.buffer);
        let mut clauses = Vec::new();
        self.emit(&rest, &mut clauses);
        clauses.pop()
    }

    fn emit(&mut self, clause: &str, clauses: &mut Vec<String>) {
        let clause = clause.split_whitespace().collect::<Vec<_>>().join(" ");
        if clause.chars().any(char::is_alphanumeric) {
            self.any = true;
            clauses.push(clause);
        }
    }

    /// The byte offset after the next complete clause. A mark counts once the space after it is seen,
    /// since "3" may still become "3.5".
    fn next_cut(&self) -> Option<usize> {
        let bytes = self.buffer.as_bytes();
        for (at, mark) in self.buffer.char_indices() {
            let end = at + mark.len_utf8();
            if !bytes.get(end).is_some_and(u8::is_ascii_whitespace) {
                continue;
            }
            let before = &self.buffer[..at];
            let cut = match mark {
                '.' => !ends_with_abbreviation(before),
                '!' | '?' | '…' | '。' | '？' | '！' => true,
                ',' | ';' | ':' | '—' | '–' => self.cuts_clause(before),
                _ => false,
            };
            if cut {
                return Some(end);
            }
        }
        self.overlong_cut()
    }

    fn cuts_clause(&self, before: &str) -> bool {
        let shortest = if self.any { LONG_SENTENCE } else { SHORTEST_CLAUSE };
        before.trim().len() >= shortest && before.trim().contains(' ')
    }

    fn overlong_cut(&self) -> Option<usize> {
        if self.buffer.chars().count() <= LONGEST {
            return None;
        }
        self.buffer.rfind(' ').filter(|at| *at > 0)
    }
}

fn ends_with_abbreviation(before: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default().to_ascii_lowercase();
    let initial = word.len() == 1 && word != "i" && word.chars().all(char::is_alphabetic);
    initial || ABBREVIATIONS.contains(&word.as_str())
}

/// Drops what is written but not spoken: markup, emoji and control characters.
fn speakable(c: char) -> Option<char> {
    match c {
        '*' | '#' | '`' | '_' | '~' | '|' | '<' | '>' | '[' | ']' | '{' | '}' => None,
        '\n' | '\t' | '\r' => Some(' '),
        '\u{2600}'..='\u{27BF}' | '\u{1F000}'..='\u{1FAFF}' | '\u{FE0F}' | '\u{200D}' => None,
        c if c.is_control() => None,
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the text a few bytes at a time, as a model would.
    fn chunks(text: &str) -> Vec<String> {
        let mut chunker = Chunker::default();
        let mut clauses: Vec<String> = Vec::new();
        for c in text.chars() {
            clauses.extend(chunker.push(&c.to_string()));
        }
        clauses.extend(chunker.finish());
        clauses
    }

    #[test]
    fn first_cut_comes_at_the_first_clause_later_ones_at_sentences() {
        assert_eq!(
            chunks("Yes, of course, I can do that. We open at nine, and close at five. Anything else?"),
            ["Yes, of course,", "I can do that.", "We open at nine, and close at five.", "Anything else?"]
        );
    }

    #[test]
    fn numbers_and_abbreviations_are_not_sentence_ends() {
        assert_eq!(
            chunks("It is 3.5 dollars. Dr. Smith is here."),
            ["It is 3.5 dollars.", "Dr. Smith is here."]
        );
        assert_eq!(chunks("At 9 a.m. we open."), ["At 9 a.m. we open."]);
    }

    #[test]
    fn markup_is_not_spoken() {
        assert_eq!(chunks("**Sure!** \u{1F600}\n- one\n"), ["Sure!", "- one"]);
        assert_eq!(chunks("... \n"), Vec::<String>::new());
    }

    #[test]
    fn text_without_punctuation_is_cut_at_a_space() {
        let long = "word ".repeat(100);
        let clauses = chunks(&long);
        assert!(clauses.len() >= 2 && clauses.iter().all(|c| c.len() <= LONGEST + 1), "{clauses:?}");
        assert_eq!(clauses.join(" "), long.trim());
    }

    #[test]
    fn nothing_is_lost_whatever_the_pieces() {
        let text = "Well, that depends: on Monday we are closed; on Tuesday, open. Right?";
        let mut whole = Chunker::default();
        let mut clauses = whole.push(text);
        clauses.extend(whole.finish());
        assert_eq!(clauses.join(" "), text);
        assert_eq!(clauses, chunks(text));
    }
}
