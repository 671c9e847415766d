//! Calls in which the caller is handed to a person.

use crate::voice::conversation::Setup;
use crate::voice::effect::{Closing, Speaker};
use crate::voice::world::{World, setup};
use crate::voice::{Config, Event, ms};

const CONNECTING: &str = "One moment, please, I'll connect you.";
const NOT_REACHED: &str = "I'm sorry, I could not reach anybody there. Can I help you with anything else?";

/// A call with somebody to transfer to, whose opening is over.
fn opened() -> World {
    opened_with(Setup { transfers: true, ..setup() })
}

fn opened_with(setup: Setup) -> World {
    let mut world = World::with(Config::default(), setup);
    world.run_until(5_000);
    world
}

/// The same, in which the caller has asked for a person; somebody is being called by eleven seconds.
fn calling() -> World {
    let mut world = opened();
    world.caller_says(5_500..7_000, "Can I speak to a real person?");
    world.run_until(11_000);
    assert_eq!(world.transfers.len(), 1);
    world
}

#[test]
fn a_caller_who_asks_for_a_person_is_handed_over_without_the_llm() {
    let world = calling();
    assert_eq!(world.questions, [""; 0]);
    assert_eq!(world.agent_said().last(), Some(&CONNECTING));
    assert_eq!(world.said(Speaker::Caller), ["Can I speak to a real person?"]);
    let said_at = world.turns.last().map(|turn| turn.end_ms).expect("the agent said it");
    assert!(world.transfers[0].as_millis() as u64 >= said_at, "nobody is called before it is said");
}

#[test]
fn the_llm_hands_over_by_its_tool_and_its_words_are_said_first() {
    let mut world = opened();
    world.caller_says(5_500..7_000, "I need help with my bill.");
    world.llm_answers("Our billing team can do that.").and_transfers();
    world.run_until(12_000);
    assert_eq!(world.agent_said().last(), Some(&"Our billing team can do that."));
    assert_eq!(world.transfers.len(), 1);
    assert_eq!(world.hung_up, None);
}

#[test]
fn a_tool_call_without_a_word_gets_one() {
    let mut world = opened();
    world.caller_says(5_500..7_000, "I need help with my bill.");
    world.llm_answers("").and_transfers();
    world.run_until(12_000);
    assert_eq!(world.agent_said().last(), Some(&CONNECTING));
    assert_eq!(world.transfers.len(), 1);
}

#[test]
fn a_promise_without_the_tool_is_kept() {
    let mut world = opened();
    world.caller_says(5_500..7_000, "I need help with my bill.");
    world.llm_answers("Of course, I'll transfer you to a colleague.");
    world.run_until(13_000);
    assert_eq!(world.transfers.len(), 1);
}

#[test]
fn without_anybody_to_transfer_to_the_llm_answers() {
    let mut world = opened_with(setup());
    world.caller_says(5_500..7_000, "Can I speak to a real person?");
    world.llm_answers("I'll transfer you.").and_transfers();
    world.run_until(13_000);
    assert_eq!((world.transfers.len(), world.questions.len()), (0, 1));
    assert_eq!(world.agent_said().last(), Some(&"I'll transfer you."));
}

#[test]
fn thanks_over_the_hand_over_do_not_stop_it() {
    let mut world = opened();
    world.caller_says(5_500..7_000, "Can I speak to a real person?");
    world.caller_says(8_200..9_000, "Thank you very much.");
    world.run_until(13_000);
    assert_eq!(world.agent_said().last(), Some(&CONNECTING));
    assert_eq!((world.transfers.len(), world.questions.len()), (1, 0));
    assert_eq!(world.said(Speaker::Caller)[1], "Thank you very much.");
}

#[test]
fn words_under_way_at_the_hand_over_are_on_record_and_unanswered() {
    let mut world = opened();
    world.caller_says(5_500..7_000, "Can I speak to a real person?");
    world.caller_says(9_000..11_500, "I hope that she is there today.");
    world.run_until(16_000);
    assert_eq!((world.transfers.len(), world.questions.len()), (1, 0));
    assert_eq!(world.said(Speaker::Caller)[1], "I hope that she is there today.");
}

