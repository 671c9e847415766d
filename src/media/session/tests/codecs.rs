//! Codecs, packet times and payload types: what sessions agree on, and what peers send all the same.

use super::*;
use crate::{
    base::{
        audio::WIDEBAND_HZ,
        terms::{Format, Formats, OpusTerms},
    },
    media::resample::stretched,
};

fn of(codec: Codec, remote: &str, direction: Direction) -> SessionUpdate {
    let opus = OpusTerms { fec: true, ..OpusTerms::default() };
    let terms = Terms { opus, ..Terms::default() };
    SessionUpdate { direction, terms, ..Agreed::usual(codec, at(remote)) }
}

/// Two ends that have agreed on `codec`.
fn speaking(codec: Codec, network: impl Fn(u64) -> Link<Vec<u8>>) -> World {
    let mut world = World::new(network);
    for (end, remote, seed) in [(&mut world.alice, BOB, 1), (&mut world.bob, ALICE, 2)] {
        let agreed = of(codec, remote, Direction::SendRecv);
        end.session = Session::new(begin(agreed, seed), world.now + FRAME / 4);
    }
    world
}

fn tone(hz: f32, rate: u32, seconds: f32) -> Vec<i16> {
    let step = std::f32::consts::TAU * hz / rate as f32;
    (0..(rate as f32 * seconds) as usize).map(|n| (9_000.0 * (step * n as f32).sin()) as i16).collect()
}

fn frames(end: &End) -> Vec<(Vec<i16>, FrameKind)> {
    let frame = |event: &MediaEvent| match event {
        MediaEvent::Frame { pcm, kind, .. } => Some((pcm.clone(), *kind)),
        _ => None,
    };
    end.events.iter().filter_map(frame).collect()
}

#[test]
fn every_codec_carries_speech_on_its_own_clock() {
    for codec in Codec::ALL {
        let mut world = speaking(codec, Link::seeded);
        let rate = codec.sample_rate();
        let said = stretched(&speech_like(8_000), 8_000, rate);
        world.run(secs(1));
        world.alice.session.play(A, &said, rate).unwrap();
        world.alice.session.finish(A);
        world.run(secs(2));
        let heard = world.bob.heard();
        let (_, alike) = align(&said[..4_000], &heard[heard.len() / 3..]);
        assert!(alike > 0.9, "{codec:?}: {alike}");
        assert!(world.alice.has(&MediaEvent::Played { utterance: A, samples: 8_000 }), "{codec:?}");
        let headers = world.alice.headers();
        let steps = headers
            .windows(2)
            .all(|pair| pair[1].timestamp.since(pair[0].timestamp) == codec.clock_rate() as i32 / 50);
        assert!(steps, "{codec:?}");
        assert_eq!(frames(&world.bob)[0].0.len() as u32, rate / 50);
        assert_eq!(world.bob.kinds(FrameKind::Concealed), 0, "{codec:?}");
    }
}

#[test]
fn wideband_is_heard_above_the_telephone_band() {
    for codec in [Codec::G722, Codec::Opus] {
        let mut world = speaking(codec, Link::seeded);
        world.alice.session.play(A, tone(5_500.0, WIDEBAND_HZ, 1.0), WIDEBAND_HZ).unwrap();
        world.run(Duration::from_millis(900));
        let heard = world.bob.heard();
        assert!(rms(&heard[heard.len() / 2..]) > 3_000.0, "{codec:?}");
    }
}

#[test]
fn narrow_audio_is_played_on_a_wide_line_without_images() {
    let mut world = speaking(Codec::G722, Link::seeded);
    for part in tone(3_000.0, 8_000, 1.0).chunks(333) {
        world.alice.session.play(A, part, 8_000).unwrap();
    }
    world.alice.session.finish(A);
    world.alice.session.set_tap(true);
    world.run(Duration::from_millis(1_200));
    assert!(world.alice.has(&MediaEvent::Played { utterance: A, samples: 8_000 }));
    let heard = world.bob.heard();
    let (_, alike) = align(&tone(3_000.0, WIDEBAND_HZ, 0.2), &heard[8_000..16_000]);
    assert!(alike > 0.98, "{alike}");
}

#[test]
fn lost_frames_of_opus_come_with_the_next() {
    let mut world = speaking(Codec::Opus, |seed| Link::seeded(seed).loss(0.1));
    let said = stretched(&speech_like(8_000 * 8), 8_000, WIDEBAND_HZ);
    world.alice.session.play(A, &said, WIDEBAND_HZ).unwrap();
    world.run(secs(8));
    let stats = world.bob.session.stats();
    assert!(stats.recovered > 15, "{stats:?}");
    assert!(
        stats.concealed_samples < stats.lost * 160 / 2,
        "most of what is lost need not be made up: {stats:?}"
    );
}

