//! What callers hear before they are answered: a phone that rings, and an announcement. Baresip and SIPp call.

use std::time::{Duration, Instant};

use callbox::base::audio::Codec;
use callbox::call::event::CallChange;
use callbox::call::persona::Persona;
use callbox::call::record::{CallStatus, EndedBy, Speaker};
use callbox::sip::Srtp;

use crate::baresip::{Baresip, Plays, Setup};
use crate::eventually;
use crate::far_end::FarEnd;
use crate::peers::{Sipp, free_port};
use crate::rig::{Rig, Script};

/// The higher tone of a North American phone that rings; the scripted voice has 440 Hz, as the lower tone has.
const RINGING_HZ: f64 = 480.0;
const VOICE_HZ: f64 = 440.0;
const ANNOUNCEMENT: &str = "All our lines are open, and this call costs you nothing until it is answered.";

fn persona(ring_secs: u64, announcement: &str) -> Persona {
    Persona { ring_secs, announcement: announcement.into(), ..Persona::default() }
}

async fn rig(persona: Persona) -> Rig {
    rig_of(Script::new().answered_by(persona)).await
}

/// Any port of this host may call it.
async fn rig_of(script: Script) -> Rig {
    Rig::start(([127, 0, 0, 1], 9).into(), script).await
}

/// A telephone of a North American number that calls it.
async fn caller(rig: &Rig) -> Baresip {
    caller_of(rig, Setup::new("+14155550188", Codec::Pcmu, Plays::NOTHING)).await
}

/// Likewise one that is set up so; it is silent.
async fn caller_of(rig: &Rig, setup: Setup<'_>) -> Baresip {
    let dials = Some(format!("sip:+14155550123@{}", rig.sip.local_address()));
    Baresip::of(Setup { dials, plays: Plays::NOTHING, ..setup }).await
}

async fn hears_ringing(baresip: &Baresip) {
    eventually("it rings", || baresip.seconds_of(RINGING_HZ) > 0.5).await;
}

