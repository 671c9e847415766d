//! A million mutated messages from a trunk's address, over UDP and TCP, after which the node takes
//! calls as before and holds nothing.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use callbox::{
    base::E164,
    media::{self, MediaEvent, MediaEvents, MediaHandle, MediaPlane, SessionConfig, playout::UtteranceId},
    sip::{
        Config, Dial, IncomingCall, RateLimit, Signal, SipEnd, SipNode, TrunkConfig,
        sdp::{self, Local, Negotiated},
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::mpsc,
};

use crate::{
    eventually,
    mutate::{mutated, numbered, torture, traffic},
    peers::Sipp,
    resident, settled, within,
};

/// `CALLBOX_MUTATIONS` makes it another number.
const MESSAGES: u64 = 1_000_000;
/// One in so many goes over TCP.
const OVER_TCP: u64 = 20;
/// Datagrams between two probes: what the kernel's buffer holds whatever their size.
const BATCH: u64 = 48;
const SENDERS: u64 = 2;
/// What a node may have grown by from the first tenth of the flood to its end, in KiB: far less than a
/// hundred octets of each message.
const GROWTH: u64 = 24 * 1024;

async fn target() -> (SipNode, mpsc::Receiver<IncomingCall>) {
    let friend = TrunkConfig {
        allow: vec!["127.0.0.1".parse().unwrap()],
        ..TrunkConfig::peer("friend", SocketAddr::from(([127, 0, 0, 1], 9)).into())
    };
    SipNode::start(config(vec![friend])).await.unwrap()
}

fn config(trunks: Vec<TrunkConfig>) -> Config {
    // The flood is a trunk's, and more than a trunk may send.
    let rate_limit = RateLimit { trunk_per_second: 0, ..RateLimit::default() };
    Config {
        rate_limit,
        bind: "127.0.0.1:0".parse().unwrap(),
        t1: Duration::from_millis(10),
        trunks,
        ..Config::default()
    }
}

/// An application that does everything with calls that one can do, until it is asked for them.
async fn application(
    mut calls: mpsc::Receiver<IncomingCall>,
    mut stop: mpsc::Receiver<()>,
) -> mpsc::Receiver<IncomingCall> {
    let mut random = StdRng::seed_from_u64(1);
    loop {
        let call = tokio::select! {
            call = calls.recv() => call.expect("the node lives"),
            _ = stop.recv() => return calls,
        };
        match random.random_range(0..10) {
            0 => drop(tokio::spawn(take(call))),
            1 => drop(tokio::spawn(async move { drop(call.ring().await) })),
            2 => drop(call),
            _ => drop(tokio::spawn(call.reject(486))),
        }
    }
}

async fn take(call: IncomingCall) {
    let answer = match &call.offer {
        Some(offer) => {
            sdp::answer(&Local::new("127.0.0.1:40000".parse().unwrap(), 1), offer).map(|(sdp, _)| sdp)
        }
        None => Ok(sdp::offer(&Local::new("127.0.0.1:40000".parse().unwrap(), 1))),
    };
    if let Ok(answer) = answer {
        let _ = call.answer(answer).await;
    }
}

