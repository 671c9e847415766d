//! Legs on real loopback sockets.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{sync::mpsc::Receiver, time::timeout};

use super::*;
use crate::{
    base::{
        audio::{Codec, Direction},
        terms::Terms,
    },
    media::{
        conceal::signals::{rms, tone},
        jitter::FrameKind,
        playout::UtteranceId,
        rtcp::Reports,
    },
};

const LIMIT: Duration = Duration::from_secs(20);
const A: UtteranceId = UtteranceId(1);

fn plane() -> MediaPlane {
    MediaPlane::start(Config { bind: Ipv4Addr::LOCALHOST.into(), ..Config::default() }).unwrap()
}

fn config(remote: SocketAddr) -> SessionConfig {
    SessionConfig {
        codec: Codec::Pcmu,
        payload_type: 0,
        telephone_event: Some(101),
        remote,
        direction: Direction::SendRecv,
        terms: Terms::default(),
        jitter: Default::default(),
        rtp_timeout: Duration::from_secs(5),
        seed: u64::from(remote.port()),
    }
}

/// Two legs that talk to each other.
fn pair(plane: &MediaPlane) -> [(MediaHandle, Receiver<MediaEvent>); 2] {
    let (a, b) = (plane.reserve().unwrap(), plane.reserve().unwrap());
    let (to_a, to_b) = (a.local_addr(), b.local_addr());
    [a.start(config(to_b)).unwrap(), b.start(config(to_a)).unwrap()]
}

