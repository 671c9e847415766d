//! Word patterns in one line: `dont|do_not ever? call @?`.
//!
//! Words stand for themselves; `|` parts alternatives, `_` joins the words of one, `?` after a word says that it
//! may be missing, `@` is one of the language's objects (me, us, this number), and `*` any words at all.

/// What one place of a pattern takes.
enum Slot {
    /// One of these runs of words.
    Words { either: Vec<Vec<String>>, optional: bool },
    /// Any words, or none.
    Any,
}

pub(super) struct Pattern(Vec<Slot>);

impl Pattern {
    pub fn new(text: &str, objects: &str) -> Pattern {
        let slot = |token: &str| {
            if token == "*" {
                return Slot::Any;
            }
            let (token, optional) = match token.strip_suffix('?') {
                Some(token) => (token, true),
                None => (token, false),
            };
            let words = if token == "@" { objects } else { token };
            let run = |words: &str| folded(words).split('_').map(str::to_owned).collect();
            Slot::Words { either: words.split('|').map(run).collect(), optional }
        };
        Pattern(text.split_whitespace().map(slot).collect())
    }

    /// Whether it takes words from the first on, such that what is left is as it may be.
    pub fn matches(&self, words: &[&str], rest: impl Fn(&[&str]) -> bool) -> bool {
        follow(&self.0, words, &rest)
    }
}

/// Where `*` is, the nearest place that fits is taken for the next slot, so that long speech costs no more than
/// its length.
fn follow(slots: &[Slot], words: &[&str], rest: &impl Fn(&[&str]) -> bool) -> bool {
    let Some((slot, later)) = slots.split_first() else { return rest(words) };
    match slot {
        Slot::Any if later.is_empty() => rest(&[]),
        Slot::Any => {
            let nearest = (0..=words.len()).find(|at| begins(later, &words[*at..]));
            nearest.is_some_and(|at| follow(later, &words[at..], rest))
        }
        Slot::Words { either, optional } => {
            let taken = |run: &Vec<String>| is_next(run, words) && follow(later, &words[run.len()..], rest);
            either.iter().any(taken) || (*optional && follow(later, words, rest))
        }
    }
}

fn begins(slots: &[Slot], words: &[&str]) -> bool {
    match slots.first() {
        Some(Slot::Words { either, .. }) => either.iter().any(|run| is_next(run, words)),
        Some(Slot::Any) | None => true,
    }
}

fn is_next(run: &[String], words: &[&str]) -> bool {
    words.len() >= run.len() && run.iter().zip(words).all(|(wanted, word)| wanted == word)
}

/// Small letters without accents and apostrophes.
pub(super) fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.to_lowercase().chars() {
        match c {
            '\'' | '’' => {}
            'à' | 'á' | 'â' | 'ã' | 'å' | 'ą' => folded.push('a'),
            'ä' => folded.push_str("ae"),
            'ç' => folded.push('c'),
            'è' | 'é' | 'ê' | 'ë' => folded.push('e'),
            'ì' | 'í' | 'î' | 'ï' => folded.push('i'),
            'ñ' => folded.push('n'),
            'ò' | 'ó' | 'ô' | 'õ' => folded.push('o'),
            'ö' => folded.push_str("oe"),
            'ù' | 'ú' | 'û' => folded.push('u'),
            'ü' => folded.push_str("ue"),
            'ß' => folded.push_str("ss"),
            'œ' => folded.push_str("oe"),
            other => folded.push(other),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, words: &str) -> bool {
        let words: Vec<&str> = words.split_whitespace().collect();
        Pattern::new(pattern, "me|this_number").matches(&words, |rest| rest.is_empty())
    }

    #[test]
    fn slots_are_taken_in_order() {
        for (pattern, words, expected) in [
            ("do_not|dont ever? call @?", "do not call", true),
            ("do_not|dont ever? call @?", "dont ever call this number", true),
            ("do_not|dont ever? call @?", "do call me", false),
            ("do_not|dont ever? call @?", "do not call me before nine", false),
            ("take @ off * list", "take me off of your list", true),
            ("take @ off * list", "take me off", false),
            ("take @ *", "take me", true),
        ] {
            assert_eq!(takes(pattern, words), expected, "{pattern}: {words}");
        }
    }

    #[test]
    fn accents_case_and_apostrophes_are_dropped() {
        assert_eq!(folded("Ne m’appelez PLUS, s'il vous plaît"), "ne mappelez plus, sil vous plait");
        assert_eq!(folded("Hören Sie"), "hoeren sie");
    }
}
