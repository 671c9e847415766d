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