/// Reads events until `wanted` finds what it looks for.
async fn until<T>(events: &mut Receiver<MediaEvent>, mut wanted: impl FnMut(MediaEvent) -> Option<T>) -> T {
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
async fn received(events: &mut Receiver<MediaEvent>, count: usize) -> Vec<i16> {
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

#[tokio::test]
async fn two_legs_hear_each_other_and_both_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let plane = plane();
    let [(alice, mut from_bob), (bob, mut from_alice)] = pair(&plane);
    alice.record(path.clone()).unwrap();
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

    let summary = timeout(LIMIT, alice.stop_recording()).await.unwrap().unwrap();
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
type Ends = [(MediaHandle, Receiver<MediaEvent>); 4];

fn bridged(plane: &MediaPlane) -> Ends {
    let [alice, hers] = pair(plane);
    let law = |remote| SessionConfig { codec: Codec::Pcma, payload_type: 8, ..config(remote) };
    let (his, bob) = (plane.reserve().unwrap(), plane.reserve().unwrap());
    let (to_his, to_bob) = (his.local_addr(), bob.local_addr());
    let (his, bob) = (his.start(law(to_bob)).unwrap(), bob.start(law(to_his)).unwrap());
    hers.0.bridge(&his.0).unwrap();
    [alice, hers, his, bob]
}

#[tokio::test]
async fn the_far_ends_of_bridged_legs_hear_each_other_across_threads_and_codecs() {
    let threads = Config { bind: Ipv4Addr::LOCALHOST.into(), threads: 3, ..Config::default() };
    let plane = MediaPlane::start(threads).unwrap();
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
    let plane = plane();
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

#[tokio::test]
async fn digits_cross_and_statistics_tell_of_it() {
    let plane = plane();
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

#[tokio::test]
async fn reports_cross_on_the_ports_above() {
    let plane = plane();
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

#[tokio::test]
async fn a_leg_that_closes_says_goodbye() {
    let plane = plane();
    let rtp = loop {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        if socket.local_addr().unwrap().port().is_multiple_of(2) {
            break socket;
        }
    };
    let above = rtp.local_addr().unwrap().port() + 1;
    let rtcp = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, above)).await.unwrap();
    let (handle, _events) = plane.reserve().unwrap().start(config(rtp.local_addr().unwrap())).unwrap();
    let mut bytes = [0; 500];
    timeout(LIMIT, rtcp.recv(&mut bytes)).await.expect("a report comes").unwrap();
    handle.close();
    let goodbye = async {
        loop {
            let length = rtcp.recv(&mut bytes).await.unwrap();
            if !Reports::parse(&bytes[..length]).unwrap().goodbyes.is_empty() {
                return;
            }
        }
    };
    timeout(LIMIT, goodbye).await.expect("a goodbye comes");
}

#[tokio::test]
async fn dropping_every_handle_closes_the_leg() {
    let plane = plane();
    let [(alice, mut from_bob), (bob, mut from_alice)] = pair(&plane);
    let another = alice.clone();
    drop(alice);
    received(&mut from_alice, 5).await;
    drop(another);
    timeout(LIMIT, async { while from_bob.recv().await.is_some() {} }).await.expect("the events end");
    bob.close();
    timeout(LIMIT, async { while from_alice.recv().await.is_some() {} }).await.expect("the events end");
    assert_eq!(plane.legs(), 0);
    assert!(matches!(bob.play(A, vec![0; 160]), Err(MediaError::Closed)));
    assert!(matches!(bob.stats().await, Err(MediaError::Closed)));
}

#[tokio::test]
async fn dropping_the_plane_completes_recordings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let plane = plane();
    let [(alice, mut from_bob), _bob] = pair(&plane);
    alice.record(path.clone()).unwrap();
    received(&mut from_bob, 30).await;
    tokio::task::spawn_blocking(move || drop(plane)).await.unwrap();
    assert!(hound::WavReader::open(&path).unwrap().duration() >= 20 * 160);
    assert!(matches!(alice.stop_recording().await, Err(MediaError::Closed)));
}

#[tokio::test]
async fn a_listener_that_sleeps_disturbs_nobody() {
    let plane = plane();
    let [(alice, _unread), (_bob, mut from_alice)] = pair(&plane);
    received(&mut from_alice, 200).await;
    let stats = timeout(LIMIT, alice.stats()).await.unwrap().unwrap();
    assert!(stats.events_lost > 0 && stats.packets_sent >= 200, "{stats:?}");
}

#[tokio::test]
async fn a_full_playout_takes_nothing_and_says_so() {
    let plane = plane();
    let [(alice, mut from_bob), _bob] = pair(&plane);
    alice.play(A, vec![0; 59 * 8_000]).unwrap();
    assert!(matches!(alice.play(A, vec![0; 2 * 8_000]), Err(MediaError::PlayoutFull(_))));
    alice.stop_playing().unwrap();
    until(&mut from_bob, |event| matches!(event, MediaEvent::Stopped { utterance: A, .. }).then_some(()))
        .await;
    alice.play(UtteranceId(2), vec![0; 59 * 8_000]).unwrap();
}

#[test]
fn ports_come_from_the_range_and_go_back() {
    // Whatever the system has free now serves as a range of one.
    let free = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port() & !1;
    let range = Config {
        bind: Ipv4Addr::LOCALHOST.into(),
        port_min: free,
        port_max: free + 1,
        port_rest_ms: 0,
        ..Config::default()
    };
    let plane = MediaPlane::start(range).unwrap();
    let leg = plane.reserve().unwrap();
    assert_eq!(leg.local_addr().port(), free);
    assert!(matches!(plane.reserve(), Err(MediaError::Ports(PortError::Exhausted { .. }))));
    drop(leg);
    assert!(plane.reserve().is_ok());
}

#[test]
fn bad_configurations_name_the_field() {
    let bad: Config = toml::from_str("threads = 65").unwrap();
    let error = MediaPlane::start(bad).err().unwrap().to_string();
    assert_eq!(error, "media.threads must be at most 64; 0 is one a core");
    assert!(toml::from_str::<Config>("thread = 1").is_err());
}

/// Not a test: real sockets, as many calls as `CALLS` says, both ends in this process.
#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_calls() {
    let calls: usize = std::env::var("CALLS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let plane = plane();
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
    };
    let before = resident();
    let pairs: Vec<_> = (0..calls / 2).map(|_| pair(&plane)).collect();
    tokio::time::sleep(Duration::from_secs(4)).await;
    println!("{} KB a leg, its unread events included", (resident() - before) / calls);
    for (n, [(a, _), (b, _)]) in pairs.iter().enumerate() {
        for (k, handle) in [a, b].into_iter().enumerate() {
            handle.play(A, tone(300.0 + (n + k) as f32, 5_000.0, 8_000 * 20)).unwrap();
        }
    }
    let usage = || {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<u64> = text.split(' ').skip(13).take(2).map(|f| f.parse().unwrap()).collect();
        (fields[0] + fields[1]) as f64 / 100.0
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, clock) = (usage(), Instant::now());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let cores = (usage() - before) / clock.elapsed().as_secs_f64();
    println!("{calls} legs: {:.4} % of a core a leg", cores * 100.0 / calls as f64);
    let mut worst = Vec::new();
    for [(a, _), (b, _)] in &pairs {
        for handle in [a, b] {
            worst.push(handle.stats().await.unwrap());
        }
    }
    worst.sort_by_key(|s| s.worst_lateness);
    let lateness = |share: f64| worst[((worst.len() - 1) as f64 * share) as usize].worst_lateness;
    println!(
        "worst lateness of a leg: median {:?}, p99 {:?}, max {:?}",
        lateness(0.5),
        lateness(0.99),
        lateness(1.0)
    );
    let skipped: u64 = worst.iter().map(|s| s.skipped_ticks).sum();
    let concealed: u64 = worst.iter().map(|s| s.concealed_samples).sum();
    println!("skipped ticks {skipped}, concealed samples {concealed}");
}
