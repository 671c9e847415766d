//! Word and character error rate: the fewest substitutions, deletions and insertions that turn what was
//! recognised into what was said, over the length of what was said.

use serde::Serialize;

use super::words::words;

/// Errors against a reference, over one or many utterances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Errors {
    pub substitutions: usize,
    pub deletions: usize,
    pub insertions: usize,
    /// Length of the reference.
    pub of: usize,
}

impl Errors {
    /// 0.0 is perfect; insertions can bring it above 1.0.
    pub fn rate(&self) -> f64 {
        (self.substitutions + self.deletions + self.insertions) as f64 / self.of.max(1) as f64
    }

    fn add(self, other: Errors) -> Errors {
        Errors {
            substitutions: self.substitutions + other.substitutions,
            deletions: self.deletions + other.deletions,
            insertions: self.insertions + other.insertions,
            of: self.of + other.of,
        }
    }
}

impl std::iter::Sum for Errors {
    fn sum<I: Iterator<Item = Errors>>(errors: I) -> Errors {
        errors.fold(Errors::default(), Errors::add)
    }
}

/// One utterance, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    pub said: String,
    pub recognised: String,
    pub words: Errors,
    pub characters: Errors,
}

/// Compares the words of both texts, and the characters of those words.
pub fn judge(said: &str, recognised: &str) -> Judged {
    let (reference, hypothesis) = (words(said), words(recognised));
    let characters = |words: &[String]| words.join(" ").chars().collect::<Vec<_>>();
    Judged {
        said: said.to_owned(),
        recognised: recognised.to_owned(),
        words: errors(&reference, &hypothesis),
        characters: errors(&characters(&reference), &characters(&hypothesis)),
    }
}

/// Levenshtein alignment, with the kinds of error counted along the cheapest path.
fn errors<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> Errors {
    let insertion = |n| Errors { insertions: n, ..Errors::default() };
    let mut row: Vec<Errors> = (0..=hypothesis.len()).map(insertion).collect();
    for said in reference {
        let mut diagonal = row[0];
        row[0].deletions += 1;
        for (n, recognised) in hypothesis.iter().enumerate() {
            let (above, left) = (row[n + 1], row[n]);
            let mut kept = diagonal;
            kept.substitutions += usize::from(said != recognised);
            let deleted = Errors { deletions: above.deletions + 1, ..above };
            let inserted = Errors { insertions: left.insertions + 1, ..left };
            diagonal = above;
            row[n + 1] = [kept, deleted, inserted].into_iter().min_by_key(total).unwrap_or_default();
        }
    }
    Errors { of: reference.len(), ..row[hypothesis.len()] }
}

fn total(errors: &Errors) -> usize {
    errors.substitutions + errors.deletions + errors.insertions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(said: &str, recognised: &str) -> (usize, usize, usize, usize) {
        let Errors { substitutions, deletions, insertions, of } = judge(said, recognised).words;
        (substitutions, deletions, insertions, of)
    }

    #[test]
    fn each_kind_of_error_is_counted() {
        assert_eq!(counted("the cat sat down", "the cat sat down"), (0, 0, 0, 4));
        assert_eq!(counted("the cat sat down", "the bat sat down"), (1, 0, 0, 4));
        assert_eq!(counted("the cat sat down", "the cat down"), (0, 1, 0, 4));
        assert_eq!(counted("the cat sat down", "the cat sat right down"), (0, 0, 1, 4));
        assert_eq!(counted("the cat sat down", ""), (0, 4, 0, 4));
        assert_eq!(counted("", "hello"), (0, 0, 1, 0));
    }

    #[test]
    fn the_way_of_writing_is_no_error() {
        let judged = judge("Call me at five five five, zero one two three.", "call me at 555-0123");
        assert_eq!((judged.words.rate(), judged.characters.rate()), (0.0, 0.0));
    }

    #[test]
    fn rates_of_many_utterances_weigh_by_length() {
        let all: Errors =
            [judge("a b c d e f", "a b c d e f"), judge("g h", "x")].iter().map(|j| j.words).sum();
        assert_eq!((all.rate(), all.of), (0.25, 8));
    }
}
