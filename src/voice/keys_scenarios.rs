//! Calls in which a machine wants keys pressed.

use serde_json::json;

use crate::voice::conversation::Setup;
use crate::voice::effect::Speaker;
use crate::voice::prompt::{HANG_UP, MENU_CUE, PRESS_KEYS};
use crate::voice::world::{World, setup};
use crate::voice::{Config, ms};

const MENU: &str = "For sales, press one. For billing, press two.";

/// A call to a possible menu, whose opening is over.
fn opened() -> World {
    let mut world = World::with(Config::default(), Setup { keys: true, ..setup() });
    world.run_until(5_000);
    world
}

fn offered() -> World {
    let mut world = opened();
    world.caller_says(5_500..8_000, MENU);
    world
}

fn keys(world: &World) -> Vec<&str> {
    world.pressed.iter().map(|(_, keys)| keys.as_str()).collect()
}

#[test]
fn the_llm_presses_by_its_tool_without_a_word() {
    let mut world = offered();
    world.llm_answers("").and_presses("2");
    world.run_until(13_000);
    assert_eq!(keys(&world), ["2"]);
    world.expect_agent_silent(5_500..13_000);
    assert_eq!(world.agent_said().last(), Some(&"[pressed 2]"));
}

#[test]
fn keys_in_brackets_are_pressed_and_not_spoken() {
    let mut world = offered();
    world.llm_answers("[press 1w2#]");
    world.run_until(13_000);
    assert_eq!(keys(&world), ["1w2#"]);
    world.expect_agent_silent(5_500..13_000);
}

#[test]
fn a_model_without_tools_says_what_it_presses() {
    for answer in ["I'll press two.", "2", "Press 2 for billing."] {
        let mut world = offered();
        world.llm_answers(answer);
        world.run_until(13_000);
        assert_eq!(keys(&world), ["2"], "{answer}");
        world.expect_agent_silent(5_500..13_000);
    }
}

#[test]
fn where_nobody_offered_a_menu_such_words_are_spoken() {
    let mut world = opened();
    world.caller_says(5_500..7_000, "How many are you?");
    world.llm_answers("Two.");
    world.run_until(12_000);
    assert_eq!(keys(&world), [""; 0]);
    assert_eq!(world.agent_said().last(), Some(&"Two."));
}

#[test]
fn who_was_called_by_a_person_presses_nothing() {
    let mut world = World::with(Config::default(), setup());
    world.run_until(5_000);
    world.caller_says(5_500..8_000, MENU);
    world.llm_answers("I'll press two.").and_presses("2");
    world.run_until(13_000);
    assert_eq!(keys(&world), [""; 0]);
    assert_eq!(world.agent_said().last(), Some(&"I'll press two."));
}

#[test]
fn what_is_said_with_them_is_said_first_and_what_follows_is_heard() {
    let mut world = offered();
    world.llm_answers("I will take the billing team.").and_presses("2");
    world.caller_says(14_000..15_500, "Billing, good morning.");
    world.llm_answers("Good morning.");
    world.run_until(20_000);
    let said = world.turns.iter().find(|turn| turn.text.expose().starts_with("I will")).expect("it was said");
    assert!(world.pressed[0].0 >= ms(said.end_ms), "keys are not spoken over");
    let agent = world.agent_said();
    assert_eq!(agent[agent.len() - 3..], ["I will take the billing team.", "[pressed 2]", "Good morning."]);
}

#[test]
fn the_model_alone_is_told_that_it_answers_a_menu() {
    let mut world = offered();
    world.llm_answers("[press 2]");
    world.caller_says(11_000..13_000, "Billing, good morning.");
    world.llm_answers("Good morning.");
    world.run_until(18_000);
    assert_eq!(world.questions, [format!("{MENU} {MENU_CUE}").as_str(), "Billing, good morning."]);
    let context = &world.contexts[1];
    assert!(context.iter().any(|message| message.content == MENU), "{context:?}");
    assert!(world.turns.iter().all(|turn| !turn.text.expose().contains("recorded menu")));
}

