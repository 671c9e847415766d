//! Whether somebody asks to be handed to a person, and whether the agent says that it does so.
//!
//! English, German, Spanish and French, whatever the call's language. Only a wish in the first person
//! counts: an offer ("would you like to speak to a person?"), a menu ("to speak to an agent, press 1") and
//! words about somebody else are none. A model too small to call a tool in time is not asked about it.

use crate::voice::words::plain;

/// How a wish begins.
const WISHES: [&str; 53] = [
    "can i",
    "could i",
    "may i",
    "can we",
    "let me",
    "i want",
    "i wanna",
    "i need",
    "i would like",
    "id like",
    "i would rather",
    "id rather",
    "i prefer",
    "id prefer",
    "i would prefer",
    "is there",
    "kann ich",
    "könnte ich",
    "darf ich",
    "ich möchte",
    "möchte ich",
    "ich will",
    "ich würde",
    "würde ich",
    "lassen sie mich",
    "quiero",
    "querría",
    "quisiera",
    "puedo",
    "podría",
    "me gustaría",
    "necesito",
    "prefiero",
    "déjeme",
    "je veux",
    "je voudrais",
    "je souhaite",
    "je préfère",
    "je préférerais",
    "j'aimerais",
    "je peux",
    "puis-je",
    "pourrais-je",
    "est-ce que je",
    "could we",
    "do you have",
    "have you got",
    "können sie mich",
    "könnten sie mich",
    "me puede",
    "me podría",
    "pouvez-vous me",
    "pourriez-vous me",
];

const TALKING: [&str; 19] = [
    "speak to",
    "speak with",
    "talk to",
    "talk with",
    "i can speak",
    "i can talk",
    "sprechen",
    "reden",
    "hablar con",
    "comunicarme con",
    "parler à",
    "parler avec",
    "parler au",
    "verbinden",
    "durchstellen",
    "weiterleiten",
    "pasar con",
    "comunicar con",
    "passer",
];

const PERSONS: [&str; 48] = [
    "human",
    "human being",
    "person",
    "people",
    "someone",
    "somebody",
    "representative",
    "operator",
    "agent",
    "manager",
    "supervisor",
    "colleague",
    "your boss",
    "member of staff",
    "menschen",
    "mensch",
    "jemandem",
    "mitarbeiter",
    "mitarbeiterin",
    "kollegen",
    "kollegin",
    "vorgesetzten",
    "chef",
    "persona",
    "humano",
    "alguien",
    "agente",
    "operador",
    "operadora",
    "encargado",
    "encargada",
    "responsable",
    "compañero",
    "humain",
    "personne",
    "quelqu'un",
    "conseiller",
    "conseillère",
    "opérateur",
    "opératrice",
    "collègue",
    "supérieur",
    "vraie personne",
    "jemand",
    "jemanden",
    "anyone",
    "anybody",
    "colleagues",
];

/// Whole requests.
const REQUESTS: [&str; 32] = [
    "transfer me",
    "connect me to",
    "connect me with",
    "put me through",
    "put me on to",
    "hand me over",
    "get me a human",
    "get me a person",
    "get me a real person",
    "get me an agent",
    "give me a human",
    "give me a person",
    "give me a real person",
    "verbinden sie mich",
    "verbinde mich",
    "stellen sie mich durch",
    "páseme con",
    "pásame con",
    "comuníqueme con",
    "transfiérame",
    "passez-moi",
    "transférez-moi",
    "mettez-moi en relation",
    "transfer my call",
    "transfer this call",
    "transfer the call",
    "can i have a human",
    "can i get a human",
    "can i have a real person",
    "can i get a real person",
    "können sie mich verbinden",
    "können sie mich bitte verbinden",
];

/// Said by those who have noticed with whom they speak.
const REFUSALS: [&str; 14] = [
    "dont want to talk to a",
    "dont want to speak to a",
    "dont want to talk with a",
    "dont want to speak with a",
    "not talking to a",
    "not speaking to a",
    "dont talk to",
    "dont speak to",
    "nicht mit einer",
    "nicht mit einem",
    "no quiero hablar con",
    "pas parler à",
    "dont wanna talk to a",
    "dont wanna speak to a",
];

const MACHINES: [&str; 16] = [
    "robot",
    "robots",
    "machine",
    "machines",
    "bot",
    "bots",
    "computer",
    "computers",
    "ai",
    "ki",
    "maschine",
    "roboter",
    "máquina",
    "contestador",
    "ordinateur",
    "automate",
];

