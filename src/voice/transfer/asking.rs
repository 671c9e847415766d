//! Whether somebody asks to be handed to a person, and whether the agent says that it does so.
//!
//! English, German, Spanish and French, whatever the call's language. Only a wish in the first person
//! counts: an offer ("would you like to speak to a person?"), a menu ("to speak to an agent, press 1") and
//! words about somebody else are none. A model too small to call a tool in time is not asked about it.

use crate::voice::transfer::phrases::{
    ALONE, COMMANDS, CONDITIONS, DENIALS, MACHINES, OTHERWISE, PERSONS, POLITE, PROMISES, REFUSALS, REQUESTS,
    TALKING, WISHES,
};
use crate::voice::words::plain;

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
    let talks = COMMANDS.iter().any(|talk| clause.starts_with(&plain(talk)));
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
