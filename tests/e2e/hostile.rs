//! Noise at the open ports while a call is up.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    NUMBER, alone, eventually,
    node::{Node, turns},
    process,
    sound::Part,
    telephone::Telephone,
};

const SEED: u64 = 0x5EED;
/// Files that may stay: connections of the store and of the HTTP client come and go.
const SLACK: usize = 6;
/// What the node may grow by, in MiB, under all of it.
const GROWTH: u64 = 64;

#[tokio::test(flavor = "multi_thread")]
async fn call_completes_under_noise_at_its_ports() {
    let _alone = alone().await;
    let words = "We are open on Friday from nine to five.";
    let parts =
        [Part::Silence(7.0), Part::Says(words), Part::Silence(9.0), Part::Says(words), Part::Silence(7.0)];
    let telephone = Telephone::answering(&parts).await;
    let node = Node::real(telephone.address).await;
    // What a first call leaves behind for good is no growth.
    node.place_short().await;
    let (memory, files) = (process::resident_mib(node.pid()), process::open_files(node.pid()));
    let idle = process::udp_ports(node.pid());
    let heard = telephone.heard_seconds();

    let id = node.place().await;
    node.talks(&id).await;
    let media: Vec<u16> = process::udp_ports(node.pid()).difference(&idle).copied().collect();
    assert!(!media.is_empty(), "the call has no port");
    let sip = node.sip;
    let noise = tokio::task::spawn_blocking(move || make_noise(sip, &media));
    noise.await.unwrap();
    let call = node.finished(&id).await;

    assert_eq!(call["status"], "completed", "{call}");
    assert!(turns(&call, "user").next().is_some(), "nothing was heard: {call}");
    assert!(telephone.heard_seconds() - heard > 2.0, "the agent's voice went elsewhere");
    node.is_well().await;
    eventually("the open files are those of before", || process::open_files(node.pid()) <= files + SLACK)
        .await;
    let grown = process::resident_mib(node.pid()).saturating_sub(memory);
    assert!(grown < GROWTH, "the node grew by {grown} MiB");
    assert!(!node.log().contains("panicked"));
}

/// The same bytes each time, spread over some seconds of the call.
fn make_noise(sip: SocketAddr, media: &[u16]) {
    let mut random = StdRng::seed_from_u64(SEED);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let own = socket.local_addr().unwrap();
    for round in 0..200 {
        for _ in 0..20 {
            let _ = socket.send_to(&mutated(&mut random, own), sip);
            for port in media {
                let _ = socket.send_to(&packet(&mut random), (Ipv4Addr::LOCALHOST, *port));
            }
        }
        if round % 4 == 0 {
            let message = mutated(&mut random, own);
            let stream = TcpStream::connect_timeout(&sip, Duration::from_secs(5));
            // A node that hangs up on noise is right.
            let _ = stream.and_then(|mut stream| stream.write_all(&message));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A message that was valid before some of its bytes were changed, cut out or doubled.
fn mutated(random: &mut StdRng, own: SocketAddr) -> Vec<u8> {
    let method =
        ["INVITE", "BYE", "OPTIONS", "CANCEL", "ACK", "REGISTER", "INFO", "UPDATE", "SIP/2.0 200 OK"]
            [random.random_range(0..9)];
    let (branch, length) = (random.random::<u64>(), random.random_range(0..4));
    let body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                m=audio 9 RTP/AVP 0\r\n";
    let length = [body.len(), 0, 99_999_999, usize::MAX][length];
    let text = format!(
        "{method} sip:{NUMBER}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{branch};rport\r\n\
         From: <sip:x@{own}>;tag={branch}\r\nTo: <sip:{NUMBER}@127.0.0.1>\r\nCall-ID: {branch}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:x@{own}>\r\nMax-Forwards: 70\r\n\
         Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut bytes = text.into_bytes();
    for _ in 0..random.random_range(0..12) {
        let (at, end) = (random.random_range(0..bytes.len()), random.random_range(1..40));
        match random.random_range(0..3) {
            0 => bytes[at] = random.random(),
            1 => drop(bytes.drain(at..(at + end).min(bytes.len() - 1).max(at))),
            _ => {
                let part = bytes[at..(at + end).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// Bytes of any kind; half of them begin as RTP does.
fn packet(random: &mut StdRng) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..random.random_range(0..400)).map(|_| random.random()).collect();
    if random.random() && bytes.len() > 2 {
        bytes[0] = 0x80 | (bytes[0] & 0x3f);
        bytes[1] = [0, 8, 101, 13][random.random_range(0..4)];
    }
    bytes
}
