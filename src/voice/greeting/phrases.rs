//! What recorded greetings say, in English, German, Spanish and French.

use crate::voice::words::plain;

/// Said by machines alone, at the beginning of a call.
const RECORDED: [&str; 38] = [
    "after the beep",
    "after the tone",
    "at the tone",
    "at the beep",
    "voicemail",
    "voice mail",
    "mailbox",
    "answering machine",
    "leave a message",
    "leave me a message",
    "leave your message",
    "leave your name",
    "record your message",
    "forwarded to",
    "nach dem signalton",
    "nach dem ton",
    "nach dem piep",
    "anrufbeantworter",
    "hinterlassen sie",
    "hinterlasse eine nachricht",
    "hinterlass eine nachricht",
    "eine nachricht hinterlassen",
    "después del tono",
    "después de la señal",
    "tras la señal",
    "buzón de voz",
    "buzón de mensajes",
    "deje su mensaje",
    "deje un mensaje",
    "deja tu mensaje",
    "deja un mensaje",
    "contestador automático",
    "après le bip",
    "après le signal",
    "messagerie vocale",
    "laissez un message",
    "laissez-moi un message",
    "laisser un message",
];

/// Said by machines often, and by people now and then: two of them make a machine, or one in a long
/// greeting.
const LIKELY: [&str; 30] = [
    "you have reached",
    "you've reached",
    "not available",
    "unavailable",
    "can't take your call",
    "unable to take your call",
    "unable to answer",
    "can't answer",
    "can't come to the phone",
    "not able to come to the phone",
    "away from the phone",
    "get back to you",
    "call you back",
    "return your call",
    "nicht erreichbar",
    "nicht verfügbar",
    "nicht zu erreichen",
    "vorübergehend",
    "rufe sie zurück",
    "rufe zurück",
    "außerhalb unserer",
    "no está disponible",
    "no puedo atender",
    "no podemos atender",
    "ha llamado a",
    "n'est pas disponible",
    "ne suis pas disponible",
    "vous êtes bien sur",
    "vous êtes sur",
    "pas joignable",
];

/// Of a menu that wants a key.
const MENU: [&str; 12] = [
    "press 1",
    "press one",
    "press 2",
    "press zero",
    "press 0",
    "drücken sie",
    "wählen sie die",
    "pulse",
    "oprima",
    "marque",
    "tapez",
    "appuyez",
];

/// What the words of a greeting say about who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words {
    /// Phrases of recordings: a sure one counts twice.
    pub(super) recorded: usize,
    /// It offers a menu.
    pub(super) menu: bool,
}

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let text = plain(text);
        let found = |phrases: &[&str]| phrases.iter().filter(|phrase| text.contains(&plain(phrase))).count();
        Words { recorded: 2 * found(&RECORDED) + found(&LIKELY), menu: found(&MENU) > 0 }
    }

    pub(super) const fn is_recording(self) -> bool {
        self.recorded >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_of_four_languages_are_known() {
        for text in [
            "Your call has been forwarded to an automatic voice message system.",
            "Hi, you’ve reached Bob. I'm unavailable right now.",
            "Hi, you have reached Bob Miller. I can not come to the phone right now.",
            "At the tone, please record your message.",
            "The person you are calling is not available. Please leave your message after the beep.",
            "Hier ist die Mailbox von 0 1 7 1.",
            "Bitte hinterlassen Sie eine Nachricht nach dem Signalton.",
            "El número que ha llamado a no está disponible.",
            "Deje su mensaje después de la señal.",
            "Bonjour, vous êtes bien sur la messagerie vocale de Jean.",
            "Laissez-moi un message APRES LE BIP.",
        ] {
            assert!(Words::of(text).is_recording(), "{text}");
        }
    }

    #[test]
    fn people_are_not_taken_for_recordings() {
        for text in [
            "Hello?",
            "You've reached Lakeside Dental, this is Anna.",
            "Lakeside Dental, good morning, how can I help you?",
            "Praxis Doktor Weber, guten Tag.",
            "Sí, dígame.",
            "Allô, oui ?",
            "Who is calling?",
        ] {
            assert!(!Words::of(text).is_recording(), "{text}");
        }
    }

    #[test]
    fn a_phrase_is_whole_words() {
        assert!(!Words::of("He speaks on the phone without a tonearm, unpressed 12.").menu);
        assert!(Words::of("For sales, press 1.").menu);
    }
}
