//! Whether somebody on the telephone asks, in plain English, not to be called again.
//!
//! Only plain words count: a wish about a time ("don't call me before nine"), about somebody else ("stop
//! calling him") or told of somebody else ("I don't call them") is none. The words are a recogniser's: case
//! and punctuation are nearly guesses, so punctuation only ends a clause.

/// Words of refusal, up to the verb.
const REFUSALS: [&[&str]; 13] = [
    &["dont", "call"],
    &["do", "not", "call"],
    &["dont", "ever", "call"],
    &["do", "not", "ever", "call"],
    &["not", "to", "call"],
    &["never", "call"],
    &["dont", "phone"],
    &["do", "not", "phone"],
    &["dont", "ring"],
    &["stop", "calling"],
    &["quit", "calling"],
    &["stop", "phoning"],
    &["stop", "ringing"],
];

/// Whom a refusal is about.
const OBJECTS: [&[&str]; 10] = [
    &["me"],
    &["us"],
    &["here"],
    &["this", "number"],
    &["this", "phone"],
    &["this", "house"],
    &["my", "number"],
    &["my", "phone"],
    &["at", "this", "number"],
    &["on", "this", "number"],
];

/// What may follow; anything else makes the wish another one.
const TAILS: [&str; 14] = [
    "again", "anymore", "any", "more", "ever", "please", "thanks", "thank", "you", "ok", "okay", "now",
    "sir", "maam",
];

/// Who does not call, where the refusal only tells of it.
const TELLING: [&str; 6] = ["i", "we", "you", "they", "he", "she"];

const REMOVALS: [&str; 4] = ["take", "remove", "delete", "get"];
const LISTS: [&str; 2] = ["list", "lists"];

pub fn asks_to_stop(words: &str) -> bool {
    let words = words.to_lowercase().replace(['\'', '’'], "");
    let clauses = words.split(|c: char| !(c.is_alphanumeric() || c.is_whitespace() || c == '-'));
    clauses.into_iter().any(|clause| {
        let words: Vec<&str> =
            clause.split(|c: char| c.is_whitespace() || c == '-').filter(|word| !word.is_empty()).collect();
        (0..words.len()).any(|at| refuses(&words, at) || removes(&words, at)) || names_the_list(&words)
    })
}

/// "Don't call me again", "please stop calling".
fn refuses(words: &[&str], at: usize) -> bool {
    let Some(refusal) = REFUSALS.iter().find(|refusal| words[at..].starts_with(refusal)) else {
        return false;
    };
    let told = at > 0 && TELLING.contains(&words[at - 1]);
    let commands = matches!(refusal[0], "stop" | "quit" | "not");
    let after = &words[at + refusal.len()..];
    let object = OBJECTS.iter().find(|object| after.starts_with(object));
    let rest = &after[object.map_or(0, |object| object.len())..];
    (commands || !told) && rest.iter().all(|word| TAILS.contains(word))
}

/// "Take me off your list", "remove my number".
fn removes(words: &[&str], at: usize) -> bool {
    let denied = at > 0 && matches!(words[at - 1], "dont" | "not" | "never");
    if denied || !REMOVALS.contains(&words[at]) {
        return false;
    }
    let after = &words[at + 1..];
    let whom: [&[&str]; 5] = [&["me"], &["us"], &["my", "number"], &["this", "number"], &["my", "name"]];
    let Some(whom) = whom.iter().find(|whom| after.starts_with(whom)) else { return false };
    let rest = &after[whom.len()..];
    match rest.first() {
        Some(&("off" | "from")) => rest.iter().any(|word| LISTS.contains(word)),
        None => words[at] != "get" && words[at] != "take",
        Some(_) => false,
    }
}

/// "Put me on your do-not-call list".
fn names_the_list(words: &[&str]) -> bool {
    let lists: [&[&str]; 2] = [&["do", "not", "call", "list"], &["dont", "call", "list"]];
    lists.iter().any(|list| words.windows(list.len()).any(|window| window == *list))
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
}
