//! Wideband and RTCP against baresip, whose codecs are libraries of other people.

use std::net::SocketAddr;

use crate::baresip::{Baresip, Plays, level};
use crate::callee::{Callee, Manner};
use crate::eventually;
use crate::rig::{Rig, Script, plan};
use crate::secure::{LIMIT, answer_of, hang_up};
use crate::tones::tone;
use callbox::base::audio::{Codec, rate_of_frame};
use callbox::media::{self, MediaEvent, MediaPlane, MediaStats, SocketMode, UtteranceId};
use callbox::sip::sdp::{self, Local};
use callbox::sip::{self, Dial, SipNode, TrunkConfig};
use futures_util::future::join_all;
use tokio::sync::Barrier;

/// A plane whose calls are all of one thread.
fn plane(sockets: SocketMode) -> MediaPlane {
    let bind = [127, 0, 0, 1].into();
    MediaPlane::start(media::Config { threads: 1, bind, sockets, ..media::Config::default() }).unwrap()
}

/// What one of us says to one of them, in tones.
struct Talk {
    codec: Codec,
    ours: f64,
    theirs: f64,
}

/// What was heard of a talk, where, and what was counted.
struct Heard {
    pcm: Vec<i16>,
    at: SocketAddr,
    stats: MediaStats,
}

/// Calls a baresip, and plays our tone for six seconds once the calls that `all` waits for are answered.
async fn call(baresip: &Baresip, talk: &Talk, plane: &MediaPlane, all: &Barrier) -> Heard {
    let config = sip::Config {
        bind: ([127, 0, 0, 1], 0).into(),
        trunks: vec![TrunkConfig::peer("baresip", baresip.address.into())],
        ..sip::Config::default()
    };
    let (node, _incoming) = SipNode::start(config).await.unwrap();
    let leg = plane.reserve().unwrap();
    let at = leg.local_addr();
    let local = Local { codecs: vec![talk.codec], ..Local::new(at, 7) };
    let to = "+14155550123".parse().unwrap();
    let mut call = node.dial(Dial::to(to, local.clone())).await.unwrap();
    let answer = answer_of(&mut call).await.unwrap();
    let agreed = sdp::accept(&local, &answer).unwrap();
    assert_eq!(agreed.codec, talk.codec);
    tokio::time::timeout(LIMIT, all.wait()).await.expect("all are answered");
    let seed = baresip.address.port().into();
    let session = agreed.agreed().begin(media::jitter::Config::default(), LIMIT, seed);
    let (handle, mut events) = leg.start(session).unwrap();
    let rate = handle.rate();
    handle.play_at(UtteranceId(1), tone(talk.ours, rate as usize * 6, rate), rate).unwrap();
    handle.finish(UtteranceId(1)).unwrap();
    let mut pcm = Vec::new();
    while pcm.len() < rate as usize * 7 {
        let event = tokio::time::timeout(LIMIT, events.recv()).await.expect("frames come");
        if let MediaEvent::Frame { pcm: frame, .. } = event.expect("the leg lives") {
            assert_eq!(rate_of_frame(frame.len()), rate);
            pcm.extend(frame);
        }
    }
    let stats = handle.stats().await.unwrap();
    hang_up(call, node).await;
    Heard { pcm, at, stats }
}

/// Both sides hear the other's tone, and baresip reports by RTCP.
async fn hear_each_other(baresip: &Baresip, talk: &Talk, heard: &Heard) {
    let Talk { codec, ours, theirs } = *talk;
    let level = level(&heard.pcm, codec.sample_rate(), theirs);
    assert!(level > -20.0, "{codec:?}: we hear {level:.1} dB at {theirs} Hz");
    // The header of its dump is written when the call is over.
    eventually("baresip completes its dump", || baresip.heard(ours) > -150.0).await;
    let level = baresip.heard(ours);
    assert!(level > -20.0, "{codec:?}: baresip hears {level:.1} dB at {ours} Hz");
    let stats = &heard.stats;
    assert_eq!((stats.unknown_payload, stats.malformed, stats.strangers), (0, 0, 0), "{stats:?}");
    assert!(stats.rtcp > 0, "baresip reports every few seconds: {stats:?}");
}

pub async fn both_hear(codec: Codec, hz: f64, sockets: SocketMode) {
    let baresip = Baresip::answering(codec).await;
    let talk = Talk { codec, ours: hz, theirs: 700.0 };
    let heard = call(&baresip, &talk, &plane(sockets), &Barrier::new(1)).await;
    hear_each_other(&baresip, &talk, &heard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_g711_and_reports() {
    both_hear(Codec::Pcmu, 440.0, SocketMode::PerCall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_and_reports_to_a_port_that_calls_share() {
    both_hear(Codec::Pcmu, 440.0, SocketMode::Shared).await;
}

/// Three at once, from one host to one port of ours, each with tones of its own both ways.
#[tokio::test(flavor = "multi_thread")]
async fn baresips_that_share_a_port_hear_and_are_heard_each_in_its_own_call() {
    let talk = |(ours, theirs)| Talk { codec: Codec::Pcmu, ours, theirs };
    let talks = [(440.0, 700.0), (900.0, 1_100.0), (1_400.0, 1_800.0)].map(talk);
    let plays = |talk: &Talk| Plays { silence: 0, hz: talk.theirs, seconds: 60 };
    let start = |talk| Baresip::start("+14155550123", Codec::Pcmu, plays(talk));
    let baresips = join_all(talks.iter().map(start)).await;
    let (plane, all) = (plane(SocketMode::Shared), Barrier::new(talks.len()));
    let lines = || baresips.iter().zip(&talks);
    let heard = join_all(lines().map(|(baresip, talk)| call(baresip, talk, &plane, &all))).await;
    let port = heard[0].at;
    for ((baresip, talk), heard) in lines().zip(&heard) {
        assert_eq!(heard.at, port, "one port for all");
        hear_each_other(baresip, talk, heard).await;
        for other in talks.iter().filter(|other| other.ours != talk.ours) {
            for hz in [other.ours, other.theirs] {
                let levels = [level(&heard.pcm, 8_000, hz), baresip.heard(hz)];
                assert!(
                    levels.iter().all(|level| *level < -40.0),
                    "of another call, at {hz} Hz: {levels:.1?} dB"
                );
            }
        }
    }
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
