//! Offers that cross, come in a PRACK or were made by one of many callees, with SIPp as the peer; and sessions
//! that are refreshed over TCP.

use callbox::{
    base::audio::Direction,
    sip::{Reoffer, SipError, Transport},
};

use super::{
    inbound::{answer, called, take},
    peers::Sipp,
    *,
};

fn port(sdp: &str) -> u16 {
    sdp::accept(&local(), sdp).unwrap().remote.port()
}

fn comply(reoffer: Reoffer) -> Direction {
    let (answer, agreed) = sdp::answer(&local(), &reoffer.sdp.expect("an offer")).unwrap();
    reoffer.reply.send(Ok(answer)).unwrap();
    agreed.direction
}

#[tokio::test(flavor = "multi_thread")]
async fn callee_that_repeats_no_description_is_taken_at_its_own_early_one() {
    let (peer, node, mut call) = call_to("uas_fork_silent").await;
    let mut heard = Vec::new();
    loop {
        match signal(&mut call).await {
            Signal::EarlyMedia { sdp } => heard.push(port(&sdp)),
            Signal::Answered { sdp } => break heard.push(port(&sdp)),
            Signal::Trying | Signal::Ringing => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(heard, [40_002, 40_004, 40_002], "the first phone answers, though the second played last");
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_that_cross_where_the_peer_called_are_tried_again_by_us_first() {
    let (node, mut calls, port) = called().await;
    let peer = Sipp::uac("uac_glare", node.local_address(), port, 1, &[]);
    let mut call = answer(take(&mut calls).await).await;
    let hold = local().next(Direction::SendOnly);
    let (handle, offer) = (call.handle.clone(), sdp::offer(&hold));
    let reinvite = async {
        loop {
            match handle.reinvite(offer.clone()).await {
                // Until our 200 is acknowledged there is no call to change.
                Err(SipError::CallOver) => tokio::time::sleep(Duration::from_millis(5)).await,
                answer => break answer,
            }
        }
    };
    let answer = within("the answer", reinvite).await;
    assert_eq!(sdp::accept(&hold, &answer.unwrap()).unwrap().direction, Direction::SendOnly);
    let Signal::Reoffer(reoffer) = signal(&mut call).await else { panic!("expected the peer's offer") };
    assert_eq!(comply(reoffer), Direction::SendRecv);
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offer_in_a_prack_is_answered_in_its_response() {
    let (node, mut calls, port) = called().await;
    let peer = Sipp::uac("uac_prack_offer", node.local_address(), port, 1, &[]);
    let incoming = take(&mut calls).await;
    let (description, _) = sdp::answer(&local(), incoming.offer.as_deref().unwrap()).unwrap();
    incoming.play_early(description.clone()).await.unwrap();
    let mut call = within("the answer", incoming.answer(description)).await.unwrap();
    let Signal::Reoffer(reoffer) = signal(&mut call).await else { panic!("expected the PRACK's offer") };
    assert_eq!(comply(reoffer), Direction::RecvOnly);
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_refreshed_over_tcp_and_lost_where_nobody_does() {
    for (scenario, lost) in [("uas_timer_update", None), ("uas_timer_expires", Some("nobody refreshed"))] {
        let peer = Sipp::uas(scenario, 1, &["-t", "t1"]).await;
        let over_tcp = TrunkConfig { transport: Transport::Tcp, ..trunk(peer.address) };
        let (session_expires, session_floor) = (Duration::from_secs(3), Duration::from_secs(1));
        let config = Config { session_expires, session_floor, ..config(vec![over_tcp]) };
        let (node, _) = SipNode::start(config).await.unwrap();
        let mut call = node.dial(dial()).await.unwrap();
        answered(&mut call).await;
        match (end(&mut call).await, lost) {
            (SipEnd::RemoteHangup, None) => {}
            (SipEnd::SessionLost { detail }, Some(why)) => assert!(detail.contains(why), "{detail}"),
            (end, _) => panic!("{scenario}: {end:?}"),
        }
        peer.succeeds().await;
        settled(&node).await;
    }
}
