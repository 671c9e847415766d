//! Two sessions against each other over a bad network, in virtual time.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::{
    base::{
        audio::FRAME,
        terms::{Agreed, Rtcp, Terms},
    },
    media::{
        codec,
        conceal::signals::{rms, speech_like},
        jitter,
        netem::Link,
        ringback::{Ringback, Ringing},
        rtp::{Header, SequenceNumber, Ssrc, Timestamp},
    },
};

mod codecs;
mod disorder;
mod feeds;
mod hold;
mod keys;
mod reports;
mod secure;
mod source;

const ALICE: &str = "192.0.2.1:4000";
const BOB: &str = "192.0.2.2:5000";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn config(remote: &str, seed: u64) -> SessionConfig {
    begin(Agreed::usual(Codec::Pcmu, at(remote)), seed)
}

fn begin(agreed: Agreed, seed: u64) -> SessionConfig {
    agreed.begin(jitter::Config::default(), Duration::from_secs(1), seed)
}

fn update(remote: &str, direction: Direction) -> SessionUpdate {
    SessionUpdate { direction, ..Agreed::usual(Codec::Pcmu, at(remote)) }
}

/// One end: its session, what it learned, what it put on the wire.
struct End {
    session: Session,
    addr: SocketAddr,
    events: Vec<MediaEvent>,
    sent: Vec<Vec<u8>>,
    link: Link<Vec<u8>>,
    /// Where its reports come from, unless RTP's port is agreed on.
    rtcp_port: u16,
    /// Its reports: where to, whether through RTP's port, and their bytes.
    reports: Vec<(SocketAddr, bool, Vec<u8>)>,
    rtcp_link: Link<(bool, Vec<u8>)>,
}

impl End {
    fn heard(&self) -> Vec<i16> {
        let frames = self.events.iter().filter_map(|e| match e {
            MediaEvent::Frame { pcm, .. } => Some(pcm.clone()),
            _ => None,
        });
        frames.flatten().collect()
    }

    fn kinds(&self, wanted: FrameKind) -> usize {
        let is = |e: &&MediaEvent| matches!(e, MediaEvent::Frame { kind, .. } if *kind == wanted);
        self.events.iter().filter(is).count()
    }

    fn digits(&self) -> String {
        let digit = |e: &MediaEvent| match e {
            MediaEvent::Dtmf { digit, .. } => Some(*digit),
            _ => None,
        };
        self.events.iter().filter_map(digit).collect()
    }

    fn has(&self, event: &MediaEvent) -> bool {
        self.events.contains(event)
    }

    fn headers(&self) -> Vec<Header> {
        self.sent.iter().map(|bytes| Packet::parse(bytes).unwrap().header).collect()
    }
}

struct World {
    now: Instant,
    alice: End,
    bob: End,
}

impl World {
    /// `network` makes the way out of each end.
    fn new(network: impl Fn(u64) -> Link<Vec<u8>>) -> Self {
        let now = Instant::now();
        let end = |addr: &str, remote: &str, seed, start| End {
            session: Session::new(config(remote, seed), start),
            addr: at(addr),
            events: Vec::new(),
            sent: Vec::new(),
            link: network(seed),
            rtcp_port: at(addr).port() + 1,
            reports: Vec::new(),
            rtcp_link: Link::seeded(seed).delay(network(seed).delay.as_millis() as u64),
        };
        World { now, alice: end(ALICE, BOB, 1, now + FRAME / 4), bob: end(BOB, ALICE, 2, now + FRAME / 2) }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(1);
            step(self.now, &mut self.alice, &mut self.bob);
            step(self.now, &mut self.bob, &mut self.alice);
        }
    }
}

/// Delivers to `to` what has arrived, ticks it, and carries away what it sends.
fn step(now: Instant, from: &mut End, to: &mut End) {
    while let Some((_, datagram)) = from.link.poll(now) {
        to.session.handle_datagram(now, from.addr, &datagram);
    }
    while let Some((_, (mux, datagram))) = from.rtcp_link.poll(now) {
        let own = SocketAddr::new(from.addr.ip(), from.rtcp_port);
        match mux {
            true => to.session.handle_datagram(now, from.addr, &datagram),
            false => to.session.handle_rtcp(now, own, &datagram),
        }
    }
    if to.session.poll_timeout().is_some_and(|due| due <= now) {
        to.session.handle_timeout(now);
    }
    while let Some(output) = to.session.poll_output() {
        match output {
            Output::Event(event) => to.events.push(event),
            Output::Tap(_) => {}
            Output::Report { to: addr, mux, datagram } => {
                to.reports.push((addr, mux, datagram.clone()));
                to.rtcp_link.send(now, (mux, datagram));
            }
            Output::Transmit { to: addr, datagram } => {
                assert_eq!(addr, from.addr);
                to.sent.push(datagram.to_vec());
                to.link.send(now, datagram.to_vec());
            }
        }
    }
}

