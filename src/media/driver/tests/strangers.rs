//! Packets of others: floods, forgeries, and calls that share a port.

use super::*;

/// RTP of silence, or of whatever `code` means.
fn rtp(ssrc: u32, sequence: u16, code: u8) -> Vec<u8> {
    use crate::media::rtp::{Header, SequenceNumber, Ssrc, Timestamp};
    let timestamp = Timestamp(u32::from(sequence) * 160);
    let sequence = SequenceNumber(sequence);
    let header = Header { marker: false, payload_type: 0, sequence, timestamp, ssrc: Ssrc(ssrc) };
    [&header.to_bytes()[..], &[code; 160]].concat()
}

pub async fn a_flood_to_one_leg_silences_no_other(sockets: SocketMode) {
    let plane = plane(sockets);
    let target = plane.reserve().unwrap();
    let at = target.local_addr();
    let (_target, _unread) = target.start(config((Ipv4Addr::LOCALHOST, 9).into())).unwrap();
    let [(_alice, mut from_bob), (bob, mut from_alice)] = pair(&plane);
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flood = thread::spawn({
        let over = over.clone();
        move || {
            let stranger = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
            let mut sent = 0u64;
            while !over.load(Ordering::Relaxed) {
                for n in 0..50 {
                    sent += u64::from(stranger.send_to(&rtp(n, n as u16, 0), at).is_ok());
                }
                thread::sleep(Duration::from_millis(1));
            }
            sent
        }
    });
    tokio::join!(received(&mut from_bob, 50), received(&mut from_alice, 50));
    over.store(true, Ordering::Relaxed);
    assert!(flood.join().unwrap() > 1_000);
    let stats = bob.stats().await.unwrap();
    assert!(stats.packets_received >= 50 && stats.strangers == 0, "{stats:?}");
    assert!(sockets == SocketMode::PerCall || plane.strays() > 1_000);
}

/// Sends packets of one stream, one each 20 ms, until `heard` has seen what it looks for.
async fn while_it_sends<T>(
    from: &std::net::UdpSocket,
    to: SocketAddr,
    (ssrc, code): (u32, u8),
    search: impl Future<Output = T>,
) -> T {
    let sending = async {
        let mut every = tokio::time::interval(Duration::from_millis(20));
        for sequence in 0.. {
            every.tick().await;
            from.send_to(&rtp(ssrc, sequence, code), to).unwrap();
        }
        std::future::pending().await
    };
    tokio::select! { found = search => found, () = sending => unreachable!() }
}

/// μ-law codes of a steady level: a quiet one and a loud one.
const QUIET: u8 = 0xd0;
const LOUD: u8 = 0x90;

fn level(event: MediaEvent) -> Option<i16> {
    match event {
        MediaEvent::Frame { pcm, kind: FrameKind::Received, .. } => pcm.last().copied(),
        _ => None,
    }
}

pub async fn an_attacker_who_knows_the_stream_is_not_heard(sockets: SocketMode) {
    let plane = plane(sockets);
    let (phone, _) = far_end();
    let attacker = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (handle, mut heard) = plane.reserve().unwrap().start(config(phone.local_addr().unwrap())).unwrap();
    let to = handle.local_addr();
    let quiet = i16::from_le_bytes(crate::media::codec::g711::ULAW[usize::from(QUIET)].to_le_bytes());
    while_it_sends(&phone, to, (71, QUIET), until(&mut heard, |e| level(e).filter(|l| *l == quiet))).await;
    for sequence in 0..200 {
        attacker.send_to(&rtp(71, sequence, LOUD), to).unwrap();
    }
    let mut left = 50;
    let calm = until(&mut heard, |event| {
        level(event).into_iter().for_each(|level| assert!(level <= quiet, "the attacker is heard"));
        left -= 1;
        (left == 0).then_some(())
    });
    while_it_sends(&phone, to, (71, QUIET), calm).await;
    let stats = handle.stats().await.unwrap();
    assert_eq!(stats.strangers + plane.strays(), 200, "{stats:?}");
}

#[tokio::test]
async fn a_gateway_may_send_two_calls_from_one_port_to_one_port() {
    let plane = plane(SocketMode::Shared);
    let (gateway, _) = far_end();
    let far = gateway.local_addr().unwrap();
    let (a, mut heard_by_a) = plane.reserve().unwrap().start(config(far)).unwrap();
    let to = a.local_addr();
    while_it_sends(&gateway, to, (71, QUIET), until(&mut heard_by_a, level)).await;
    let (b, mut heard_by_b) = plane.reserve().unwrap().start(config(far)).unwrap();
    assert_eq!(b.local_addr(), to);
    while_it_sends(&gateway, to, (72, LOUD), until(&mut heard_by_b, level)).await;
    let both = async {
        while_it_sends(&gateway, to, (71, QUIET), async {
            tokio::join!(until(&mut heard_by_a, level), until(&mut heard_by_b, level))
        })
        .await
    };
    let (by_a, by_b) = while_it_sends(&gateway, to, (72, LOUD), both).await;
    assert!(by_a < by_b, "each hears its own: {by_a} {by_b}");
    assert_eq!(plane.strays(), 0);
}

#[tokio::test]
async fn media_that_comes_before_its_answer_is_heard_in_its_own_call_then() {
    let plane = plane(SocketMode::Shared);
    let [(first, _), (second, _)] = [far_end(), far_end()];
    let (a, mut heard_by_a) = plane.reserve().unwrap().start(config(first.local_addr().unwrap())).unwrap();
    let (to, next) = (a.local_addr(), plane.reserve().unwrap());
    // Nobody says yet where the far end of the next call is, and the first call waits for one.
    while_it_sends(&second, to, (72, LOUD), until(&mut heard_by_a, level)).await;
    let (_b, mut heard_by_b) = next.start(config(second.local_addr().unwrap())).unwrap();
    let quiet = i16::from_le_bytes(crate::media::codec::g711::ULAW[usize::from(QUIET)].to_le_bytes());
    let own = until(&mut heard_by_a, |event| level(event).filter(|level| *level == quiet));
    let both = async { tokio::join!(own, until(&mut heard_by_b, level)) };
    let both = while_it_sends(&first, to, (71, QUIET), both);
    let (_, by_b) = while_it_sends(&second, to, (72, LOUD), both).await;
    assert!(by_b > quiet, "{by_b}");
    let stats = a.stats().await.unwrap();
    assert_eq!(stats.strangers, 0, "{stats:?}");
}

#[tokio::test]
async fn late_packets_of_a_call_are_not_heard_in_the_next_one_on_its_port() {
    let plane = plane(SocketMode::Shared);
    let (gateway, _) = far_end();
    let far = gateway.local_addr().unwrap();
    let (first, mut heard) = plane.reserve().unwrap().start(config(far)).unwrap();
    let to = first.local_addr();
    while_it_sends(&gateway, to, (71, LOUD), until(&mut heard, level)).await;
    first.close();
    timeout(LIMIT, async { while heard.recv().await.is_some() {} }).await.expect("the events end");
    let (_second, mut heard) = plane.reserve().unwrap().start(config(far)).unwrap();
    let next = while_it_sends(&gateway, to, (72, QUIET), until(&mut heard, level));
    let heard = while_it_sends(&gateway, to, (71, LOUD), next).await;
    assert!(heard < 2_000, "{heard}");
    assert!(plane.strays() > 0);
}
