//! Conversations as scripts: who speaks when, and what must be heard.

use crate::voice::conversation::Setup;
use crate::voice::effect::{Closing, Speaker};
use crate::voice::world::{World, setup};
use crate::voice::{Config, Event, ms};

/// A call whose opening is over by the time anything else happens.
fn opened() -> World {
    let mut world = World::new();
    world.run_until(5_000);
    assert_eq!(
        world.agent_said(),
        ["Hello, this is an AI assistant. I am calling about your opening hours."]
    );
    world
}

#[test]
fn disclosure_comes_first_and_a_turn_is_answered() {
    let mut world = opened();
    world.caller_says(5_500..7_000, "Who is calling?");
    world.llm_answers("A friend of yours. Are you open on Sunday?");
    world.run_until(12_000);
    assert_eq!(world.said(Speaker::Caller), ["Who is calling?"]);
    assert_eq!(world.agent_said()[1], "A friend of yours. Are you open on Sunday?");
    assert_eq!(world.questions, ["Who is calling?"]);
}

#[test]
fn latency_of_an_answer_is_split() {
    let mut config = Config::default();
    config.turn.head_start = false;
    let mut world = World::with(config, setup());
    world.run_until(5_000);
    world.caller_says(5_500..7_000, "Who is calling?");
    world.llm_answers("A friend of yours, you know.");
    world.run_until(12_000);
    let split = world.turns.last().and_then(|turn| turn.latency).expect("an answer has its latency");
    assert!((320..420).contains(&split.endpoint_ms), "{split:?}");
    assert_eq!((split.asr_ms, split.llm_first_token_ms, split.tts_first_audio_ms), (150, 150, 60));
    let parts = split.endpoint_ms + split.asr_ms + split.llm_first_token_ms + split.llm_first_clause_ms;
    assert!(split.total_ms.abs_diff(parts + split.tts_first_audio_ms + split.wire_ms) <= 6, "{split:?}");
}

#[test]
fn an_answer_begun_during_a_long_pause_is_there_when_the_turn_ends() {
    let total = |head_start: bool| {
        let mut config = Config::default();
        config.turn.head_start = head_start;
        let mut world = World::with(config, setup());
        world.run_until(5_000);
        world.turn_complete = 0.1;
        world.caller_says(5_500..7_000, "Who is calling?");
        world.llm_answers("A friend of yours, you know.").first_token(ms(600));
        world.run_until(14_000);
        assert_eq!(world.agent_said()[1..], ["A friend of yours, you know."]);
        assert_eq!(world.questions, ["Who is calling?"]);
        world.turns.last().and_then(|turn| turn.latency).expect("an answer has its latency").total_ms
    };
    let (with, without) = (total(true), total(false));
    assert!(with + 500 <= without, "{with} ms with a head start, {without} ms without");
}

#[test]
fn a_head_start_is_dropped_when_the_caller_goes_on() {
    let mut world = opened();
    world.turn_complete = 0.1;
    world.caller_says(5_500..6_500, "I would like a table.");
    world.llm_answers("Never heard.");
    world.caller_says(7_400..8_400, "For two, please.");
    world.llm_answers("A table for two it is.");
    world.run_until(14_000);
    assert_eq!(world.agent_said()[1..], ["A table for two it is."]);
    assert_eq!(world.questions, ["I would like a table.", "I would like a table. For two, please."]);
}

#[test]
fn barge_in_stops_the_agent_and_cuts_the_transcript() {
    let mut world = opened();
    world.caller_says(5_500..7_000, "When do you open?");
    world.llm_answers("We open at nine in the morning and we close at five in the afternoon every day.");
    world.caller_says(9_600..10_600, "Stop please now");
    world.llm_answers("Of course.");
    world.run_until(9_500);
    world.expect_agent_speaks(9_300..9_500);
    world.run_until(16_000);
    world.expect_agent_silent(9_850..11_000);
    let agent = world.agent_said();
    assert!(agent[1].starts_with("We open at nine") && !agent[1].contains("every day"), "{agent:?}");
    assert!(world.turns.iter().any(|turn| turn.interrupted));
    assert_eq!(agent[2], "Of course.");
}

#[test]
fn a_backchannel_does_not_take_the_turn() {
    let mut world = opened();
    world.caller_says(5_500..7_000, "When do you open?");
    world.llm_answers("We open at nine in the morning and we close at five in the afternoon every day.");
    world.caller_says(9_600..9_780, "Mm-hm.");
    world.run_until(16_000);
    let agent = world.agent_said().join(" ");
    assert!(agent.ends_with("every day."), "{agent}");
    assert_eq!(world.questions.len(), 1);
    assert!(world.turns.iter().all(|turn| !turn.interrupted));
}

#[test]
fn a_false_interruption_is_resumed() {
    let mut world = opened();
    world.caller_says(5_500..7_000, "When do you open?");
    world.llm_answers("We open at nine in the morning and we close at five in the afternoon every day.");
    world.caller_says(9_600..10_200, "");
    world.run_until(20_000);
    let agent = world.agent_said();
    assert_eq!(agent.len(), 3, "{agent:?}");
    let whole = format!("{} {}", agent[1], agent[2]);
    assert_eq!(whole, "We open at nine in the morning and we close at five in the afternoon every day.");
    assert_eq!(world.questions.len(), 1);
}

