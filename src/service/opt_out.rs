//! Whether somebody on the telephone asks in plain words not to be called again, in one of the [`tongues`].
//!
//! Only plain words count: a wish about a time ("don't call me before nine"), about somebody else ("stop
//! calling him") or told of somebody else ("I don't call them") is none. The words are a recogniser's: case,
//! accents and punctuation are nearly guesses, so they are dropped, and punctuation only ends a clause.
//! Whatever language a call is in, all are listened for: who is called answers in their own.

mod pattern;
mod tongues;

use std::sync::LazyLock;

use pattern::{Pattern, folded};
use tongues::TONGUES;

/// How one language says it.
struct Tongue {
    /// Wishes, to the end of a clause; not where somebody of `telling` stands before, who only tells of it.
    requests: Vec<Pattern>,
    /// Wishes whatever stands before.
    commands: Vec<Pattern>,
    /// Wishes to be struck off a list; not where a word of `denials` stands before.
    removals: Vec<Pattern>,
    /// Words that say it wherever they stand.
    lists: Vec<Pattern>,
    telling: Vec<String>,
    denials: Vec<String>,
    /// What may follow a wish; anything else makes it another one.
    courtesies: Vec<String>,
}

pub fn asks_to_stop(words: &str) -> bool {
    static ALL: LazyLock<Vec<Tongue>> = LazyLock::new(|| TONGUES.iter().map(Tongue::of).collect());
    let words = folded(words);
    // A recogniser may or may not put a comma where a sentence goes on.
    let within = |c: char| c.is_alphanumeric() || c.is_whitespace() || c == '-';
    let parts = words.split(|c: char| !within(c)).chain(words.split(|c: char| !within(c) && c != ','));
    parts.into_iter().any(|part| {
        let apart = |c: char| !c.is_alphanumeric();
        let words: Vec<&str> = part.split(apart).filter(|word| !word.is_empty()).collect();
        ALL.iter().any(|tongue| tongue.wishes(&words))
    })
}

