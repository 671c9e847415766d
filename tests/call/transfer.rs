//! Calls that are handed to a second party, over real SIP and RTP.

use std::time::Duration;

use callbox::base::CallId;
use callbox::base::audio::Codec;
use callbox::call::record::{CallPlan, CallStatus, EndedBy, Speaker, TransferStatus};
use callbox::sip::SipEnd;

use crate::eventually;
use crate::exchange::{Exchange, Manner, Party};
use crate::handing_over::{NOT_REACHED, outcome, told};
use crate::peers::Sipp;
use crate::rig::{Rig, Script, Story, TRUNKS_OWN, plan};
use crate::tones::share;

const CALLEE: &str = "+14155550123";
const OFFICE: &str = "+14155550142";
const SHOWN: &str = "+14155550100";
const CONNECTING: &str = "One moment, please, I'll connect you.";

fn transferable() -> CallPlan {
    CallPlan { transfer_to: OFFICE.parse().ok(), from: SHOWN.parse().ok(), ..plan() }
}

/// A caller who asks for a person, and the office.
struct Scene {
    caller: Party,
    office: Party,
    rig: Rig,
    _exchange: Exchange,
}

impl Scene {
    async fn new(turns: u32, office: Party, script: Script) -> Scene {
        let caller = Party::new(Manner::Talks(turns));
        let exchange = Exchange::start([(CALLEE, &caller), (OFFICE, &office)]).await;
        let rig = Rig::start(exchange.trunk(), script).await;
        Scene { caller, office, rig, _exchange: exchange }
    }

    /// The call, joined with the office.
    async fn joined(&self, plan: CallPlan) -> CallId {
        let call = self.rig.place(plan);
        self.office.rings().await;
        self.office.picks_up().await;
        self.told(call, TransferStatus::Answered).await;
        call
    }

    async fn told(&self, call: CallId, wanted: TransferStatus) {
        told(&self.rig, call, wanted).await;
    }
}

fn asks_for_a_person() -> Script {
    Script::new().hears(["Can I speak to a real person?"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_asks_for_a_person_is_connected_and_both_hear_each_other() {
    let scene = Scene::new(1, Party::new(Manner::Rings), asks_for_a_person()).await;
    let call = scene.rig.place(transferable());
    scene.office.rings().await;
    let rings = || scene.caller.share(440.0, 4_000) + scene.caller.share(480.0, 4_000) > 0.8;
    eventually("the caller hears the ringing tone", rings).await;
    scene.office.picks_up().await;
    scene.told(call, TransferStatus::Answered).await;
    scene.caller.sings(700.0).await;
    scene.office.sings(1_100.0).await;
    scene.office.hears(700.0).await;
    scene.caller.hears(1_100.0).await;
    scene.office.hangs_up().await;
    let story = scene.rig.story(call).await;
    assert_eq!(scene.caller.ends().await, SipEnd::RemoteHangup);
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::TransferTarget));
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Answered]);
    assert_eq!(story.said(Speaker::Agent).last().map(String::as_str), Some(CONNECTING));
    assert_eq!(story.said(Speaker::Caller), ["Can I speak to a real person?"]);
    assert_eq!(scene.office.shown().as_deref(), Some(SHOWN), "the call's own caller id is shown");
    both_are_recorded(&scene, &story);
    scene.rig.is_clean().await;
}

/// For a quarter of a second at least, the caller's tone is on the left and the office's on the right.
fn both_are_recorded(scene: &Scene, story: &Story) {
    let recording = scene.rig.recording(story);
    let (left, right) = (recording.channel(0), recording.channel(1));
    let both = |(left, right): (&[i16], &[i16])| {
        share(left, 700.0, 8_000) > 0.8 && share(right, 1_100.0, 8_000) > 0.8
    };
    assert!(left.windows(2_000).zip(right.windows(2_000)).step_by(500).any(both));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_hands_over_by_its_tool_to_a_leg_of_another_codec() {
    let script = Script::new().hears(["I have a question about my bill."]);
    let script = script.calls_tool("Our billing team knows.", "transfer");
    let scene = Scene::new(1, Party::new(Manner::Rings).speaking(Codec::Pcma), script).await;
    let call = scene.joined(CallPlan { from: None, ..transferable() }).await;
    assert_eq!(scene.office.shown().as_deref(), Some(TRUNKS_OWN), "what the first leg shows");
    assert_eq!(scene.office.redirected_from().as_deref(), Some(TRUNKS_OWN));
    scene.caller.sings(700.0).await;
    scene.office.sings(1_100.0).await;
    scene.office.hears(700.0).await;
    scene.caller.hears(1_100.0).await;
    scene.caller.hangs_up().await;
    let story = scene.rig.story(call).await;
    assert_eq!(scene.office.ends().await, SipEnd::RemoteHangup);
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::Callee));
    assert_eq!(story.said(Speaker::Agent).last().map(String::as_str), Some("Our billing team knows."));
    scene.rig.is_clean().await;
}

