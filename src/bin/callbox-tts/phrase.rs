//! Phonemes cut into pieces to be synthesised one after the other, and the silence around a piece.

/// Phonemes after which the first piece may end, so that the first audio comes soon.
const FIRST: usize = 24;
/// A later piece ends at a pause once it is this long: synthesis takes memory with the square.
const LATER: usize = 140;
/// No piece is longer, pause or not.
const LONGEST: usize = 400;

/// Cuts sentences of phonemes at the marks espeak leaves in them.
pub fn pieces(sentences: &[String]) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for sentence in sentences {
        let mut piece = String::new();
        for word in sentence.split_inclusive(' ') {
            piece.push_str(word);
            let enough = if pieces.is_empty() { FIRST } else { LATER };
            let length = piece.chars().count();
            if (ends_in_pause(&piece) && length >= enough) || length >= LONGEST {
                pieces.push(std::mem::take(&mut piece));
            }
        }
        pieces.push(piece);
    }
    pieces.retain(|piece| piece.chars().any(char::is_alphabetic));
    pieces
}

fn ends_in_pause(piece: &str) -> bool {
    piece.trim_end().ends_with([',', ';', ':', '.', '!', '?'])
}

/// Cuts the silence around a piece down to what speech needs: next to nothing before it, a breath after.
pub fn trim(pcm: &[f32], rate: u32) -> &[f32] {
    const SILENCE: f32 = 0.004;
    let ms = |ms: usize| ms * rate as usize / 1_000;
    let loud = |sample: &f32| sample.abs() > SILENCE;
    let Some(first) = pcm.iter().position(loud) else { return &[] };
    let last = pcm.iter().rposition(loud).unwrap_or(first);
    &pcm[first.saturating_sub(ms(20))..(last + ms(180)).min(pcm.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_piece_ends_at_the_first_pause_that_is_long_enough() {
        let sentence = "jˈɛs, aɪ kæn hˈɛlp juː wɪð ðˈæt, lˈɛt miː sˈiː, wˌɪtʃ dˈeɪ.".to_owned();
        let cut = pieces(std::slice::from_ref(&sentence));
        assert_eq!(cut[0], "jˈɛs, aɪ kæn hˈɛlp juː wɪð ðˈæt, ");
        assert_eq!(cut.concat(), sentence);
    }

    #[test]
    fn every_sentence_is_a_piece_and_bare_marks_are_none() {
        assert_eq!(pieces(&["a.".to_owned(), "...".to_owned(), "b?".to_owned()]), ["a.", "b?"]);
        assert!(pieces(&[]).is_empty());
    }

    #[test]
    fn a_sentence_without_pause_is_cut_all_the_same() {
        let cut = pieces(&["abc ".repeat(300)]);
        assert!(cut.iter().all(|piece| piece.chars().count() <= LONGEST + 4));
        assert!(cut.len() > 2);
    }

    #[test]
    fn silence_is_cut_to_a_breath() {
        let mut pcm = vec![0.0; 3_000];
        pcm[1_000..1_100].fill(0.5);
        assert_eq!(trim(&pcm, 1_000).len(), 20 + 99 + 180);
        assert!(trim(&[0.0; 100], 1_000).is_empty());
    }
}
