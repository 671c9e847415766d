//! Calls without an offer, in and out: the answer, in the ACK, says what is spoken.

use callbox::base::Fault;
use callbox::base::audio::Codec;
use callbox::call::record::{CallPlan, CallStatus, EndedBy};
use callbox::media::codec::g711;
use callbox::sip::Srtp;

use crate::baresip::Baresip;
use crate::eventually;
use crate::far_end::FarEnd;
use crate::handing_over::outcome;
use crate::peers::{Sipp, free_port};
use crate::rig::{Rig, Script, Story, plan};
use crate::tones::share;

/// Tenths of a second that are a tone of `hz` and little else.
fn tenths_of(hz: f64, pcm: &[i16]) -> usize {
    let loud = |part: &&[i16]| part.iter().any(|sample| sample.unsigned_abs() > 1_500);
    pcm.chunks_exact(800).filter(loud).filter(|part| share(part, hz, 8_000) > 0.9).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_in_the_ack_is_spoken_and_heard() {
    let (far, port) = (FarEnd::new().await, free_port());
    let rig = Rig::start(([127, 0, 0, 1], port).into(), Script::new()).await;
    // We would rather speak μ-law.
    let offered = "m=audio [auto_media_port] RTP/AVP 0 101\na=rtpmap:0 PCMU/8000";
    let answered = format!("m=audio {} RTP/AVP 8 101\na=rtpmap:8 PCMA/8000", far.port());
    let filled = [(offered, &*answered), ("milliseconds=\"200\"", "milliseconds=\"7000\"")];
    let peer = Sipp::uac_filled("uac_late", &filled, rig.sip.local_address(), port, &[]);
    let ours = far.hears(1).await.from;
    let voice = || far.heard().into_iter().map(|byte| g711::ALAW[usize::from(byte)]).collect::<Vec<i16>>();
    eventually("the caller hears the agent", || tenths_of(440.0, &voice()) >= 5).await;
    far.speaks_in(Codec::Pcma, ours);
    let story = rig.next_story().await;
    peer.succeeds().await;
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::Caller));
    assert!(far.came().iter().all(|came| came.header.payload_type == 8), "we speak what was not agreed on");
    let heard = tenths_of(700.0, &rig.recording(&story).channel(0));
    assert!(heard >= 5, "{heard} tenths of a second of the caller's tone are heard");
    rig.is_clean().await;
}

/// The agent calls baresip, which is to make the offer, and both are heard.
async fn baresip_makes_the_offer(baresip: Baresip, script: Script) -> Story {
    let rig = Rig::start(baresip.address, script.awaits_offers()).await;
    let story = rig.story(rig.place(CallPlan { max_duration_secs: 5, ..plan() })).await;
    assert_eq!(story.ending().ended_by, EndedBy::Limit);
    let log = baresip.log();
    let (_, invite) = log.split_once("INVITE sip:").expect("baresip traces what comes");
    let head = invite.split("\r\n\r\n").next().unwrap_or_default();
    assert!(head.contains("Content-Length: 0"), "nothing is offered: {head}");
    eventually("baresip hears the agent", || baresip.heard(440.0) > -25.0).await;
    let heard = tenths_of(700.0, &rig.recording(&story).channel(0));
    assert!(heard >= 10, "{heard} tenths of a second of baresip's tone are heard");
    rig.is_clean().await;
    story
}

#[tokio::test(flavor = "multi_thread")]
async fn callee_that_makes_the_offer_is_spoken_to_and_heard() {
    // We would rather speak μ-law.
    let baresip = Baresip::answering(Codec::Pcma).await;
    baresip_makes_the_offer(baresip, Script::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callees_keys_in_its_offer_are_used() {
    let baresip = Baresip::encrypting(Some("srtp-mand"), None).await;
    let story = baresip_makes_the_offer(baresip, Script::new().encrypts(Srtp::Required)).await;
    let quality = story.quality().expect("the line was measured");
    assert!(quality.encrypted, "{quality:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callee_whose_offer_nothing_can_be_agreed_on_is_hung_up() {
    let filled = [("@FORMATS@", "18"), ("@ANSWER@", "0 RTP/AVP 18")];
    let peer = Sipp::uas_filled("uas_late", &filled, 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new().awaits_offers()).await;
    let ending = rig.story(rig.place(plan())).await.ending();
    assert_eq!((ending.status, ending.fault), (CallStatus::Failed, Some(Fault::Carrier)));
    assert!(ending.reason.contains("no codec"), "{}", ending.reason);
    // It was told so in the ACK, and got its BYE.
    peer.succeeds().await;
    rig.is_clean().await;
}