#[test]
fn a_re_invite_changes_the_rate_without_a_break() {
    let mut world = speaking(Codec::Pcmu, Link::seeded);
    world.alice.session.play(A, tone(300.0, 8_000, 5.0), 8_000).unwrap();
    for codec in [Codec::Pcmu, Codec::G722, Codec::Pcma] {
        for (end, remote) in [(&mut world.alice, BOB), (&mut world.bob, ALICE)] {
            end.session.update(world.now, of(codec, remote, Direction::SendRecv));
        }
        world.run(secs(1));
    }
    let heard = frames(&world.bob);
    let lengths: Vec<usize> = heard.iter().map(|(pcm, _)| pcm.len()).collect();
    assert_eq!([lengths[40], lengths[70], lengths[130]], [160, 320, 160]);
    for (n, (pcm, kind)) in heard.iter().enumerate().skip(10) {
        assert_eq!(*kind, FrameKind::Received, "frame {n}");
        assert!((4_500.0..8_500.0).contains(&rms(pcm)), "frame {n}: {}", rms(pcm));
    }
    assert_eq!(world.bob.session.stats().resyncs, 0);
}

/// Feeds a session packets of `payload_type` whose lengths in milliseconds are `ptimes`.
fn feed(
    session: &mut Session,
    start: Instant,
    payload_type: u8,
    ptimes: &[u32],
    payload: impl Fn(u32) -> Vec<u8>,
) {
    let (mut due, mut time) = (start, 0u32);
    for (n, ptime) in ptimes.iter().enumerate() {
        let header = Header {
            marker: false,
            payload_type,
            sequence: SequenceNumber(n as u16),
            timestamp: Timestamp(time * 8),
            ssrc: Ssrc(9),
        };
        time += ptime;
        // A packet leaves when its last sample was spoken.
        let at = start + Duration::from_millis(time.into());
        while due <= at {
            session.handle_timeout(due);
            due += FRAME;
        }
        session.handle_datagram(at, at_bob(), &[&header.to_bytes()[..], &payload(*ptime)].concat());
    }
}

fn at_bob() -> SocketAddr {
    at(BOB)
}

fn kinds(session: &mut Session) -> Vec<(Vec<i16>, FrameKind)> {
    std::iter::from_fn(|| session.poll_output())
        .filter_map(|output| match output {
            Output::Event(MediaEvent::Frame { pcm, kind, .. }) => Some((pcm, kind)),
            _ => None,
        })
        .collect()
}

#[test]
fn packets_of_any_length_are_heard_whole_even_when_it_changes() {
    let now = Instant::now();
    for codec in [Codec::Pcmu, Codec::G722] {
        for pattern in [vec![10], vec![20], vec![30], vec![40], vec![60], vec![20, 60, 10, 30, 40]] {
            // Five of each before the next.
            let ptimes: Vec<u32> = pattern.iter().cycle().flat_map(|p| [*p; 5]).take(100).collect();
            let mut session = Session::new(begin(Agreed::usual(codec, at(BOB)), 1), now);
            // Eight bytes a millisecond, in both codecs.
            feed(&mut session, now, codec.payload_type(), &ptimes, |ptime| vec![0x55; ptime as usize * 8]);
            let heard = kinds(&mut session);
            let begin = heard.iter().position(|(_, kind)| *kind == FrameKind::Received).unwrap();
            let made_up = heard[begin..].iter().filter(|(_, kind)| *kind != FrameKind::Received).count();
            // A longer packet time is a longer wait, once.
            assert!(
                made_up <= if pattern.len() == 1 { 2 } else { 8 },
                "{codec:?} {pattern:?}: {made_up} of {}",
                heard.len()
            );
            assert!(begin <= 9, "{codec:?} {pattern:?}: silent for {begin} frames");
        }
    }
}

