//! The known word somebody meant when they wrote an unknown one.

/// The candidate with the smallest edit distance to `word`, if that is small beside the word's length.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= limit || is_part(&word, candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `phone` for `phone_number`, `number` alike.
fn is_part(word: &str, candidate: &str) -> bool {
    word.len() >= 3 && candidate.split('_').any(|part| part == word)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal string
/// alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typo_finds_the_word_that_was_meant() {
        let known = ["phone_number", "task", "first_sentence", "max_duration", "record"];
        for (typo, meant) in [
            ("phonenumber", "phone_number"),
            ("phone", "phone_number"),
            ("taks", "task"),
            ("max_duratoin", "max_duration"),
            ("Record", "record"),
        ] {
            assert_eq!(nearest(typo, known), Some(meant), "{typo}");
        }
    }

    #[test]
    fn a_word_far_from_all_has_no_suggestion() {
        assert_eq!(nearest("webhook", ["task", "voice"]), None);
        assert_eq!(nearest("x", ["task"]), None);
    }
}
