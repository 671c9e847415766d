use super::*;

/// A telephone call in which the machine is tried, in milliseconds since the answer. Speech takes a second.
struct Desk {
    answered: Instant,
    introduction: Introduction,
    said: Vec<(u64, String)>,
    /// What the person says next.
    lines: VecDeque<String>,
    verdict: Option<(u64, Verdict)>,
}

const SPOKEN: u64 = 1_000;

impl Desk {
    fn new() -> Desk {
        let answered = Instant::now();
        let words = Words { introduction: "I have Ann on the line.".into(), question: "Shall I?".into() };
        let introduction = Introduction::new(answered, words, greeting::Config::default());
        Desk { answered, introduction, said: Vec::new(), lines: VecDeque::new(), verdict: None }
    }

    fn at(&self, at: u64) -> Instant {
        self.answered + ms(at)
    }

    /// Lets time pass: what is due is done when it is due, and what the agent says is said.
    fn until(&mut self, until: u64) {
        let mut playing: Option<(u64, ClauseId)> = self.playing();
        let mut now = self.said.last().map_or(0, |(at, _)| *at);
        loop {
            now = self.drain(now);
            playing = self.playing().or(playing).filter(|(end, _)| *end > now);
            let due = self.introduction.poll_timeout();
            let due = due.map(|at| at.saturating_duration_since(self.answered).as_millis() as u64);
            let ends = playing.map(|(end, _)| end);
            let Some(next) = due.into_iter().chain(ends).min().filter(|at| *at <= until) else { return };
            now = next;
            match playing.filter(|(end, _)| *end == next) {
                Some((_, clause)) => self.happens(next, Event::ClausePlayed { clause }),
                None => self.introduction.handle_timeout(self.at(next)),
            }
        }
    }

    fn playing(&self) -> Option<(u64, ClauseId)> {
        self.said.last().map(|(at, _)| (at + SPOKEN, ClauseId(self.said.len() as u64)))
    }

    fn happens(&mut self, at: u64, event: Event) {
        let now = self.at(at);
        self.introduction.handle(now, event);
        self.drain(at);
    }

    fn drain(&mut self, at: u64) -> u64 {
        while let Some(effect) = self.introduction.poll_effect() {
            match effect {
                Effect::Speak { text, .. } => self.said.push((at, text)),
                Effect::Decide(verdict) => self.verdict = Some((at, verdict)),
                Effect::FinishUtterance => {
                    let text = self.lines.pop_front().expect("somebody spoke");
                    self.introduction.handle(self.answered + ms(at), Event::Final { text });
                }
                Effect::StartUtterance | Effect::TranscribePartial | Effect::StopSpeaking => {}
            }
        }
        at
    }

    fn says(&mut self, when: std::ops::Range<u64>, text: &str) {
        self.until(when.start);
        self.lines.push_back(text.into());
        let onset = self.at(when.start);
        self.happens(when.start, Event::SpeechStarted { onset });
        self.until(when.end + 200);
        let last_speech = self.at(when.end);
        self.happens(when.end + 200, Event::SpeechPaused { last_speech });
    }

    fn verdict(&self) -> Option<Verdict> {
        self.verdict.map(|(_, verdict)| verdict)
    }
}

const ASKED: [&str; 2] = ["I have Ann on the line.", "Shall I?"];

