//! Encrypted sessions: what is heard, and what nobody can make them hear.

use super::*;
use crate::{
    base::srtp::{Keying, Suite},
    media::srtp::{LONGEST_TAG, Srtp},
};

const MALLORY: &str = "192.0.2.2:6666";

fn keying(sends: u8, receives: u8) -> Keying {
    let suite = Suite::AesCm128HmacSha1_80;
    Keying { suite, sends: [sends; 30].into(), receives: [receives; 30].into() }
}

/// Alice sends with 1 and hears with 2.
fn keyed(remote: &str, seed: u64, keying: Keying) -> SessionConfig {
    begin(rekeyed(remote, Some(keying)), seed)
}

fn rekeyed(remote: &str, srtp: Option<Keying>) -> SessionUpdate {
    let update = update(remote, Direction::SendRecv);
    SessionUpdate { terms: Terms { srtp, ..update.terms }, ..update }
}

fn world() -> World {
    let mut world = World::new(|seed| Link::seeded(seed).loss(0.02).jitter(20));
    world.alice.session = Session::new(keyed(BOB, 1, keying(1, 2)), world.now + FRAME / 4);
    world.bob.session = Session::new(keyed(ALICE, 2, keying(2, 1)), world.now + FRAME / 2);
    world
}

fn speak(end: &mut End, utterance: u64) {
    end.session.play(UtteranceId(utterance), speech_like(8_000), 8_000).unwrap();
    end.session.finish(UtteranceId(utterance));
}

fn loudness(end: &End, from: usize) -> f64 {
    rms(&end.heard()[from..])
}

/// A packet of the far end's stream, plain.
fn packet(sequence: u16) -> Vec<u8> {
    let header = Header {
        marker: false,
        payload_type: 0,
        sequence: SequenceNumber(sequence),
        timestamp: Timestamp(u32::from(sequence) * 160),
        ssrc: Ssrc(77),
    };
    [&header.to_bytes()[..], &[0x10; 160]].concat()
}

fn protected(srtp: &mut Srtp, sequence: u16) -> Vec<u8> {
    let mut buffer = [packet(sequence), vec![0; LONGEST_TAG]].concat();
    let len = srtp.protect(&mut buffer, packet(0).len());
    buffer.truncate(len);
    buffer
}

#[test]
fn both_ends_hear_each_other_and_the_wire_tells_nothing() {
    let mut world = world();
    speak(&mut world.alice, 1);
    speak(&mut world.bob, 1);
    world.run(Duration::from_secs(2));
    world.alice.session.send_dtmf("42#").unwrap();
    world.run(Duration::from_secs(10));
    assert!(loudness(&world.alice, 0) > 300.0 && loudness(&world.bob, 0) > 300.0);
    assert_eq!(world.bob.digits(), "42#");
    for end in [&world.alice, &world.bob] {
        let stats = end.session.stats();
        assert!(stats.encrypted && stats.rtcp > 0 && stats.round_trip.is_some(), "{stats:?}");
        assert_eq!((stats.unauthenticated, stats.malformed, stats.strangers), (0, 0, 0), "{stats:?}");
        assert_eq!(
            stats.octets_sent,
            stats.packets_sent * 160 - 156 * events(end),
            "payload alone is counted"
        );
        // Silence in μ-law is 0xff over and over.
        assert!(end.sent.iter().all(|sent| !sent.windows(6).any(|bytes| bytes == [0xff; 6])));
        assert!(end.reports.iter().all(|(.., report)| report.len() > 8 && !report.ends_with(&[0])));
    }
}

/// Telephone events that were sent; their payload has four bytes.
fn events(end: &End) -> u64 {
    end.headers().iter().filter(|header| header.payload_type == 101).count() as u64
}

