//! What the open network sends: strangers, methods that are not served, lengths that lie.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
};

use super::*;

fn request(method: &str, from: SocketAddr, to: SocketAddr, extra: &str, body: &str) -> String {
    format!(
        "{method} sip:+14155550123@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{method}{};rport\r\n\
         From: <sip:+14155550100@{from}>;tag=1\r\nTo: <sip:+14155550123@{to}>\r\nCall-ID: {method}-hostile\r\n\
         CSeq: 1 {method}\r\nContact: <sip:a@{from}>\r\nMax-Forwards: 70\r\n{extra}\r\n{body}",
        extra.len()
    )
}

pub fn options(from: SocketAddr, to: SocketAddr) -> String {
    request("OPTIONS", from, to, "Content-Length: 0\r\n", "")
}

pub async fn socket(ip: &str) -> UdpSocket {
    UdpSocket::bind((ip, 0)).await.unwrap()
}

/// The first line of the answer to `message`.
pub async fn asked(socket: &UdpSocket, to: SocketAddr, message: &str) -> String {
    let mut buf = [0; 4000];
    let answer = async {
        loop {
            socket.send_to(message.as_bytes(), to).await.unwrap();
            // A datagram may be lost where buffers overflow: peers send again (RFC 3261 section 17.1.2.2).
            match tokio::time::timeout(Duration::from_secs(1), socket.recv_from(&mut buf)).await {
                Ok(received) => return received.unwrap().0,
                Err(_) => continue,
            }
        }
    };
    let length = within("an answer", answer).await;
    String::from_utf8_lossy(&buf[..length]).into_owned()
}