/// Nothing else is said.
const ALONE: [&str; 24] = [
    "human",
    "a human",
    "a human please",
    "human please",
    "a person",
    "a person please",
    "real person",
    "a real person",
    "real person please",
    "a real person please",
    "a human being",
    "operator please",
    "representative please",
    "agent please",
    "einen menschen",
    "einen menschen bitte",
    "una persona",
    "una persona por favor",
    "un humano",
    "un humano por favor",
    "un humain",
    "un humain s'il vous plaît",
    "une personne s'il vous plaît",
    "un conseiller s'il vous plaît",
];

/// Between two commas they split no clause.
const POLITE: [&str; 5] =
    [", please,", ", bitte,", ", por favor,", ", s'il vous plaît,", ", s’il vous plaît,"];

/// Turns a wish into another one: a denial, or somebody of one's own.
const OTHERWISE: [&str; 21] = [
    "not", "dont", "never", "cant", "you", "my", "our", "her", "his", "nicht", "kein", "keinen", "meinem",
    "meiner", "no", "mi", "pas", "mon", "ma", "press", "if",
];

/// Before a request, makes it none.
const DENIALS: [&str; 8] = ["not", "dont", "never", "nicht", "no", "if", "wenn", "falls"];

/// The agent's own words for it.
const PROMISES: [&str; 31] = [
    "ill transfer you",
    "ill connect you",
    "ill put you through",
    "ill hand you over",
    "i will transfer you",
    "i will connect you",
    "i will put you through",
    "i will hand you over",
    "i will now transfer you",
    "i will now connect you",
    "let me transfer you",
    "let me connect you",
    "let me put you through",
    "im transferring you",
    "im connecting you",
    "i am transferring you",
    "i am connecting you",
    "going to transfer you",
    "going to connect you",
    "ich verbinde sie",
    "ich stelle sie durch",
    "ich leite sie weiter",
    "le paso con",
    "le comunico con",
    "le transfiero",
    "voy a transferirle",
    "voy a pasarle",
    "je vous passe",
    "je vous transfère",
    "je vous mets en relation",
    "je vais vous transférer",
];

/// Makes no promise of it.
const CONDITIONS: [&str; 8] = ["if", "cant", "cannot", "unable", "before", "wenn", "falls", "nicht"];

/// Words between "speak to" and the person, or the other way round.
const NEAR: usize = 4;

/// Whether a caller's words ask for a person.
pub(in crate::voice) fn asks_for_a_person(words: &str) -> bool {
    let asks = |clause: String| {
        wishes(&clause) || commands(&clause) || requests(&clause) || refuses_machines(&clause)
    };
    sentences(words).any(|sentence| is_alone(&plain(&sentence)) || clauses(&sentence).any(asks))
}

/// Whether the agent's words say that the call is being handed over.
pub(in crate::voice) fn promises_transfer(words: &str) -> bool {
    sentences(words).any(|sentence| {
        let said = plain(&sentence);
        let has = |phrase: &str| said.contains(&plain(phrase));
        !sentence.ends_with('?')
            && !CONDITIONS.iter().any(|word| has(word))
            && PROMISES.iter().any(|promise| has(promise))
    })
}

/// Each with the mark at its end.
fn sentences(words: &str) -> impl Iterator<Item = String> {
    let whole =
        |sentence: &str| POLITE.iter().fold(sentence.to_lowercase(), |text, polite| text.replace(polite, ""));
    words.split_inclusive(['.', '?', '!', ';', '¿', '¡']).map(whole)
}

fn clauses(sentence: &str) -> impl Iterator<Item = String> {
    sentence.split(',').map(plain)
}

/// "Speak to a representative": what people say to machines.
fn commands(clause: &str) -> bool {
    let talks = ["speak to", "speak with", "talk to", "talk with"]
        .iter()
        .any(|talk| clause.starts_with(&plain(talk)));
    let person = PERSONS.iter().filter_map(|person| position(clause, person)).min();
    talks
        && person.is_some_and(|at| at <= NEAR)
        && !clause.split_whitespace().any(|word| OTHERWISE.contains(&word))
}

/// "Can I speak to a real person?"
fn wishes(clause: &str) -> bool {
    WISHES.iter().any(|wish| {
        let Some((before, after)) = split_at_words(clause, wish) else { return false };
        let Some(talk) = first_of(after, &TALKING) else { return false };
        let person =
            PERSONS.iter().filter_map(|person| position(after, person)).min_by_key(|at| at.abs_diff(talk));
        let Some(person) = person else { return false };
        let between = after.split_whitespace().take(talk.max(person));
        person.abs_diff(talk) <= NEAR + 1
            && !ends_with(before, &OTHERWISE)
            && !between.into_iter().any(|word| OTHERWISE.contains(&word))
    })
}

fn requests(clause: &str) -> bool {
    let asked =
        |request| split_at_words(clause, request).is_some_and(|(before, _)| !ends_with(before, &DENIALS));
    REQUESTS.iter().any(|request| asked(request))
}

