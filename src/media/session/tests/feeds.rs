//! What is sent where it is not what was queued: another session's far end, or the ringing tone.

use super::*;

/// What a session sends, tick by tick: the mean level of each packet of speech, none for a digit.
fn levels(
    session: &mut Session,
    mut now: Instant,
    ticks: u32,
    mut before: impl FnMut(u32, &mut Session),
) -> Vec<Option<f64>> {
    let mut sent = Vec::new();
    for tick in 0..ticks {
        before(tick, session);
        session.handle_timeout(now);
        now += FRAME;
        while let Some(output) = session.poll_output() {
            if let Output::Transmit { datagram, .. } = output {
                let packet = Packet::parse(&datagram).unwrap();
                let mut pcm = Vec::new();
                codec::Decoder::new(Codec::Pcmu).decode(packet.payload, &mut pcm).unwrap();
                sent.push((packet.header.payload_type == 0).then(|| rms(&pcm)));
            }
        }
    }
    sent
}

#[test]
fn relayed_frames_go_out_at_the_next_tick() {
    let now = Instant::now();
    let mut session = Session::new(config(BOB, 1), now);
    session.send_from(Feed::Relay(Box::default()));
    let sent = levels(&mut session, now, 40, |tick, session| {
        if tick % 2 == 0 {
            session.relay(vec![if tick % 4 == 0 { 4_000 } else { 400 }; FRAME_SAMPLES]);
        }
    });
    for (tick, level) in sent.into_iter().enumerate() {
        let expected = [4_000.0, 0.0, 400.0, 0.0][tick % 4];
        assert!((level.unwrap() - expected).abs() < 100.0, "tick {tick}: {level:?}");
    }
}

#[test]
fn a_digit_between_relayed_frames_leaves_no_delay() {
    let now = Instant::now();
    let mut session = Session::new(config(BOB, 1), now);
    session.send_from(Feed::Relay(Box::default()));
    session.send_dtmf("5").unwrap();
    let sent = levels(&mut session, now, 60, |tick, session| {
        session.relay(vec![if tick == 50 { 4_000 } else { 0 }; FRAME_SAMPLES]);
    });
    assert!(sent.iter().any(Option::is_none), "the digit was sent");
    let heard = sent.iter().position(|level| level.is_some_and(|level| level > 3_000.0));
    assert_eq!(heard, Some(50));
}

#[test]
fn what_plays_waits_while_it_rings_and_goes_on_afterwards() {
    let now = Instant::now();
    let mut session = Session::new(config(BOB, 1), now);
    session.send_from(Feed::Ringing(Ringing::new(Ringback::NorthAmerican).into()));
    session.play(A, &[6_000; 1_600], 8_000).unwrap();
    session.finish(A);
    let sent = levels(&mut session, now, 30, |tick, session| {
        if tick == 20 {
            session.send_from(Feed::Playout);
        }
    });
    assert!(sent[..20].iter().all(|level| (500.0..4_000.0).contains(&level.unwrap())), "{sent:?}");
    assert!(sent[20..].iter().all(|level| level.unwrap() > 5_500.0), "{sent:?}");
}
