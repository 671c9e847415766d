//! What Whisper writes though nobody said it: stage directions, the closing words of videos, loops.

/// What the decoder knew besides the text.
#[derive(Debug, Clone, Copy)]
pub struct Evidence {
    /// The model's own estimate that there is no speech, 0.0 to 1.0.
    pub no_speech: f32,
    /// Mean probability of the text's tokens, 0.0 to 1.0.
    pub confidence: f32,
    /// Root mean square of the loudest 30 ms, full scale 32,768.
    pub level: f32,
}

/// Below this level nobody speaks into a telephone: −56 dB of full scale.
pub const SILENCE: f32 = 50.0;
/// A level at which a word stands on its own: −40 dB of full scale.
const CLEAR: f32 = 330.0;

/// Said in thousands of videos over music and silence; on the telephone too, but then one hears it.
const CLOSING_WORDS: &[&str] = &[
    "you",
    "bye",
    "bye bye",
    "so",
    "oh",
    "okay",
    "the",
    "thank you",
    "thank you very much",
    "thank you so much",
    "thanks",
];

/// Nobody says these on the telephone.
const NEVER_SAID: &[&str] = &[
    "thanks for watching",
    "thank you for watching",
    "thank you for watching this video",
    "thank you so much for watching",
    "please subscribe",
    "please subscribe to my channel",
    "like and subscribe",
    "subtitles by the amara org community",
    "ill see you in the next video",
    "see you in the next video",
    "transcription by castingwords",
];

/// The text that was said, as far as one can tell; empty where nothing was.
pub fn believable(text: &str, evidence: Evidence) -> String {
    let text = without_repeats(&without_stage_directions(text));
    let bare = bare_words(&text);
    let doubtful = evidence.no_speech > 0.6 || evidence.level < CLEAR || evidence.confidence < 0.4;
    let silent = evidence.level < SILENCE || (evidence.no_speech > 0.8 && evidence.confidence < 0.5);
    let invented = bare.is_empty()
        || NEVER_SAID.contains(&bare.as_str())
        || (doubtful && CLOSING_WORDS.contains(&bare.as_str()))
        || silent;
    if invented { String::new() } else { text }
}

/// Lower case, letters and digits, single spaces.
fn bare_words(text: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || c.is_whitespace() { Some(c) } else { None };
    let spaced = text.replace(['-', '.'], " ").to_lowercase();
    let bare: String = spaced.chars().filter_map(keep).collect();
    bare.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Takes out `[BLANK_AUDIO]`, `(music)`, `*laughs*`, `♪`.
fn without_stage_directions(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    let mut closing = None;
    for c in text.chars() {
        match (closing, c) {
            (Some(end), c) if c == end => closing = None,
            (Some(_), _) => {}
            (None, '[') => closing = Some(']'),
            (None, '(') => closing = Some(')'),
            (None, '*') => closing = Some('*'),
            (None, '♪' | '♫') => {}
            (None, c) => said.push(c),
        }
    }
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Keeps one of what the decoder says over and over: a phrase of one word four times or more, a longer
/// one three times or more. People say "no, no, no".
fn without_repeats(text: &str) -> String {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let mut start = 0;
    while start < words.len() {
        match longest_loop(&words[start..]) {
            Some((phrase, times)) => {
                words.drain(start + phrase..start + phrase * times);
                start += phrase;
            }
            None => start += 1,
        }
    }
    words.join(" ")
}

/// A phrase that `words` begins with again and again: its length in words and how often it comes.
fn longest_loop(words: &[&str]) -> Option<(usize, usize)> {
    (1..=words.len() / 3).find_map(|phrase| {
        let first: Vec<String> = words[..phrase].iter().map(|w| bare_words(w)).collect();
        let same = |chunk: &&[&str]| {
            chunk.len() == phrase && chunk.iter().zip(&first).all(|(w, f)| bare_words(w) == *f)
        };
        let times = words.chunks(phrase).take_while(same).count();
        (times >= if phrase == 1 { 4 } else { 3 }).then_some((phrase, times))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEARLY: Evidence = Evidence { no_speech: 0.05, confidence: 0.9, level: 3_000.0 };
    const HARDLY: Evidence = Evidence { no_speech: 0.7, confidence: 0.5, level: 200.0 };

    #[test]
    fn thanks_are_believed_when_heard_and_not_over_silence() {
        assert_eq!(believable("Thank you.", CLEARLY), "Thank you.");
        assert_eq!(believable("Thank you.", HARDLY), "");
        assert_eq!(believable("you", HARDLY), "");
    }

    #[test]
    fn words_of_videos_are_never_believed() {
        assert_eq!(believable(" Thanks for watching!", CLEARLY), "");
    }

    #[test]
    fn stage_directions_are_taken_out() {
        assert_eq!(believable("[BLANK_AUDIO]", CLEARLY), "");
        assert_eq!(believable("(phone rings) Hello? *coughs*", CLEARLY), "Hello?");
    }

    #[test]
    fn loops_are_said_once_and_people_may_repeat_themselves() {
        assert_eq!(believable("no, no, no", CLEARLY), "no, no, no");
        assert_eq!(believable("I am I am I am I am here", CLEARLY), "I am here");
        assert_eq!(believable("Well, yes yes yes yes yes.", CLEARLY), "Well, yes");
        assert_eq!(
            believable("Hello, this is Anna. Hello, this is Anna.", CLEARLY),
            "Hello, this is Anna. Hello, this is Anna."
        );
    }

    #[test]
    fn digits_said_one_by_one_are_kept() {
        assert_eq!(believable("5 5 5 0 1 2 3", CLEARLY), "5 5 5 0 1 2 3");
    }

    #[test]
    fn silence_has_no_words() {
        assert_eq!(believable("I will be there at five.", Evidence { level: 10.0, ..CLEARLY }), "");
    }
}
