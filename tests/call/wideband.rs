//! Wideband and RTCP against baresip, whose codecs are libraries of other people.

use crate::baresip::{Baresip, level};
use crate::callee::{Callee, Manner};
use crate::eventually;
use crate::rig::{Rig, Script, plan};
use crate::secure::{LIMIT, answer_of, hang_up};
use crate::tones::tone;
use callbox::base::audio::{Codec, rate_of_frame};
use callbox::media::{self, MediaEvent, MediaPlane, MediaStats, SocketMode, UtteranceId};
use callbox::sip::sdp::{self, Local};
use callbox::sip::{self, Dial, SipNode, TrunkConfig};

/// Calls a baresip in `codec`, plays `hz` for six seconds; gives what was heard and counted.
async fn call(baresip: &Baresip, codec: Codec, hz: f64, sockets: SocketMode) -> (Vec<i16>, MediaStats) {
    let config = sip::Config {
        bind: ([127, 0, 0, 1], 0).into(),
        trunks: vec![TrunkConfig::peer("baresip", baresip.address.into())],
        ..sip::Config::default()
    };
    let (node, _incoming) = SipNode::start(config).await.unwrap();
    let bind = media::Config { bind: [127, 0, 0, 1].into(), sockets, ..media::Config::default() };
    let plane = MediaPlane::start(bind).unwrap();
    let leg = plane.reserve().unwrap();
    let local = Local { codecs: vec![codec], ..Local::new(leg.local_addr(), 7) };
    let to = "+14155550123".parse().unwrap();
    let mut call = node.dial(Dial::to(to, local.clone())).await.unwrap();
    let answer = answer_of(&mut call).await.unwrap();
    let agreed = sdp::accept(&local, &answer).unwrap();
    assert_eq!(agreed.codec, codec);
    let session = agreed.agreed().begin(media::jitter::Config::default(), LIMIT, 5);
    let (handle, mut events) = leg.start(session).unwrap();
    let rate = handle.rate();
    handle.play_at(UtteranceId(1), tone(hz, rate as usize * 6, rate), rate).unwrap();
    handle.finish(UtteranceId(1)).unwrap();
    let mut heard = Vec::new();
    while heard.len() < rate as usize * 7 {
        let event = tokio::time::timeout(LIMIT, events.recv()).await.expect("frames come");
        if let MediaEvent::Frame { pcm, .. } = event.expect("the leg lives") {
            assert_eq!(rate_of_frame(pcm.len()), rate);
            heard.extend(pcm);
        }
    }
    let stats = handle.stats().await.unwrap();
    hang_up(call, node).await;
    (heard, stats)
}

pub async fn both_hear(codec: Codec, hz: f64, sockets: SocketMode) {
    let baresip = Baresip::answering(codec).await;
    let (heard, stats) = call(&baresip, codec, hz, sockets).await;
    let ours = level(&heard, codec.sample_rate(), 700.0);
    assert!(ours > -20.0, "{codec:?}: we hear {ours:.1} dB at 700 Hz");
    // The header of its dump is written when the call is over.
    eventually("baresip completes its dump", || baresip.heard(hz) > -150.0).await;
    let theirs = baresip.heard(hz);
    assert!(theirs > -20.0, "{codec:?}: baresip hears {theirs:.1} dB at {hz} Hz");
    assert_eq!((stats.unknown_payload, stats.malformed, stats.strangers), (0, 0, 0), "{stats:?}");
    assert!(stats.rtcp > 0, "baresip reports every few seconds: {stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_g711_and_reports() {
    both_hear(Codec::Pcmu, 440.0, SocketMode::PerCall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_and_reports_to_a_port_that_calls_share() {
    both_hear(Codec::Pcmu, 440.0, SocketMode::Shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_g722() {
    both_hear(Codec::G722, 5_500.0, SocketMode::PerCall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_opus() {
    both_hear(Codec::Opus, 5_500.0, SocketMode::PerCall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_held_on_a_wideband_line() {
    let callee = Callee::start(Manner::answering().speaks_after_silence(1).in_codec(Codec::G722)).await;
    let script = Script::new().hears(["From nine to five."]).hangs_up_with("Thank you, goodbye.");
    let rig = Rig::start(callee.trunk(), script).await;
    let story = rig.story(rig.place(plan())).await;
    assert_eq!(story.said(callbox::call::record::Speaker::Caller), ["From nine to five."]);
    let recording = rig.recording(&story);
    assert!(recording.channels == 2 && recording.rate == 16_000, "{}", recording.rate);
    let length = story.ending().length_secs.expect("the call was answered");
    assert!((recording.seconds - length).abs() < 1.5, "{} s of {length} s", recording.seconds);
    assert!(recording.loud_share(0) > 0.02 && recording.loud_share(1) > 0.02, "both are recorded");
    assert!(callee.heard_seconds() > 1.0, "{}", callee.heard_seconds());
    rig.is_clean().await;
}