fn refuses_machines(clause: &str) -> bool {
    REFUSALS.iter().any(|refusal| {
        let after = split_at_words(clause, refusal).map(|(_, after)| after);
        after.is_some_and(|after| after.split_whitespace().take(NEAR).any(is_machine))
    })
}

fn is_machine(word: &str) -> bool {
    MACHINES.iter().any(|machine| plain(machine).trim() == word)
}

fn is_alone(clause: &str) -> bool {
    ALONE.iter().any(|alone| plain(alone) == clause)
}

/// Whether one of the last two words is among these.
fn ends_with(before: &str, words: &[&str]) -> bool {
    before.split_whitespace().rev().take(2).any(|word| words.contains(&word))
}

/// The text before and after a phrase.
fn split_at_words<'a>(text: &'a str, phrase: &str) -> Option<(&'a str, &'a str)> {
    let phrase = plain(phrase);
    let at = text.find(&phrase)?;
    Some((&text[..at], &text[at + phrase.len() - 1..]))
}

fn first_of(text: &str, phrases: &[&str]) -> Option<usize> {
    phrases.iter().filter_map(|phrase| position(text, phrase)).min()
}

/// How many words precede a phrase.
fn position(text: &str, phrase: &str) -> Option<usize> {
    Some(text[..text.find(&plain(phrase))?].split_whitespace().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_for_a_person_are_heard() {
        for words in [
            "Can I speak to a human?",
            "Could I please talk to a real person?",
            "I want to speak with a representative.",
            "I'd like to talk to someone, please.",
            "Listen. I need to speak to your manager now.",
            "Is there a human I can talk to?",
            "No, let me speak to the person in charge.",
            "I don't want to talk to a robot.",
            "I don't want to speak to a machine, can I talk to a person?",
            "Transfer me, please.",
            "Please put me through to somebody.",
            "Can you connect me to a colleague?",
            "Operator, please.",
            "A real person!",
            "Human.",
            "Speak to a representative.",
            "I don't wanna talk to a computer.",
            "Do you have anybody I can talk to?",
            "Can I have a human?",
            "Können Sie mich bitte mit einem Menschen verbinden?",
            "¿Me puede comunicar con alguien?",
            "Pouvez-vous me passer quelqu'un ?",
            "May I, please, speak to somebody in the office?",
            "Kann ich bitte mit einem Menschen sprechen?",
            "Ich möchte mit einem Mitarbeiter reden.",
            "Verbinden Sie mich bitte.",
            "Ich will nicht mit einem Roboter sprechen.",
            "Quiero hablar con una persona.",
            "¿Puedo hablar con un humano, por favor?",
            "Páseme con su encargado.",
            "Je voudrais parler à un conseiller.",
            "Est-ce que je peux parler à quelqu'un ?",
            "Passez-moi un responsable.",
        ] {
            assert!(asks_for_a_person(words), "{words}");
        }
    }

    #[test]
    fn other_words_are_no_wish_for_a_person() {
        for words in [
            "",
            "Are you a real person?",
            "Is this a robot?",
            "Would you like to speak to a person?",
            "Do you want to talk to a representative?",
            "If you want to speak to an agent, press one.",
            "To speak to an operator, press zero or stay on the line.",
            "I don't want to speak to a person.",
            "Don't transfer me, please.",
            "I need to talk to my manager first.",
            "I can speak to you now.",
            "Talk to my manager.",
            "I'd like to speak with Bob.",
            "Is Mr. Smith there? Can I speak to him?",
            "May I ask who is speaking, is this a person?",
            "I speak to people all day.",
            "Let me transfer you to a person.",
            "A table for one person, please. Can I pay there?",
            "How many people can I bring?",
            "Ich möchte nicht mit einem Menschen sprechen.",
            "Möchten Sie mit einem Mitarbeiter sprechen?",
            "No quiero hablar con una persona.",
            "Je ne veux pas parler à un conseiller.",
            "Operator speaking, good morning.",
        ] {
            assert!(!asks_for_a_person(words), "{words}");
        }
    }

    #[test]
    fn a_promise_is_told_from_an_offer() {
        for words in [
            "Of course, I'll transfer you now.",
            "Sure. Let me connect you to a colleague.",
            "I am going to connect you with someone.",
            "Einen Moment, ich verbinde Sie.",
            "Le paso con un compañero.",
            "Je vous passe un collègue.",
        ] {
            assert!(promises_transfer(words), "{words}");
        }
        for words in [
            "Would you like me to transfer you?",
            "I can transfer you to a person.",
            "I'll transfer you if you like.",
            "Shall I say: I'll transfer you?",
            "I'm sorry, I can't connect you.",
            "We open at nine.",
        ] {
            assert!(!promises_transfer(words), "{words}");
        }
    }
}
