//! What trunks require of single messages: how numbers are written, what an answer may name, by which flow
//! requests go, who is answered.

use std::{process::Command, time::Instant};

use callbox::base::audio::Codec;
use callbox::sip::{IdentityHeader, Transport};

use super::{
    inbound::{answer, called, take},
    kamailio::Kamailio,
    peers::{Group, Sipp, free_port, spawn},
    *,
};

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_identity_are_written_as_trunks_want_them() {
    is_had("uas_identity").await;
}

/// What SIPp gets of a call to this number by a trunk with these habits, which it answers.
async fn messages_of(to: &str, habits: impl FnOnce(TrunkConfig) -> TrunkConfig) -> String {
    let peer = Sipp::uas("uas_answer", 2, &[]).await;
    let (node, _) = node(vec![habits(trunk(peer.address))]).await;
    let mut call = node.dial(Dial { to: number(to), ..dial() }).await.unwrap();
    answered(&mut call).await;
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    settled(&node).await;
    peer.trace()
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_is_preferred_or_withheld_as_the_trunk_is_told() {
    let preferring = |trunk| TrunkConfig { identity: IdentityHeader::Ppi, ..trunk };
    let messages = messages_of("+14155550123", preferring).await;
    assert!(messages.contains("\nP-Preferred-Identity: <sip:+14155550100@127.0.0.1>"), "{messages}");
    assert!(!messages.contains("P-Asserted-Identity"), "{messages}");
    let withholding = |trunk| TrunkConfig { withhold_caller_id: true, ..trunk };
    let messages = messages_of("+14155550123", withholding).await;
    assert!(messages.contains("\nPrivacy: id"), "{messages}");
    assert!(messages.contains("\nFrom: \"Anonymous\" <sip:anonymous@anonymous.invalid>"), "{messages}");
    // Who pays for the call sees who calls.
    let messages = messages_of("+18005550123", withholding).await;
    assert!(messages.contains("\nFrom: <sip:+14155550100@127.0.0.1>;tag="), "{messages}");
    assert!(messages.contains("\nP-Asserted-Identity: <sip:+14155550100@127.0.0.1>"), "{messages}");
    assert!(!messages.contains("Privacy") && !messages.to_lowercase().contains("anonymous"), "{messages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_call_name_the_product_and_nothing_below_it() {
    let messages = messages_of("+14155550123", |trunk| trunk).await;
    let came: Vec<_> = messages.split("message received ").skip(1).collect();
    assert!(came.len() >= 3, "INVITE, ACK and BYE: {messages}");
    for message in came {
        let message = message.split("message sent ").next().unwrap().to_lowercase();
        assert!(message.contains("\nuser-agent: callbox\r\n"), "{message}");
        assert!(!message.contains("rsip") && !message.contains("restsend"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_is_shorter_than_it_says_is_refused_and_the_next_call_is_taken() {
    let (node, mut calls, port) = called().await;
    let lies = [("[len]", "9999"), ("486", "400")];
    Sipp::uac_filled("uac_refused", &lies, node.local_address(), port, &[]).succeeds().await;
    assert!(node.stats().dropped.malformed > 0);
    assert_eq!(node.stats().transactions, 0, "it is refused unread");
    let peer = Sipp::uac("uac_call", node.local_address(), port, 1, &[]);
    let mut call = answer(take(&mut calls).await).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contact_that_cannot_be_resolved_is_reached_by_the_calls_flow() {
    is_had("uas_invalid_contact").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_name_one_offered_codec_and_its_events_alone() {
    let peer = Sipp::uas("uas_subset", 1, &[]).await;
    let (node, _) = node(vec![trunk(peer.address)]).await;
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    let every = Local { codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus], ..local() };
    let mut agreed = Vec::new();
    let end = loop {
        match signal(&mut call).await {
            Signal::Reoffer(reoffer) => {
                let (answer, negotiated) = sdp::answer(&every, reoffer.sdp.as_deref().unwrap()).unwrap();
                agreed.push((negotiated.codec, negotiated.payload_type, negotiated.telephone_event));
                reoffer.reply.send(Ok(answer)).unwrap();
            }
            Signal::Ended(end) => break end,
            other => panic!("unexpected {other:?}"),
        }
    };
    let expected = [
        (Codec::Pcmu, 0, Some(101)),
        (Codec::Pcma, 8, Some(101)),
        (Codec::Pcma, 8, Some(96)),
        (Codec::Pcma, 8, None),
        (Codec::Opus, 111, Some(110)),
        (Codec::Pcmu, 8, None),
    ];
    assert_eq!(agreed, expected);
    assert_eq!(end, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trunk_gets_no_more_calls_a_second_than_it_takes() {
    const CALLS: u32 = 5;
    let peer = Sipp::uas("uas_answer", CALLS, &[]).await;
    let (node, _) = node(vec![TrunkConfig { cps: 4.0, ..trunk(peer.address) }]).await;
    let mut waiting = Vec::new();
    for _ in 0..CALLS {
        waiting.push(node.dial(dial()).await.unwrap());
    }
    let mut came = Vec::new();
    for call in &mut waiting {
        answered(call).await;
        came.push(Instant::now());
        call.handle.hang_up();
    }
    // Four turns of a quarter of a second follow the first; a loaded machine may be late with that one.
    let all = came[came.len() - 1] - came[0];
    assert!(all > Duration::from_millis(500), "{CALLS} calls within {all:?}");
    peer.succeeds().await;
    settled(&node).await;
}

/// Connections of this machine to a TCP port that are up.
fn connections_to(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!(":{port:04X}");
    let up = |line: &&str| {
        let mut words = line.split_ascii_whitespace().skip(2);
        words.next().is_some_and(|to| to.ends_with(&remote)) && words.next() == Some("01")
    };
    table.lines().filter(up).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgement_and_bye_keep_to_the_connection_of_the_invite() {
    let peer = Sipp::uas_over_tcp("uas_answer").await;
    let port = peer.address.port();
    let tcp = TrunkConfig { transport: Transport::Tcp, ..trunk(peer.address) };
    let (node, _) = node(vec![tcp]).await;
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    assert_eq!(connections_to(port), 1);
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn call_from_any_port_of_the_trunks_address_is_the_trunks() {
    let (node, mut calls, port) = called().await;
    let other = free_port();
    assert_ne!(other, port);
    let peer = Sipp::uac("uac_call", node.local_address(), other, 1, &[]);
    let incoming = take(&mut calls).await;
    assert_eq!(incoming.trunk, "test");
    let mut call = answer(incoming).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

/// `sipsak` asks a node whether it lives; whether it got an answer.
async fn sipsak_is_answered(node: &SipNode) -> bool {
    let log = std::fs::File::create(peers::traces::folder("sipsak").join("log")).unwrap();
    let mut command = Command::new("sipsak");
    let uri = format!("sip:ping@{}", node.local_address());
    // With T1 of 50 ms it gives up after three seconds.
    command.args(["-vv", "--timer-t1", "50", "-s", &uri]);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let mut process: Group = spawn("sipsak", "sipsak", &mut command);
    let mut status = None;
    eventually("sipsak finishes", || {
        status = process.finished();
        status.is_some()
    })
    .await;
    status.unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_allowed_addresses_are_answered() {
    let (open, _calls, _) = called().await;
    assert!(sipsak_is_answered(&open).await, "its address is the trunk's");
    let (closed, _) = node(vec![trunk(([127, 0, 0, 9], 5060).into())]).await;
    assert!(!sipsak_is_answered(&closed).await, "its address is no trunk's");
    assert!(closed.stats().transactions == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn trunk_that_lives_answers_our_ping() {
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let proxy = Kamailio::start("proxy", "MD5", callee.address).await;
    let (node, _) = node(vec![trunk(proxy.address)]).await;
    let pong = within("the answer", node.options(None)).await.unwrap();
    assert!(pong.status > 0);
    settled(&node).await;
}
