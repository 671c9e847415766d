//! Two telephones of other people behind a switchboard (Kamailio), which a call is transferred between: by
//! this node, and by the first of them. Every request within a call goes along the recorded route, or the
//! switchboard refuses it.

use std::net::SocketAddr;

use callbox::base::audio::Codec;
use callbox::call::record::{CallPlan, CallStatus, EndedBy, TransferStatus};
use callbox::sip::TransferBy;

use crate::baresip::{Baresip, Plays};
use crate::handing_over::{hears, outcome, told};
use crate::kamailio::Kamailio;
use crate::peers::Sipp;
use crate::rig::{Rig, Script, Story, plan};

const OFFICE: &str = "+14155550142";

struct Scene<Office> {
    caller: Baresip,
    office: Office,
    switchboard: Kamailio,
}

impl Scene<Baresip> {
    /// Two telephones, each of which plays a tone: the caller's once it has been spoken to.
    async fn new(caller: (Codec, f64), (codec, hz): (Codec, f64)) -> Self {
        let office = Baresip::start(OFFICE, codec, Plays { silence: 0, hz, seconds: 60 }).await;
        let address = office.address;
        Scene::with(caller, office, address).await
    }
}

impl<Office> Scene<Office> {
    async fn with((codec, hz): (Codec, f64), office: Office, address: SocketAddr) -> Self {
        let caller = Baresip::start("+14155550123", codec, Plays { silence: 12, hz, seconds: 60 }).await;
        let ports = [caller.address, address].map(|address| address.port().to_string());
        let words = [("@CALLER@", ports[0].as_str()), ("@OFFICE@", ports[1].as_str()), ("@NUMBER@", OFFICE)];
        let config = include_str!("../sip/kamailio/switchboard.cfg");
        let switchboard = Kamailio::of(config, &words).await;
        Scene { caller, office, switchboard }
    }

    async fn rig(&self, by: TransferBy) -> Rig {
        let script = Script::new().calls_tool("I'll put you through.", "transfer").transfers_by(by);
        Rig::start(self.switchboard.address, script).await
    }
}

fn transferable() -> CallPlan {
    CallPlan { first_sentence: None, transfer_to: OFFICE.parse().ok(), ..plan() }
}

/// A call that this node bridges until a telephone hears a tone; then the client ends it.
async fn bridged<Office>(scene: &Scene<Office>, phone: &Baresip, hz: f64) -> (Rig, Story) {
    let rig = scene.rig(TransferBy::Bridge).await;
    let call = rig.place(transferable());
    told(&rig, call, TransferStatus::Answered).await;
    hears("other", phone, hz).await;
    assert!(rig.directory.hang_up(call, EndedBy::Client));
    let story = rig.story(call).await;
    rig.is_clean().await;
    (rig, story)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_wideband_telephones_hear_what_no_narrow_one_could() {
    let scene = Scene::new((Codec::G722, 5_500.0), (Codec::G722, 6_200.0)).await;
    let (rig, story) = bridged(&scene, &scene.office, 5_500.0).await;
    hears("caller", &scene.caller, 6_200.0).await;
    let recording = rig.recording(&story);
    assert_eq!(recording.rate, 16_000);
    for (channel, hz) in [(0, 5_500.0), (1, 6_200.0)] {
        let level = crate::baresip::level(&recording.channel(channel), recording.rate, hz);
        assert!(level > -22.0, "{level} dB at {hz} Hz on channel {channel}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_and_a_wide_telephone_hear_each_other_without_aliases() {
    let scene = Scene::new((Codec::Pcmu, 1_300.0), (Codec::G722, 6_200.0)).await;
    bridged(&scene, &scene.office, 1_300.0).await;
    // 6,200 Hz of a wide line would fold to 1,800 Hz on a narrow one.
    let alias = scene.caller.heard(1_800.0);
    assert!(alias < -55.0, "{alias} dB at 1800 Hz");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_that_takes_a_refer_calls_the_office_itself() {
    let scene = Scene::new((Codec::Pcmu, 700.0), (Codec::Pcmu, 1_100.0)).await;
    let rig = scene.rig(TransferBy::Auto).await;
    let story = rig.story(rig.place(transferable())).await;
    assert_eq!(story.transfers(), [TransferStatus::Ringing, TransferStatus::Referred]);
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::Agent));
    rig.is_clean().await;
    hears("caller", &scene.caller, 1_100.0).await;
    hears("office", &scene.office, 700.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_hears_itself_from_an_office_that_echoes() {
    let office = Sipp::uas("uas_answer", 1, &["-rtp_echo", "-mi", "127.0.0.1"]).await;
    let address = office.address;
    let scene = Scene::with((Codec::Pcmu, 900.0), office, address).await;
    bridged(&scene, &scene.caller, 900.0).await;
    scene.office.succeeds().await;
}
