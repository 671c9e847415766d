//! Several trunks: what takes a call when the first cannot, and when it may take one.

use std::{net::UdpSocket as StdUdpSocket, time::Instant};

use callbox::base::Fault;
use tokio::{net::UdpSocket, sync::oneshot};

use super::{
    kamailio::Kamailio,
    peers::{Sipp, free_port},
    ports::free_address,
    *,
};

fn named(name: &str, server: SocketAddr, priority: u16) -> TrunkConfig {
    TrunkConfig { priority, ..TrunkConfig::peer(name, server.into()) }
}

pub fn carrier(text: &str) -> TrunkConfig {
    TrunkConfig::peer("carrier", text.parse().unwrap())
}

/// A node whose attempts are short.
pub async fn hunter(trunks: Vec<TrunkConfig>, nameservers: Vec<SocketAddr>) -> SipNode {
    let setup_timeout = Duration::from_secs(1);
    let (node, _) = SipNode::start(Config { setup_timeout, nameservers, ..config(trunks) }).await.unwrap();
    node
}

fn by(call: &SipCall) -> Option<String> {
    call.way.borrow().as_ref().map(|way| way.trunk.clone())
}

pub async fn answered_and_hung_up(node: &SipNode) -> Option<String> {
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    let trunk = by(&call);
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    trunk
}

/// A carrier's edge that hands calls to `gateway`, and answers 503 if that is silent.
async fn dispatcher(gateway: SocketAddr) -> Kamailio {
    let gateways = format!("1 sip:{gateway}\n");
    Kamailio::at(free_port(), include_str!("kamailio/dispatcher.cfg"), &[], &gateways).await
}

