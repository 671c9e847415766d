//! Whole calls: signalling, media, conversation and record, against real SIP peers. The engines are
//! scripted, so that each test says what is heard and answered; the models have tests of their own.

#![allow(clippy::unwrap_used)] // a test may panic

mod afterwards;
mod baresip;
mod before_answer;
mod callee;
mod capture;
mod carrier;
#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/condition.rs"]
mod condition;
mod exchange;
mod far_end;
mod gateway;
mod handing_over;
#[path = "../support/kamailio.rs"]
mod kamailio;
mod keys;
mod late_offer;
mod line_quality;
mod lossy_path;
mod nat;
mod open_line;
mod opus_recording;
#[path = "../support/peers.rs"]
mod peers;
#[path = "../support/ports.rs"]
mod ports;
mod refer;
#[path = "../support/rig.rs"]
mod rig;
mod seams;
mod secure;
mod short_tags;
mod srtp_nat;
mod switchboard;
mod tls_srtp;
#[path = "../support/tones.rs"]
mod tones;
mod transfer;
mod trunk_media;
#[path = "../support/waiting.rs"]
mod waiting;
mod warm;
mod warm_phones;
mod wideband;

use std::time::Duration;

use callbox::base::{Fault, Pii};
use callbox::call::event::CallChange;
use callbox::call::record::{AnsweredBy, CallPlan, CallStatus, EndedBy, Speaker, VoicemailAction};
use callee::{Callee, Manner};
use condition::eventually;
use peers::{Sipp, free_port};
use ports::free_address;
use rig::{Rig, Script, plan};

/// Longest wait for what a peer brings about.
const PATIENCE: Duration = Duration::from_secs(45);

