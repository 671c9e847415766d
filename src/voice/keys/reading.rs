//! Keys in the words of a model, in English, German, Spanish and French.

use crate::voice::keys::Keys;
use crate::voice::words::plain;

/// What the name of a key is preceded by.
const PRESSING: [&str; 34] = [
    "press",
    "pressing",
    "pressed",
    "dial",
    "dialing",
    "enter",
    "entering",
    "push",
    "select",
    "selecting",
    "hit",
    "druecke",
    "drucke",
    "drucken",
    "wahle",
    "wahlen",
    "tippe",
    "pulso",
    "pulsar",
    "pulse",
    "pulsando",
    "marco",
    "marcar",
    "marque",
    "oprimo",
    "oprima",
    "presiono",
    "presione",
    "presionar",
    "jappuie",
    "appuie",
    "appuyez",
    "tape",
    "tapez",
];
/// May stand around it.
const AROUND: [&str; 45] = [
    "i",
    "ill",
    "will",
    "am",
    "im",
    "going",
    "to",
    "let",
    "me",
    "now",
    "then",
    "ok",
    "okay",
    "yes",
    "sure",
    "alright",
    "please",
    "the",
    "number",
    "key",
    "option",
    "button",
    "digit",
    "ich",
    "jetzt",
    "die",
    "taste",
    "nummer",
    "ja",
    "bitte",
    "voy",
    "a",
    "la",
    "tecla",
    "el",
    "numero",
    "opcion",
    "ahora",
    "je",
    "vais",
    "sur",
    "touche",
    "le",
    "maintenant",
    "numéro",
];
/// Says what the key is for: the rest is no key.
const PURPOSE: [&str; 6] = ["for", "fur", "para", "pour", "um", "so"];
const NAMES: [(&str, char); 47] = [
    ("zero", '0'),
    ("oh", '0'),
    ("one", '1'),
    ("two", '2'),
    ("three", '3'),
    ("four", '4'),
    ("five", '5'),
    ("six", '6'),
    ("seven", '7'),
    ("eight", '8'),
    ("nine", '9'),
    ("star", '*'),
    ("asterisk", '*'),
    ("pound", '#'),
    ("hash", '#'),
    ("null", '0'),
    ("eins", '1'),
    ("zwei", '2'),
    ("drei", '3'),
    ("vier", '4'),
    ("funf", '5'),
    ("sechs", '6'),
    ("sieben", '7'),
    ("acht", '8'),
    ("neun", '9'),
    ("stern", '*'),
    ("raute", '#'),
    ("cero", '0'),
    ("uno", '1'),
    ("dos", '2'),
    ("tres", '3'),
    ("cuatro", '4'),
    ("cinco", '5'),
    ("seis", '6'),
    ("siete", '7'),
    ("ocho", '8'),
    ("nueve", '9'),
    ("asterisco", '*'),
    ("almohadilla", '#'),
    ("un", '1'),
    ("deux", '2'),
    ("trois", '3'),
    ("quatre", '4'),
    ("cinq", '5'),
    ("sept", '7'),
    ("huit", '8'),
    ("neuf", '9'),
];
/// Longest text between brackets that may be keys.
const LONGEST: usize = 64;

/// Whether somebody asks for a key: "for sales, press two".
pub(super) fn offers_a_menu(words: &str) -> bool {
    let plain = plain(words);
    let mut words = plain.split_whitespace();
    words.any(|word| PRESSING.contains(&word)) && words.any(|word| keys_of(word).is_some())
}

/// The keys that a clause says it presses, if it says nothing else.
pub(super) fn presses(clause: &str) -> Option<Keys> {
    let mut keys = String::new();
    for word in plain(clause).split_whitespace() {
        match keys_of(word) {
            Some(more) => keys.push_str(&more),
            None if PRESSING.contains(&word) || AROUND.contains(&word) => {}
            None if PURPOSE.contains(&word) && !keys.is_empty() => break,
            None => return None,
        }
    }
    Keys::parse(&keys)
}

fn keys_of(word: &str) -> Option<String> {
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_digit()) {
        return Some(word.to_owned());
    }
    NAMES.iter().find(|(name, _)| *name == word).map(|(_, key)| key.to_string())
}

/// What a model's text is made of.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::voice) enum Piece {
    Text(String),
    Keys(Keys),
}