#[test]
fn packet_that_is_not_authentic_is_dropped_and_counted() {
    let mut theirs = Srtp::new(keying(2, 1));
    let mut stranger = Srtp::new(keying(9, 1));
    let mut alice = Session::new(keyed(BOB, 1, keying(1, 2)), Instant::now());
    let now = Instant::now();
    let authentic = protected(&mut theirs, 1);
    let mut changed = protected(&mut theirs, 2);
    changed[40] ^= 1;
    for datagram in [packet(1), changed, protected(&mut stranger, 3), authentic[..60].to_vec()] {
        alice.handle_datagram(now, at(BOB), &datagram);
    }
    let empty = [0x80, 201, 0, 1, 0, 0, 0, 77];
    alice.handle_rtcp(now, at("192.0.2.2:5001"), &empty.repeat(4));
    let stats = alice.stats();
    assert_eq!((stats.packets_received, stats.rtcp, stats.unauthenticated), (0, 0, 5), "{stats:?}");
    alice.handle_datagram(now, at(BOB), &authentic);
    alice.handle_datagram(now, at(BOB), &authentic);
    alice.handle_datagram(now, at(BOB), &[0x80]);
    alice.handle_rtcp(now, at("192.0.2.2:5001"), &empty);
    let stats = alice.stats();
    assert_eq!((stats.packets_received, stats.replayed, stats.duplicates), (1, 1, 0), "{stats:?}");
    assert_eq!(stats.malformed, 2, "too short for a tag");
}

#[test]
fn nobody_latches_who_has_no_key() {
    let mut alice = Session::new(keyed("10.0.0.2:5000", 1, keying(1, 2)), Instant::now());
    let (now, mut stranger) = (Instant::now(), Srtp::new(keying(9, 1)));
    for n in 1..50 {
        alice.handle_datagram(now, at(MALLORY), &packet(n));
        alice.handle_datagram(now, at(MALLORY), &protected(&mut stranger, n));
    }
    assert!(alice.poll_output().is_none(), "nothing was latched");
    alice.handle_datagram(now, at(BOB), &protected(&mut Srtp::new(keying(2, 1)), 1));
    assert!(
        matches!(alice.poll_output(), Some(Output::Event(MediaEvent::Latched { from })) if from == at(BOB))
    );
    alice.handle_datagram(now, at(MALLORY), &packet(51));
    assert_eq!((alice.stats().strangers, alice.stats().unauthenticated), (1, 98));
}

#[test]
fn wrong_key_is_silence_on_the_wire() {
    let mut world = world();
    world.bob.session = Session::new(keyed(ALICE, 2, keying(9, 1)), world.now + FRAME / 2);
    speak(&mut world.bob, 1);
    world.run(Duration::from_secs(3));
    assert!(world.alice.events.iter().any(|event| matches!(event, MediaEvent::RtpTimeout { .. })));
    assert!(world.alice.heard().iter().all(|sample| *sample == 0));
    assert!(world.alice.session.stats().unauthenticated > 100);
    assert!(world.alice.session.stats().far.is_none());
}

#[test]
fn numbers_wrap_within_a_session() {
    let (mut theirs, start) = (Srtp::new(keying(2, 1)), Instant::now());
    let mut alice = Session::new(keyed(BOB, 1, keying(1, 2)), start);
    for n in 0..100u16 {
        let now = start + FRAME * u32::from(n);
        alice.handle_datagram(now, at(BOB), &protected(&mut theirs, 65_486u16.wrapping_add(n)));
        alice.handle_timeout(now);
    }
    let stats = alice.stats();
    assert_eq!((stats.packets_received, stats.unauthenticated, stats.lost), (100, 0, 0), "{stats:?}");
}

#[test]
fn re_invite_keeps_a_key_or_changes_it() {
    let mut world = world();
    for (theirs, round) in [(2, 1), (2, 2), (7, 3)] {
        // Alice's key is the same in all her descriptions.
        world.alice.session.update(world.now, rekeyed(BOB, Some(keying(1, theirs))));
        world.bob.session.update(world.now, rekeyed(ALICE, Some(keying(theirs, 1))));
        let before = (world.alice.heard().len(), world.bob.heard().len());
        speak(&mut world.alice, round);
        speak(&mut world.bob, round);
        world.run(Duration::from_secs(2));
        assert!(loudness(&world.alice, before.0) > 300.0, "round {round}");
        assert!(loudness(&world.bob, before.1) > 300.0, "round {round}");
    }
    let lost = |end: &End| end.session.stats().unauthenticated;
    assert!(lost(&world.alice) + lost(&world.bob) < 5, "what was on its way at the most");
}