impl Tongue {
    fn of(told: &tongues::Told) -> Tongue {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(text, told.objects)).collect();
        let words = |text: &str| folded(text).split_whitespace().map(str::to_owned).collect();
        Tongue {
            requests: patterns(told.requests),
            commands: patterns(told.commands),
            removals: patterns(told.removals),
            lists: patterns(told.lists),
            telling: words(told.telling),
            denials: words(told.denials),
            courtesies: words(told.courtesies),
        }
    }

    fn wishes(&self, clause: &[&str]) -> bool {
        (0..clause.len()).any(|at| {
            let before = at.checked_sub(1).map(|before| clause[before]);
            let after = |words: &[String]| before.is_some_and(|word| words.iter().any(|w| w == word));
            let rest = &clause[at..];
            (!after(&self.telling) && self.ends(&self.requests, rest))
                || self.ends(&self.commands, rest)
                || (!after(&self.denials) && self.ends(&self.removals, rest))
                || self.lists.iter().any(|pattern| pattern.matches(rest, |_| true))
        })
    }

    /// Whether one of the patterns takes the words up to the courtesies at their end.
    fn ends(&self, patterns: &[Pattern], words: &[&str]) -> bool {
        let courteous = |rest: &[&str]| rest.iter().all(|word| self.courtesies.iter().any(|c| c == word));
        patterns.iter().any(|pattern| pattern.matches(words, courteous))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_wishes_are_heard() {
        for words in [
            "Don't call me again.",
            "please don't call me again",
            "Do not call this number again!",
            "Don’t ever call here again.",
            "I said don't call me anymore, please.",
            "Stop calling.",
            "Can you stop calling me?",
            "I told you to stop calling this number.",
            "Quit calling us, thank you.",
            "Never call me again.",
            "I asked you not to call me again",
            "Look, I'm busy. Take me off your list.",
            "Take me off of your calling list please",
            "remove me from your list",
            "Please remove my number.",
            "I'd like you to remove my number from the list",
            "Put me on your do-not-call list.",
            "We are on the do not call list",
        ] {
            assert!(asks_to_stop(words), "{words}");
        }
    }

    #[test]
    fn other_wishes_are_not_taken_for_it() {
        for words in [
            "",
            "Yes, call me again tomorrow.",
            "Don't call me before nine.",
            "Please don't call me again until Monday.",
            "Stop calling him John.",
            "I don't call them anymore.",
            "You never call me anymore.",
            "They don't call here.",
            "You don't need to call me back.",
            "Don't take me off the list.",
            "Take me off hold.",
            "Get me the list.",
            "Take me to your list.",
            "Can you take my name for the waiting list?",
            "Is he on call? I could not call earlier.",
            "We'll stop by. Calling ahead helps.",
        ] {
            assert!(!asks_to_stop(words), "{words}");
        }
    }

    #[test]
    fn wishes_are_heard_in_the_languages_that_are_spoken() {
        for words in [
            "Rufen Sie mich nicht mehr an.",
            "Bitte rufen Sie hier nie wieder an!",
            "Ruf mich nicht mehr an, bitte.",
            "Rufen Sie bitte nicht mehr an, ich habe kein Interesse.",
            "Ich habe gesagt, Sie sollen mich nicht mehr anrufen.",
            "Hören Sie auf, mich anzurufen.",
            "hoeren sie bitte auf hier anzurufen",
            "Ich möchte nicht mehr angerufen werden.",
            "Ich will keine Anrufe mehr.",
            "Streichen Sie mich bitte von Ihrer Liste.",
            "Löschen Sie meine Nummer, danke.",
            "No me llame más.",
            "Por favor, no me vuelvan a llamar.",
            "No vuelva a llamar a este número.",
            "¡Deje de llamarme!",
            "No quiero que me llamen más, gracias.",
            "Quíteme de su lista.",
            "Borre mi número, por favor.",
            "Ne m'appelez plus.",
            "S'il vous plaît, ne m’appelez plus jamais.",
            "Ne nous rappelez pas.",
            "N'appelez plus ce numéro, merci.",
            "Arrêtez de m'appeler !",
            "Je ne veux plus que vous m'appeliez.",
            "Retirez-moi de votre liste.",
            "Supprimez mon numéro.",
            "Non mi chiami più.",
            "Per favore non chiamate più questo numero.",
            "La smetta di chiamarmi.",
            "Mi tolga dalla lista, grazie.",
            "Não me ligue mais.",
            "Pare de me ligar, por favor.",
            "Me tire da sua lista.",
            "Bel me niet meer.",
            "Belt u mij alstublieft nooit meer.",
            "Ik wil niet meer gebeld worden.",
            "Haal mij van uw lijst.",
        ] {
            assert!(asks_to_stop(words), "{words}");
        }
    }

    #[test]
    fn other_wishes_in_other_languages_are_not_taken_for_it() {
        for words in [
            "Rufen Sie mich nicht vor neun an.",
            "Rufen Sie mich morgen wieder an.",
            "Rufen Sie ihn nicht mehr an.",
            "Sie rufen mich nie wieder an, oder?",
            "Ich werde nicht mehr anrufen.",
            "Ich kann Sie nicht mehr anrufen.",
            "Wir bekommen keine Anrufe mehr.",
            "Nehmen Sie mich nicht von der Liste.",
            "Nehmen Sie mich mit.",
            "Hören Sie auf den Anruf.",
            "No me llame antes de las nueve.",
            "No me llamo Juan.",
            "No le llame más.",
            "Ella ya no me llama más.",
            "Vuelva a llamarme mañana.",
            "No me llame más tarde.",
            "No me quite de la lista.",
            "Ne m'appelez pas avant neuf heures.",
            "Ne l'appelez plus.",
            "Vous ne m'appelez plus.",
            "Je ne vous appelle plus.",
            "Rappelez-moi demain.",
            "Ne me retirez pas de la liste.",
            "Non mi chiami prima delle nove.",
            "Non mi chiamo Luca.",
            "Lui non mi chiama più.",
            "Mi chiami domani.",
            "Não me ligue antes das nove.",
            "Ele não me liga mais.",
            "Me ligue amanhã.",
            "Bel me niet voor negen uur.",
            "Hij belt me niet meer.",
            "Ik bel niet meer.",
            "Haal me niet van de lijst.",
        ] {
            assert!(!asks_to_stop(words), "{words}");
        }
    }

    #[test]
    fn whatever_is_said_ends_soon() {
        let long = "do not call me ".repeat(2_000);
        assert!(!asks_to_stop(&format!("{long} before nine")));
        assert!(asks_to_stop(&long));
        assert!(asks_to_stop(&format!("take me off {} list", "the ".repeat(20_000))));
    }
}