#[test]
fn an_answer_to_a_question_is_no_backchannel() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "Hi.");
    world.llm_answers("Shall I book the table now, for you and for your guests, as you said?");
    world.caller_says(10_000..10_400, "Yes.");
    world.llm_answers("Done.");
    world.run_until(16_000);
    assert_eq!(world.agent_said().last(), Some(&"Done."));
}

#[test]
fn a_caller_who_goes_on_is_heard_to_the_end() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "I need a table");
    world.caller_says(7_000..8_000, "for two.");
    world.llm_answers("Never heard.").first_token(ms(900));
    world.llm_answers("A table for two it is.");
    world.run_until(14_000);
    assert_eq!(world.agent_said()[1..], ["A table for two it is."]);
    assert_eq!(world.questions.last().map(String::as_str), Some("I need a table for two."));
}

#[test]
fn an_unfinished_turn_gets_more_time() {
    let mut world = opened();
    world.turn_complete = 0.1;
    world.caller_says(5_500..6_500, "I would like to");
    world.caller_says(7_500..8_500, "cancel.");
    world.llm_answers("Cancelled.");
    world.run_until(14_000);
    assert_eq!(world.said(Speaker::Caller), ["I would like to cancel."]);
    assert_eq!(world.questions.len(), 1);
}

#[test]
fn dictated_digits_are_not_cut_off() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "It is 415 555");
    world.caller_says(8_000..9_000, "0123.");
    world.llm_answers("Thank you.");
    world.run_until(14_000);
    assert_eq!(world.said(Speaker::Caller), ["It is 415 555 0123."]);
}

#[test]
fn a_greeting_over_the_disclosure_does_not_stop_it() {
    let mut world = World::new();
    world.caller_says(200..1_100, "Hello?");
    world.run_until(6_000);
    world.expect_agent_speaks(900..1_700);
    assert!(world.agent_said()[0].starts_with("Hello, this is an AI assistant."));
    assert!(world.turns.iter().all(|turn| !turn.interrupted));
}

#[test]
fn wait_for_greeting_lets_the_callee_speak_first() {
    let mut world = World::with(Config::default(), Setup { wait_for_greeting: true, ..setup() });
    world.caller_says(1_000..2_000, "Lakeside Dental, good morning.");
    world.run_until(9_000);
    world.expect_agent_silent(0..2_300);
    assert_eq!(world.turns[0].speaker, Speaker::Caller);
    assert!(world.agent_said()[0].starts_with("Hello, this is an AI assistant. I am calling"));
}

#[test]
fn wait_for_greeting_ends_when_nobody_greets() {
    let mut world = World::with(Config::default(), Setup { wait_for_greeting: true, ..setup() });
    world.run_until(9_000);
    world.expect_agent_silent(0..5_000);
    world.expect_agent_speaks(5_000..5_300);
}

#[test]
fn without_a_first_sentence_the_llm_opens_after_the_disclosure() {
    let mut world = World::with(Config::default(), Setup { first_sentence: None, recorded: true, ..setup() });
    world.llm_answers("I have a question about your opening hours.");
    world.run_until(9_000);
    assert_eq!(
        world.agent_said(),
        [
            "Hello, this is an AI assistant. This call is recorded. I have a question about your opening hours."
        ]
    );
}

#[test]
fn a_call_in_another_language_is_disclosed_in_it() {
    let mut world = World::with(Config::default(), Setup { language: "de-AT".into(), ..setup() });
    world.run_until(30_000);
    assert!(world.agent_said()[0].starts_with("Guten Tag, hier spricht eine KI-Assistenz."));
    assert_eq!(world.agent_said()[1], "Sind Sie noch da?");
}

#[test]
fn the_agent_hangs_up_by_its_tool_once_it_has_been_heard() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "That is all, bye.");
    world.llm_answers("Thank you, goodbye.").and_hangs_up();
    world.run_until(12_000);
    assert_eq!(world.agent_said().last(), Some(&"Thank you, goodbye."));
    assert_eq!(world.hung_up.map(|(_, closing)| closing), Some(Closing::AgentDone));
}

#[test]
fn a_hang_up_without_a_word_says_goodbye() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "Bye.");
    world.llm_answers("").and_hangs_up();
    world.run_until(12_000);
    assert_eq!(world.agent_said().last(), Some(&"Goodbye."));
}

#[test]
fn a_silent_caller_is_asked_twice_then_left() {
    let mut world = opened();
    world.run_until(60_000);
    assert_eq!(world.agent_said()[1..], ["Are you still there?", "Are you still there?", "Goodbye."]);
    assert_eq!(world.hung_up.map(|(_, closing)| closing), Some(Closing::CallerSilent));
    assert!(world.longest_silence() <= ms(8_000));
}