/// SIPp is the callee and the office, and each changes its mind before it answers.
#[tokio::test(flavor = "multi_thread")]
async fn offer_that_comes_before_the_answer_is_answered_on_either_leg() {
    let both = Sipp::uas("uas_early_update", 2, &[]).await;
    let script = Script::new().calls_tool("I'll put you through.", "transfer");
    let rig = Rig::start(both.address, script).await;
    let call = rig.place(CallPlan { first_sentence: None, ..transferable() });
    told(&rig, call, TransferStatus::Answered).await;
    assert!(rig.directory.hang_up(call, EndedBy::Client));
    assert_eq!(outcome(&rig.story(call).await), (CallStatus::Completed, EndedBy::Client));
    both.succeeds().await;
    rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_pass_both_ways() {
    let scene = Scene::new(1, Party::new(Manner::Rings), asks_for_a_person()).await;
    let call = scene.joined(transferable()).await;
    for digit in ['4', '2', '#'] {
        scene.caller.presses(digit).await;
    }
    scene.office.presses('9').await;
    eventually("the office gets the caller's keys", || scene.office.digits() == "42#").await;
    eventually("the caller gets the office's key", || scene.caller.digits() == "9").await;
    scene.caller.hangs_up().await;
    let story = scene.rig.story(call).await;
    assert_eq!(story.turns().len(), 3, "no key becomes a turn of the conversation");
}

/// A transfer that fails: the agent says so, answers once more and hangs up.
async fn comes_back(office: Party, script: Script, plan: CallPlan) -> (Scene, Story) {
    let script = script.hears(["Can I speak to a real person?", "Then goodbye."]).hangs_up_with("Goodbye.");
    let scene = Scene::new(2, office, script).await;
    let call = scene.rig.place(plan);
    let story = scene.rig.story(call).await;
    assert_eq!(story.said(Speaker::Agent)[1..], [CONNECTING, NOT_REACHED, "Goodbye."]);
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::Agent));
    scene.rig.is_clean().await;
    (scene, story)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_comes_back_when_the_office_is_busy() {
    let (_, story) = comes_back(Party::new(Manner::Refuses(486)), Script::new(), transferable()).await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Busy]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_comes_back_when_the_office_declines() {
    let (_, story) = comes_back(Party::new(Manner::Refuses(603)), Script::new(), transferable()).await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Rejected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_comes_back_when_nobody_picks_up() {
    let script = Script::new().rings_target_for(2);
    let (scene, story) = comes_back(Party::new(Manner::Rings), script, transferable()).await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::NoAnswer]);
    assert_eq!(scene.office.ends().await, SipEnd::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_dialled_whom_the_rules_refuse() {
    let script = Script::new().refuses_transfers();
    let (scene, story) = comes_back(Party::new(Manner::Listens), script, transferable()).await;
    assert_eq!((story.transfers(), scene.office.calls()), (vec![TransferStatus::Refused], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_dialled_while_all_lines_are_in_use() {
    let script = Script::new().with_lines(1);
    let (scene, story) = comes_back(Party::new(Manner::Listens), script, transferable()).await;
    assert_eq!((story.transfers(), scene.office.calls()), (vec![TransferStatus::NoLine], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_cancels_the_ringing_leg() {
    let scene = Scene::new(1, Party::new(Manner::Rings), asks_for_a_person()).await;
    let call = scene.rig.place(transferable());
    scene.office.rings().await;
    scene.caller.hangs_up().await;
    assert_eq!(scene.office.ends().await, SipEnd::Cancelled);
    let story = scene.rig.story(call).await;
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::Callee));
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Cancelled]);
    scene.rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_dialled_for_a_caller_who_has_hung_up() {
    let script = asks_for_a_person().rules_wait();
    let scene = Scene::new(1, Party::new(Manner::Listens), script).await;
    let call = scene.rig.place(transferable());
    scene.rig.rules_are_asked().await;
    scene.caller.hangs_up().await;
    scene.rig.is_silent().await;
    scene.rig.rules_answer();
    let story = scene.rig.story(call).await;
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::Callee));
    assert_eq!((story.transfers(), scene.office.calls()), (vec![], 0));
    scene.rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_to_be_recorded_is_told_so_before_the_two_are_joined() {
    for record in [true, false] {
        let scene = Scene::new(1, Party::new(Manner::Listens), asks_for_a_person()).await;
        let call = scene.rig.place(CallPlan { record, ..transferable() });
        scene.told(call, TransferStatus::Answered).await;
        scene.caller.sings(700.0).await;
        scene.office.hears(700.0).await;
        // "This call is recorded." takes the scripted voice, which speaks at 440 Hz, more than half a second.
        let spoken = scene.office.tenths_of(440.0);
        assert_eq!(spoken >= 4, record, "{spoken} tenths of a second are the agent's");
        scene.caller.hangs_up().await;
        scene.rig.story(call).await;
        scene.rig.is_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_maximum_duration_ends_both_legs() {
    let scene = Scene::new(1, Party::new(Manner::Rings), asks_for_a_person()).await;
    let call = scene.joined(CallPlan { max_duration_secs: 14, ..transferable() }).await;
    let story = scene.rig.story(call).await;
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::Limit));
    assert_eq!(scene.office.ends().await, SipEnd::RemoteHangup);
    assert_eq!(scene.caller.ends().await, SipEnd::RemoteHangup);
    scene.rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_node_ends_both_legs() {
    let scene = Scene::new(1, Party::new(Manner::Rings), asks_for_a_person()).await;
    let call = scene.joined(transferable()).await;
    scene.rig.directory.shutdown(Duration::from_secs(10)).await;
    assert_eq!(outcome(&scene.rig.story(call).await), (CallStatus::Completed, EndedBy::Node));
    assert_eq!(scene.office.ends().await, SipEnd::RemoteHangup);
    assert_eq!(scene.caller.ends().await, SipEnd::RemoteHangup);
    scene.rig.is_clean().await;
}