#[test]
fn who_presses_nothing_is_told_of_no_menu() {
    let mut world = World::with(Config::default(), setup());
    world.run_until(5_000);
    world.caller_says(5_500..8_000, MENU);
    world.llm_answers("Hello?");
    world.run_until(13_000);
    assert_eq!(world.questions, [MENU]);
}

#[test]
fn an_answer_to_a_menu_that_is_begun_in_a_pause_is_the_one_that_presses() {
    let mut world = opened();
    world.turn_complete = 0.1;
    world.caller_says(5_500..8_000, MENU);
    world.llm_answers("[press 2]").first_token(ms(300));
    world.run_until(14_000);
    assert_eq!(keys(&world), ["2"]);
    assert_eq!(world.questions, [format!("{MENU} {MENU_CUE}")], "asked once");
}

#[test]
fn the_model_is_told_what_it_pressed_and_walks_on() {
    let mut world = offered();
    world.llm_answers("[press 2]");
    world.caller_says(11_000..13_000, "Enter your number followed by the pound key.");
    world.llm_answers("[press 4 2 #]");
    world.run_until(18_000);
    assert_eq!(keys(&world), ["2", "42#"]);
    assert_eq!(world.said(Speaker::Caller).len(), 2);
}

#[test]
fn who_presses_a_key_does_not_hang_up_with_it() {
    let mut world = offered();
    world.llm_answers("[press 2]").and_hangs_up();
    world.run_until(12_000);
    assert_eq!((keys(&world), world.hung_up), (vec!["2"], None));
}

#[test]
fn keys_that_no_telephone_has_are_not_pressed() {
    let mut world = offered();
    world.llm_answers("I will choose billing now.").and_presses("2A");
    world.run_until(13_000);
    assert_eq!(keys(&world), [""; 0]);
    assert_eq!(world.agent_said().last(), Some(&"I will choose billing now."));
}

#[test]
fn model_that_pressed_no_key_is_told_so_once() {
    let mut world = offered();
    world.llm_answers("").and_calls(PRESS_KEYS, json!({"keys": "billing"}));
    world.caller_says(14_000..16_000, MENU);
    world.llm_answers("[press 2]");
    world.caller_says(19_000..20_500, "Billing, good morning.");
    world.llm_answers("Good morning.");
    world.run_until(25_000);
    assert_eq!(keys(&world), ["2"]);
    let [first, second, third] = &world.questions[..] else { panic!("{:?}", world.questions) };
    assert_eq!(*first, format!("{MENU} {MENU_CUE}"));
    assert!(second.contains("No key was pressed: `keys` takes 1 to 32 of the digits 0 to 9"), "{second}");
    assert!(second.ends_with(MENU_CUE), "{second}");
    assert_eq!(third, "Billing, good morning.");
    assert!(world.turns.iter().all(|turn| !turn.text.expose().contains("No key was pressed")));
}

#[test]
fn key_that_a_model_gives_to_the_wrong_tool_is_pressed_on_a_menu_alone() {
    let mut world = offered();
    world.llm_answers("").and_calls(HANG_UP, json!({"key": "2"}));
    world.run_until(13_000);
    assert_eq!((keys(&world), world.hung_up), (vec!["2"], None));
    let mut world = opened();
    world.caller_says(5_500..7_000, "That is all, goodbye.");
    world.llm_answers("Goodbye.").and_calls(HANG_UP, json!({"key": "2"}));
    world.run_until(12_000);
    assert!(keys(&world).is_empty() && world.hung_up.is_some());
}

#[test]
fn whoever_speaks_over_the_answer_is_answered_instead() {
    let mut world = offered();
    world
        .llm_answers("I would like to speak about a bill that I received in the last month of the year.")
        .and_presses("2");
    world.caller_says(11_500..14_000, "Sorry, that is not an option. Press three.");
    world.llm_answers("[press 3]");
    world.run_until(20_000);
    assert_eq!(keys(&world), ["3"]);
}

#[test]
fn long_keys_are_no_silence() {
    let mut world = offered();
    let long = "1wwwwwwwwwwwwwwwwwwwwwwwwwwwwww2";
    world.llm_answers("").and_presses(long);
    world.run_until(8_000 + 15_000);
    assert_eq!(
        (keys(&world), world.agent_said().len()),
        (vec![long], 2),
        "nobody asks whether the menu is there"
    );
}
