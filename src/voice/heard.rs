//! Which words of a clause the caller heard, when only the first samples of its audio went out.

/// The prefix of `text` whose words were complete after `sent` of `total` samples. Speech is taken to
/// run at an even pace over the characters, and a clause mark to last as long as four of them.
pub fn heard_prefix(text: &str, sent: u64, total: u64) -> &str {
    if total == 0 || sent == 0 {
        return "";
    }
    if sent >= total {
        return text;
    }
    let whole: u64 = text.chars().map(weight).sum();
    let budget = u128::from(whole) * u128::from(sent) / u128::from(total);
    let mut spent: u128 = 0;
    let mut word_end = 0;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            word_end = at;
        }
        spent += u128::from(weight(c));
        if spent > budget {
            return text[..word_end].trim_end();
        }
    }
    text
}

/// What is left of `text` after its heard prefix.
pub fn unheard_rest<'a>(text: &'a str, heard: &str) -> &'a str {
    text.strip_prefix(heard).unwrap_or(text).trim_start()
}

fn weight(c: char) -> u64 {
    match c {
        ',' | '.' | ';' | ':' | '!' | '?' => 4,
        c if c.is_ascii_digit() => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "We open at nine and close at five";

    #[test]
    fn only_complete_words_count_as_heard() {
        assert_eq!(heard_prefix(TEXT, 0, 1_000), "");
        assert_eq!(heard_prefix(TEXT, 500, 1_000), "We open at nine");
        assert_eq!(heard_prefix(TEXT, 1_000, 1_000), TEXT);
        assert_eq!(heard_prefix("Hello", 900, 1_000), "");
    }

    #[test]
    fn heard_and_unheard_make_the_whole() {
        for sent in (0..=1_000).step_by(10) {
            let heard = heard_prefix(TEXT, sent, 1_000);
            let joined = format!("{heard} {}", unheard_rest(TEXT, heard));
            assert_eq!(joined.trim(), TEXT);
        }
    }

    #[test]
    fn more_audio_never_hears_less() {
        let lengths: Vec<usize> = (0..=1_000).map(|n| heard_prefix(TEXT, n, 1_000).len()).collect();
        assert!(lengths.is_sorted());
    }
}