/// Finds `[press 2]` in text that comes in pieces. Text is held back only from an opening bracket on, and
/// no longer than keys can be.
#[derive(Debug, Default)]
pub(in crate::voice) struct Reader {
    held: String,
}

impl Reader {
    pub(in crate::voice) fn push(&mut self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for c in text.chars() {
            self.take(c, &mut pieces);
        }
        pieces
    }

    /// What was held back and is none.
    pub(in crate::voice) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    fn take(&mut self, c: char, pieces: &mut Vec<Piece>) {
        if self.held.is_empty() && c != '[' {
            return append(pieces, c.encode_utf8(&mut [0; 4]));
        }
        if c == '[' {
            append(pieces, &std::mem::take(&mut self.held));
        }
        self.held.push(c);
        if c == ']' {
            let held = std::mem::take(&mut self.held);
            match bracketed(&held) {
                Some(keys) => pieces.push(Piece::Keys(keys)),
                None => append(pieces, &held),
            }
        } else if self.held.len() > LONGEST {
            append(pieces, &std::mem::take(&mut self.held));
        }
    }
}

/// `[press 2#]`, `[pressed 2]`, `[press two]`.
fn bracketed(text: &str) -> Option<Keys> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    let (verb, keys) = inner.split_once([' ', ':'])?;
    let presses_keys = PRESSING.contains(&verb.to_lowercase().as_str());
    if presses_keys { Keys::parse(keys).or_else(|| presses(keys)) } else { None }
}

fn append(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(last)) => last.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(clause: &str) -> Option<String> {
        presses(clause).map(|keys| keys.expose().to_owned())
    }

    #[test]
    fn a_model_that_says_what_it_presses_is_understood() {
        for (clause, keys) in [
            ("2", "2"),
            ("Two.", "2"),
            ("I'll press two.", "2"),
            ("Press 2 for billing.", "2"),
            ("Okay, I am pressing the pound key now.", "#"),
            ("I will enter 1 2 3 4 pound.", "1234#"),
            ("Ich drücke die Zwei.", "2"),
            ("Pulso el dos, por favor".trim_end_matches(", por favor"), "2"),
            ("J'appuie sur la touche deux.", "2"),
        ] {
            assert_eq!(pressed(clause).as_deref(), Some(keys), "{clause}");
        }
    }

    #[test]
    fn other_words_press_nothing() {
        for clause in [
            "",
            "One moment, please.",
            "A table for two, please.",
            "Two people.",
            "I would like option two for my sister.",
            "Should I press two?".trim_end_matches('?'),
            "I'll press the key.",
            "Press star B.",
        ] {
            assert_eq!(pressed(clause), None, "{clause}");
        }
    }

    #[test]
    fn menus_are_known_in_four_languages() {
        for words in [
            "Welcome. For sales, press 1. For billing, press two.",
            "Please enter your account number followed by the pound key.",
            "Für Termine drücken Sie bitte die Zwei.",
            "Para citas, pulse dos.",
            "Pour un rendez-vous, tapez 2.",
        ] {
            assert!(offers_a_menu(words), "{words}");
        }
        for words in ["Good morning, how can I help you?", "A table for two?", "Press release?"] {
            assert!(!offers_a_menu(words), "{words}");
        }
    }

    fn read(pieces: &[&str]) -> (String, Vec<String>) {
        let mut reader = Reader::default();
        let (mut text, mut keys) = (String::new(), Vec::new());
        for piece in pieces.iter().flat_map(|piece| reader.push(piece)) {
            match piece {
                Piece::Text(piece) => text.push_str(&piece),
                Piece::Keys(pressed) => keys.push(pressed.expose().to_owned()),
            }
        }
        (text + &reader.finish(), keys)
    }

    #[test]
    fn keys_in_brackets_are_taken_out_of_the_text_however_it_is_cut() {
        let whole = "Sure. [press 1w2#] Thanks [x] [press A] [pressed: two] [press";
        let expected = ("Sure.  Thanks [x] [press A]  [press".to_owned(), vec!["1w2#".into(), "2".into()]);
        assert_eq!(read(&[whole]), expected);
        for cut in 1..whole.len() {
            assert_eq!(read(&[&whole[..cut], &whole[cut..]]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn text_is_not_held_back_for_ever() {
        let mut reader = Reader::default();
        let long = "[".to_owned() + &"a".repeat(200);
        let pieces = reader.push(&long);
        assert!(!pieces.is_empty());
        assert_eq!(reader.push("b"), [Piece::Text("b".into())]);
    }
}
