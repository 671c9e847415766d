//! Calls that the carrier is asked to transfer, with SIPp as the carrier. The agent connects the callee
//! before a word is said.

use callbox::base::CallId;
use callbox::call::record::{CallPlan, CallStatus, EndedBy, TransferStatus};
use callbox::sip::TransferBy;

use crate::handing_over::{comes_back, outcome, told};
use crate::peers::Sipp;
use crate::rig::{Rig, Script, Story, plan};

struct Scene {
    carrier: Sipp,
    rig: Rig,
    call: CallId,
}

impl Scene {
    async fn new(by: TransferBy, scenario: &str, calls: u32, status: &str) -> Scene {
        let words = [("@STATUS@", status), ("@NUMBER@", "[+]14155550142")];
        let carrier = Sipp::uas_filled(scenario, &words, calls, &[]).await;
        let script = Script::new().calls_tool("I'll put you through.", "transfer").transfers_by(by);
        let rig = Rig::start(carrier.address, script).await;
        let call = rig.place(CallPlan {
            first_sentence: None,
            from: "+14155550100".parse().ok(),
            transfer_to: "+14155550142".parse().ok(),
            ..plan()
        });
        Scene { carrier, rig, call }
    }

    async fn ends(self) -> Story {
        let story = self.rig.story(self.call).await;
        self.carrier.succeeds().await;
        self.rig.is_clean().await;
        story
    }

    /// The agent speaks with the callee again; the client ends the call.
    async fn comes_back(self) -> Story {
        comes_back(&self.rig, self.call).await;
        self.ends().await
    }

    async fn told(&self, wanted: TransferStatus) {
        told(&self.rig, self.call, wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_takes_the_call_over_is_let_go_once_it_is_done() {
    let scene = Scene::new(TransferBy::Auto, "uas_refer", 1, "200 OK").await;
    let story = scene.ends().await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Referred]);
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::Agent));
    assert!(story.ending().reason.contains("carrier"), "{}", story.ending().reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_hangs_up_mid_transfer_has_not_failed_the_call() {
    let scene = Scene::new(TransferBy::Refer, "uas_refer_bye", 1, "").await;
    let story = scene.ends().await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Referred]);
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::Agent));
    assert_eq!(story.ending().fault, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_comes_back_when_the_carrier_reaches_nobody() {
    for (line, status) in [("486 Busy Here", TransferStatus::Busy), ("603 Decline", TransferStatus::Rejected)]
    {
        let scene = Scene::new(TransferBy::Auto, "uas_refer", 1, line).await;
        let story = scene.comes_back().await;
        assert_eq!(story.transfers(), [TransferStatus::Ringing, status]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_puts_the_call_on_hold_is_asked_to_take_it_up_again() {
    let scene = Scene::new(TransferBy::Refer, "uas_refer_hold", 1, "").await;
    let story = scene.comes_back().await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Busy]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refer_is_bridged_where_the_trunk_says_so() {
    let scene = Scene::new(TransferBy::Auto, "uas_refer_or_bye", 2, "405 Method Not Allowed").await;
    scene.told(TransferStatus::Answered).await;
    assert!(scene.rig.directory.hang_up(scene.call, EndedBy::Client));
    let story = scene.ends().await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Answered]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refer_brings_the_agent_back_where_the_trunk_says_so() {
    let scene = Scene::new(TransferBy::Refer, "uas_refer_refused", 1, "405 Method Not Allowed").await;
    let story = scene.comes_back().await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Failed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_rules_refuse_no_carrier_is_asked_to_call() {
    let carrier = Sipp::uas("uas_answer", 1, &[]).await;
    let script = Script::new().calls_tool("I'll put you through.", "transfer").refuses_transfers();
    let rig = Rig::start(carrier.address, script.transfers_by(TransferBy::Refer)).await;
    let call =
        rig.place(CallPlan { first_sentence: None, transfer_to: "+14155550142".parse().ok(), ..plan() });
    let scene = Scene { carrier, rig, call };
    // A REFER would be off its script.
    let story = scene.comes_back().await;
    assert_eq!(story.transfers(), [TransferStatus::Refused]);
}
