//! What callers hear before they are answered: a phone that rings, and an announcement. Baresip and SIPp call.

use std::time::Duration;

use callbox::base::audio::Codec;
use callbox::call::event::CallChange;
use callbox::call::persona::Persona;
use callbox::call::record::{CallStatus, EndedBy, Speaker};

use crate::baresip::{Baresip, Plays, Setup};
use crate::eventually;
use crate::far_end::FarEnd;
use crate::peers::{Sipp, free_port};
use crate::rig::{Rig, Script};

/// The higher tone of a North American phone that rings; the scripted voice has 440 Hz, as the lower tone has.
const RINGING_HZ: f64 = 480.0;
const VOICE_HZ: f64 = 440.0;
/// Of the announcement and of the conversation's opening, which the scripted voice says at the same rate.
const ANNOUNCEMENT: &str = "All our lines are open, and this call costs you nothing until it is answered.";

fn persona(ring_secs: u64, announcement: &str) -> Persona {
    Persona { ring_secs, announcement: announcement.into(), ..Persona::default() }
}

async fn rig(persona: Persona) -> Rig {
    // Any port of this host may call.
    Rig::start(([127, 0, 0, 1], 9).into(), Script::new().answered_by(persona)).await
}

/// A telephone of a North American number that calls it.
async fn caller(rig: &Rig) -> Baresip {
    let dials = Some(format!("sip:+14155550123@{}", rig.sip.local_address()));
    Baresip::of(Setup { dials, ..Setup::new("+14155550188", Codec::Pcmu, Plays::NOTHING) }).await
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
    eventually("it rings", || baresip.seconds_of(RINGING_HZ) > 0.5).await;
    baresip.hangs_up().await;
    let story = rig.next_story().await;
    let ending = story.ending();
    assert_eq!((ending.ended_by, ending.length_secs), (EndedBy::Caller, None), "{ending:?}");
    assert_eq!(story.recording_file(), None);
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_stops_refuses_whom_it_has_not_answered() {
    let rig = rig(persona(15, "")).await;
    let baresip = caller(&rig).await;
    eventually("it rings", || baresip.seconds_of(RINGING_HZ) > 0.5).await;
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
    let moved = next.came()[0].at;
    rig.until(call, is_answered).await;
    let before = next.came().len();
    eventually("the conversation is heard there, too", || next.came().len() > before + 50).await;
    assert!(first.came().iter().all(|came| came.at <= moved), "and nowhere else");
    assert!(first.came().len() > 20, "where it began");
    assert_eq!(rig.story(call).await.ending().ended_by, EndedBy::Caller);
    peer.succeeds().await;
    rig.is_clean().await;
}