fn probe(own: SocketAddr, to: SocketAddr, number: u64) -> String {
    format!(
        "OPTIONS sip:a@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKprobe{number};rport\r\n\
         From: <sip:p@{own}>;tag=p\r\nTo: <sip:a@{to}>\r\nCall-ID: probe{number}\r\nCSeq: 1 OPTIONS\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Asks until there is an answer, which shows that everything sent before was read.
async fn all_read(own: &UdpSocket, to: SocketAddr, number: u64) {
    let message = probe(own.local_addr().unwrap(), to, number);
    let mut buf = [0; 4_000];
    let answer = async {
        loop {
            own.send_to(message.as_bytes(), to).await.unwrap();
            if tokio::time::timeout(Duration::from_secs(2), own.recv_from(&mut buf)).await.is_ok() {
                return;
            }
        }
    };
    within("an answer to a probe", answer).await;
}

/// Sends `count` messages; says how many left.
async fn send_datagrams(to: SocketAddr, seed: u64, count: u64, sent: &AtomicU64) {
    let (own, probing) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let seeds = [traffic(own.local_addr().unwrap(), to), torture()].concat();
    let mut random = StdRng::seed_from_u64(seed);
    let mut buf = [0; 8_000];
    for n in 0..count {
        let message = &seeds[random.random_range(0..seeds.len())];
        let message = mutated(&numbered(message, seed << 40 | n), &mut random);
        if own.send_to(&message, to).await.is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
        while own.try_recv(&mut buf).is_ok() {}
        if n % BATCH == 0 {
            all_read(&probing, to, n).await;
        }
    }
    all_read(&probing, to, count).await;
}

/// A stream ends at the first message whose framing is lost; the next goes to a new one.
async fn send_stream(to: SocketAddr, seed: u64, count: u64, sent: &AtomicU64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut n = 0;
    while n < count {
        let mut stream = within("connecting", TcpStream::connect(to)).await.unwrap();
        let seeds = [traffic(stream.local_addr().unwrap(), to), torture()].concat();
        let mut buf = [0; 8_000];
        for _ in 0..random.random_range(1..30) {
            let message = &seeds[random.random_range(0..seeds.len())];
            let message = mutated(&numbered(message, seed << 40 | n), &mut random);
            if within("writing", stream.write_all(&message)).await.is_err() {
                break;
            }
            n += 1;
            sent.fetch_add(1, Ordering::Relaxed);
            while stream.try_read(&mut buf).is_ok_and(|read| read > 0) {}
        }
        let _ = stream.shutdown().await;
        // The end shows that the node has read to the end, or given up before.
        while matches!(within("the end", stream.read(&mut buf)).await, Ok(1..)) {}
    }
}

/// Sends `count` messages by all ways at once, and waits until the node has let go of them.
async fn flood(node: &SipNode, seed: u64, count: u64) {
    let (to, sent, streamed) = (node.local_address(), AtomicU64::new(0), AtomicU64::new(0));
    let before = node.stats().received_datagrams;
    let over_udp = count - count / OVER_TCP;
    let began = Instant::now();
    let senders = (0..SENDERS).map(|n| send_datagrams(to, seed + n, over_udp / SENDERS, &sent));
    let streams = send_stream(to, seed + SENDERS, count / OVER_TCP, &streamed);
    tokio::join!(futures_util::future::join_all(senders), streams);
    let (sent, took) = (sent.into_inner(), began.elapsed());
    let stats = node.stats();
    let received = stats.received_datagrams - before;
    assert!(received >= sent - sent / 100, "the node read {received} of {sent} datagrams");
    assert!(streamed.into_inner() >= count / OVER_TCP);
    let rate = count as f64 / took.as_secs_f64();
    println!("{count} messages at {rate:.0} a second; {stats:?}; {} KiB in memory", resident());
    settled(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn million_mutated_messages_leave_a_node_that_works() {
    let _alone = crate::ALONE.lock().await;
    let count = std::env::var("CALLBOX_MUTATIONS").map_or(MESSAGES, |count| count.parse().unwrap());
    let (node, calls) = target().await;
    let (stop, stopped) = mpsc::channel(1);
    let application = tokio::spawn(application(calls, stopped));
    flood(&node, 100, count / 10).await;
    let before = resident();
    flood(&node, 200, count - count / 10).await;
    let after = resident();
    assert!(after <= before + GROWTH, "memory grew from {before} to {after} KiB");
    stop.send(()).await.unwrap();
    let mut calls = application.await.unwrap();
    takes_a_call_with_sound(&node, &mut calls).await;
    takes_a_call_of_sipp(&node, &mut calls).await;
    settled(&node).await;
}

/// The call of `caller`, and not what noise may have left in the queue.
async fn call_of(
    calls: &mut mpsc::Receiver<IncomingCall>,
    is_it: impl Fn(&IncomingCall) -> bool,
) -> IncomingCall {
    within("the call", async {
        loop {
            let call = calls.recv().await.unwrap();
            if is_it(&call) {
                return call;
            }
        }
    })
    .await
}

async fn takes_a_call_with_sound(node: &SipNode, calls: &mut mpsc::Receiver<IncomingCall>) {
    let plane =
        MediaPlane::start(media::Config { bind: [127, 0, 0, 1].into(), ..Default::default() }).unwrap();
    let (theirs, ours) = (plane.reserve().unwrap(), plane.reserve().unwrap());
    let (caller, _calls) =
        SipNode::start(config(vec![TrunkConfig::peer("node", node.local_address().into())])).await.unwrap();
    let local = Local::new(theirs.local_addr(), 1);
    let number = |text: &str| -> E164 { text.parse().unwrap() };
    let dial = Dial { from: Some(number("+14155550100")), ..Dial::to(number("+14155550123"), local.clone()) };
    let mut out = caller.dial(dial).await.unwrap();
    let id = out.id.clone();
    let incoming = call_of(calls, |call| *call.id() == *id).await;
    let (answer, agreed) =
        sdp::answer(&Local::new(ours.local_addr(), 2), incoming.offer.as_deref().unwrap()).unwrap();
    let (_ours, mut heard) = ours.start(session(&agreed)).unwrap();
    let _inside = incoming.answer(answer).await.unwrap();
    let answer = loop {
        match within("a signal", out.signals.recv()).await.unwrap() {
            Signal::Answered { sdp } => break sdp,
            Signal::Ended(end) => panic!("the call ended: {end:?}"),
            _ => {}
        }
    };
    let (theirs, _) = theirs.start(session(&sdp::accept(&local, &answer).unwrap())).unwrap();
    hears_a_tone(&theirs, &mut heard).await;
    out.handle.hang_up();
    while !matches!(
        within("the end", out.signals.recv()).await,
        Some(Signal::Ended(SipEnd::LocalHangup)) | None
    ) {}
}

pub fn session(agreed: &Negotiated) -> SessionConfig {
    agreed.agreed().begin(media::jitter::Config::default(), Duration::from_secs(10), 1)
}

/// Plays a tone on one side and waits until half of it has come out on the other.
pub async fn hears_a_tone(from: &MediaHandle, heard: &mut MediaEvents) {
    let tone: Vec<i16> = (0..16_000)
        .map(|n| ((f64::from(n) * 440.0 * std::f64::consts::TAU / 8_000.0).sin() * 8_000.0) as i16)
        .collect();
    from.play(UtteranceId(1), tone).unwrap();
    from.finish(UtteranceId(1)).unwrap();
    let mut loud = 0;
    within("the tone", async {
        while loud < 50 {
            if let MediaEvent::Frame { pcm, .. } = heard.recv().await.expect("the leg lives") {
                loud += usize::from(pcm.iter().map(|sample| sample.unsigned_abs()).max() > Some(6_000));
            }
        }
    })
    .await;
}

async fn takes_a_call_of_sipp(node: &SipNode, calls: &mut mpsc::Receiver<IncomingCall>) {
    let port = crate::peers::free_port();
    let peer = Sipp::uac("uac_call", node.local_address(), port, 1, &[]);
    let incoming = call_of(calls, |call| call.source.port() == port).await;
    let local = Local::new("127.0.0.1:40000".parse().unwrap(), 1);
    let (answer, _) = sdp::answer(&local, incoming.offer.as_deref().unwrap()).unwrap();
    let _call = incoming.answer(answer).await.unwrap();
    peer.succeeds().await;
    eventually("the call is over", || node.stats().calls == 0).await;
}