const GREETING: &str = "You have reached Bob. Please leave a message after the tone.";

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_held_recorded_and_summed_up() {
    is_held_recorded_and_summed_up(Script::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_over_shared_ports_is_held_recorded_and_summed_up() {
    is_held_recorded_and_summed_up(Script::new().over_shared_ports()).await;
}

async fn is_held_recorded_and_summed_up(script: Script) {
    let callee = Callee::start(Manner::answering().speaks_after_silence(2)).await;
    let script = script
        .hears(["Lakeside Dental, good morning.", "From nine to five, goodbye."])
        .answers("When are you open on Friday?")
        .hangs_up_with("Thank you, goodbye.");
    let rig = Rig::start(callee.trunk(), script).await;
    let call = rig.place(plan());
    let story = rig.story(call).await;
    let statuses = [CallStatus::Queued, CallStatus::Started, CallStatus::Ringing, CallStatus::InProgress];
    assert_eq!(story.statuses(), statuses);
    let ending = story.ending();
    assert_eq!((ending.status, ending.ended_by, ending.fault), (CallStatus::Completed, EndedBy::Agent, None));
    assert_eq!(
        story.said(Speaker::Caller),
        ["Lakeside Dental, good morning.", "From nine to five, goodbye."]
    );
    let agent = story.said(Speaker::Agent);
    assert!(agent[0].starts_with("Hello, this is an AI assistant. This call is recorded."), "{agent:?}");
    assert_eq!(agent[1..], ["When are you open on Friday?", "Thank you, goodbye."]);
    assert_eq!(story.answered_by(), Some(AnsweredBy::Human));
    let latency = story.turns().iter().find_map(|turn| turn.latency).expect("an answer has its latency");
    assert!(latency.total_ms >= latency.endpoint_ms + latency.asr_ms, "{latency:?}");
    assert!(story.summary().is_some());
    let recording = rig.recording(&story);
    assert!(recording.channels == 2 && recording.rate == 8_000);
    let length = ending.length_secs.expect("the call was answered");
    assert!((recording.seconds - length).abs() < 1.5, "{} s of {length} s are recorded", recording.seconds);
    assert!(recording.loud_share(0) > 0.02, "the caller is on the left");
    assert!(recording.loud_share(1) > 0.10, "the agent is on the right");
    assert!(callee.heard_seconds() > 2.0, "the callee hears the agent");
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_played_before_the_answer_is_recorded() {
    let early = Duration::from_secs(3);
    let callee = Callee::start(Manner::answering().plays_early(early).speaks_after_silence(1)).await;
    let script = Script::new().hears(["Good morning."]).hangs_up_with("Goodbye.");
    let rig = Rig::start(callee.trunk(), script).await;
    let story = rig.story(rig.place(plan())).await;
    assert_eq!(story.said(Speaker::Caller), ["Good morning."]);
    let (recording, length) = (rig.recording(&story), story.ending().length_secs.unwrap());
    let before = recording.seconds - length;
    assert!((before - early.as_secs_f64()).abs() < 1.5, "{before} s before the answer are recorded");
    assert!(recording.loud_share(0) > 2.5 / recording.seconds, "what was played is on the left");
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn barge_in_stops_the_agent_on_the_wire() {
    let callee = Callee::start(Manner::answering().interrupts_after(Duration::from_millis(4_500))).await;
    let script = Script::new().hears(["Stop that, please."]).hangs_up_with("Goodbye.");
    let rig = Rig::start(callee.trunk(), script).await;
    let mut plan = plan();
    let long = "I will now tell you a very long story about the many ways in which a telephone can ring. ";
    plan.first_sentence = Some(callbox::base::Pii::new(long.repeat(3)));
    let story = rig.story(rig.place(plan)).await;
    let turns = story.turns();
    assert!(turns[0].interrupted, "the opening was cut");
    let heard = turns[0].text.expose();
    assert!(!heard.ends_with(long.trim()) && heard.starts_with("Hello, this is an AI"), "{heard}");
    let quiet_after = callee.quiet_after_interruption().expect("the agent fell silent");
    assert!(quiet_after < Duration::from_millis(1_500), "{quiet_after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answering_machine_is_hung_up_on_before_it_beeps() {
    let callee = Callee::start(Manner::voicemail(Duration::from_secs(9))).await;
    let rig = Rig::start(callee.trunk(), Script::new().hears([GREETING])).await;
    let story = rig.story(rig.place(CallPlan { voicemail_action: VoicemailAction::Hangup, ..plan() })).await;
    let ending = story.ending();
    assert_eq!(
        (ending.status, ending.ended_by, ending.fault),
        (CallStatus::Completed, EndedBy::Voicemail, None)
    );
    assert_eq!(story.answered_by(), Some(AnsweredBy::Voicemail));
    assert_eq!(story.said(Speaker::Caller), [GREETING]);
    assert!(callee.quiet_before_beep().is_none(), "the greeting was not over");
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_left_after_the_beep() {
    let callee = Callee::start(Manner::voicemail(Duration::from_secs(5))).await;
    let rig = Rig::start(callee.trunk(), Script::new().hears([GREETING])).await;
    let message = "This is Lakeside Dental, please call us back. Goodbye.";
    let plan = CallPlan {
        voicemail_action: VoicemailAction::LeaveMessage,
        voicemail_message: Some(Pii::new(message.to_owned())),
        ..plan()
    };
    let story = rig.story(rig.place(plan)).await;
    let ending = story.ending();
    assert_eq!((ending.status, ending.ended_by), (CallStatus::Completed, EndedBy::Voicemail));
    assert!(ending.reason.contains("message was left"), "{}", ending.reason);
    assert_eq!(story.answered_by(), Some(AnsweredBy::Voicemail));
    assert_eq!(story.said(Speaker::Agent).last().map(String::as_str), Some(message));
    let quiet = callee.quiet_before_beep().expect("the machine beeped");
    assert!(quiet > Duration::from_millis(700), "the agent spoke {quiet:?} before the end of the beep");
    let spoken = message.len() as f64 * 0.025;
    let recorded = callee.recorded_seconds();
    assert!(recorded > spoken * 0.9, "{recorded} s of {spoken} s are on the machine");
    let heard = story.quality().and_then(|quality| quality.heard).expect("the line was measured");
    assert!(heard.score > 4.0 && heard.loss < 0.02, "{heard:?}");
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_callee() {
    let ending = refused("486 Busy Here").await;
    assert_eq!((ending.status, ending.fault), (CallStatus::Busy, Some(Fault::Callee)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_who_declines() {
    let ending = refused("603 Decline").await;
    assert_eq!((ending.status, ending.ended_by), (CallStatus::Failed, EndedBy::Callee));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_does_not_exist() {
    let ending = refused("404 Not Found").await;
    assert_eq!((ending.status, ending.fault), (CallStatus::Failed, Some(Fault::Caller)));
    assert!(ending.reason.contains("404"));
}

async fn refused(status: &str) -> callbox::call::event::Ending {
    let peer = Sipp::refusing(status).await;
    let rig = Rig::start(peer.address, Script::new()).await;
    let story = rig.story(rig.place(plan())).await;
    assert!(story.turns().is_empty() && story.summary().is_none());
    peer.succeeds().await;
    rig.is_clean().await;
    story.ending()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers() {
    let peer = Sipp::uas("uas_ring", 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new().rings_for(1)).await;
    let ending = rig.story(rig.place(plan())).await.ending();
    assert_eq!((ending.status, ending.fault), (CallStatus::NoAnswer, Some(Fault::Callee)));
    peer.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_takes_the_call_back_while_it_rings() {
    let peer = Sipp::uas("uas_ring", 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new()).await;
    let call = rig.place(plan());
    rig.until(call, |change| matches!(change, CallChange::Status { status: CallStatus::Ringing })).await;
    assert!(rig.directory.hang_up(call, EndedBy::Client));
    let ending = rig.story(call).await.ending();
    assert_eq!((ending.status, ending.ended_by), (CallStatus::Failed, EndedBy::Client));
    peer.succeeds().await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callee_hangs_up_mid_sentence() {
    let peer = Sipp::uas("uas_bye", 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new()).await;
    let story = rig.story(rig.place(plan())).await;
    let ending = story.ending();
    assert_eq!(
        (ending.status, ending.ended_by, ending.fault),
        (CallStatus::Completed, EndedBy::Callee, None)
    );
    assert!(story.turns().iter().all(|turn| turn.interrupted), "nothing was said to its end");
    peer.succeeds().await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_maximum_duration_ends_the_call() {
    let peer = Sipp::uas("uas_answer", 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new()).await;
    let mut plan = plan();
    plan.max_duration_secs = 2;
    let ending = rig.story(rig.place(plan)).await.ending();
    assert_eq!((ending.status, ending.ended_by), (CallStatus::Completed, EndedBy::Limit));
    peer.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_is_down() {
    let nobody = free_address();
    let rig = Rig::start(nobody, Script::new()).await;
    let ending = rig.story(rig.place(plan())).await.ending();
    assert_eq!((ending.status, ending.fault), (CallStatus::Failed, Some(Fault::Carrier)));
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_our_fault_and_says_where_to_look() {
    let peer = Sipp::uas("uas_wrong", 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new().with_password("wrong")).await;
    let ending = rig.story(rig.place(plan())).await.ending();
    assert_eq!((ending.status, ending.fault), (CallStatus::Failed, Some(Fault::Us)));
    assert!(ending.reason.contains("sip.trunks"), "{}", ending.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_model_that_keeps_dying_is_apologised_for_and_ends_the_call() {
    let callee = Callee::start(Manner::answering().speaks_after_silence(2)).await;
    let script = Script::new().hears(["When do you open?"]).llm_dies();
    let rig = Rig::start(callee.trunk(), script).await;
    let story = rig.story(rig.place(plan())).await;
    let agent = story.said(Speaker::Agent);
    assert!(agent.iter().any(|text| text.contains("technical problem")), "{agent:?}");
    assert_eq!(agent.last().map(String::as_str), Some("Goodbye."));
    let ending = story.ending();
    assert_eq!((ending.status, ending.fault), (CallStatus::Failed, Some(Fault::Us)));
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_comes_in_is_answered_by_the_persona() {
    let port = free_port();
    let rig = Rig::start(([127, 0, 0, 1], port).into(), Script::new()).await;
    let peer = Sipp::uac("uac_call", rig.sip.local_address(), port, 1, &[]);
    let story = rig.next_story().await;
    let ending = story.ending();
    assert_eq!((ending.status, ending.ended_by), (CallStatus::Completed, EndedBy::Caller));
    peer.succeeds().await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_refuses_and_a_stopping_node_ends_its_calls() {
    let peer = Sipp::uas("uas_answer", 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new().with_lines(1)).await;
    let call = rig.place(plan());
    rig.until(call, |change| matches!(change, CallChange::Status { status: CallStatus::InProgress })).await;
    assert!(rig.directory.place(plan()).is_err(), "all lines are in use");
    rig.directory.shutdown(Duration::from_secs(10)).await;
    let ending = rig.story(call).await.ending();
    assert_eq!((ending.ended_by, ending.fault), (EndedBy::Node, Some(Fault::Us)));
    assert!(rig.directory.place(plan()).is_err(), "the node is stopping");
    peer.succeeds().await;
}