#[tokio::test(flavor = "multi_thread")]
async fn trunk_that_is_full_hands_the_call_to_the_next() {
    for status in ["503 Service Unavailable", "500 Server Internal Error", "408 Request Timeout"] {
        let (full, free) = (Sipp::refusing(status).await, Sipp::uas("uas_answer", 1, &[]).await);
        let node = hunter(vec![named("second", free.address, 20), named("first", full.address, 10)], vec![]);
        let node = node.await;
        assert_eq!(answered_and_hung_up(&node).await.as_deref(), Some("second"), "{status}");
        full.succeeds().await;
        free.succeeds().await;
        settled(&node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_callee_says_is_final() {
    for (status, code) in [("486 Busy Here", 486), ("404 Not Found", 404), ("603 Decline", 603)] {
        let refusing = Sipp::refusing(status).await;
        let other = StdUdpSocket::bind("127.0.0.1:0").unwrap();
        other.set_nonblocking(true).unwrap();
        let second = named("second", other.local_addr().unwrap(), 20);
        let node = hunter(vec![named("first", refusing.address, 10), second], vec![]).await;
        let mut call = node.dial(dial()).await.unwrap();
        let end = end(&mut call).await;
        assert!(matches!(end, SipEnd::Rejected { status, .. } if status == code), "{end:?}");
        assert_eq!(by(&call).as_deref(), Some("first"));
        refusing.succeeds().await;
        assert!(other.recv(&mut [0; 10]).is_err(), "the second trunk was not asked");
        settled(&node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ringing_call_stays_where_it_rings() {
    let ringing = Sipp::uas("uas_ring_503", 1, &[]).await;
    let other = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let second = named("second", other.local_addr().unwrap(), 20);
    let node = hunter(vec![named("first", ringing.address, 10), second], vec![]).await;
    let mut call = node.dial(dial()).await.unwrap();
    let end = end(&mut call).await;
    assert!(matches!(end, SipEnd::Rejected { status: 503, .. }), "{end:?}");
    ringing.succeeds().await;
    assert!(other.recv(&mut [0; 10]).is_err(), "the second trunk was not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_closed_trunks_hand_the_call_on_and_are_tried_last_for_a_while() {
    let silent = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let free = Sipp::uas("uas_answer", 2, &[]).await;
    let closed = named("closed", free_address(), 2);
    let mute = named("mute", silent.local_addr().unwrap(), 1);
    let node = hunter(vec![mute, closed, named("free", free.address, 3)], vec![]).await;
    assert_eq!(answered_and_hung_up(&node).await.as_deref(), Some("free"));
    // Take what the first call sent; the second goes where the first was answered.
    silent.set_nonblocking(true).unwrap();
    let mut asked = 0;
    while silent.recv(&mut [0; 4000]).is_ok() {
        asked += 1;
    }
    assert!(asked > 0, "the silent trunk was asked first");
    assert_eq!(answered_and_hung_up(&node).await.as_deref(), Some("free"));
    assert!(silent.recv(&mut [0; 4000]).is_err(), "and not before the others again");
    free.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trunk_that_only_tries_hands_the_call_on_and_where_there_is_no_other_it_is_at_fault() {
    let progress_timeout = Duration::from_secs(1);
    let trying = Sipp::uas("uas_trying", 2, &[]).await;
    let free = Sipp::uas("uas_answer", 1, &[]).await;
    let trunks = vec![named("tries", trying.address, 1), named("free", free.address, 2)];
    let (node, _) = SipNode::start(Config { progress_timeout, ..config(trunks) }).await.unwrap();
    assert_eq!(answered_and_hung_up(&node).await.as_deref(), Some("free"));
    free.succeeds().await;
    // However long the telephone may ring.
    let ring_timeout = Some(Duration::from_secs(15));
    let alone = Dial { trunk: Some("tries".into()), ring_timeout, ..dial() };
    let mut call = node.dial(alone).await.unwrap();
    let end = end(&mut call).await;
    assert!(matches!(&end, SipEnd::Unreachable { detail } if detail.contains("after a 100")), "{end:?}");
    assert_eq!(end.fault(), Some(Fault::Carrier), "and so a payment is owed back");
    trying.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_answer_of_an_abandoned_trunk_is_hung_up() {
    let late = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let free = Sipp::uas("uas_answer", 1, &[]).await;
    let mute = named("late", late.local_addr().unwrap(), 1);
    let node = hunter(vec![mute, named("free", free.address, 2)], vec![]).await;
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    assert_eq!(by(&call).as_deref(), Some("free"));
    let (invite, from) = received(&late).await;
    assert!(invite.starts_with("INVITE"), "{invite}");
    let contact = format!("Contact: <sip:{}>\r\n", late.local_addr().unwrap());
    late.send_to(response("200 OK", &invite, &contact).as_bytes(), from).await.unwrap();
    let mut heard = Vec::new();
    while !heard.iter().any(|method| method == "BYE") {
        let (message, from) = received(&late).await;
        let method = message.split(' ').next().unwrap().to_owned();
        if method == "BYE" {
            late.send_to(response("200 OK", &message, "").as_bytes(), from).await.unwrap();
        }
        heard.push(method);
    }
    assert!(heard.iter().any(|method| method == "ACK"), "{heard:?}");
    // The call that was had goes on.
    hangs_up(&node, call, free).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trunk_is_offered_the_audio_that_it_wants() {
    let wishes = [(Srtp::Off, "RTP/AVP", 0), (Srtp::Required, "RTP/SAVP", 2), (Srtp::Optional, "RTP/AVP", 2)];
    let mut sockets = Vec::new();
    for _ in wishes {
        sockets.push(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    }
    let trunk = |(n, (srtp, ..)): (usize, &(Srtp, _, _))| {
        let address = sockets[n].local_addr().unwrap();
        TrunkConfig { srtp: *srtp, ..named(&format!("trunk-{n}"), address, n as u16) }
    };
    let setup_timeout = Duration::from_secs(10);
    let trunks = wishes.iter().enumerate().map(trunk).collect();
    let (node, _) = SipNode::start(Config { setup_timeout, ..config(trunks) }).await.unwrap();
    let mut call = node.dial(dial()).await.unwrap();
    for (socket, (srtp, profile, keys)) in sockets.iter().zip(wishes) {
        let (invite, from) = received(socket).await;
        assert!(invite.contains(&format!("m=audio 40000 {profile} ")), "{srtp:?}: {invite}");
        assert_eq!(invite.matches("a=crypto:").count(), keys, "{srtp:?}: {invite}");
        assert_eq!(call.handle.srtp(), srtp, "by which the answer is judged");
        socket.send_to(response("503 Service Unavailable", &invite, "").as_bytes(), from).await.unwrap();
    }
    assert!(matches!(end(&mut call).await, SipEnd::Rejected { status: 503, .. }));
}

/// What tells one session from another: its id in `o=`, and its keys.
fn secrets(invite: &str) -> Vec<String> {
    let id = invite.lines().find_map(|line| line.strip_prefix("o=")?.split(' ').nth(1)).unwrap();
    let keys = invite.lines().filter_map(|line| line.strip_prefix("a=crypto:")?.split("inline:").nth(1));
    keys.chain([id]).map(str::to_owned).collect()
}

/// Two trunks that refuse, and one that takes our key: nobody who was asked before can listen.
#[tokio::test(flavor = "multi_thread")]
async fn each_trunk_is_offered_a_session_and_keys_of_its_own() {
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    }
    let trunk = |(n, socket): (usize, &UdpSocket)| TrunkConfig {
        srtp: Srtp::Required,
        ..named(&format!("trunk-{n}"), socket.local_addr().unwrap(), n as u16)
    };
    let setup_timeout = Duration::from_secs(10);
    let trunks = sockets.iter().enumerate().map(trunk).collect();
    let (node, _) = SipNode::start(Config { setup_timeout, ..config(trunks) }).await.unwrap();
    let dial = dial();
    let dialled = dial.offer.clone();
    let mut call = node.dial(dial).await.unwrap();
    let mut told = Vec::new();
    for socket in &sockets {
        let (invite, from) = received(socket).await;
        assert!(invite.lines().any(|line| line.starts_with("o=") && line.contains(" 1 IN IP4 ")), "{invite}");
        let secrets = secrets(&invite);
        assert_eq!(secrets.len(), 3, "two suites and an id: {invite}");
        told.push(secrets);
        // Our side is the one that was offered last, and no other.
        let mut ours = dialled.clone();
        call.handle.fit(&mut ours);
        let offered = sdp::offer(&ours);
        assert!(told.last().unwrap().iter().all(|secret| offered.contains(secret)), "{offered}");
        socket.send_to(response("503 Service Unavailable", &invite, "").as_bytes(), from).await.unwrap();
    }
    assert!(matches!(end(&mut call).await, SipEnd::Rejected { status: 503, .. }));
    let all: std::collections::HashSet<_> = told.iter().flatten().collect();
    assert_eq!(all.len(), 9, "none is told twice");
}

pub async fn received(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buf = [0; 4000];
    let (length, from) = within("a message", socket.recv_from(&mut buf)).await.unwrap();
    (String::from_utf8_lossy(&buf[..length]).into_owned(), from)
}

/// With a tag of the callee's, unless the request names one.
pub fn response(status: &str, request: &str, more: &str) -> String {
    let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
    let copied = request.lines().filter(|l| copied.iter().any(|name| l.starts_with(&format!("{name}:"))));
    let headers: String = copied
        .map(|line| {
            let tag = if line.starts_with("To:") && !line.contains(";tag=") { ";tag=callee" } else { "" };
            format!("{line}{tag}\r\n")
        })
        .collect();
    format!("SIP/2.0 {status}\r\n{headers}{more}Content-Length: 0\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn hunt_that_finds_nobody_ends_as_its_last_attempt() {
    let full = Sipp::refusing("503 Service Unavailable").await;
    let closed = named("closed", free_address(), 2);
    let node = hunter(vec![named("full", full.address, 1), closed], vec![]).await;
    let mut call = node.dial(dial()).await.unwrap();
    assert!(matches!(end(&mut call).await, SipEnd::Unreachable { .. }));
    full.succeeds().await;
    let mut nowhere = TrunkConfig::peer("nowhere", "127.0.0.1:9".parse().unwrap());
    nowhere.prefixes = vec!["+49".into()];
    let node = hunter(vec![nowhere], vec![]).await;
    let refused = node.dial(dial()).await.map(|call| call.id);
    assert!(matches!(refused, Err(callbox::sip::SipError::NoRoute)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_call_is_tried_by_its_trunk_alone() {
    let full = Sipp::refusing("503 Service Unavailable").await;
    let other = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let second = named("second", other.local_addr().unwrap(), 20);
    let node = hunter(vec![second, named("first", full.address, 10)], vec![]).await;
    let mut call = node.dial(Dial { trunk: Some("first".into()), ..dial() }).await.unwrap();
    assert!(matches!(end(&mut call).await, SipEnd::Rejected { status: 503, .. }));
    full.succeeds().await;
    assert!(other.recv(&mut [0; 10]).is_err(), "the second trunk was not asked");
}

/// How many calls came to SIPp: an INVITE that comes again is none.
fn calls_at(peer: &Sipp) -> usize {
    let trace = peer.trace();
    let invites = trace.split("\nINVITE sip:").skip(1);
    let call_id =
        |invite: &str| invite.lines().find_map(|line| line.strip_prefix("Call-ID: ")).map(str::to_owned);
    invites.filter_map(call_id).collect::<std::collections::HashSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_shared_by_the_weights_of_trunks_of_one_priority() {
    const CALLS: usize = 150;
    let busy = [("@STATUS@", "486 Busy Here")];
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(Sipp::uas_filled("uas_reject", &busy, CALLS as u32 + 1, &[]).await);
    }
    let weighted = |(peer, weight): (&Sipp, u16)| TrunkConfig {
        weight,
        ..named(&format!("weight-{weight}"), peer.address, 1)
    };
    let trunks = peers.iter().zip([9, 1, 0]).map(weighted).collect();
    let node = hunter(trunks, vec![]).await;
    for _ in 0..CALLS {
        let mut call = node.dial(dial()).await.unwrap();
        let end = end(&mut call).await;
        assert!(matches!(end, SipEnd::Rejected { status: 486, .. }), "{end:?}");
    }
    let [nine, one, none] = [0, 1, 2].map(|n| calls_at(&peers[n]));
    assert_eq!((nine + one, none), (CALLS, 0), "{nine} and {one}");
    // A tenth is 15. By chance it is none in 1 of 7 million runs, and 40 or more in fewer yet; of two that
    // share alike, one would have fewer than 40 in 1 of 500 million.
    assert!((1..40).contains(&one), "{one} of {CALLS}");
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_names_a_time_is_left_alone_until_then() {
    let full = Sipp::refusing("503 Service Unavailable\nRetry-After: 600 (maintenance)").await;
    let free = Sipp::uas("uas_answer", 2, &[]).await;
    let node = hunter(vec![named("full", full.address, 1), named("free", free.address, 2)], vec![]).await;
    assert_eq!(answered_and_hung_up(&node).await.as_deref(), Some("free"));
    // Gone, it would be closed: that the second call does not even try shows by the first name told.
    full.succeeds().await;
    let mut call = node.dial(dial()).await.unwrap();
    within("the INVITE", call.way.changed()).await.unwrap();
    assert_eq!(by(&call).as_deref(), Some("free"));
    answered(&mut call).await;
    hangs_up(&node, call, free).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kamailio_that_finds_no_gateway_hands_the_call_on() {
    let gateway = Sipp::uas("uas_answer", 1, &[]).await;
    let up = dispatcher(gateway.address).await;
    let down = dispatcher(free_address()).await;
    let node = hunter(vec![named("down", down.address, 1), named("up", up.address, 2)], vec![]).await;
    assert_eq!(answered_and_hung_up(&node).await.as_deref(), Some("up"));
    gateway.succeeds().await;
    settled(&node).await;
}

type Came = Vec<(Instant, String)>;

/// Answers every INVITE with 486; gives when the first ones came, and to whom.
async fn busy_line(calls: usize) -> (SocketAddr, oneshot::Receiver<Came>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (counted, count) = oneshot::channel();
    tokio::spawn(async move {
        let (mut came, mut counted) = (Came::new(), Some(counted));
        loop {
            let (message, from) = received(&socket).await;
            let at = Instant::now();
            let Some(called) = message.strip_prefix("INVITE sip:") else { continue };
            socket.send_to(response("486 Busy Here", &message, "").as_bytes(), from).await.unwrap();
            let called = called.split('@').next().unwrap().to_owned();
            // One that comes again is a retransmission.
            if came.iter().all(|(_, other)| *other != called) {
                came.push((at, called));
            }
            if came.len() == calls
                && let Some(counted) = counted.take()
            {
                // The test may not want to know.
                let _ = counted.send(came.clone());
            }
        }
    });
    (address, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_leave_in_order_and_no_faster_than_the_trunk_takes_them() {
    const CALLS: usize = 8;
    let interval = Duration::from_millis(100);
    let (address, came) = busy_line(CALLS).await;
    let paced = TrunkConfig { cps: 10.0, ..trunk(address) };
    let (node, _) = node(vec![paced]).await;
    let began = Instant::now();
    let mut calls = Vec::new();
    for index in 0..CALLS {
        let to = number(&format!("+1415555010{index}"));
        calls.push(node.dial(Dial { to, ..dial() }).await.unwrap());
        // In the queue, or gone already, before the next one comes.
        eventually("the call queues", || {
            node.waiting("test").unwrap() + calls.iter().filter(|call| by(call).is_some()).count() > index
        })
        .await;
    }
    let came = within("all calls", came).await.unwrap();
    for (index, (at, called)) in came.iter().enumerate() {
        assert_eq!(*called, format!("+1415555010{index}"));
        // However late a loaded machine was with the first, none came before its turn.
        assert!(*at - began >= interval * index as u32, "{index} came after {:?}", *at - began);
    }
    for mut call in calls {
        assert!(matches!(end(&mut call).await, SipEnd::Rejected { status: 486, .. }));
    }
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_queue_goes_to_the_next_trunk_or_says_when_to_come_back() {
    let (address, came) = busy_line(1).await;
    // One call in 100 s, and nobody waits.
    let paced = TrunkConfig { cps: 0.01, cps_queue_secs: 0.0, ..named("paced", address, 1) };
    let free = Sipp::uas("uas_answer", 1, &[]).await;
    let only = hunter(vec![paced.clone()], vec![]).await;
    let mut call = only.dial(dial()).await.unwrap();
    assert!(matches!(end(&mut call).await, SipEnd::Rejected { status: 486, .. }));
    within("the call", came).await.unwrap();
    let mut call = only.dial(dial()).await.unwrap();
    let SipEnd::Congested { retry_after } = end(&mut call).await else { panic!("expected congestion") };
    assert!(retry_after <= Duration::from_secs(100) && retry_after > Duration::from_secs(50));
    assert_eq!(by(&call), None, "it never left");
    let (to, from) = (dial().to, dial().from);
    assert!(only.road(&to, from.as_ref(), None).unwrap().is_some());
    let (address, _came) = busy_line(1).await;
    let paced = TrunkConfig { server: address.into(), ..paced };
    let both = hunter(vec![paced, named("free", free.address, 2)], vec![]).await;
    let mut call = both.dial(dial()).await.unwrap();
    assert!(matches!(end(&mut call).await, SipEnd::Rejected { status: 486, .. }));
    assert_eq!(both.road(&to, from.as_ref(), None).unwrap(), None, "the other trunk takes it");
    assert_eq!(answered_and_hung_up(&both).await.as_deref(), Some("free"));
    free.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_while_waiting_leaves_the_queue_and_sends_nothing() {
    let (address, came) = busy_line(1).await;
    let paced = TrunkConfig { cps: 0.01, cps_queue_secs: 300.0, ..trunk(address) };
    let (node, _) = node(vec![paced]).await;
    let mut first = node.dial(dial()).await.unwrap();
    assert!(matches!(end(&mut first).await, SipEnd::Rejected { status: 486, .. }));
    let mut waiting = node.dial(Dial { to: number("+14155550199"), ..dial() }).await.unwrap();
    eventually("it waits", || node.waiting("test").unwrap() == 1).await;
    waiting.handle.hang_up();
    assert_eq!(end(&mut waiting).await, SipEnd::Cancelled);
    eventually("nobody waits", || node.waiting("test").unwrap() == 0).await;
    assert_eq!(by(&waiting), None);
    assert_eq!(within("the first", came).await.unwrap().len(), 1);
    settled(&node).await;
}
