//! Directions and silences: what is sent and heard while either end holds the other.

use super::*;

#[test]
fn on_hold_nothing_is_sent_and_what_plays_waits() {
    let mut world = World::new(Link::seeded);
    world.run(secs(1));
    world.alice.session.play(A, &speech_like(8_000), 8_000).unwrap();
    world.alice.session.finish(A);
    world.run(Duration::from_millis(500));
    let sent = world.alice.sent.len();
    world.alice.session.update(world.now, update(BOB, Direction::RecvOnly));
    world.run(secs(2));
    assert_eq!(world.alice.sent.len(), sent);
    assert!(!world.alice.has(&MediaEvent::Played { utterance: A, samples: 8_000 }));
    assert!(world.bob.events.iter().any(|e| matches!(e, MediaEvent::RtpTimeout { .. })));
    world.alice.session.update(world.now, update(BOB, Direction::SendRecv));
    world.run(secs(1));
    assert!(world.alice.has(&MediaEvent::Played { utterance: A, samples: 8_000 }));
    assert!(world.bob.has(&MediaEvent::RtpResumed));
    let resumed = &world.alice.headers()[sent - 1..sent + 1];
    assert!(resumed[1].marker);
    assert_eq!(resumed[1].sequence.since(resumed[0].sequence), 1);
    assert_eq!(resumed[1].timestamp.since(resumed[0].timestamp), 101 * 160);
}

#[test]
fn while_the_far_end_is_on_hold_its_silence_is_no_fault() {
    let mut world = World::new(Link::seeded);
    world.run(secs(1));
    world.alice.session.update(world.now, update(BOB, Direction::SendOnly));
    world.bob.session.update(world.now, update(ALICE, Direction::Inactive));
    world.run(secs(5));
    let timed_out = |end: &End| end.events.iter().any(|e| matches!(e, MediaEvent::RtpTimeout { .. }));
    assert!(!timed_out(&world.alice) && !timed_out(&world.bob));
    assert_eq!(world.alice.heard().len() / 160, 300);
}

#[test]
fn silence_is_reported_once_and_its_end_too() {
    let mut world = World::new(Link::seeded);
    world.run(secs(1));
    world.bob.link.loss = 1.0;
    world.run(secs(4));
    world.bob.link.loss = 0.0;
    world.run(secs(1));
    let about_silence = |e: &&MediaEvent| matches!(e, MediaEvent::RtpTimeout { .. } | MediaEvent::RtpResumed);
    let told: Vec<&MediaEvent> = world.alice.events.iter().filter(about_silence).collect();
    assert!(matches!(told[..], [MediaEvent::RtpTimeout { .. }, MediaEvent::RtpResumed]), "{told:?}");
    assert_eq!(world.alice.sent.len(), 300, "we never stop sending");
}

#[test]
fn what_is_agreed_anew_is_waited_for_anew() {
    let mut world = World::new(Link::seeded);
    world.run(secs(1));
    world.bob.link.loss = 1.0;
    // Nearly the timeout.
    world.run(Duration::from_millis(900));
    world.alice.session.update(world.now, update(BOB, Direction::SendRecv));
    world.run(Duration::from_millis(900));
    assert!(!world.alice.events.iter().any(|e| matches!(e, MediaEvent::RtpTimeout { .. })));
    world.run(secs(1));
    assert!(world.alice.events.iter().any(|e| matches!(e, MediaEvent::RtpTimeout { .. })));
}

/// A packet of the far end whose room is as loud as -40 dBov, then a second of silence.
fn noisy(session: &mut Session, now: Instant) {
    for (n, payload_type) in [(1, 0), (2, 13)] {
        session.handle_datagram(now, at(BOB), &packet_of(9, n, payload_type));
    }
    assert!(heard_for(session, now, 40) > 50.0, "it sounds");
}

fn packet_of(ssrc: u32, n: u16, payload_type: u8) -> Vec<u8> {
    let (sequence, timestamp) = (SequenceNumber(n), Timestamp(u32::from(n) * 160));
    let header = Header { marker: false, payload_type, sequence, timestamp, ssrc: Ssrc(ssrc) };
    [&header.to_bytes()[..], &[40, 0, 0, 0]].concat()
}

/// How loud the last of so many frames is.
fn heard_for(session: &mut Session, start: Instant, frames: u32) -> f64 {
    (0..frames).for_each(|n| session.handle_timeout(start + FRAME * n));
    let heard = std::iter::from_fn(|| session.poll_output()).filter_map(|output| match output {
        Output::Event(MediaEvent::Frame { pcm, .. }) => Some(rms(&pcm)),
        _ => None,
    });
    heard.last().expect("a frame came")
}

#[test]
fn comfort_noise_ends_when_the_call_is_held() {
    let now = Instant::now();
    let mut session = Session::new(config(BOB, 1), now);
    noisy(&mut session, now);
    session.update(now, update(BOB, Direction::SendOnly));
    assert_eq!(heard_for(&mut session, now + secs(1), 2), 0.0);
}

#[test]
fn comfort_noise_ends_with_its_stream() {
    let now = Instant::now();
    let mut session = Session::new(config(BOB, 1), now);
    noisy(&mut session, now);
    // Another source, which presses a key first.
    for n in [1, 2] {
        session.handle_datagram(now + secs(1), at(BOB), &packet_of(10, n, 101));
    }
    assert_eq!(heard_for(&mut session, now + secs(1), 2), 0.0);
}
