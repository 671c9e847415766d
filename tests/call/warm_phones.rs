//! Warm transfers between telephones of other people (baresip) behind a switchboard (Kamailio): the one who is
//! asked hears who is on the line, and answers by voice, by key, or not at all.

use callbox::base::CallId;
use callbox::base::audio::Codec;
use callbox::call::record::{CallPlan, CallStatus, EndedBy, Speaker, TransferStatus};

use crate::baresip::{Baresip, Plays, Setup};
use crate::handing_over::{NOT_REACHED, comes_back, hears, outcome, told};
use crate::kamailio::Kamailio;
use crate::rig::{Rig, Script, Story, plan};

const CALLER: &str = "+14155550123";
const OFFICE: &str = "+14155550142";
/// The agent's voice is a tone, and so are those of the two telephones.
const AGENT_HZ: f64 = 440.0;
const CALLER_HZ: f64 = 700.0;
const OFFICE_HZ: f64 = 1_100.0;

/// A caller whom the agent hands over at once, and the office, which is asked.
struct Scene {
    caller: Baresip,
    office: Baresip,
    rig: Rig,
    call: CallId,
    _switchboard: Kamailio,
}

impl Scene {
    /// What the office says when it speaks, and how it is set up.
    async fn new<const N: usize>(says: [&str; N], picks_up: bool, script: Script) -> Scene {
        let silent = |number| Setup::new(number, Codec::Pcmu, Plays::NOTHING);
        let caller = Baresip::of(silent(CALLER)).await;
        let office = Baresip::of(Setup { picks_up, ..silent(OFFICE) }).await;
        let ports = [&caller, &office].map(|phone| phone.address.port().to_string());
        let words = [("@CALLER@", ports[0].as_str()), ("@OFFICE@", ports[1].as_str()), ("@NUMBER@", OFFICE)];
        let switchboard = Kamailio::of(include_str!("../sip/kamailio/switchboard.cfg"), &words).await;
        let script = script.calls_tool("I'll put you through.", "transfer").asks_target(says);
        let script = script.answers("I have a caller on the line about a bill.");
        let rig = Rig::start(switchboard.address, script).await;
        let plan = CallPlan { first_sentence: None, transfer_to: OFFICE.parse().ok(), ..plan() };
        let call = rig.place(plan);
        Scene { caller, office, rig, call, _switchboard: switchboard }
    }

    async fn told(&self, wanted: TransferStatus) {
        told(&self.rig, self.call, wanted).await;
    }

    /// The office has heard who is on the line, though not the caller, who speaks all the while.
    async fn is_introduced(&self) {
        self.told(TransferStatus::Ringing).await;
        self.caller.sings(CALLER_HZ).await;
        // What it is told takes two seconds, and so does what it is asked.
        self.office.hears_out(3).await;
        let (agent, caller) = (self.office.heard(AGENT_HZ), self.office.heard(CALLER_HZ));
        assert!(agent > -25.0 && caller < -50.0, "the agent at {agent} dB, the caller at {caller} dB");
    }

    /// The two hear each other until the office hangs up.
    async fn are_joined(&self) {
        self.told(TransferStatus::Answered).await;
        // Who does not answer is asked again, and put through in the end, too.
        let spoken_to = self.office.seconds_of(AGENT_HZ);
        assert!(spoken_to < 5.0, "the agent says nothing more, once it has its answer: {spoken_to} s");
        self.office.sings(OFFICE_HZ).await;
        hears("office", &self.office, CALLER_HZ).await;
        hears("caller", &self.caller, OFFICE_HZ).await;
        self.office.hangs_up().await;
        let story = self.rig.story(self.call).await;
        assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Answered]);
        assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::TransferTarget));
        self.rig.is_clean().await;
    }

    /// The agent comes back, and says so, to the caller alone.
    async fn comes_back(&self) -> Story {
        let story = comes_back(&self.rig, self.call).await;
        assert_eq!(story.ending().status, CallStatus::Completed);
        assert!(self.caller.heard(AGENT_HZ) > -25.0, "the caller hears the agent");
        assert_eq!(story.said(Speaker::Agent).last().map(String::as_str), Some(NOT_REACHED));
        self.rig.is_clean().await;
        story
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn telephone_that_says_yes_is_put_through() {
    let scene = Scene::new(["Yes, please."], true, Script::new()).await;
    scene.is_introduced().await;
    scene.office.says(OFFICE_HZ).await;
    scene.are_joined().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telephone_that_presses_one_is_put_through() {
    let scene = Scene::new([], true, Script::new()).await;
    scene.is_introduced().await;
    scene.office.presses('1').await;
    scene.are_joined().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telephone_that_says_no_is_let_go() {
    let scene = Scene::new(["No, not now."], true, Script::new()).await;
    scene.is_introduced().await;
    // Else the agent, who comes back, would be spoken over.
    scene.caller.is_silent().await;
    scene.office.says(OFFICE_HZ).await;
    let story = scene.comes_back().await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Rejected]);
    assert!(scene.office.heard(CALLER_HZ) < -50.0, "it never hears the caller");
    // The agent's own tone spreads to -48 dB where a sentence is broken off; the office would be above -22.
    let office = scene.caller.heard(OFFICE_HZ);
    assert!(office < -40.0, "nor the caller it: {office} dB");
}

#[tokio::test(flavor = "multi_thread")]
async fn telephone_that_refuses_brings_the_agent_back() {
    let scene = Scene::new([], false, Script::new()).await;
    scene.office.notes("SIP/2.0 180 Ringing").await;
    scene.office.hangs_up().await;
    let story = scene.comes_back().await;
    scene.office.notes("SIP/2.0 486 ").await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Busy]);
}

#[tokio::test(flavor = "multi_thread")]
async fn telephone_that_nobody_picks_up_stops_ringing_and_brings_the_agent_back() {
    let scene = Scene::new([], false, Script::new().rings_target_for(3)).await;
    scene.office.notes("SIP/2.0 180 Ringing").await;
    let story = scene.comes_back().await;
    scene.office.notes("CANCEL sip:").await;
    scene.office.notes("SIP/2.0 487 ").await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::NoAnswer]);
}