#[test]
fn who_latched_before_there_were_keys_must_prove_itself() {
    let mut alice = Session::new(config("0.0.0.0:0", 1), Instant::now());
    let now = Instant::now();
    alice.handle_datagram(now, at(MALLORY), &packet(1));
    alice.update(now, rekeyed("10.0.0.2:5000", Some(keying(1, 2))));
    alice.handle_datagram(now, at(MALLORY), &packet(2));
    alice.handle_datagram(now, at(BOB), &protected(&mut Srtp::new(keying(2, 1)), 1));
    let mut latched = Vec::new();
    while let Some(output) = alice.poll_output() {
        if let Output::Event(MediaEvent::Latched { from }) = output {
            latched.push(from);
        }
    }
    assert_eq!(latched, [at(MALLORY), at(BOB)]);
    alice.update(now, rekeyed("10.0.0.2:5000", None));
    alice.handle_datagram(now, at(BOB), &packet(3));
    assert_eq!((alice.stats().packets_received, alice.stats().encrypted), (3, false), "and plain again");
}

#[test]
fn goodbye_is_protected() {
    let mut world = world();
    world.run(Duration::from_secs(8));
    world.alice.session.close(world.now);
    let outputs = std::iter::from_fn(|| world.alice.session.poll_output());
    let goodbye = outputs.filter_map(|output| match output {
        Output::Report { datagram, .. } => Some(datagram),
        _ => None,
    });
    let mut goodbye = goodbye.last().expect("a goodbye");
    assert!(crate::media::rtcp::Reports::parse(&goodbye).is_err(), "nobody else reads it");
    let len = Srtp::new(keying(2, 1)).open(&mut goodbye).unwrap();
    let reports = crate::media::rtcp::Reports::parse(&goodbye[..len]).unwrap();
    assert_eq!(reports.goodbyes.len(), 1);
}

/// Far ends that wrap: the first number is as high as it ever is.
fn late_seed() -> u64 {
    let first = |seed: u64| (super::super::outbound::scramble(seed) >> 32) as u16 >> 1;
    (0..).find(|seed| first(*seed) > 32_700).unwrap()
}

/// What alice sends in so much time: RTP, and reports.
fn sent(alice: &mut Session, now: &mut Instant, time: Duration) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut packets, mut reports, until) = (Vec::new(), Vec::new(), *now + time);
    while *now < until {
        alice.handle_timeout(*now);
        *now += FRAME;
        while let Some(output) = alice.poll_output() {
            match output {
                Output::Transmit { datagram, .. } => packets.push(datagram.to_vec()),
                Output::Report { datagram, .. } => reports.push(datagram),
                _ => {}
            }
        }
    }
    (packets, reports)
}

#[test]
fn numbers_go_on_under_a_key_that_was_put_down_for_a_while() {
    let start = Instant::now();
    let (mut now, mut bob) = (start, Srtp::new(keying(2, 1)));
    let mut alice = Session::new(keyed(BOB, late_seed(), keying(1, 2)), now);
    // Eleven minutes: behind the first wrap.
    let (packets, reports) = sent(&mut alice, &mut now, Duration::from_secs(665));
    let mut opens = |sent: Vec<Vec<u8>>| {
        let count = sent.len();
        let opened = sent.into_iter().filter_map(|mut sent| bob.open(&mut sent).ok()).count();
        assert_eq!(opened, count, "none is refused as heard before, nor as that of another count");
        count
    };
    assert!(opens(packets) > 33_000 && opens(reports) > 100);
    alice.update(now, rekeyed(BOB, None));
    let (plain, _) = sent(&mut alice, &mut now, Duration::from_secs(10));
    assert!(plain.iter().all(|sent| Packet::parse(sent).is_ok_and(|packet| packet.payload == [0xff; 160])));
    alice.update(now, rekeyed(BOB, Some(keying(1, 2))));
    let (packets, reports) = sent(&mut alice, &mut now, Duration::from_secs(20));
    assert!(opens(packets) > 900 && opens(reports) > 1);
}
