//! Calls out, SIPp answering.

use std::net::UdpSocket;

use callbox::base::Pii;

use super::{peers::Sipp, ports::free_address, *};

#[tokio::test(flavor = "multi_thread")]
async fn answered_call_is_ended_by_our_bye() {
    let peer = Sipp::uas("uas_answer", 1, &[]).await;
    let (node, _) = node(vec![trunk(peer.address)]).await;
    let mut call = node.dial(dial()).await.unwrap();
    let answer = answered(&mut call).await;
    assert_eq!(sdp::accept(&local(), &answer).unwrap().telephone_event, Some(101));
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_bye_ends_the_call() {
    let peer = Sipp::uas("uas_bye", 1, &[]).await;
    let (node, _) = node(vec![trunk(peer.address)]).await;
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_keep_their_status_and_reason() {
    for (status, reason) in [(486, "Busy Here"), (603, "Decline"), (404, "No Such Number")] {
        let peer = Sipp::refusing(&format!("{status} {reason}")).await;
        let (node, _) = node(vec![trunk(peer.address)]).await;
        let mut call = node.dial(dial()).await.unwrap();
        assert_eq!(end(&mut call).await, SipEnd::Rejected { status, reason: Pii::new(reason.into()) });
        peer.succeeds().await;
        settled(&node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ringing_forever_is_cancelled_as_no_answer() {
    let peer = Sipp::uas("uas_ring", 1, &[]).await;
    let (node, _) = node(vec![trunk(peer.address)]).await;
    let ring_timeout = Some(Duration::from_millis(500));
    let mut call = node.dial(Dial { ring_timeout, ..dial() }).await.unwrap();
    while !matches!(signal(&mut call).await, Signal::Ringing) {}
    assert_eq!(end(&mut call).await, SipEnd::NoAnswer);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_while_it_rings_cancels() {
    let peer = Sipp::uas("uas_ring", 1, &[]).await;
    let (node, _) = node(vec![trunk(peer.address)]).await;
    let mut call = node.dial(dial()).await.unwrap();
    is_given_up_while_it_rings(&mut call).await;
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_before_any_response_cancels_once_one_comes() {
    let peer = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (node, _) = node(vec![trunk(peer.local_addr().unwrap())]).await;
    let mut call = node.dial(dial()).await.unwrap();
    let mut buf = [0; 4000];
    let (length, from) = within("the INVITE", peer.recv_from(&mut buf)).await.unwrap();
    let invite = String::from_utf8_lossy(&buf[..length]).into_owned();
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::Cancelled);
    let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
    let copied =
        invite.lines().filter(|line| copied.iter().any(|name| line.starts_with(&format!("{name}:"))));
    let headers: String = copied.map(|line| format!("{line}\r\n")).collect();
    let ringing = format!("SIP/2.0 180 Ringing\r\n{headers}Content-Length: 0\r\n\r\n");
    peer.send_to(ringing.as_bytes(), from).await.unwrap();
    let branch = invite.split("branch=").nth(1).and_then(|rest| rest.split([';', '\r']).next()).unwrap();
    let cancel = loop {
        let (length, _) = within("the CANCEL", peer.recv_from(&mut buf)).await.unwrap();
        let message = String::from_utf8_lossy(&buf[..length]).into_owned();
        if !message.starts_with("INVITE") {
            break message;
        }
    };
    assert!(cancel.starts_with("CANCEL ") && cancel.contains(branch), "{cancel}");
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_crosses_our_cancel_is_acknowledged_and_hung_up() {
    let peer = Sipp::uas("uas_race", 1, &[]).await;
    let (node, _) = node(vec![trunk(peer.address)]).await;
    let mut call = node.dial(dial()).await.unwrap();
    is_given_up_while_it_rings(&mut call).await;
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn early_media_is_told_before_the_answer() {
    let peer = Sipp::uas("uas_early", 1, &[]).await;
    let (node, _) = node(vec![trunk(peer.address)]).await;
    let mut call = node.dial(dial()).await.unwrap();
    loop {
        match signal(&mut call).await {
            Signal::EarlyMedia { sdp } => break assert!(sdp.contains("m=audio"), "{sdp}"),
            Signal::Trying => {}
            other => panic!("expected early media, got {other:?}"),
        }
    }
    answered(&mut call).await;
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hold_resume_and_other_requests_in_the_dialog_are_served() {
    let peer = Sipp::uas("uas_hold", 1, &[]).await;
    let (node, _) = node(vec![trunk(peer.address)]).await;
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    let mut told = Vec::new();
    let end = loop {
        match signal(&mut call).await {
            Signal::Reoffer(reoffer) => {
                let (answer, negotiated) = sdp::answer(&local(), reoffer.sdp.as_deref().unwrap()).unwrap();
                told.push(format!("{:?}", negotiated.direction));
                reoffer.reply.send(Ok(answer)).unwrap();
            }
            Signal::Dtmf { digit, .. } => told.push(digit.to_string()),
            Signal::Ended(end) => break end,
            other => panic!("unexpected {other:?}"),
        }
    };
    assert_eq!(told, ["RecvOnly", "SendRecv", "5"]);
    assert_eq!(end, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_port_is_unreachable_at_once_and_silence_in_time() {
    let closed = trunk(free_address());
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mute = TrunkConfig { name: "mute".into(), ..trunk(silent.local_addr().unwrap()) };
    let setup_timeout = Duration::from_secs(1);
    let config = Config { setup_timeout, ..config(vec![closed, mute]) };
    let (node, _) = SipNode::start(config).await.unwrap();
    let mut call = node.dial(Dial { trunk: Some("test".into()), ..dial() }).await.unwrap();
    let SipEnd::Unreachable { detail } = end(&mut call).await else { panic!("expected unreachable") };
    assert!(detail.contains("nobody listens"), "{detail}");
    let mut call = node.dial(Dial { trunk: Some("mute".into()), ..dial() }).await.unwrap();
    let SipEnd::Unreachable { detail } = end(&mut call).await else { panic!("expected unreachable") };
    assert!(detail.contains("no response within 1 s"), "{detail}");
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_tcp_port_and_unknown_name_are_unreachable() {
    let tcp = callbox::sip::Transport::Tcp;
    let closed = TrunkConfig { transport: tcp, ..trunk(free_address()) };
    let nameless = TrunkConfig::peer("nameless", "pbx.invalid".parse().unwrap());
    let (node, _) = node(vec![closed, nameless]).await;
    for name in ["test", "nameless"] {
        let mut call = node.dial(Dial { trunk: Some(name.into()), ..dial() }).await.unwrap();
        let end = end(&mut call).await;
        assert!(matches!(end, SipEnd::Unreachable { .. }), "{name}: {end:?}");
    }
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_ends_under_packet_loss_and_nothing_leaks() {
    const CALLS: u32 = 20;
    let peer = Sipp::uas("uas_answer", CALLS, &["-lost", "10"]).await;
    let (node, _) = node(vec![trunk(peer.address)]).await;
    let one = async |node: SipNode| {
        let mut call = node.dial(dial()).await.unwrap();
        loop {
            match signal(&mut call).await {
                Signal::Answered { .. } => call.handle.hang_up(),
                Signal::Ended(end) => return end,
                _ => {}
            }
        }
    };
    let calls: Vec<_> = (0..CALLS).map(|_| one(node.clone())).collect();
    let ends = futures_util::future::join_all(calls).await;
    let had = ends.iter().filter(|end| **end == SipEnd::LocalHangup).count();
    assert!(had as u32 > CALLS * 3 / 4, "{ends:?}");
    settled(&node).await;
}
