//! Packets that come in another order than they were sent in.

use super::*;

/// Alice's packets as they are sent, each 20 ms.
fn spoken(frames: u16) -> Vec<Datagram> {
    let speech = speech_like(usize::from(frames) * FRAME_SAMPLES);
    let packet = |(n, frame): (u16, &[i16])| {
        let header = Header {
            marker: n == 0,
            payload_type: 0,
            sequence: SequenceNumber(n),
            timestamp: Timestamp(u32::from(n) * FRAME_SAMPLES as u32),
            ssrc: Ssrc(9),
        };
        let mut encoder = codec::Encoder::new(Codec::Pcmu, Default::default());
        Datagram::new(header, |payload| encoder.encode(frame, payload))
    };
    (0..frames).zip(speech.chunks(FRAME_SAMPLES)).map(packet).collect()
}

#[test]
fn a_packet_that_a_second_overtook_is_late_and_moves_nothing() {
    for behind in [20, 40, 60] {
        let start = Instant::now();
        let mut session = Session::new(config(ALICE, 1), start);
        let packets = spoken(200);
        let mut kinds = Vec::new();
        for n in 0..packets.len() {
            let now = start + frames(n as u32);
            let held_back = 100;
            if n != held_back {
                session.handle_datagram(now, at(ALICE), &packets[n]);
            }
            if n == held_back + behind {
                session.handle_datagram(now, at(ALICE), &packets[held_back]);
            }
            session.handle_timeout(now);
            while let Some(output) = session.poll_output() {
                if let Output::Event(MediaEvent::Frame { kind, .. }) = output {
                    kinds.push(kind);
                }
            }
        }
        let stats = session.stats();
        assert_eq!((stats.resyncs, stats.late), (0, 1), "{behind} frames behind");
        let whole = kinds.iter().skip(10).filter(|kind| **kind == FrameKind::Received).count();
        assert_eq!(whole, kinds.len() - 11, "one frame is concealed: {behind} frames behind");
    }
}

#[test]
fn speech_after_a_long_pause_is_heard_though_a_key_overtook_it() {
    let start = Instant::now();
    let mut session = Session::new(config(ALICE, 1), start);
    let packets = spoken(200);
    // Sent behind the first speech after a second of nothing, and there before it.
    let header = Header {
        marker: true,
        payload_type: 101,
        sequence: SequenceNumber(101),
        timestamp: Timestamp(101 * FRAME_SAMPLES as u32),
        ssrc: Ssrc(9),
    };
    let key = Datagram::new(header, |payload| {
        payload[..4].copy_from_slice(&[5, 0x0a, 0, 160]);
        4
    });
    for (n, packet) in packets.iter().enumerate() {
        let now = start + frames(n as u32);
        if n == 100 {
            session.handle_datagram(now, at(ALICE), &key);
        }
        if !(50..=101).contains(&n) || n == 100 {
            session.handle_datagram(now, at(ALICE), packet);
        }
        session.handle_timeout(now);
    }
    let stats = session.stats();
    assert_eq!((stats.late, stats.resyncs), (0, 1), "the pause is a jump, and heard from its end on");
}

#[test]
fn what_another_session_left_is_not_this_ones_to_give() {
    let start = Instant::now();
    let (mut one, mut other) = (Session::new(config(ALICE, 1), start), Session::new(config(BOB, 2), start));
    let mut outputs = VecDeque::new();
    one.handle_timeout_into(start, &mut outputs);
    let destinations = |outputs: &VecDeque<Output>| -> Vec<SocketAddr> {
        let to = |output: &Output| match output {
            Output::Transmit { to, .. } => Some(*to),
            _ => None,
        };
        outputs.iter().filter_map(to).collect()
    };
    assert_eq!(destinations(&outputs), [at(ALICE)]);
    other.handle_timeout_into(start, &mut outputs);
    assert_eq!(destinations(&outputs), [at(BOB)]);
    assert!(one.poll_output().is_none() && other.poll_output().is_none());
}