#[test]
fn a_slow_llm_never_leaves_the_caller_in_silence() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "Think hard.");
    world.llm_answers("Done at last.").first_token(ms(17_000));
    world.run_until(40_000);
    let agent = world.agent_said();
    assert!(agent[1].starts_with("One moment, please.") && agent[1].ends_with("Done at last."), "{agent:?}");
    assert!(world.longest_silence() <= ms(8_000), "{:?}", world.longest_silence());
}

#[test]
fn the_maximum_duration_is_announced_and_kept() {
    let mut world = World::with(Config::default(), Setup { max_duration: ms(60_000), ..setup() });
    for start in [8_000, 15_000, 22_000, 29_000, 36_000, 43_000] {
        world.caller_says(start..start + 1_000, "Go on.");
        world.llm_answers("I go on.");
    }
    world.run_until(70_000);
    let (at, closing) = world.hung_up.expect("the call ends");
    assert_eq!(closing, Closing::MaxDuration);
    assert!(at <= ms(60_000));
    assert!(world.agent_said().last().is_some_and(|text| text.contains("our time is up")));
}

#[test]
fn a_short_maximum_duration_cuts_hard() {
    let mut world = World::with(Config::default(), Setup { max_duration: ms(2_000), ..setup() });
    world.run_until(10_000);
    assert_eq!(world.hung_up, Some((ms(2_000), Closing::MaxDuration)));
    assert!(world.turns[0].interrupted, "what was heard of the opening is on record");
}

#[test]
fn an_llm_that_dies_is_asked_again_once_it_is_back() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "When do you open?");
    world.llm_down.push(ms(0)..ms(12_000));
    world.llm_answers("At nine.");
    world.run_until(30_000);
    let agent = world.agent_said();
    assert_eq!(agent[1], "Sorry, I have a technical problem. One moment, please.");
    assert!(agent.contains(&"At nine."), "{agent:?}");
    assert_eq!(world.questions.last().map(String::as_str), Some("When do you open?"));
    assert!(world.longest_silence() <= ms(8_000));
}

#[test]
fn an_llm_that_stays_away_ends_the_call_cleanly() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "When do you open?");
    world.llm_down.push(ms(0)..ms(600_000));
    world.run_until(60_000);
    assert_eq!(world.agent_said().last(), Some(&"Goodbye."));
    assert_eq!(world.hung_up.map(|(_, closing)| closing), Some(Closing::EngineLost));
    assert!(world.longest_silence() <= ms(8_000), "{:?} {:?}", world.longest_silence(), world.turns);
}

#[test]
fn a_voice_that_comes_back_says_what_it_owes() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "When do you open?");
    world.llm_answers("At nine.");
    world.tts_down.push(ms(6_000)..ms(10_000));
    world.run_until(20_000);
    assert_eq!(world.agent_said()[1], "At nine.");
    assert!(world.longest_silence() <= ms(8_000));
}

#[test]
fn without_a_voice_the_call_ends() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "When do you open?");
    world.llm_answers("At nine.");
    world.tts_down.push(ms(6_000)..ms(600_000));
    world.run_until(60_000);
    assert_eq!(world.hung_up.map(|(_, closing)| closing), Some(Closing::EngineLost));
    assert!(world.longest_silence() <= ms(8_000), "{:?}", world.longest_silence());
}

#[test]
fn a_recogniser_that_dies_makes_the_agent_ask_again() {
    let mut world = opened();
    world.asr_down.push(ms(0)..ms(9_000));
    world.caller_says(5_500..6_500, "When do you open?");
    world.caller_says(12_000..13_000, "When do you open?");
    world.llm_answers("At nine.");
    world.run_until(20_000);
    assert!(world.agent_said()[1].starts_with("Sorry, I didn't catch that."));
    assert_eq!(world.agent_said().last(), Some(&"At nine."));
}

#[test]
fn pressed_keys_reach_the_llm_as_one_entry() {
    let mut world = opened();
    for (at, digit) in [(5_500, '1'), (6_000, '2'), (6_500, '#')] {
        world.happens(at, Event::Dtmf { digit });
    }
    world.llm_answers("Twelve.");
    world.run_until(12_000);
    assert_eq!(world.questions, ["(pressed 12# on the keypad)"]);
}

#[test]
fn last_words_are_on_record_though_the_caller_hung_up() {
    let mut world = opened();
    world.caller_says(5_500..6_500, "Never mind, bye.");
    world.run_until(6_400);
    world.close();
    world.run_until(7_000);
    assert_eq!(world.said(Speaker::Caller), ["Never mind, bye."]);
}

#[test]
fn a_caller_who_never_stops_is_transcribed_in_parts() {
    let mut world = opened();
    world.caller_says(6_000..70_000, "la la la");
    world.llm_answers("What a song.");
    world.run_until(80_000);
    assert!(world.said(Speaker::Caller).len() >= 2, "{:?}", world.turns);
    assert!(world.agent_said().contains(&"What a song."));
}

#[test]
fn lost_media_ends_the_call() {
    let mut world = opened();
    world.happens(6_000, Event::MediaLost);
    world.run_until(7_000);
    assert_eq!(world.hung_up.map(|(_, closing)| closing), Some(Closing::MediaLost));
}