#[test]
fn the_agent_is_deaf_and_silent_while_the_two_speak() {
    let mut world = calling();
    world.happens(11_500, Event::TransferAnswered);
    for n in 0..20u64 {
        world.caller_says(12_000 + n * 3_000..13_500 + n * 3_000, "Can you hear me?");
    }
    world.happens(20_000, Event::Dtmf { digit: '4' });
    world.run_until(70_000);
    world.expect_agent_silent(11_000..70_000);
    assert_eq!((world.questions.len(), world.turns.len(), world.hung_up), (0, 3, None));
    assert_eq!(world.passed, "4");
}

#[test]
fn the_call_ends_when_the_person_hangs_up() {
    let mut world = calling();
    world.happens(11_500, Event::TransferAnswered);
    world.happens(60_000, Event::TransferOver);
    world.run_until(90_000);
    assert_eq!(world.hung_up, Some((ms(60_000), Closing::TransferOver)));
}

#[test]
fn the_call_ends_when_the_carrier_takes_it_over() {
    let mut world = calling();
    world.happens(20_000, Event::Referred);
    world.run_until(30_000);
    assert_eq!(world.hung_up, Some((ms(20_000), Closing::Referred)));
}

#[test]
fn the_agent_comes_back_when_nobody_is_reached() {
    let mut world = calling();
    world.caller_says(12_000..13_000, "Hello?");
    world.happens(40_000, Event::TransferFailed);
    world.caller_says(47_000..48_500, "Then tell them that I called.");
    world.llm_answers("I will.");
    world.run_until(55_000);
    world.expect_agent_silent(11_000..40_000);
    world.expect_agent_speaks(40_000..40_300);
    assert_eq!(world.agent_said()[2..], [NOT_REACHED, "I will."]);
    assert_eq!(world.questions, ["Then tell them that I called."]);
}

#[test]
fn nobody_is_rung_more_than_twice() {
    let mut world = calling();
    let again = |world: &mut World, from: u64| {
        world.happens(from, Event::TransferFailed);
        world.caller_says(from + 7_000..from + 8_500, "Transfer me to a person.");
        world.run_until(from + 14_000);
    };
    again(&mut world, 15_000);
    assert_eq!((world.transfers.len(), world.questions.len()), (2, 0));
    world.llm_answers("I can take a message for them.");
    again(&mut world, 40_000);
    assert_eq!((world.transfers.len(), world.questions.len()), (2, 1));
    assert_eq!(world.agent_said().last(), Some(&"I can take a message for them."));
}

#[test]
fn the_maximum_duration_ends_both_ringing_and_talking() {
    for answered in [false, true] {
        let mut world = opened_with(Setup { transfers: true, max_duration: ms(60_000), ..setup() });
        world.caller_says(5_500..7_000, "Can I speak to a real person?");
        if answered {
            world.happens(12_000, Event::TransferAnswered);
        }
        world.run_until(90_000);
        assert_eq!(world.hung_up, Some((ms(60_000), Closing::MaxDuration)), "answered: {answered}");
        world.expect_agent_silent(11_000..90_000);
    }
}

#[test]
fn a_line_that_dies_ends_the_call_whoever_speaks() {
    let mut world = calling();
    world.happens(11_500, Event::TransferAnswered);
    world.happens(30_000, Event::MediaLost);
    world.run_until(40_000);
    assert_eq!(world.hung_up, Some((ms(30_000), Closing::MediaLost)));
}

#[test]
fn the_hand_over_is_said_in_the_calls_language() {
    let mut world = opened_with(Setup { transfers: true, language: "de-DE".into(), ..setup() });
    world.caller_says(6_500..8_000, "Kann ich mit einem Menschen sprechen?");
    world.run_until(14_000);
    assert_eq!(world.agent_said().last(), Some(&"Einen Moment, bitte, ich verbinde Sie."));
    assert_eq!(world.transfers.len(), 1);
}
