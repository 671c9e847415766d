//! Calls that leave without an offer, with SIPp as the callee that makes one.

use callbox::base::audio::Codec;

use super::{dialogs::short_sessions, *};

/// SIPp that offers `formats`, and wants `answered` of them.
async fn offering(formats: &str, answered: &str) -> (Sipp, TrunkConfig) {
    let filled = [("@FORMATS@", formats), ("@ANSWER@", answered)];
    let peer = Sipp::uas_filled("uas_late", &filled, 1, &[]).await;
    let trunk = TrunkConfig { late_offer: true, ..trunk(peer.address) };
    (peer, trunk)
}

/// Our side of the session as the call's trunk has it, and the peer's offer.
async fn described(call: &mut SipCall) -> (Local, String) {
    loop {
        match signal(call).await {
            Signal::Trying | Signal::Ringing => {}
            Signal::Answered { sdp } => {
                let mut ours = local();
                call.handle.fit(&mut ours);
                break (ours, sdp);
            }
            other => panic!("what is described before is no offer: {other:?}"),
        }
    }
}

/// The ports that our ACKs name so far; none without an answer. Those that come again are left out.
fn acknowledged(peer: &Sipp) -> Vec<Option<u16>> {
    let log = peer.log();
    let port = |ack: &str| {
        let (_, stream) = ack.split_once("m=audio ")?;
        stream.split(' ').next()?.parse().ok()
    };
    let received = log.split("message received").map(|message| message.split("-----").next().unwrap());
    let mut acks: Vec<&str> = received.filter(|message| message.contains("\nACK sip:")).collect();
    acks.dedup();
    acks.into_iter().map(port).collect()
}

/// A call to SIPp playing `scenario`, by a trunk that is to make the offer.
async fn late_call_to(scenario: &str) -> (Sipp, SipNode, SipCall) {
    late_call_by(Sipp::uas(scenario, 1, &[]).await).await
}

async fn late_call_by(peer: Sipp) -> (Sipp, SipNode, SipCall) {
    let trunk = TrunkConfig { late_offer: true, ..trunk_with_password(peer.address, "secret") };
    let (node, _) = SipNode::start(short_sessions(vec![trunk], 1, 3)).await.unwrap();
    let call = node.dial(dial()).await.unwrap();
    (peer, node, call)
}

#[tokio::test(flavor = "multi_thread")]
async fn callees_offer_is_answered_in_the_ack() {
    // Not in our order.
    let (peer, trunk) =
        offering("18 8 0 101\na=rtpmap:101 telephone-event/8000", "40000 RTP/AVP 0 101").await;
    let (node, _) = node(vec![trunk]).await;
    let mut call = node.dial(dial()).await.unwrap();
    // What it plays before the answer is not to be heard, and as good as ringing.
    while !matches!(signal(&mut call).await, Signal::Ringing) {}
    let (ours, offer) = described(&mut call).await;
    assert!(call.handle.late_offer());
    let (_, agreed) = sdp::answer(&ours, &offer).unwrap();
    assert_eq!((agreed.codec, agreed.telephone_event), (Codec::Pcmu, Some(101)));
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offer_that_nothing_can_be_agreed_on_is_answered_by_a_refused_stream() {
    let (peer, trunk) = offering("18", "0 RTP/AVP 18").await;
    let (node, _) = node(vec![trunk]).await;
    let mut call = node.dial(dial()).await.unwrap();
    let (ours, offer) = described(&mut call).await;
    assert!(matches!(sdp::answer(&ours, &offer), Err(sdp::SdpError::NoCommonCodec { .. })));
    hangs_up(&node, call, peer).await;
}

/// Each trunk is called as it wants, and its word taken for what it is.
#[tokio::test(flavor = "multi_thread")]
async fn trunks_that_make_the_offer_and_others_take_over_from_each_other() {
    for late_first in [true, false] {
        let full = Sipp::refusing("503 Service Unavailable").await;
        let (taking, last) = if late_first {
            let peer = Sipp::uas("uas_answer", 1, &[]).await;
            let trunk = trunk(peer.address);
            (peer, trunk)
        } else {
            offering("0", "40000 RTP/AVP 0").await
        };
        let first = TrunkConfig { name: "full".into(), late_offer: late_first, ..trunk(full.address) };
        let (node, _) = node(vec![first, TrunkConfig { priority: 1, ..last }]).await;
        let mut call = node.dial(dial()).await.unwrap();
        let description = answered(&mut call).await;
        assert_eq!(call.handle.late_offer(), !late_first);
        let mut ours = local();
        call.handle.fit(&mut ours);
        let agreed = match late_first {
            true => sdp::accept(&ours, &description).unwrap(),
            false => sdp::answer(&ours, &description).unwrap().1,
        };
        assert_eq!(agreed.codec, Codec::Pcmu);
        hangs_up(&node, call, taking).await;
        full.succeeds().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn challenge_is_not_taken_for_an_offer() {
    let (peer, node, mut call) = late_call_to("uas_401").await;
    answered(&mut call).await;
    eventually("the ACKs come", || acknowledged(&peer).len() == 3).await;
    assert_eq!(acknowledged(&peer), [None, None, Some(40_000)], "of two challenges, and the answer");
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offer_is_answered_after_the_session_was_too_short() {
    let (peer, node, mut call) = late_call_to("uas_timer_422").await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    assert_eq!(acknowledged(&peer), [None, Some(40_000)]);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offer_that_crosses_our_cancel_is_answered_before_the_call_is_hung_up() {
    let (peer, node, mut call) = late_call_to("uas_race").await;
    is_given_up_while_it_rings(&mut call).await;
    eventually("the ACK comes", || !acknowledged(&peer).is_empty()).await;
    assert_eq!(acknowledged(&peer), [Some(40_000)]);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_phones_that_answer_the_first_is_spoken_to() {
    let (peer, node, mut call) = late_call_to("uas_fork").await;
    let (_, offer) = described(&mut call).await;
    assert!(offer.contains("m=audio 40004 "), "{offer}");
    // The other phone's answer gets its ACK and BYE before the call is hung up.
    tokio::time::timeout(Duration::from_millis(500), call.signals.recv()).await.unwrap_err();
    assert_eq!(acknowledged(&peer), [Some(40_000), Some(0)]);
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_answer_is_what_refreshes_the_session() {
    // Where SIPp finds the description that is to come again.
    let origin = "      <ereg regexp=\"o=[^\n]*\" search_in=\"body\" assign_to=\"origin\"/>\n";
    let ack = format!("<recv request=\"ACK\"><action>{origin}</action></recv>\n  <recv request=\"INVITE\">");
    let filled = [(origin, ""), ("<recv request=\"ACK\"/>\n  <recv request=\"INVITE\">", &ack)];
    let peer = Sipp::uas_filled("uas_timer_reinvite", &filled, 1, &[]).await;
    let (peer, node, mut call) = late_call_by(peer).await;
    let (ours, _) = described(&mut call).await;
    let Signal::LateAnswer { sdp } = signal(&mut call).await else { panic!("expected the new answer") };
    assert!(sdp::accept(&ours, &sdp).is_ok());
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    assert_eq!(acknowledged(&peer), [Some(40_000), None], "the second is of an answer");
    peer.succeeds().await;
    settled(&node).await;
}
