//! Legs on real loopback sockets.

use std::{net::Ipv4Addr, time::Duration};

use tokio::time::timeout;

use self::{
    closing::{
        a_leg_that_closes_says_goodbye, a_leg_that_is_closed_does_first_what_it_was_told_before,
        a_plane_that_shuts_down_says_goodbye, a_thread_that_has_ended_takes_no_more_legs,
        dropping_every_handle_closes_the_leg, dropping_the_plane_completes_recordings,
    },
    strangers::{a_flood_to_one_leg_silences_no_other, an_attacker_who_knows_the_stream_is_not_heard},
};
use super::*;
use crate::{
    base::{audio::Codec, terms::Agreed},
    media::{
        conceal::signals::{rms, tone},
        jitter::FrameKind,
        playout::UtteranceId,
        session::MediaEvent,
    },
};

mod closing;
mod ports;
mod strangers;

const LIMIT: Duration = Duration::from_secs(20);
const A: UtteranceId = UtteranceId(1);

/// The contract of the media plane, which holds for both kinds of sockets.
macro_rules! contract {
    ($($name:ident,)+) => {
        mod per_call {
            $(#[tokio::test] async fn $name() { super::$name(super::SocketMode::PerCall).await })+
        }
        mod shared {
            $(#[tokio::test] async fn $name() { super::$name(super::SocketMode::Shared).await })+
        }
    };
}

contract!(
    two_legs_hear_each_other_and_both_are_recorded,
    the_far_ends_of_bridged_legs_hear_each_other_across_threads_and_codecs,
    digits_cross_and_statistics_tell_of_it,
    reports_cross_on_the_ports_above,
    a_leg_that_closes_says_goodbye,
    a_leg_that_is_closed_does_first_what_it_was_told_before,
    a_plane_that_shuts_down_says_goodbye,
    a_thread_that_has_ended_takes_no_more_legs,
    dropping_every_handle_closes_the_leg,
    dropping_the_plane_completes_recordings,
    a_listener_that_sleeps_disturbs_nobody,
    a_full_playout_takes_nothing_and_says_so,
    a_leg_that_panics_ends_alone,
    a_flood_to_one_leg_silences_no_other,
    an_attacker_who_knows_the_stream_is_not_heard,
);

fn plane(sockets: SocketMode) -> MediaPlane {
    threaded(sockets, 1)
}

/// Whose first legs are on different threads.
fn threaded(sockets: SocketMode, threads: usize) -> MediaPlane {
    let bind = Ipv4Addr::LOCALHOST.into();
    MediaPlane::start(Config { bind, sockets, threads, legs_per_thread: 1, ..Config::default() }).unwrap()
}

/// Each stream has a name of its own.
static SEED: AtomicU64 = AtomicU64::new(1);

fn config(remote: SocketAddr) -> SessionConfig {
    speaking(Codec::Pcmu, remote)
}

fn speaking(codec: Codec, remote: SocketAddr) -> SessionConfig {
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    Agreed::usual(codec, remote).begin(Default::default(), Duration::from_secs(5), seed)
}

/// Two legs that talk to each other.
fn pair(plane: &MediaPlane) -> [(MediaHandle, MediaEvents); 2] {
    let (a, b) = (plane.reserve().unwrap(), plane.reserve().unwrap());
    let (to_a, to_b) = (a.local_addr(), b.local_addr());
    [a.start(config(to_b)).unwrap(), b.start(config(to_a)).unwrap()]
}

/// Reads events until `wanted` finds what it looks for.
async fn until<T>(events: &mut MediaEvents, mut wanted: impl FnMut(MediaEvent) -> Option<T>) -> T {
    let search = async {
        loop {
            let event = events.recv().await.expect("the leg lives");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(LIMIT, search).await.expect("the event comes in time")
}

/// Collects frames until `count` of them were received.
async fn received(events: &mut MediaEvents, count: usize) -> Vec<i16> {
    let mut heard: Vec<i16> = Vec::new();
    until(events, |event| {
        if let MediaEvent::Frame { pcm, kind: FrameKind::Received, .. } = event {
            heard.extend(pcm);
        }
        (heard.len() >= count * 160).then_some(())
    })
    .await;
    heard
}

async fn two_legs_hear_each_other_and_both_are_recorded(sockets: SocketMode) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let plane = plane(sockets);
    let [(alice, mut from_bob), (bob, mut from_alice)] = pair(&plane);
    let recorded = alice.record(path.clone()).unwrap();
    alice.play(A, tone(400.0, 4_000.0, 8_000)).unwrap();
    alice.finish(A).unwrap();
    bob.play(A, tone(1_000.0, 8_000.0, 8_000)).unwrap();
    bob.finish(A).unwrap();
    let heard = received(&mut from_alice, 60).await;
    assert!(rms(&heard) > 1_000.0, "{}", rms(&heard));
    let played = |event| (event == MediaEvent::Played { utterance: A, samples: 8_000 }).then_some(());
    until(&mut from_bob, played).await;
    received(&mut from_bob, 20).await;
    assert_eq!(alice.queued(), Duration::ZERO);

    alice.close();
    let summary = timeout(LIMIT, recorded.summary()).await.unwrap().unwrap();
    assert_eq!((&summary.path, summary.dropped_samples), (&path, 0));
    let mut wav = hound::WavReader::open(&path).unwrap();
    assert_eq!(wav.spec().channels, 2);
    assert_eq!(duration_of_wav(&wav), summary.duration);
    assert!(summary.duration >= Duration::from_secs(1), "{summary:?}");
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    let channel = |n: usize| samples.iter().skip(n).step_by(2).copied().collect::<Vec<i16>>();
    let loud = |pcm: Vec<i16>| pcm.iter().map(|s| s.unsigned_abs()).max().unwrap();
    let (left, right) = (loud(channel(0)), loud(channel(1)));
    assert!((7_500..9_000).contains(&left) && (3_700..4_500).contains(&right), "{left} {right}");
}

fn duration_of_wav<R: std::io::Read>(wav: &hound::WavReader<R>) -> Duration {
    crate::base::audio::duration_of(wav.duration().into(), wav.spec().sample_rate)
}

/// Two far ends and the legs that they are joined by: alice, hers, his, bob. Bob speaks A-law.
type Ends = [(MediaHandle, MediaEvents); 4];

fn bridged(plane: &MediaPlane) -> Ends {
    let [alice, hers] = pair(plane);
    let law = |remote| speaking(Codec::Pcma, remote);
    let (his, bob) = (plane.reserve().unwrap(), plane.reserve().unwrap());
    let (to_his, to_bob) = (his.local_addr(), bob.local_addr());
    let (his, bob) = (his.start(law(to_bob)).unwrap(), bob.start(law(to_his)).unwrap());
    hers.0.bridge(&his.0).unwrap();
    [alice, hers, his, bob]
}

async fn the_far_ends_of_bridged_legs_hear_each_other_across_threads_and_codecs(sockets: SocketMode) {
    let plane = threaded(sockets, 3);
    let [(alice, mut to_alice), (hers, _), (_his, _), (bob, mut to_bob)] = bridged(&plane);
    alice.play(A, tone(400.0, 4_000.0, 8_000)).unwrap();
    bob.play(A, tone(1_000.0, 8_000.0, 8_000)).unwrap();
    let loud = |event| match event {
        MediaEvent::Frame { pcm, .. } => (rms(&pcm) > 2_000.0).then(|| rms(&pcm)),
        _ => None,
    };
    let (by_bob, by_alice) = (until(&mut to_bob, loud).await, until(&mut to_alice, loud).await);
    assert!(by_alice > 1.5 * by_bob, "each hears the other: {by_alice} {by_bob}");
    hers.play_again().unwrap();
    let quiet = |event| match event {
        MediaEvent::Frame { pcm, .. } => (rms(&pcm) < 10.0).then_some(()),
        _ => None,
    };
    until(&mut to_alice, quiet).await;
    until(&mut to_bob, quiet).await;
}

/// Not a test: from a frame of one far end, as the jitter buffer gives it, to its packet to the other.
#[tokio::test]
#[ignore = "a measurement"]
async fn delay_of_a_bridge() {
    let plane = plane(SocketMode::PerCall);
    let mut delays = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..20 {
        let [alice, hers] = pair(&plane);
        let phone = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (his, _) = plane.reserve().unwrap().start(config(phone.local_addr().unwrap())).unwrap();
        hers.0.bridge(&his).unwrap();
        let (handle, mut heard) = hers;
        received(&mut heard, 20).await;
        alice.0.play(A, tone(400.0, 8_000.0, 8_000)).unwrap();
        let arrival = thread::spawn(move || {
            let mut datagram = [0; 400];
            loop {
                let length = phone.recv(&mut datagram).unwrap();
                let mut pcm = Vec::new();
                let mut decoder = crate::media::codec::Decoder::new(Codec::Pcmu);
                decoder.decode(&datagram[12..length], &mut pcm).unwrap();
                if rms(&pcm) > 2_000.0 {
                    return Instant::now();
                }
            }
        });
        let loud =
            |event| matches!(&event, MediaEvent::Frame { pcm, .. } if rms(pcm) > 2_000.0).then(Instant::now);
        let given = until(&mut heard, loud).await;
        let delay = arrival.join().unwrap().saturating_duration_since(given);
        delays.push(delay.as_secs_f64() * 1_000.0);
        kept.push((alice, handle, heard, his));
    }
    delays.sort_by(f64::total_cmp);
    println!("added delay, ms: least {:.1}, median {:.1}, most {:.1}", delays[0], delays[10], delays[19]);
}

async fn digits_cross_and_statistics_tell_of_it(sockets: SocketMode) {
    let plane = plane(sockets);
    let [(alice, _events), (bob, mut from_alice)] = pair(&plane);
    timeout(LIMIT, alice.send_dtmf("42#")).await.unwrap().unwrap();
    let mut digits = String::new();
    until(&mut from_alice, |event| {
        if let MediaEvent::Dtmf { digit, .. } = event {
            digits.push(digit);
        }
        (digits == "42#").then_some(())
    })
    .await;
    assert!(matches!(alice.send_dtmf("x").await, Err(MediaError::Dtmf(DtmfError::InvalidDigit('x')))));
    let stats = bob.stats().await.unwrap();
    assert!(stats.packets_received > 20 && stats.strangers == 0 && stats.lost == 0, "{stats:?}");
}

async fn reports_cross_on_the_ports_above(sockets: SocketMode) {
    let plane = plane(sockets);
    let [(alice, mut from_bob), (bob, mut from_alice)] = pair(&plane);
    assert_eq!(alice.local_addr().port() % 2, 0);
    let stats = loop {
        tokio::join!(received(&mut from_bob, 25), received(&mut from_alice, 25));
        let stats = [alice.stats().await.unwrap(), bob.stats().await.unwrap()];
        if stats.iter().all(|s| s.round_trip.is_some() && s.far.is_some()) {
            break stats;
        }
        assert!(stats[0].packets_sent < 50 * 20, "no reports: {stats:?}");
    };
    assert!(stats.iter().all(|s| s.strangers == 0), "{stats:?}");
}

/// A far end with RTP on an even port and RTCP above it.
fn far_end() -> (std::net::UdpSocket, tokio::net::UdpSocket) {
    let pair = Sockets::open((Ipv4Addr::LOCALHOST, 0).into(), 0).unwrap();
    (pair.rtp, tokio::net::UdpSocket::from_std(pair.rtcp).unwrap())
}

async fn a_listener_that_sleeps_disturbs_nobody(sockets: SocketMode) {
    let plane = plane(sockets);
    let [(alice, _unread), (_bob, mut from_alice)] = pair(&plane);
    received(&mut from_alice, 200).await;
    let stats = timeout(LIMIT, alice.stats()).await.unwrap().unwrap();
    assert!(stats.events_lost > 0 && stats.packets_sent >= 200, "{stats:?}");
}

async fn a_full_playout_takes_nothing_and_says_so(sockets: SocketMode) {
    let plane = plane(sockets);
    let [(alice, mut from_bob), _bob] = pair(&plane);
    alice.play(A, vec![0; 59 * 8_000]).unwrap();
    assert!(matches!(alice.play(A, vec![0; 2 * 8_000]), Err(MediaError::PlayoutFull(_))));
    alice.stop_playing().unwrap();
    until(&mut from_bob, |event| matches!(event, MediaEvent::Stopped { utterance: A, .. }).then_some(()))
        .await;
    alice.play(UtteranceId(2), vec![0; 59 * 8_000]).unwrap();
}

async fn a_leg_that_panics_ends_alone(sockets: SocketMode) {
    let plane = plane(sockets);
    let [(_alice, mut from_bob), (bob, mut from_alice)] = pair(&plane);
    let (broken, mut silent) =
        plane.reserve().unwrap().start(config((Ipv4Addr::LOCALHOST, 9).into())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let recorded = broken.record(path.clone()).unwrap();
    broken.panic().unwrap();
    timeout(LIMIT, async { while silent.recv().await.is_some() {} }).await.expect("the events end");
    assert!(matches!(broken.stats().await, Err(MediaError::Closed)));
    let summary = timeout(LIMIT, recorded.summary()).await.unwrap();
    assert!(
        summary.is_ok_and(|summary| summary.path == path) && path.exists(),
        "what there is of it is kept"
    );
    tokio::join!(received(&mut from_bob, 10), received(&mut from_alice, 10));
    assert!(bob.stats().await.is_ok());
    assert_eq!(plane.legs(), 2);
}