#[test]
fn another_codec_under_its_static_number_is_understood_on_a_wide_line() {
    let now = Instant::now();
    let mut session = Session::new(begin(Agreed::usual(Codec::G722, at(BOB)), 1), now);
    // The digital milliwatt: 1 kHz at 0 dBm0.
    let period = [0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e];
    feed(&mut session, now, 0, &[20; 50], |ptime| period.repeat(ptime as usize));
    let heard: Vec<i16> = kinds(&mut session).into_iter().skip(10).flat_map(|(pcm, _)| pcm).collect();
    assert!((14_000.0..17_000.0).contains(&rms(&heard)), "{}", rms(&heard));
    // 1 kHz at 16 kHz: a zero crossing every eight samples.
    let crossings = heard.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count();
    assert!(crossings.abs_diff(heard.len() / 8) < 10, "{crossings} of {}", heard.len());
}

#[test]
fn the_far_end_may_send_under_our_numbers_or_its_own() {
    let now = Instant::now();
    let mut receives = Formats::default();
    receives.insert(97, Format::Speech(Codec::Pcma));
    receives.insert(101, Format::Event);
    let terms = Terms { receives, ..Terms::default() };
    // It calls A-law 96 and events 97, which with us is A-law.
    let usual = Agreed::usual(Codec::Pcma, at(BOB));
    let asymmetric = begin(Agreed { payload_type: 96, telephone_event: Some(97), terms, ..usual }, 1);
    for payload_type in [96, 97] {
        let mut session = Session::new(asymmetric.clone(), now);
        feed(&mut session, now, payload_type, &[20; 10], |_| vec![0x2a; 160]);
        let loud = kinds(&mut session).iter().filter(|(pcm, _)| rms(pcm) > 10_000.0).count();
        assert!(loud > 3, "{payload_type} is speech");
    }
    let mut session = Session::new(asymmetric, now);
    feed(&mut session, now, 101, &[20; 3], |_| vec![5, 0x8a, 0, 160]);
    assert_eq!((session.stats().unknown_payload, session.stats().malformed), (0, 0));
    let headers: Vec<Header> = std::iter::from_fn(|| session.poll_output())
        .filter_map(|output| match output {
            Output::Transmit { datagram, .. } => Some(Packet::parse(&datagram).unwrap().header),
            _ => None,
        })
        .collect();
    assert!(
        !headers.is_empty() && headers.iter().all(|header| header.payload_type == 96),
        "we send under its numbers"
    );
}

#[test]
fn comfort_noise_fills_the_far_ends_silence_until_it_speaks() {
    let now = Instant::now();
    let mut session = Session::new(config(BOB, 1), now);
    let header = |n: u16, payload_type| Header {
        marker: n == 100,
        payload_type,
        sequence: SequenceNumber(n),
        timestamp: Timestamp(u32::from(n) * 160),
        ssrc: Ssrc(9),
    };
    for n in 0..150u16 {
        let due = now + FRAME * u32::from(n);
        match n {
            0..20 | 100.. => {
                let packet = [&header(n, 0).to_bytes()[..], &[0x80; 160]].concat();
                session.handle_datagram(due, at(BOB), &packet);
            }
            20 => session.handle_datagram(due, at(BOB), &[&header(n, 13).to_bytes()[..], &[50]].concat()),
            _ => {}
        }
        session.handle_timeout(due);
    }
    let heard = kinds(&mut session);
    let level = |pcm: &[i16]| 20.0 * (rms(pcm) / 32_767.0).log10();
    for (pcm, kind) in &heard[30..100] {
        assert_eq!(*kind, FrameKind::Silence);
        assert!((-53.0..-47.0).contains(&level(pcm)), "{}", level(pcm));
    }
    assert!(heard[105..].iter().all(|(pcm, _)| rms(pcm) > 20_000.0));
}

#[test]
fn digits_are_counted_on_the_clock_of_their_codec() {
    let mut world = speaking(Codec::Opus, |seed| Link::seeded(seed).loss(0.1));
    world.run(Duration::from_millis(200));
    world.alice.session.send_dtmf("15#").unwrap();
    world.run(secs(2));
    let digits: Vec<(char, u128)> = world
        .bob
        .events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Dtmf { digit, duration } => Some((*digit, duration.as_millis())),
            _ => None,
        })
        .collect();
    assert_eq!(digits, [('1', 100), ('5', 100), ('#', 100)]);
}

#[test]
fn events_without_a_marker_bit_are_digits() {
    let now = Instant::now();
    let mut session = Session::new(config(BOB, 1), now);
    feed(&mut session, now, 101, &[20; 3], |_| vec![5, 0x8a, 0, 160]);
    let digits = std::iter::from_fn(|| session.poll_output())
        .filter(|output| matches!(output, Output::Event(MediaEvent::Dtmf { digit: '5', .. })))
        .count();
    assert_eq!(digits, 3, "each has a timestamp of its own");
}
