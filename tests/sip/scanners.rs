//! What looks for telephones to abuse: sipvicious and sipsak, as they are, and floods.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use callbox::sip::RateLimit;
use tokio::{net::UdpSocket, task::JoinSet};

use super::{
    inbound::{answer, called, take},
    peers::{Group, Sipp, free_port, spawn},
    *,
};

/// Stands between a scanner and the node and counts: the node sees `source`.
struct Relay {
    address: SocketAddr,
    passed: Arc<AtomicU64>,
    returned: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Relay {
    async fn start(source: &str, node: SocketAddr) -> Relay {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let far = UdpSocket::bind((source, 0)).await.unwrap();
        let address = near.local_addr().unwrap();
        let (passed, returned) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (to, fro) = (passed.clone(), returned.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (mut one, mut other) = ([0; 9000], [0; 9000]);
            let mut scanner = None;
            loop {
                tokio::select! {
                    Ok((length, from)) = near.recv_from(&mut one) => {
                        scanner = Some(from);
                        to.fetch_add(1, Ordering::SeqCst);
                        far.send_to(&one[..length], node).await.unwrap();
                    }
                    Ok((length, _)) = far.recv_from(&mut other) => {
                        fro.fetch_add(1, Ordering::SeqCst);
                        if let Some(scanner) = scanner {
                            let _ = near.send_to(&other[..length], scanner).await;
                        }
                    }
                }
            }
        });
        Relay { address, passed, returned, _tasks: tasks }
    }
}

/// Runs a scanner against `target` to its end.
async fn scan(target: SocketAddr, program: &str, package: &str, arguments: &str) -> String {
    let arguments = arguments.replace("PORT", &target.port().to_string());
    let home = peers::traces::folder(program);
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).stdin(Stdio::null()).env("HOME", &home).current_dir(&home);
    let package = package.to_owned();
    let run = tokio::task::spawn_blocking(move || {
        command
            .output()
            .unwrap_or_else(|e| panic!("it does not start ({e}): install the package `{package}`"))
    });
    let output = within(program, run).await.unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

const SCANS: [(&str, &str, &str); 5] = [
    ("svmap", "sipvicious", "-p PORT 127.0.0.1"),
    ("svmap", "sipvicious", "-p PORT -m INVITE 127.0.0.1"),
    ("svwar", "sipvicious", "-p PORT -e 100-103 --maximumtime=2 127.0.0.1"),
    ("svcrack", "sipvicious", "-p PORT -u 100 -r 1-4 --maximumtime=2 127.0.0.1"),
    ("sipsak", "sipsak", "-s sip:100@127.0.0.1:PORT -D 1"),
];

#[tokio::test(flavor = "multi_thread")]
async fn scanners_hear_nothing_at_all() {
    let friend = caller_at("127.0.0.6");
    let (node, mut calls) = node(vec![friend]).await;
    let relay = Relay::start("127.0.0.5", node.local_address()).await;
    for (program, package, arguments) in SCANS {
        let before = relay.passed.load(Ordering::SeqCst);
        scan(relay.address, program, package, arguments).await;
        assert!(relay.passed.load(Ordering::SeqCst) > before, "{program} sends");
    }
    let sent = relay.passed.load(Ordering::SeqCst);
    eventually("every packet is dropped", || {
        let dropped = node.stats().dropped;
        dropped.strangers + dropped.limited + dropped.malformed == sent
    })
    .await;
    assert_eq!(relay.returned.load(Ordering::SeqCst), 0);
    assert!(calls.try_recv().is_err());
    // The same from an address that is a trunk's is found: it is the address that makes the difference.
    let trunks = Relay::start("127.0.0.6", node.local_address()).await;
    let found = scan(trunks.address, "svmap", "sipvicious", "-p PORT 127.0.0.1").await;
    assert!(found.contains("Callbox"), "{found}");
    assert!(trunks.returned.load(Ordering::SeqCst) > 0);
    // Not "rsip" alone: svmap calls itself DrinkOrSip where it has something to say.
    assert!(!found.to_lowercase().contains("rsipstack"), "{found}");
}