const A: UtteranceId = UtteranceId(1);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The lag at which `heard` holds `said`, and how alike they are there (-1.0 to 1.0).
fn align(said: &[i16], heard: &[i16]) -> (usize, f64) {
    let power = |x: &[i16]| x.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
    let alike = |lag: usize| {
        let part = &heard[lag..lag + said.len()];
        let cross: f64 = said.iter().zip(part).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        cross / (power(said) * power(part)).sqrt().max(1.0)
    };
    let lags = (0..heard.len() - said.len()).map(|lag| (lag, alike(lag)));
    lags.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

/// A session, and what its far end sends by hand.
struct Far {
    session: Session,
    now: Instant,
    sequence: u16,
}

const BEHIND_NAT: [&str; 2] = ["198.51.100.7:40000", "198.51.100.7:40001"];

impl Far {
    fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        Far { session: Session::new(config, now), now, sequence: 0 }
    }

    fn behind_nat() -> Self {
        Self::new(SessionConfig { rtp_timeout: secs(60), ..config("10.0.0.2:5000", 1) })
    }

    /// So much time, in which the far end speaks through these ports at once; gives what came of it.
    fn hears(&mut self, time: Duration, from: &[&str]) -> Vec<Output> {
        let until = self.now + time;
        while self.now < until {
            self.sequence += 1;
            let header = Header {
                marker: false,
                payload_type: 0,
                sequence: SequenceNumber(self.sequence),
                timestamp: Timestamp(u32::from(self.sequence) * 160),
                ssrc: Ssrc(9),
            };
            let packet = [&header.to_bytes()[..], &[0x20; 160]].concat();
            from.iter().for_each(|from| self.session.handle_datagram(self.now, at(from), &packet));
            self.session.handle_timeout(self.now);
            self.now += FRAME;
        }
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    /// A re-INVITE that says what was said before.
    fn refreshed(&mut self) {
        self.session.update(self.now, update("10.0.0.2:5000", Direction::SendRecv));
    }
}

#[test]
fn what_one_plays_the_other_hears() {
    let mut world = World::new(Link::seeded);
    let said = speech_like(8_000);
    world.run(secs(1));
    world.alice.session.play(A, &said, 8_000).unwrap();
    world.alice.session.finish(A);
    world.run(secs(2));
    let (_, alike) = align(&said, &world.bob.heard());
    assert!(alike > 0.999, "{alike}");
    assert!(world.alice.has(&MediaEvent::Played { utterance: A, samples: 8_000 }));
    assert!(world.alice.events.iter().any(|e| matches!(e, MediaEvent::Playing { utterance: A, .. })));
    assert!(world.bob.has(&MediaEvent::Latched { from: at(ALICE) }));
    assert_eq!(world.bob.kinds(FrameKind::Concealed), 0);
    // Bob said nothing: silence went out all the same.
    assert_eq!(world.bob.sent.len(), 150);
    assert_eq!(rms(&world.alice.heard()), 0.0);
}

#[test]
fn packets_have_no_gaps_and_time_is_even() {
    let mut world = World::new(Link::seeded);
    world.run(secs(2));
    world.alice.session.play(A, speech_like(4_000), 8_000).unwrap();
    world.run(secs(2));
    let headers = world.alice.headers();
    assert!(headers[0].marker && headers[1..].iter().all(|h| !h.marker));
    for pair in headers.windows(2) {
        assert_eq!(pair[1].sequence.since(pair[0].sequence), 1);
        assert_eq!(pair[1].timestamp.since(pair[0].timestamp), 160);
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
    }
}

#[test]
fn speech_survives_a_bad_network() {
    let mut world = World::new(|seed| Link::seeded(seed).loss(0.03).jitter(50).duplicates(0.02));
    let said = speech_like(24_000);
    world.run(secs(3));
    world.alice.session.play(A, &said, 8_000).unwrap();
    world.run(secs(4));
    let heard = world.bob.heard();
    // Alignment moves when the delay does, so look at half a second at a time.
    for part in said.chunks(4_000) {
        let (_, alike) = align(part, &heard);
        assert!(alike > 0.8, "{alike}");
    }
    let stats = world.bob.session.stats();
    let loss = stats.lost as f64 / (stats.lost + stats.packets_received) as f64;
    assert!((0.01..0.06).contains(&loss), "{loss}");
    assert!(stats.duplicates > 0 && stats.jitter > Duration::from_millis(5), "{stats:?}");
}

#[test]
fn digits_cross_a_bad_network_both_ways_and_audio_waits_for_them() {
    let mut world = World::new(|seed| Link::seeded(seed).loss(0.2).jitter(60).duplicates(0.1));
    world.run(secs(1));
    world.alice.session.play(A, speech_like(4_000), 8_000).unwrap();
    world.alice.session.finish(A);
    world.alice.session.send_dtmf("1590w*#D").unwrap();
    world.bob.session.send_dtmf("11223344").unwrap();
    world.run(secs(5));
    assert_eq!((world.bob.digits().as_str(), world.alice.digits().as_str()), ("1590*#D", "11223344"));
    assert!(world.alice.has(&MediaEvent::Played { utterance: A, samples: 4_000 }));
    let headers = world.alice.headers();
    assert!(headers.windows(2).all(|pair| pair[1].sequence.since(pair[0].sequence) == 1));
}

#[test]
fn digits_go_as_sound_where_events_were_not_agreed_on() {
    for codec in [Codec::Pcma, Codec::G722] {
        let mut world = World::new(|seed| Link::seeded(seed).jitter(10));
        for (end, remote, seed) in [(&mut world.alice, BOB, 1), (&mut world.bob, ALICE, 2)] {
            let eventless = Agreed { telephone_event: None, ..Agreed::usual(codec, at(remote)) };
            end.session = Session::new(begin(eventless, seed), world.now + FRAME / 4);
        }
        world.run(Duration::from_millis(500));
        world.alice.session.play(A, speech_like(4_000), 8_000).unwrap();
        world.alice.session.finish(A);
        world.alice.session.send_dtmf("15w90*#D").unwrap();
        world.run(secs(4));
        assert_eq!(world.bob.digits(), "1590*#D", "{codec:?}");
        assert!(
            world.alice.has(&MediaEvent::Played { utterance: A, samples: 4_000 }),
            "speech waits for them"
        );
        assert!(world.alice.headers().iter().all(|header| header.payload_type == codec.payload_type()));
    }
}

#[test]
fn audio_that_is_refused_leaves_nothing_in_the_filter() {
    let wide = speech_like(6_400);
    let sent = |refused: bool| {
        let mut session = Session::new(config(BOB, 1), Instant::now());
        session.play(A, vec![0; 59 * 8_000], 8_000).unwrap();
        session.play(UtteranceId(2), &wide[..3_200], 16_000).unwrap();
        if refused {
            assert!(session.play(UtteranceId(2), vec![8_000; 3 * 16_000], 16_000).is_err());
        }
        session.play(UtteranceId(2), &wide[3_200..], 16_000).unwrap();
        session.finish(UtteranceId(2));
        let mut out = vec![0; session.queued()];
        session.outbound.playout.frame(&mut out, &mut Vec::new());
        out
    };
    assert!(sent(true) == sent(false), "not one sample is another");
}

#[test]
fn unknown_payload_types_are_counted_and_dropped() {
    let now = Instant::now();
    let mut session = Session::new(config(BOB, 1), now);
    let packet = |payload_type: u8, n: u16| {
        let header = Header {
            marker: false,
            payload_type,
            sequence: SequenceNumber(n),
            timestamp: Timestamp(u32::from(n) * 160),
            ssrc: Ssrc(9),
        };
        [&header.to_bytes()[..], &[0x00; 160]].concat()
    };
    for n in 0..10 {
        session.handle_datagram(now, at(BOB), &packet(96, n));
        // A receiver report of nothing, before the latch is closed; then half a sender report.
        session.handle_datagram(now, at(BOB), &[0x80, 201, 0, 1, 0, 0, 0, 9]);
        session.handle_datagram(now, at(BOB), &[0x80, 200, 0, 1, 0, 0, 0, 9]);
        session.handle_datagram(now, at(BOB), b"INVITE sip:bob");
    }
    let stats = session.stats();
    assert_eq!((stats.unknown_payload, stats.malformed, stats.strangers), (10, 20, 10));
    assert_eq!((stats.rtcp, stats.packets_received), (0, 0));
    assert!(session.poll_output().is_none(), "nothing of it closes the latch");
    session.handle_datagram(now, at(BOB), &packet(8, 0));
    assert_eq!(session.stats().packets_received, 1, "the other law is understood");
}

#[test]
fn stopping_says_what_was_heard() {
    let mut world = World::new(Link::seeded);
    world.alice.session.play(A, speech_like(8_000), 8_000).unwrap();
    world.alice.session.play(UtteranceId(2), speech_like(8_000), 8_000).unwrap();
    world.run(Duration::from_millis(400));
    world.alice.session.stop_playing();
    world.run(secs(1));
    let stopped = |e: &MediaEvent| match e {
        MediaEvent::Stopped { utterance, samples } => Some((utterance.0, *samples)),
        _ => None,
    };
    let told: Vec<(u64, u64)> = world.alice.events.iter().filter_map(stopped).collect();
    let silence = codec::g711::encode_ulaw(0);
    let spoken = world.alice.sent.iter().filter(|p| p[12..].iter().any(|&b| b != silence)).count();
    assert_eq!(told, [(1, spoken as u64 * 160), (2, 0)]);
}

#[test]
fn a_standstill_skips_time_and_not_sequence_numbers() {
    let now = Instant::now();
    let mut session = Session::new(config(BOB, 1), now);
    let (mut sent, mut starts) = (Vec::new(), Vec::new());
    for time in [0, 20, 1_020, 1_040] {
        session.handle_timeout(now + Duration::from_millis(time));
        while let Some(output) = session.poll_output() {
            match output {
                Output::Transmit { datagram, .. } => sent.push(Packet::parse(&datagram).unwrap().header),
                Output::Event(MediaEvent::Frame { start, .. }) => starts.push(start / 160),
                _ => {}
            }
        }
    }
    let steps: Vec<_> = sent.windows(2).map(|p| p[1].timestamp.since(p[0].timestamp) / 160).collect();
    assert_eq!(steps, [1, 48, 1, 1, 1]);
    assert!(sent.windows(2).all(|p| p[1].sequence.since(p[0].sequence) == 1) && sent[2].marker);
    assert_eq!(starts, [0, 1, 49, 50, 51, 52]);
    assert_eq!(session.stats().skipped_ticks, 47);
}

#[test]
fn a_new_codec_takes_effect_in_the_middle_of_an_utterance() {
    let mut world = World::new(Link::seeded);
    world.run(secs(1));
    let said = speech_like(8_000);
    world.alice.session.play(A, &said, 8_000).unwrap();
    world.run(Duration::from_millis(500));
    for (end, remote) in [(&mut world.alice, BOB), (&mut world.bob, ALICE)] {
        end.session.update(world.now, Agreed::usual(Codec::Pcma, at(remote)));
    }
    world.run(secs(1));
    assert!(align(&said, &world.bob.heard()).1 > 0.998);
    assert_eq!(world.alice.headers().last().unwrap().payload_type, 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_datagrams_leave_the_session_alive(
        datagrams in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..300), any::<bool>(), 0u8..4, 0u64..100), 1..60),
    ) {
        let mut now = Instant::now();
        let mut session = Session::new(config(BOB, 7), now);
        for (mut bytes, shape, kind, step) in datagrams {
            if shape && bytes.len() > 12 {
                bytes[0] = 0x80;
                bytes[1] = [0, 8, 101, 13][usize::from(kind)];
                bytes[8..12].fill(kind / 2);
            }
            session.handle_datagram(now, at(BOB), &bytes);
            now += Duration::from_millis(step);
            session.handle_timeout(now);
            while let Some(output) = session.poll_output() {
                if let Output::Event(MediaEvent::Frame { pcm, .. }) = output {
                    prop_assert_eq!(pcm.len(), 160);
                }
            }
        }
    }
}