/// A node that a friend on 127.0.0.1 may call.
pub async fn target() -> (SipNode, mpsc::Receiver<IncomingCall>) {
    let friend = caller_at("127.0.0.1");
    node(vec![friend]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_no_answer() {
    let (node, mut calls) = target().await;
    let to = node.local_address();
    let (friend, stranger) = (socket("127.0.0.1").await, socket("127.0.0.2").await);
    let own = stranger.local_addr().unwrap();
    for method in ["OPTIONS", "INVITE", "REGISTER", "CANCEL", "BYE"] {
        let message = request(method, own, to, "Content-Length: 0\r\n", "");
        stranger.send_to(message.as_bytes(), to).await.unwrap();
    }
    // Datagrams of one loopback socket are read in order: once the friend has its answer, the
    // stranger's were read and dropped.
    let answer = asked(&friend, to, &options(friend.local_addr().unwrap(), to)).await;
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    assert!(answer.contains("User-Agent: Callbox\r\n") && answer.contains("Allow: INVITE"), "{answer}");
    let mut buf = [0; 100];
    assert!(stranger.try_recv(&mut buf).is_err());
    assert!(calls.try_recv().is_err());
    let tcp = tokio::net::TcpSocket::new_v4().unwrap();
    tcp.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = tcp.connect(to).await.unwrap();
    let read = within("the close", stream.read(&mut buf)).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_is_refused_by_name() {
    let (node, _calls) = target().await;
    let (to, friend) = (node.local_address(), socket("127.0.0.1").await);
    let own = friend.local_addr().unwrap();
    let ask = async |method: &str, extra: &str, body: &str| {
        let answer = asked(&friend, to, &request(method, own, to, extra, body)).await;
        if method == "INVITE" {
            let tag = answer.split(";tag=").nth(2).and_then(|t| t.split("\r\n").next()).unwrap_or_default();
            let ack =
                request("INVITE", own, to, extra, "").replace("INVITE", "ACK").replace("bKACK", "bKINVITE");
            let ack = ack.replace(&format!("123@{to}>\r\nCall"), &format!("123@{to}>;tag={tag}\r\nCall"));
            friend.send_to(ack.replace("ACK-hostile", "INVITE-hostile").as_bytes(), to).await.unwrap();
        }
        answer
    };
    let register = ask("REGISTER", "Content-Length: 0\r\n", "").await;
    assert!(register.starts_with("SIP/2.0 405") && register.contains("Allow: INVITE"), "{register}");
    assert!(ask("BYE", "Content-Length: 0\r\n", "").await.starts_with("SIP/2.0 481"));
    let required = ask("INVITE", "Require: 100rel, gruu\r\nContent-Length: 0\r\n", "").await;
    assert!(required.starts_with("SIP/2.0 420") && required.contains("Unsupported: gruu\r"), "{required}");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_length_that_lies_is_refused_unread() {
    let (node, _calls) = target().await;
    let (to, friend) = (node.local_address(), socket("127.0.0.1").await);
    let own = friend.local_addr().unwrap();
    for length in ["Content-Length: -1\r\n", "Content-Length: 0\r\nContent-Length: 0\r\n", "l: 9999\r\n"] {
        let answer = asked(&friend, to, &request("OPTIONS", own, to, length, "")).await;
        assert!(answer.starts_with("SIP/2.0 400"), "{answer}");
    }
    friend.send_to(&[b'x'; 20_000], to).await.unwrap();
    let answer = asked(&friend, to, &options(own, to)).await;
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    assert_eq!(node.stats().dropped.malformed, 4);
}

/// A call through the node that was tortured, as proof that it lives.
pub async fn still_takes_calls(node: &SipNode, calls: &mut mpsc::Receiver<IncomingCall>) {
    let (caller, _) = super::node(vec![trunk(node.local_address())]).await;
    let mut out = caller.dial(dial()).await.unwrap();
    let incoming = loop {
        // Noise may have been a valid INVITE now and then.
        let incoming = within("the call", calls.recv()).await.unwrap();
        if incoming.id() == out.id {
            break incoming;
        }
    };
    let (answer, _) = sdp::answer(&local(), incoming.offer.as_deref().unwrap()).unwrap();
    let _inside = incoming.answer(answer).await.unwrap();
    answered(&mut out).await;
    out.handle.hang_up();
    assert_eq!(end(&mut out).await, SipEnd::LocalHangup);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_a_connection_are_limited_as_datagrams_are() {
    const SENT: u64 = 60;
    let friend = caller_at("127.0.0.1");
    let limits = Config { rate_limit: limited_to(5), ..config(vec![friend]) };
    let (node, _calls) = SipNode::start(limits).await.unwrap();
    let to = node.local_address();
    let mut stream = within("connecting", TcpStream::connect(to)).await.unwrap();
    let own = stream.local_addr().unwrap();
    let ask = |n: u64| {
        let ask = options(own, to).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
        ask.replace("z9hG4bK", &format!("z9hG4bK{n}")).replace("OPTIONS-hostile", &format!("{n}-hostile"))
    };
    let flood: String = (0..SENT).map(ask).collect();
    within("writing", stream.write_all(flood.as_bytes())).await.unwrap();
    let (mut heard, mut buf) = (String::new(), [0; 4000]);
    let answered = |heard: &str| heard.matches("SIP/2.0 200").count() as u64;
    let told_to_wait = |heard: &str| heard.matches("SIP/2.0 503").count() as u64;
    within("every request", async {
        while answered(&heard) + told_to_wait(&heard) < SENT {
            let read = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut buf)).await;
            heard.push_str(&String::from_utf8_lossy(&buf[..read.map_or(0, Result::unwrap)]));
        }
    })
    .await;
    assert!(answered(&heard) >= 5 && answered(&heard) < SENT, "{}", answered(&heard));
    assert_eq!(told_to_wait(&heard), node.stats().dropped.limited);
    assert_eq!(heard.matches("Retry-After: 1\r\n").count() as u64, told_to_wait(&heard));
    // The connection lives, and a second gives room for one more.
    within("an answer", async {
        let before = answered(&heard);
        for n in SENT.. {
            stream.write_all(ask(n).as_bytes()).await.unwrap();
            let read = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut buf)).await;
            heard.push_str(&String::from_utf8_lossy(&buf[..read.map_or(0, Result::unwrap)]));
            if answered(&heard) > before {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_that_does_not_read_its_answers_holds_up_nobody() {
    // Answers to so many do not fit into the buffers between.
    const SENT: usize = 20_000;
    let friends = caller_at("127.0.0.0/8");
    let limits = Config { rate_limit: limited_to(5), ..config(vec![friends]) };
    let (node, _calls) = SipNode::start(limits).await.unwrap();
    let to = node.local_address();
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.set_recv_buffer_size(4_096).unwrap();
    let mut deaf = within("connecting", deaf.connect(to)).await.unwrap();
    let ask = options(deaf.local_addr().unwrap(), to).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    within("writing", deaf.write_all(ask.repeat(SENT).as_bytes())).await.unwrap();
    let other = socket("127.0.0.2").await;
    let ask = options(other.local_addr().unwrap(), to);
    // Half of the time after which the connection counts as dead.
    let answer = tokio::time::timeout(Duration::from_secs(10), asked(&other, to, &ask)).await;
    let answer = answer.expect("others are heard meanwhile");
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    eventually("every request", || node.stats().dropped.limited > SENT as u64 * 9 / 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_with_an_absurd_content_length_is_closed() {
    let (node, mut calls) = target().await;
    let to = node.local_address();
    for length in [u64::MAX, u64::MAX - 1, u64::MAX - 300, i64::MAX as u64, 99_999_999_999] {
        let mut stream = within("connecting", TcpStream::connect(to)).await.unwrap();
        let own = stream.local_addr().unwrap();
        let lies = request("OPTIONS", own, to, &format!("Content-Length: {length}\r\n"), "");
        // Past what a message may hold, the node stops waiting for the body.
        let message = [lies.into_bytes(), vec![b'x'; 70_000]].concat();
        let _ = within("writing", stream.write_all(&message)).await;
        let mut answer = Vec::new();
        let _ = within("the close", stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty(), "{length}: {}", String::from_utf8_lossy(&answer));
    }
    still_takes_calls(&node, &mut calls).await;
}
