//! Calls that an answering machine takes, and calls that look like one.

use crate::base::Pii;
use crate::voice::conversation::Setup;
use crate::voice::effect::{AnsweredBy, Closing, Speaker};
use crate::voice::greeting;
use crate::voice::voicemail::{OnVoicemail, Screening};
use crate::voice::world::{World, setup};
use crate::voice::{Config, Event, ms};

const MESSAGE: &str = "This is Lakeside Dental. Please call us back, at five five five. Thank you.";

fn called(on_voicemail: OnVoicemail) -> World {
    let screening = Screening { config: greeting::Config::default(), on_voicemail };
    World::with(Config::default(), Setup { screening: Some(screening), ..setup() })
}

fn leaves_message() -> World {
    called(OnVoicemail::LeaveMessage(Pii::new(MESSAGE.into())))
}

/// "Hi, you've reached Bob Miller. Please leave a message after the tone.", up to 6.2 s.
fn greets(world: &mut World) {
    world.caller_says(600..2_400, "Hi, you've reached Bob Miller.");
    world.caller_says(2_500..4_300, "Please leave a message");
    world.caller_says(4_350..6_200, "after the tone.");
}

fn beeps(world: &mut World, at: u64) {
    world.happens(at, Event::Beep { length: ms(400) });
}

fn verdicts(world: &World) -> Vec<AnsweredBy> {
    world.answered_by.iter().map(|(_, who)| *who).collect()
}

#[test]
fn a_machine_is_hung_up_on_before_its_beep() {
    let mut world = called(OnVoicemail::HangUp);
    greets(&mut world);
    world.run_until(20_000);
    let (at, closing) = world.hung_up.expect("the agent hangs up");
    assert_eq!(closing, Closing::Voicemail);
    assert!(at < ms(4_500), "{at:?}");
    assert_eq!(verdicts(&world), [AnsweredBy::Voicemail]);
    assert_eq!(world.questions, [""; 0], "the language model is not asked");
    world.expect_agent_silent(4_500..20_000);
    assert!(world.said(Speaker::Caller)[0].starts_with("Hi, you've reached Bob Miller."));
}

#[test]
fn a_message_follows_the_beep_word_for_word() {
    let mut world = leaves_message();
    greets(&mut world);
    beeps(&mut world, 7_400);
    world.run_until(30_000);
    world.expect_agent_silent(4_500..7_400);
    world.expect_agent_speaks(7_450..7_600);
    assert_eq!(world.agent_said().last(), Some(&MESSAGE));
    assert_eq!(world.hung_up.map(|(_, closing)| closing), Some(Closing::MessageLeft));
    assert_eq!(world.questions, [""; 0]);
    assert_eq!(verdicts(&world), [AnsweredBy::Voicemail]);
}

#[test]
fn without_a_beep_the_message_follows_the_greeting() {
    let mut world = leaves_message();
    greets(&mut world);
    world.run_until(30_000);
    world.expect_agent_silent(4_500..7_600);
    world.expect_agent_speaks(7_700..8_000);
    assert_eq!(world.agent_said().last(), Some(&MESSAGE));
    assert_eq!(world.hung_up.map(|(_, closing)| closing), Some(Closing::MessageLeft));
}

#[test]
fn a_late_beep_starts_the_message_again_once() {
    let mut world = leaves_message();
    greets(&mut world);
    beeps(&mut world, 9_500);
    beeps(&mut world, 11_000);
    world.run_until(30_000);
    let agent = world.agent_said();
    assert_eq!(agent.last(), Some(&MESSAGE));
    let begun = agent.iter().filter(|text| text.starts_with("This is Lakeside")).count();
    assert_eq!(begun, 2, "{agent:?}");
}

#[test]
fn a_beep_alone_shows_a_machine_and_the_message_follows_it() {
    let mut world = leaves_message();
    world.caller_says(600..5_000, "Bob Miller, Lakeside, Main Street five.");
    beeps(&mut world, 5_900);
    world.run_until(30_000);
    assert_eq!(verdicts(&world), [AnsweredBy::Voicemail]);
    world.expect_agent_speaks(5_950..6_100);
    assert_eq!(world.agent_said().last(), Some(&MESSAGE));
}

#[test]
fn nothing_interrupts_a_message() {
    let mut world = leaves_message();
    greets(&mut world);
    beeps(&mut world, 7_400);
    world.caller_says(8_500..11_000, "You have ten seconds left.");
    world.happens(9_000, Event::Dtmf { digit: '1' });
    world.run_until(30_000);
    assert_eq!(world.agent_said().last(), Some(&MESSAGE));
    assert!(world.turns.last().is_some_and(|turn| !turn.interrupted));
    assert_eq!(world.questions, [""; 0]);
}

#[test]
fn a_greeting_without_end_is_not_waited_out() {
    let mut world = leaves_message();
    greets(&mut world);
    world.caller_says(6_250..90_000, "la la la");
    world.run_until(90_000);
    let (at, closing) = world.hung_up.expect("the call ends");
    assert_eq!(closing, Closing::MessageLeft);
    assert!((ms(34_000)..ms(42_000)).contains(&at), "{at:?}");
}

#[test]
fn a_recogniser_that_dies_while_a_greeting_is_waited_out_is_not_apologised_for() {
    let mut world = leaves_message();
    world.asr_down.push(ms(5_000)..ms(60_000));
    greets(&mut world);
    beeps(&mut world, 9_000);
    world.run_until(30_000);
    let agent = world.agent_said();
    assert!(agent.iter().all(|text| !text.contains("Sorry")), "{agent:?}");
    assert_eq!(agent.last(), Some(&MESSAGE));
}

#[test]
fn a_machine_that_is_ignored_is_talked_to_and_told_of() {
    let mut world = called(OnVoicemail::Ignore);
    greets(&mut world);
    world.llm_answers("Hello Bob.");
    world.run_until(12_000);
    assert_eq!(verdicts(&world), [AnsweredBy::Voicemail]);
    assert_eq!(world.questions.len(), 1);
    assert!(world.hung_up.is_none());
}

#[test]
fn a_person_who_greets_is_talked_to() {
    for wait_for_greeting in [false, true] {
        let screening = Screening { config: greeting::Config::default(), on_voicemail: OnVoicemail::HangUp };
        let setup = Setup { screening: Some(screening), wait_for_greeting, ..setup() };
        let mut world = World::with(Config::default(), setup);
        world.caller_says(500..1_300, "Hello, Lakeside?");
        world.caller_says(9_000..12_000, "She is not available, please leave a message.");
        world.llm_answers("Thank you.");
        world.run_until(15_000);
        assert_eq!(verdicts(&world), [AnsweredBy::Human]);
        assert!(world.agent_said().join(" ").contains("opening hours. "), "{:?}", world.agent_said());
        assert!(world.hung_up.is_none());
    }
}

#[test]
fn who_listens_first_is_a_person() {
    let mut world = called(OnVoicemail::HangUp);
    world.caller_says(4_900..20_000, "Well, he is not available, you have reached the wrong office.");
    world.llm_answers("I see.");
    world.run_until(30_000);
    assert_eq!(verdicts(&world), [AnsweredBy::Human]);
    assert!(world.hung_up.is_none());
}

#[test]
fn a_call_that_came_in_is_not_screened() {
    let mut world = World::new();
    world.caller_says(600..3_000, "I would like to leave a message after the tone.");
    world.llm_answers("Please do.");
    world.run_until(12_000);
    assert!(world.answered_by.is_empty() && world.hung_up.is_none());
}