fn request(method: &str, from: SocketAddr, to: SocketAddr, call_id: &str, to_tag: &str) -> String {
    format!(
        "{method} sip:a@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{};rport\r\n\
         From: <sip:a@{from}>;tag=1\r\nTo: <sip:b@{to}>{to_tag}\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        rand::random::<u64>()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_a_stranger_costs_no_parsing_and_a_trunk_is_heard_meanwhile() {
    let friend = caller_at("127.0.0.1");
    // No rate worth mention: what passes is the burst.
    let rate_limit = RateLimit { strangers_per_second: 1, strangers_burst: 10, ..RateLimit::default() };
    let (node, _calls) = SipNode::start(Config { rate_limit, ..config(vec![friend]) }).await.unwrap();
    let to = node.local_address();
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let friend = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (strange, own) = (stranger.local_addr().unwrap(), friend.local_addr().unwrap());
    let mut answers = 0;
    for n in 0..2_000 {
        stranger.send_to(request("OPTIONS", strange, to, "x", "").as_bytes(), to).await.unwrap();
        if n % 100 == 0 {
            let mut buf = [0; 4000];
            friend.send_to(request("OPTIONS", own, to, &n.to_string(), "").as_bytes(), to).await.unwrap();
            within("the friend's answer", friend.recv_from(&mut buf)).await.unwrap();
            answers += 1;
        }
    }
    assert_eq!(answers, 20);
    eventually("every packet is read", || {
        let dropped = node.stats().dropped;
        dropped.limited + dropped.strangers == 2_000
    })
    .await;
    let dropped = node.stats().dropped;
    assert!(dropped.strangers < 200, "{dropped:?}");
    assert!(stranger.try_recv(&mut [0; 100]).is_err());
}

/// sipsak, which sends all that it can until it is dropped, as if from where `relay` is.
fn flood(relay: &Relay) -> Group {
    let dir = peers::traces::folder("sipsak");
    let mut command = Command::new("sipsak");
    command.args(["-F", "-s", &format!("sip:100@{}", relay.address)]).current_dir(dir);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    spawn("sipsak", "sipsak", &mut command)
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_sipsak_gets_no_more_than_its_share_and_a_call_of_another_source_is_answered_meanwhile() {
    const SHARE: u32 = 200;
    const CALLS: u32 = 5;
    let port = free_port();
    let of = |address: &str, server: SocketAddr| TrunkConfig {
        allow: vec![address.parse().unwrap()],
        ..TrunkConfig::peer(address, server.into())
    };
    let trunks =
        vec![of("127.0.0.1", ([127, 0, 0, 1], port).into()), of("127.0.0.6", ([127, 0, 0, 6], 9).into())];
    // No rate worth mention: what passes is the burst.
    let rate_limit = RateLimit {
        strangers_per_second: 1,
        strangers_burst: SHARE,
        trunk_per_second: 1,
        trunk_burst: SHARE,
    };
    // Of what the kernel cannot hold, the call's own packets are lost, too: there is time to send them again.
    let t1 = Duration::from_millis(100);
    let (node, mut calls) = SipNode::start(Config { rate_limit, t1, ..config(trunks) }).await.unwrap();
    for (source, is_trunk) in [("127.0.0.5", false), ("127.0.0.6", true)] {
        let before = node.stats().dropped;
        let relay = Relay::start(source, node.local_address()).await;
        let mut flood = flood(&relay);
        let more = async |what| {
            let so_far = node.stats().dropped.limited;
            eventually(what, || node.stats().dropped.limited > so_far + 3_000).await;
        };
        more("the flood is dropped").await;
        let peer = Sipp::uac("uac_call", node.local_address(), port, CALLS, &["-r", "5"]);
        for _ in 0..CALLS {
            let mut call = answer(take(&mut calls).await).await;
            assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
        }
        peer.succeeds().await;
        more("it still comes").await;
        assert!(flood.finished().is_none(), "by itself it does not end");
        drop(flood);
        // Whatever is read of a stranger's is dropped all the same, and counted so.
        let dropped = node.stats().dropped;
        let read = dropped.strangers - before.strangers;
        let answered = relay.returned.load(Ordering::SeqCst);
        let share = u64::from(2 * SHARE);
        assert_eq!(dropped.malformed, 0, "{dropped:?}");
        match is_trunk {
            true => assert!((1..share).contains(&answered) && read == 0, "{answered} answers, {dropped:?}"),
            false => assert!((1..share).contains(&read) && answered == 0, "{answered} answers, {dropped:?}"),
        }
    }
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stranger_who_names_a_live_call_is_heard_within_it_alone() {
    let (node, mut calls, port) = called().await;
    let to = node.local_address();
    let peer = Sipp::uac("uac_stay", to, port, 1, &[]);
    let call = answer(take(&mut calls).await).await;
    let stranger = UdpSocket::bind((IpAddr::from([127, 0, 0, 2]), 0)).await.unwrap();
    let own = stranger.local_addr().unwrap();
    for method in ["INVITE", "OPTIONS", "CANCEL", "REGISTER"] {
        stranger.send_to(request(method, own, to, &call.id, "").as_bytes(), to).await.unwrap();
    }
    eventually("what opens no dialog is dropped", || node.stats().dropped.strangers == 4).await;
    assert!(stranger.try_recv(&mut [0; 100]).is_err());
    // Another machine of the carrier may well send this, with the call's tags; with others it is told so.
    stranger.send_to(request("BYE", own, to, &call.id, ";tag=wrong").as_bytes(), to).await.unwrap();
    let mut buf = [0; 4000];
    let (length, _) = within("the answer", stranger.recv_from(&mut buf)).await.unwrap();
    assert!(buf[..length].starts_with(b"SIP/2.0 481"), "{}", String::from_utf8_lossy(&buf[..length]));
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_on_the_wire_names_the_stack() {
    let friend = caller_at("127.0.0.1");
    let (node, _calls) = node(vec![friend]).await;
    let (to, friend) = (node.local_address(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let own = friend.local_addr().unwrap();
    for method in ["OPTIONS", "REGISTER", "BYE", "INFO", "PUBLISH"] {
        friend.send_to(request(method, own, to, method, "").as_bytes(), to).await.unwrap();
        let mut buf = [0; 4000];
        let (length, _) = within("the answer", friend.recv_from(&mut buf)).await.unwrap();
        let answer = String::from_utf8_lossy(&buf[..length]).to_lowercase();
        assert!(answer.contains("user-agent: callbox\r\n") && !answer.contains("\r\nserver:"), "{answer}");
        assert!(!answer.contains("rsip") && !answer.contains("restsend"), "{answer}");
    }
}
