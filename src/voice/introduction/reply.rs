//! Whether words say yes or no, in English, German, Spanish and French, whatever the call's language.

use crate::voice::words::plain;

/// A "no" that is none, said as a "yes".
const WILLING: [&str; 13] = [
    "no problem",
    "not a problem",
    "no worries",
    "why not",
    "not at all",
    "kein problem",
    "warum nicht",
    "sin problema",
    "no hay problema",
    "por que no",
    "pas de probleme",
    "pas de souci",
    "pourquoi pas",
];

/// Replies where nothing else is said: "one moment" is none.
const YES_ALONE: [&str; 11] =
    ["one", "press one", "1", "eins", "uno", "un", "si", "si si", "si por favor", "si claro", "bitte"];
const NO_ALONE: [&str; 7] = ["two", "press two", "2", "zwei", "dos", "deux", "decline"];
/// Whoever says yes says little more.
const MOST_WORDS: usize = 10;

const NO: [&str; 25] = [
    "no",
    "nope",
    "nah",
    "not",
    "cant",
    "dont",
    "wont",
    "busy",
    "later",
    "nein",
    "nicht",
    "keine zeit",
    "spater",
    "beschaftigt",
    "ahora no",
    "no puedo",
    "ocupado",
    "ocupada",
    "mas tarde",
    "non",
    "pas maintenant",
    "occupe",
    "occupee",
    "plus tard",
    "je ne peux",
];

const YES: [&str; 47] = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "sure",
    "ok",
    "okay",
    "alright",
    "all right",
    "fine",
    "go ahead",
    "please do",
    "of course",
    "certainly",
    "absolutely",
    "gladly",
    "connect",
    "put them",
    "put him",
    "put her",
    "put it",
    "ja",
    "jawohl",
    "gerne",
    "gern",
    "klar",
    "naturlich",
    "sicher",
    "in ordnung",
    "verbinden",
    "stellen sie durch",
    "claro",
    "vale",
    "por supuesto",
    "adelante",
    "de acuerdo",
    "paseme",
    "pasela",
    "paselo",
    "con gusto",
    "oui",
    "daccord",
    "bien sur",
    "allez y",
    "passez",
    "volontiers",
    "entendu",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Yes,
    No,
}

impl Reply {
    /// None where it says neither. A "no" outweighs every "yes".
    pub(super) fn of(words: &str) -> Option<Reply> {
        let mut said = plain(words);
        let mut willing = false;
        for phrase in WILLING.map(plain) {
            willing |= said.contains(&phrase);
            said = said.replace(&phrase, " ");
        }
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| said.contains(&plain(phrase)));
        let is = |phrases: &[&str]| phrases.iter().any(|phrase| said == plain(phrase));
        if says(&NO) || is(&NO_ALONE) {
            return Some(Reply::No);
        }
        let brief = said.split_whitespace().count() <= MOST_WORDS;
        (brief && (willing || says(&YES) || is(&YES_ALONE))).then_some(Reply::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_heard() {
        for words in [
            "Yes.",
            "Yeah, put him through.",
            "Sure, go ahead!",
            "OK",
            "One.",
            "No problem.",
            "Why not?",
            "Ja, gerne.",
            "Klar, stellen Sie durch.",
            "Kein Problem, verbinden Sie.",
            "Sí, claro.",
            "Adelante.",
            "Oui, allez-y.",
            "D'accord.",
            "Pas de problème.",
        ] {
            assert_eq!(Reply::of(words), Some(Reply::Yes), "{words}");
        }
    }

    #[test]
    fn a_no_outweighs_a_yes() {
        for words in [
            "No.",
            "No, thanks.",
            "Not now, please.",
            "I can't take it, sorry.",
            "Okay, but not right now.",
            "Tell them I'm busy.",
            "Two.",
            "Nein, danke.",
            "Ja, aber jetzt nicht.",
            "Später bitte.",
            "Ahora no.",
            "No puedo.",
            "Non merci.",
            "Pas maintenant.",
            "Je suis occupé.",
        ] {
            assert_eq!(Reply::of(words), Some(Reply::No), "{words}");
        }
    }

    #[test]
    fn other_words_are_neither() {
        for words in [
            "",
            "Who is it?",
            "Hello?",
            "Wie bitte?",
            "¿Quién llama?",
            "C'est qui ?",
            "Someone for me?",
            "One moment, please.",
            "Give me two minutes.",
            "Attendez un instant.",
            "Sure enough this is Lakeside Dental and we are open from nine to five.",
        ] {
            assert_eq!(Reply::of(words), None, "{words}");
        }
    }
}
