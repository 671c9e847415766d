//! Calls that are handed to a second party who is asked first, over real SIP and RTP.

use callbox::base::CallId;
use callbox::call::record::{CallPlan, CallStatus, EndedBy, Speaker, TransferStatus};
use callbox::sip::SipEnd;

use crate::exchange::{Exchange, Manner, Party};
use crate::handing_over::{NOT_REACHED, outcome, told};
use crate::rig::{Rig, Script, Story, plan};

const CALLEE: &str = "+14155550123";
const OFFICE: &str = "+14155550142";
/// What a machine's greeting is played by.
const MACHINE_HZ: f64 = 330.0;

/// A caller who asks for a person, and the office, which is asked.
struct Scene {
    caller: Party,
    office: Party,
    rig: Rig,
    call: CallId,
    _exchange: Exchange,
}

impl Scene {
    /// The office says these words.
    async fn new<const N: usize>(turns: u32, office: Manner, says: [&str; N]) -> Scene {
        let (caller, office) = (Party::new(Manner::Talks(turns)), Party::new(office));
        let exchange = Exchange::start([(CALLEE, &caller), (OFFICE, &office)]).await;
        let script = Script::new().hears(["Can I speak to a real person?", "Then goodbye."]);
        let script = script.answers("I have a caller on the line about a bill.").hangs_up_with("Goodbye.");
        let rig = Rig::start(exchange.trunk(), script.asks_target(says)).await;
        let plan = CallPlan { transfer_to: OFFICE.parse().ok(), ..plan() };
        let call = rig.place(plan);
        Scene { caller, office, rig, call, _exchange: exchange }
    }

    async fn told(&self, wanted: TransferStatus) {
        told(&self.rig, self.call, wanted).await;
    }

    async fn both_hear_each_other(&self) {
        self.caller.sings(700.0).await;
        self.office.sings(1_100.0).await;
        self.office.hears(700.0).await;
        self.caller.hears(1_100.0).await;
    }

    /// The agent came back, said so, and ended the call after one more turn.
    async fn came_back(&self) -> Story {
        let story = self.rig.story(self.call).await;
        let said = story.said(Speaker::Agent);
        assert!(said.iter().any(|text| text == NOT_REACHED), "{said:?}");
        assert_eq!(self.office.ends().await, SipEnd::RemoteHangup);
        self.rig.is_clean().await;
        story
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_says_yes_is_put_through_and_one_ring_tone_lasts_until_then() {
    let scene = Scene::new(1, Manner::Rings, ["Hello?", "Yes, please."]).await;
    scene.office.rings().await;
    scene.office.picks_up().await;
    scene.office.speaks().await;
    scene.office.hears_out().await;
    let rings = || scene.caller.share(440.0, 4_000) + scene.caller.share(480.0, 4_000) > 0.8;
    crate::eventually("the caller hears the ringing tone", rings).await;
    scene.office.speaks().await;
    scene.told(TransferStatus::Answered).await;
    scene.both_hear_each_other().await;
    scene.office.hangs_up().await;
    let story = scene.rig.story(scene.call).await;
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::TransferTarget));
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Answered]);
    assert_eq!(story.said(Speaker::Caller), ["Can I speak to a real person?"], "the office is not on record");
    scene.rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_presses_one_is_put_through() {
    let scene = Scene::new(1, Manner::Listens, []).await;
    scene.office.rings().await;
    scene.office.presses('1').await;
    scene.told(TransferStatus::Answered).await;
    scene.both_hear_each_other().await;
    scene.caller.hangs_up().await;
    assert_eq!(scene.office.ends().await, SipEnd::RemoteHangup);
    scene.rig.story(scene.call).await;
    scene.rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_says_no_is_let_go_and_the_agent_comes_back() {
    let scene = Scene::new(2, Manner::Listens, ["No, not now."]).await;
    scene.office.rings().await;
    scene.office.hears_out().await;
    scene.office.speaks().await;
    let story = scene.came_back().await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Rejected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_not_put_through() {
    let greeting = "You have reached Bob. Please leave a message after the tone.";
    // Long after its beep something is played that would pass for a yes, had it been asked.
    let scene = Scene::new(2, Manner::IsMachine, [greeting, "Yes."]).await;
    let story = scene.came_back().await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::NoAnswer]);
    assert!(!scene.caller.has_heard(MACHINE_HZ), "the caller hears nothing of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_hangs_up_has_declined() {
    let scene = Scene::new(2, Manner::Listens, []).await;
    scene.office.rings().await;
    scene.office.hears_out().await;
    scene.office.hangs_up().await;
    let story = scene.rig.story(scene.call).await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Rejected]);
    assert!(story.said(Speaker::Agent).iter().any(|text| text == NOT_REACHED));
    scene.rig.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_takes_the_party_that_is_being_asked_along() {
    let scene = Scene::new(1, Manner::Listens, []).await;
    scene.office.rings().await;
    scene.office.hears_out().await;
    scene.caller.hangs_up().await;
    assert_eq!(scene.office.ends().await, SipEnd::RemoteHangup);
    let story = scene.rig.story(scene.call).await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Cancelled]);
    scene.rig.is_clean().await;
}