fn is_answered(change: &CallChange) -> bool {
    matches!(change, CallChange::Status { status: CallStatus::InProgress })
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_hears_ringing_and_an_announcement_and_then_the_answer() {
    let rig = rig(persona(3, ANNOUNCEMENT)).await;
    let baresip = caller(&rig).await;
    let call = rig.next_call().await;
    rig.until(call, is_answered).await;
    // Two seconds of tone, then a second without, then the announcement.
    let (ringing, spoken) = (baresip.seconds_of(RINGING_HZ), baresip.seconds_of(VOICE_HZ) - 2.0);
    assert!((1.5..2.5).contains(&ringing), "{ringing} s of ringing before the answer");
    assert!(spoken > 1.0, "{spoken} s of announcement before the answer");
    baresip.hears_out(6).await;
    baresip.hangs_up().await;
    let story = rig.story(call).await;
    assert_eq!(story.statuses()[..2], [CallStatus::Ringing, CallStatus::InProgress]);
    let ending = story.ending();
    assert_eq!((ending.status, ending.ended_by), (CallStatus::Completed, EndedBy::Caller));
    assert!(story.said(Speaker::Agent)[0].starts_with("Hello, this is an AI assistant."));
    let (recorded, length) = (rig.recording(&story).seconds, ending.length_secs.unwrap());
    assert!((recorded - length).abs() < 1.0, "{recorded} s of {length} s: nothing before the answer");
    let log = baresip.log();
    let at = |status: &str| log.find(status).unwrap_or_else(|| panic!("no {status}"));
    assert!(at("SIP/2.0 183") < at("SIP/2.0 200"), "by early media");
    assert!(!log.contains("SIP/2.0 180"), "the caller's telephone makes no tone of its own");
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_who_gives_up_before_the_answer_leaves_nothing_behind() {
    let rig = rig(persona(15, "")).await;
    let baresip = caller(&rig).await;
    hears_ringing(&baresip).await;
    baresip.hangs_up().await;
    let story = rig.next_story().await;
    let ending = story.ending();
    assert_eq!((ending.status, ending.ended_by), (CallStatus::NoAnswer, EndedBy::Caller), "{ending:?}");
    assert_eq!(story.recording_file(), None);
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bye_before_the_answer_ends_the_call_and_its_invite() {
    let rig = rig(persona(15, "")).await;
    let peer = Sipp::uac("uac_early_bye", rig.sip.local_address(), free_port(), 1, &[]);
    let ending = rig.next_story().await.ending();
    assert_eq!((ending.status, ending.ended_by), (CallStatus::NoAnswer, EndedBy::Caller), "{ending:?}");
    peer.succeeds().await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_who_never_acknowledges_what_is_played_is_the_carriers_failure() {
    let mut script = Script::new().answered_by(persona(1, ""));
    script.t1 = Duration::from_millis(60);
    let rig = rig_of(script).await;
    let filled = [(r#"response="180""#, r#"response="183""#)];
    let peer = Sipp::uac_filled("uac_prack_never", &filled, rig.sip.local_address(), free_port(), &[]);
    let ending = rig.next_story().await.ending();
    assert_eq!((ending.status, ending.ended_by), (CallStatus::Failed, EndedBy::Carrier), "{ending:?}");
    peer.succeeds().await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_stops_answers_nobody_who_has_yet_to_acknowledge() {
    let rig = rig(persona(1, "")).await;
    let filled = [(r#"response="180""#, r#"response="183""#), (r#"response="504""#, r#"response="480""#)];
    let peer = Sipp::uac_filled("uac_prack_never", &filled, rig.sip.local_address(), free_port(), &[]);
    let call = rig.next_call().await;
    // By then it has rung for long enough, and waits to be answered.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!rig.has_told(call, is_answered));
    rig.directory.shutdown(Duration::from_secs(10)).await;
    assert_eq!(rig.story(call).await.ending().ended_by, EndedBy::Node);
    peer.succeeds().await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telephone_of_a_caller_without_an_offer_rings_by_itself() {
    let rig = rig(persona(4, ANNOUNCEMENT)).await;
    let peer = Sipp::uac("uac_late", rig.sip.local_address(), free_port(), 1, &[]);
    let call = rig.next_call().await;
    rig.until(call, |change| matches!(change, CallChange::Status { status: CallStatus::Ringing })).await;
    let rung = Instant::now();
    rig.until(call, is_answered).await;
    assert!(rung.elapsed() > Duration::from_millis(1_500), "it rang for {:?}", rung.elapsed());
    assert_eq!(rig.story(call).await.ending().status, CallStatus::Completed);
    peer.succeeds().await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_played_is_encrypted_where_the_call_is() {
    let rig = rig_of(Script::new().answered_by(persona(8, "")).encrypts(Srtp::Required)).await;
    let baresip = caller_of(&rig, Setup::encrypting(Some("srtp-mand"))).await;
    let call = rig.next_call().await;
    hears_ringing(&baresip).await;
    assert!(!rig.has_told(call, is_answered), "before the answer");
    rig.until(call, is_answered).await;
    eventually("the conversation is heard", || baresip.seconds_of(VOICE_HZ) > 3.0).await;
    baresip.hangs_up().await;
    let story = rig.story(call).await;
    assert!(story.quality().expect("the line was measured").encrypted);
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announcement_that_is_too_long_is_cut_and_the_conversation_is_whole() {
    let rig = rig(persona(0, &ANNOUNCEMENT.repeat(12))).await;
    let baresip = caller(&rig).await;
    let call = rig.next_call().await;
    rig.until(call, is_answered).await;
    let before = baresip.seconds_of(VOICE_HZ);
    assert!((10.0..25.0).contains(&before), "{before} s of announcement");
    rig.until(call, |change| matches!(change, CallChange::Turn { .. })).await;
    let heard = baresip.seconds_of(VOICE_HZ) - before;
    assert!(heard > 1.0, "{heard} s of the opening are heard");
    baresip.hangs_up().await;
    let story = rig.story(call).await;
    let opening = &story.turns()[0];
    assert!(!opening.interrupted && opening.text.expose().starts_with("Hello, this is an AI assistant."));
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_stops_refuses_whom_it_has_not_answered() {
    let rig = rig(persona(15, "")).await;
    let baresip = caller(&rig).await;
    hears_ringing(&baresip).await;
    rig.directory.shutdown(Duration::from_secs(10)).await;
    let ending = rig.next_story().await.ending();
    assert_eq!((ending.ended_by, ending.length_secs), (EndedBy::Node, None), "{ending:?}");
    baresip.notes("SIP/2.0 480").await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offer_before_the_answer_moves_what_plays() {
    let [first, next] = [FarEnd::new().await, FarEnd::new().await];
    let rig = rig(persona(4, "")).await;
    let filled = [("@PORT@", first.port()), ("@NEXT@", next.port())];
    let filled = filled.each_ref().map(|(name, port)| (*name, port.as_str()));
    let peer = Sipp::uac_filled("uac_early_moves", &filled, rig.sip.local_address(), free_port(), &[]);
    let call = rig.next_call().await;
    next.hears(20).await;
    assert!(!rig.has_told(call, is_answered), "it is played before the answer");
    rig.until(call, is_answered).await;
    let before = next.heard().len();
    let is_loud = |byte: &u8| byte & 0x7f < 0x60;
    eventually("the conversation is heard there, too", || next.heard()[before..].iter().any(is_loud)).await;
    let (begun, moved) = (first.came(), next.came()[0].header.sequence);
    assert!(begun.len() > 20, "where it began");
    assert!(begun.iter().all(|came| moved.since(came.header.sequence) > 0), "and nowhere else from then on");
    assert_eq!(rig.story(call).await.ending().ended_by, EndedBy::Caller);
    peer.succeeds().await;
    rig.is_clean().await;
}
