//! Wideband and RTCP against baresip, whose codecs are libraries of other people.

use std::net::SocketAddr;

use crate::baresip::{Baresip, Plays, level};
use crate::callee::{Callee, Manner};
use crate::eventually;
use crate::gateway::Gateway;
use crate::rig::{Rig, Script, plan};
use crate::secure::{LIMIT, answer_of, hang_up};
use crate::tones::tone;
use callbox::base::audio::{Codec, rate_of_frame};
use callbox::base::terms::Agreed;
use callbox::media::{
    self, MediaEvent, MediaEvents, MediaHandle, MediaPlane, MediaStats, SessionConfig, SocketMode,
    UtteranceId,
};
use callbox::sip::sdp::{self, Local, Negotiated};
use callbox::sip::{self, Dial, SipCall, SipNode, TrunkConfig};
use futures_util::future::join_all;

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

/// A call that is answered.
struct Answered {
    node: SipNode,
    call: SipCall,
    agreed: Negotiated,
}

/// Calls a baresip, which is to send to `media`.
async fn dial(baresip: &Baresip, talk: &Talk, media: SocketAddr) -> Answered {
    let config = sip::Config {
        bind: ([127, 0, 0, 1], 0).into(),
        trunks: vec![TrunkConfig::peer("baresip", baresip.address.into())],
        ..sip::Config::default()
    };
    let (node, _incoming) = SipNode::start(config).await.unwrap();
    let local = Local { codecs: vec![talk.codec], ..Local::new(media, 7) };
    let to = "+14155550123".parse().unwrap();
    let mut call = node.dial(Dial::to(to, local.clone())).await.unwrap();
    let answer = answer_of(&mut call).await.unwrap();
    let agreed = sdp::accept(&local, &answer).unwrap();
    assert_eq!(agreed.codec, talk.codec);
    Answered { node, call, agreed }
}

/// What a leg begins with whose far end is at `remote`.
fn session(agreed: &Negotiated, remote: SocketAddr) -> SessionConfig {
    let seed = agreed.remote.port().into();
    Agreed { remote, ..agreed.agreed() }.begin(media::jitter::Config::default(), LIMIT, seed)
}

/// Plays our tone for six seconds, and listens for seven.
async fn converse(handle: MediaHandle, events: &mut MediaEvents, talk: &Talk) -> Heard {
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
    Heard { pcm, at: handle.local_addr(), stats: handle.stats().await.unwrap() }
}

/// Calls a baresip, and talks to it.
async fn call(baresip: &Baresip, talk: &Talk, plane: &MediaPlane) -> Heard {
    let leg = plane.reserve().unwrap();
    let Answered { node, call, agreed } = dial(baresip, talk, leg.local_addr()).await;
    let (handle, mut events) = leg.start(session(&agreed, agreed.remote)).unwrap();
    let heard = converse(handle, &mut events, talk).await;
    hang_up(call, node).await;
    heard
}

/// Both sides hear the other's tone.
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
}

fn is_reported(heard: &Heard) {
    assert!(heard.stats.rtcp > 0, "baresip reports every few seconds: {:?}", heard.stats);
}

/// Neither side hears a tone of another call.
fn hear_nobody_else(baresip: &Baresip, heard: &Heard, others: &[&Talk]) {
    for hz in others.iter().flat_map(|other| [other.ours, other.theirs]) {
        let levels = [level(&heard.pcm, 8_000, hz), baresip.heard(hz)];
        assert!(levels.iter().all(|level| *level < -40.0), "of another call, at {hz} Hz: {levels:.1?} dB");
    }
}

pub async fn both_hear(codec: Codec, hz: f64, sockets: SocketMode) {
    let baresip = Baresip::answering(codec).await;
    let talk = Talk { codec, ours: hz, theirs: 700.0 };
    let heard = call(&baresip, &talk, &plane(sockets)).await;
    hear_each_other(&baresip, &talk, &heard).await;
    is_reported(&heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_g711_and_reports() {
    both_hear(Codec::Pcmu, 440.0, SocketMode::PerCall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_and_reports_to_a_port_that_calls_share() {
    both_hear(Codec::Pcmu, 440.0, SocketMode::Shared).await;
}

const TALKS: [Talk; 3] = [
    Talk { codec: Codec::Pcmu, ours: 440.0, theirs: 700.0 },
    Talk { codec: Codec::Pcmu, ours: 900.0, theirs: 1_100.0 },
    Talk { codec: Codec::Pcmu, ours: 1_400.0, theirs: 1_800.0 },
];

async fn telephones() -> Vec<Baresip> {
    let plays = |talk: &Talk| Plays { silence: 0, hz: talk.theirs, seconds: 60 };
    join_all(TALKS.iter().map(|talk| Baresip::start("+14155550123", talk.codec, plays(talk)))).await
}

/// Each in its own call, at one port for all.
async fn are_told_apart(baresips: &[Baresip], heard: &[Heard]) {
    for ((baresip, talk), own) in baresips.iter().zip(&TALKS).zip(heard) {
        assert_eq!(own.at, heard[0].at, "one port for all");
        hear_each_other(baresip, talk, own).await;
        let others: Vec<&Talk> = TALKS.iter().filter(|other| other.ours != talk.ours).collect();
        hear_nobody_else(baresip, own, &others);
    }
}

/// Calls all of them, directly or by a gateway, and talks to all at once.
async fn talk_to_all(baresips: &[Baresip], plane: &MediaPlane, mut gateway: Option<Gateway>) -> Vec<Heard> {
    let (mut calls, mut legs) = (Vec::new(), Vec::new());
    // One after the other: of streams that come from one host before they are heard, none is guessed at, and
    // one alone is taken for that of the only call that waits.
    for (baresip, talk) in baresips.iter().zip(&TALKS) {
        let leg = plane.reserve().unwrap();
        let (door, at) = Gateway::door().await;
        let offered = if gateway.is_some() { at } else { leg.local_addr() };
        let answered = dial(baresip, talk, offered).await;
        let mut remote = answered.agreed.remote;
        if let Some(gateway) = &mut gateway {
            gateway.carries(door, remote, leg.local_addr());
            remote = gateway.address;
        }
        let (handle, mut events) = leg.start(session(&answered.agreed, remote)).unwrap();
        let latched = async { while !matches!(events.recv().await.unwrap(), MediaEvent::Latched { .. }) {} };
        tokio::time::timeout(LIMIT, latched).await.expect("the stream is heard");
        calls.push(answered);
        legs.push((handle, events));
        if let Some(gateway) = &gateway {
            gateway.knows(calls.len()).await;
        }
    }
    let talks = legs.iter_mut().zip(&TALKS);
    let heard = join_all(talks.map(|((handle, events), talk)| converse(handle.clone(), events, talk))).await;
    for Answered { node, call, .. } in calls {
        hang_up(call, node).await;
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn baresips_that_share_a_port_hear_and_are_heard_each_in_its_own_call() {
    let baresips = telephones().await;
    let heard = talk_to_all(&baresips, &plane(SocketMode::Shared), None).await;
    are_told_apart(&baresips, &heard).await;
    heard.iter().for_each(is_reported);
}

/// One address on both sides: the streams' own names are all that tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn baresips_behind_one_port_of_a_gateway_are_told_apart() {
    let baresips = telephones().await;
    let gateway = Gateway::new().await;
    let heard = talk_to_all(&baresips, &plane(SocketMode::Shared), Some(gateway)).await;
    are_told_apart(&baresips, &heard).await;
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