fn texts(desk: &Desk) -> Vec<&str> {
    desk.said.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn a_person_says_hello_is_told_who_calls_and_says_yes() {
    let mut desk = Desk::new();
    desk.says(300..900, "Yes, hello?");
    desk.until(5_000);
    assert_eq!(texts(&desk), ASKED, "a greeting is no answer");
    desk.says(5_000..5_600, "Yes, put her through.");
    desk.until(8_000);
    assert_eq!(desk.verdict, Some((6_300, Verdict::Accepted)));
}

#[test]
fn nobody_is_spoken_over_while_they_say_hello() {
    let mut desk = Desk::new();
    desk.says(1_000..3_500, "Lakeside Dental, this is Mary, good morning.");
    desk.until(10_000);
    assert!(desk.said[0].0 >= 3_500, "{:?}", desk.said);
}

#[test]
fn a_silent_answer_is_spoken_to_and_nobody_is_put_through_to_it() {
    let mut desk = Desk::new();
    desk.until(60_000);
    assert_eq!(desk.said[0].0, 1_500);
    assert_eq!(texts(&desk), ["I have Ann on the line.", "Shall I?", "Shall I?"]);
    assert_eq!(desk.verdict(), Some(Verdict::Nobody));
}

#[test]
fn a_person_who_just_stays_is_put_through() {
    let mut desk = Desk::new();
    desk.says(300..900, "Hello?");
    desk.until(60_000);
    assert_eq!((desk.said.len(), desk.verdict()), (3, Some(Verdict::Accepted)));
}

#[test]
fn a_no_declines_even_before_the_question() {
    for (at, text) in [(5_500, "No, not now."), (2_500, "I'm busy.")] {
        let mut desk = Desk::new();
        desk.says(300..900, "Hello?");
        desk.says(at..at + 400, text);
        desk.until(at + 1_500);
        assert_eq!(desk.verdict(), Some(Verdict::Declined), "{text}");
    }
}

#[test]
fn keys_answer_at_any_time() {
    for (digit, verdict) in [('1', Verdict::Accepted), ('2', Verdict::Declined)] {
        let mut desk = Desk::new();
        desk.until(2_000);
        desk.happens(2_000, Event::Dtmf { digit: '5' });
        assert_eq!(desk.verdict(), None);
        desk.happens(2_100, Event::Dtmf { digit });
        assert_eq!(desk.verdict(), Some(verdict));
        desk.happens(2_200, Event::Dtmf { digit: '1' });
        assert_eq!(desk.verdict, Some((2_100, verdict)), "it is decided once");
    }
}

#[test]
fn words_that_answer_nothing_are_asked_about_once() {
    let mut desk = Desk::new();
    desk.says(300..900, "Hello?");
    desk.says(5_000..5_800, "Who is it?");
    desk.until(8_000);
    assert_eq!(texts(&desk), ["I have Ann on the line.", "Shall I?", "Shall I?"]);
    desk.says(9_000..9_400, "Okay.");
    desk.until(11_000);
    assert_eq!(desk.verdict(), Some(Verdict::Accepted));
}

#[test]
fn a_machine_is_nobody() {
    let greeting = "You have reached Bob. Please leave a message after the tone.";
    let mut desk = Desk::new();
    desk.says(300..5_000, greeting);
    desk.until(7_000);
    assert_eq!(desk.verdict(), Some(Verdict::Nobody));
    let mut desk = Desk::new();
    desk.says(300..2_300, "Bob and Ann.");
    desk.happens(3_000, Event::Beep { length: ms(400) });
    assert_eq!(desk.verdict(), Some(Verdict::Nobody), "{:?}", desk.said);
}

#[test]
fn words_that_may_be_a_recordings_put_nobody_through() {
    let mut desk = Desk::new();
    desk.says(300..7_000, "Lakeside Dental, we are open from nine to five on all days but Sunday.");
    desk.says(9_500..11_000, "You find us at the lake.");
    desk.until(60_000);
    assert_ne!(desk.verdict(), Some(Verdict::Accepted), "{:?}", desk.said);
}

#[test]
fn speech_without_end_is_a_recording() {
    let mut desk = Desk::new();
    let onset = desk.at(200);
    desk.happens(200, Event::SpeechStarted { onset });
    desk.until(20_000);
    assert_eq!(desk.verdict(), Some(Verdict::Nobody));
}

#[test]
fn a_voice_or_a_line_that_fails_is_told() {
    let failed = Event::EngineFailed { engine: EngineKind::Tts, clause: Some(ClauseId(1)) };
    for event in [failed, Event::MediaLost] {
        let mut desk = Desk::new();
        desk.until(1_600);
        desk.happens(1_700, event);
        assert_eq!(desk.verdict(), Some(Verdict::Lost));
    }
}

#[test]
fn a_recogniser_that_fails_leaves_the_keys() {
    let mut desk = Desk::new();
    desk.until(4_000);
    let onset = desk.at(4_000);
    desk.happens(4_000, Event::SpeechStarted { onset });
    desk.happens(4_100, Event::EngineFailed { engine: EngineKind::Asr, clause: None });
    desk.happens(4_200, Event::Dtmf { digit: '1' });
    assert_eq!(desk.verdict(), Some(Verdict::Accepted));
}