/// Not a test: `cargo test --lib --release -- --ignored --nocapture cost_of_a_frame`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_frame() {
    let now = Instant::now();
    let calls = 100u32;
    let mut sessions: Vec<Session> = (0..calls).map(|n| Session::new(config(BOB, n.into()), now)).collect();
    let speech = speech_like(160 * 500);
    let payloads: Vec<Vec<u8>> = speech
        .chunks(160)
        .map(|frame| frame.iter().copied().map(codec::g711::encode_ulaw).collect())
        .collect();
    let clock = Instant::now();
    for (n, payload) in payloads.iter().enumerate() {
        let tick = now + FRAME * n as u32;
        let header = Header {
            marker: false,
            payload_type: 0,
            sequence: SequenceNumber(n as u16),
            timestamp: Timestamp(n as u32 * 160),
            ssrc: Ssrc(1),
        };
        let datagram = [&header.to_bytes()[..], payload].concat();
        for session in &mut sessions {
            if n % 50 == 0 {
                session.play(UtteranceId(n as u64 / 50), &speech[..8_000], 8_000).unwrap();
            }
            session.handle_datagram(tick, at(BOB), &datagram);
            session.handle_timeout(tick);
            while session.poll_output().is_some() {}
        }
    }
    let cost = clock.elapsed() / (calls * payloads.len() as u32);
    println!("{cost:?} a frame both ways, {:.4} % of a core a call", cost.as_secs_f64() * 50.0 * 100.0);
    println!("{} bytes of struct a call", size_of::<Session>());
}
