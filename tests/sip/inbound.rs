//! Calls in, from SIPp.

use callbox::sip::{NumberFormat, Party};

use super::{
    kamailio::Kamailio,
    peers::{Sipp, free_port},
    *,
};

/// A node that takes calls from the port SIPp will use.
pub async fn called() -> (SipNode, mpsc::Receiver<IncomingCall>, u16) {
    let port = free_port();
    let (node, calls) = node(vec![trunk(([127, 0, 0, 1], port).into())]).await;
    (node, calls, port)
}

pub async fn take(calls: &mut mpsc::Receiver<IncomingCall>) -> IncomingCall {
    within("the call", calls.recv()).await.expect("the node runs")
}

pub async fn answer(incoming: IncomingCall) -> SipCall {
    let description = match &incoming.offer {
        Some(offer) => sdp::answer(&local(), offer).unwrap().0,
        None => sdp::offer(&local()),
    };
    incoming.answer(description).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_hangs_up() {
    let (node, mut calls, port) = called().await;
    let peer = Sipp::uac("uac_call", node.local_address(), port, 1, &[]);
    let incoming = take(&mut calls).await;
    incoming.ring().await.unwrap();
    let mut call = answer(incoming).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn we_hang_up() {
    let (node, mut calls, port) = called().await;
    let peer = Sipp::uac("uac_stay", node.local_address(), port, 1, &[]);
    let call = answer(take(&mut calls).await).await;
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_call_is_acknowledged() {
    let (node, mut calls, port) = called().await;
    let peer = Sipp::refused(node.local_address(), port, "486", "RTP/AVP");
    take(&mut calls).await.reject(486).await.unwrap();
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_call_ends_while_it_rings() {
    let (node, mut calls, port) = called().await;
    let peer = Sipp::uac("uac_cancel", node.local_address(), port, 1, &[]);
    let mut incoming = take(&mut calls).await;
    incoming.ring().await.unwrap();
    assert_eq!(within("the cancel", incoming.ended()).await, SipEnd::Cancelled);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invite_without_an_offer_gets_ours_and_brings_the_answer_in_its_ack() {
    let (node, mut calls, port) = called().await;
    let peer = Sipp::uac("uac_late", node.local_address(), port, 1, &[]);
    let incoming = take(&mut calls).await;
    assert_eq!(incoming.offer, None);
    let mut call = answer(incoming).await;
    let Signal::LateAnswer { sdp } = signal(&mut call).await else { panic!("expected the answer") };
    assert!(sdp::accept(&local(), &sdp).is_ok());
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invite_that_comes_twice_is_merged_and_another_of_its_call_id_is_a_call() {
    let (node, mut calls, port) = called().await;
    let peer = Sipp::uac("uac_merged", node.local_address(), port, 1, &[]);
    let first = take(&mut calls).await;
    first.ring().await.unwrap();
    let second = take(&mut calls).await;
    assert_eq!(first.id(), second.id());
    assert_eq!(node.stats().calls, 2);
    second.reject(486).await.unwrap();
    eventually("the other's ACK", || peer.trace().matches("\nCSeq: 1 ACK").count() >= 2).await;
    first.reject(603).await.unwrap();
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_call_that_a_proxy_sends_back_is_a_call_of_its_own() {
    let proxy = free_port();
    let (node, mut calls) = node(vec![trunk(([127, 0, 0, 1], proxy).into())]).await;
    let (own, to) = (node.local_address().port().to_string(), dial().to);
    let words = [("@NUMBER@", to.as_str()), ("@OFFICE@", &own), ("@CALLER@", "9")];
    let _proxy = Kamailio::at(proxy, include_str!("kamailio/switchboard.cfg"), &words, "").await;
    for we_hang_up in [true, false] {
        let mut out = node.dial(dial()).await.unwrap();
        let incoming = take(&mut calls).await;
        assert_eq!((incoming.id(), incoming.to.clone()), (&*out.id, Some(Party::Number(to.clone()))));
        incoming.ring().await.unwrap();
        while !matches!(signal(&mut out).await, Signal::Ringing) {}
        let mut back = answer(incoming).await;
        answered(&mut out).await;
        assert_eq!(node.stats().calls, 2);
        let (ends, other) = if we_hang_up { (&mut out, &mut back) } else { (&mut back, &mut out) };
        ends.handle.hang_up();
        assert_eq!(end(ends).await, SipEnd::LocalHangup);
        assert_eq!(end(other).await, SipEnd::RemoteHangup);
        settled(&node).await;
    }
}

/// Whom a trunk of this kind is told to have called whom SIPp calls, with these words in its INVITE.
async fn told(kind: TrunkConfig, words: &[(&str, &str)]) -> Option<Party> {
    let port = free_port();
    let server = SocketAddr::from(([127, 0, 0, 1], port)).into();
    let (node, mut calls) = node(vec![TrunkConfig { server, ..kind }]).await;
    let peer = Sipp::uac_filled("uac_call", words, node.local_address(), port, &[]);
    let incoming = take(&mut calls).await;
    let to = incoming.to.clone();
    assert_eq!(end(&mut answer(incoming).await).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    to
}

#[tokio::test(flavor = "multi_thread")]
async fn number_that_was_called_is_found_where_the_carrier_puts_it_and_read_as_it_writes() {
    let (called, kind) = (Some(Party::Number(number("+14155550123"))), trunk(([127, 0, 0, 1], 9).into()));
    let named = |text: &str| Some(Party::Other(text.to_owned().into()));
    // In To stands whom somebody called first.
    let dialled = [("To: <sip:[service]", "To: <sip:+14155550177")];
    assert_eq!(told(kind.clone(), &dialled).await, called);
    // The Request-URI is what we registered.
    let contact =
        [("sip:[service]@[remote_ip]:[remote_port] SIP/2.0", "sip:alice@[remote_ip]:[remote_port] SIP/2.0")];
    let registered = TrunkConfig { username: Some("alice".into()), ..kind.clone() };
    assert_eq!(told(registered, &contact).await, called);
    let national = [("sip:[service]", "sip:4155550123")];
    assert_eq!(told(kind.clone(), &national).await, named("4155550123"));
    let american = TrunkConfig {
        number_format: NumberFormat::National,
        country_code: "1".into(),
        international_prefix: "011".into(),
        ..kind
    };
    assert_eq!(told(american, &national).await, called);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_leave_nothing() {
    const CALLS: u32 = 50;
    let (node, mut calls, port) = called().await;
    let peer = Sipp::uac("uac_call", node.local_address(), port, CALLS, &["-r", "50"]);
    let mut ends = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let incoming = take(&mut calls).await;
        ends.spawn(async move { end(&mut answer(incoming).await).await });
    }
    let ends = within("every end", ends.join_all()).await;
    assert!(ends.iter().all(|end| *end == SipEnd::RemoteHangup), "{ends:?}");
    peer.succeeds().await;
    settled(&node).await;
}
