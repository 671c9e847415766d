//! What happens in a dialog besides its beginning and its end, with SIPp as the peer: session timers
//! (RFC 4028), reliable responses (RFC 3262), UPDATE (RFC 3311), forks, hold, glare.

use callbox::{
    base::audio::Direction,
    sip::{Liveness, Reoffer, SipError},
};

use super::{
    inbound::{answer, called, take},
    kamailio::Kamailio,
    peers::Sipp,
    *,
};

/// Sessions of seconds, which no configuration file can ask for.
pub fn short_sessions(trunks: Vec<TrunkConfig>, floor: u64, wanted: u64) -> Config {
    Config {
        session_expires: Duration::from_secs(wanted),
        session_floor: Duration::from_secs(floor),
        ..config(trunks)
    }
}

/// A call to SIPp playing `scenario`, which is answered; sessions expire after three seconds.
async fn timed_call(scenario: &str) -> (Sipp, SipNode, SipCall) {
    timed_call_of(scenario, 3).await
}

async fn timed_call_of(scenario: &str, expires: u64) -> (Sipp, SipNode, SipCall) {
    let peer = Sipp::uas(scenario, 1, &[]).await;
    let (node, _) = SipNode::start(short_sessions(vec![trunk(peer.address)], 1, expires)).await.unwrap();
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    (peer, node, call)
}

/// A call from SIPp playing `scenario`, which we answer.
async fn timed_call_from(scenario: &str, floor: u64, wanted: u64) -> (Sipp, SipNode, SipCall) {
    let port = peers::free_port();
    let config = short_sessions(vec![trunk(([127, 0, 0, 1], port).into())], floor, wanted);
    let (node, mut calls) = SipNode::start(config).await.unwrap();
    let peer = Sipp::uac(scenario, node.local_address(), port, 1, &[]);
    let call = answer(take(&mut calls).await).await;
    (peer, node, call)
}

/// Answers an offer within the call as asked, and says which direction was agreed, from our side.
fn comply(reoffer: Reoffer) -> Option<Direction> {
    let Some(offer) = &reoffer.sdp else {
        reoffer.reply.send(Ok(sdp::offer(&local()))).unwrap();
        return None;
    };
    let (answer, negotiated) = sdp::answer(&local(), offer).unwrap();
    reoffer.reply.send(Ok(answer)).unwrap();
    Some(negotiated.direction)
}

#[tokio::test(flavor = "multi_thread")]
async fn session_is_refreshed_by_update_and_again_after_glare() {
    let (peer, node, mut call) = timed_call("uas_timer_update").await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_is_refreshed_by_the_same_description_where_update_is_not_taken() {
    let (peer, node, mut call) = timed_call("uas_timer_reinvite").await;
    let Signal::LateAnswer { sdp } = signal(&mut call).await else { panic!("expected the new answer") };
    assert!(sdp::accept(&local(), &sdp).is_ok());
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_that_the_peer_does_not_refresh_is_lost() {
    for (scenario, why) in [("uas_timer_expires", "nobody refreshed"), ("uas_timer_gone", "481")] {
        let (peer, node, mut call) = timed_call(scenario).await;
        let SipEnd::SessionLost { detail } = end(&mut call).await else { panic!("expected a lost session") };
        assert!(detail.contains(why), "{detail}");
        peer.succeeds().await;
        settled(&node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_that_fails_once_is_tried_again_and_the_call_lives() {
    let (peer, node, mut call) = timed_call_of("uas_timer_failing", 9).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_short_a_session_is_asked_for_again() {
    let (peer, node, mut call) = timed_call("uas_timer_422").await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_refreshes_are_answered_and_begin_the_timer_anew() {
    let (peer, node, mut call) = timed_call_from("uac_timer", 2, 3).await;
    let mut offers = Vec::new();
    let end = loop {
        match signal(&mut call).await {
            Signal::Reoffer(reoffer) => offers.push(comply(reoffer)),
            Signal::LateAnswer { sdp } => assert!(sdp::accept(&local(), &sdp).is_ok()),
            Signal::Ended(end) => break end,
            other => panic!("unexpected {other:?}"),
        }
    };
    assert_eq!(offers, [Some(Direction::SendRecv), None]);
    assert!(matches!(end, SipEnd::SessionLost { .. }), "{end:?}");
    peer.succeeds().await;
    settled(&node).await;
}

/// A call of SIPp's, in sessions of four seconds, which lives until SIPp hangs up.
async fn is_called_by(scenario: &str) {
    let (peer, node, mut call) = timed_call_from(scenario, 1, 4).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_that_the_caller_leaves_to_us_is_refreshed_again_and_again() {
    is_called_by("uac_refreshed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_that_knows_no_session_timers_is_refreshed_again_and_again() {
    is_called_by("uac_refreshed_unaware").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_that_the_peer_refreshes_outlives_its_first_expiry() {
    let (peer, node, mut call) = timed_call_of("uas_timer_refreshes", 4).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn challenge_within_a_call_that_cannot_be_answered_leaves_the_call_as_it_was() {
    for password in [None, Some("wrong")] {
        let peer = Sipp::uas("uas_challenging", 1, &[]).await;
        let trunk = match password {
            None => trunk(peer.address),
            Some(password) => trunk_with_password(peer.address, password),
        };
        let (node, _) = SipNode::start(short_sessions(vec![trunk], 1, 6)).await.unwrap();
        let mut call = node.dial(dial()).await.unwrap();
        answered(&mut call).await;
        let hold = sdp::offer(&local().next(Direction::SendOnly));
        let refused = within("the refusal", call.handle.reinvite(hold)).await;
        assert!(matches!(refused, Err(SipError::Refused(403))), "{password:?}: {refused:?}");
        // The refresh, an UPDATE, is refused likewise; what ends the call is that the session runs out.
        let end = end(&mut call).await;
        assert!(matches!(end, SipEnd::SessionLost { .. }), "{password:?}: {end:?}");
        assert!(peer.trace().contains("\nUPDATE sip:"));
        peer.succeeds().await;
        settled(&node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reliable_responses_are_acknowledged_in_their_order() {
    is_had("uas_prack").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgement_follows_the_route_that_a_proxy_recorded() {
    let callee = Sipp::uas("uas_prack_routed", 1, &[]).await;
    let proxy = Kamailio::start("proxy", "MD5", callee.address).await;
    let (node, _) = node(vec![trunk_with_password(proxy.address, "secret")]).await;
    has_a_call(&node, callee).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_waits_until_our_early_description_is_acknowledged() {
    let port = peers::free_port();
    // What SIPp does not wait for must not be repeated meanwhile.
    let t1 = Duration::from_millis(250);
    let config = Config { t1, ..config(vec![trunk(([127, 0, 0, 1], port).into())]) };
    let (node, mut calls) = SipNode::start(config).await.unwrap();
    let peer = Sipp::uac("uac_prack", node.local_address(), port, 1, &[]);
    let incoming = take(&mut calls).await;
    let (description, _) = sdp::answer(&local(), incoming.offer.as_deref().unwrap()).unwrap();
    incoming.play_early(description.clone()).await.unwrap();
    let mut call = within("the answer", incoming.answer(description)).await.unwrap();
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ringing_that_is_never_acknowledged_refuses_the_call() {
    let (node, mut calls, port) = called().await;
    let peer = Sipp::uac("uac_prack_never", node.local_address(), port, 1, &[]);
    let mut incoming = take(&mut calls).await;
    incoming.ring().await.unwrap();
    let end = within("the end", incoming.ended()).await;
    assert!(matches!(end, SipEnd::Unreachable { .. }), "{end:?}");
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_requirement_is_refused_by_its_name() {
    let (node, _calls, port) = called().await;
    Sipp::uac("uac_require", node.local_address(), port, 1, &[]).succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn update_is_served_before_the_answer() {
    let (peer, node, mut call) = call_to("uas_early_update").await;
    let direction = loop {
        match signal(&mut call).await {
            Signal::Reoffer(reoffer) => break comply(reoffer),
            Signal::Trying | Signal::EarlyMedia { .. } => {}
            other => panic!("expected an offer, got {other:?}"),
        }
    };
    assert_eq!(direction, Some(Direction::Inactive));
    answered(&mut call).await;
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offer_that_crosses_our_unanswered_one_is_glare() {
    is_had("uas_early_offer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forked_call_plays_the_latest_and_keeps_the_first_answer() {
    let (peer, node, mut call) = call_to("uas_fork").await;
    let mut heard = Vec::new();
    let port = |sdp: &str| sdp::accept(&local(), sdp).unwrap().remote.port();
    loop {
        match signal(&mut call).await {
            Signal::EarlyMedia { sdp } => heard.push(port(&sdp)),
            Signal::Answered { sdp } => break heard.push(port(&sdp)),
            Signal::Trying | Signal::Ringing => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(heard, [40_002, 40_004, 40_004]);
    // The other phone's answer gets its ACK and BYE before the call is hung up.
    tokio::time::timeout(Duration::from_millis(500), call.signals.recv()).await.unwrap_err();
    hangs_up(&node, call, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fork_gets_its_own_acknowledgement() {
    is_had("uas_fork_reliable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_success_is_an_answer() {
    is_had("uas_202").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hold_in_every_form_is_mirrored() {
    use Direction::{Inactive, RecvOnly, SendRecv};
    let (peer, node, mut call) = call_to("uas_hold_forms").await;
    answered(&mut call).await;
    let (mut agreed, mut late) = (Vec::new(), 0);
    let end = loop {
        match signal(&mut call).await {
            Signal::Reoffer(reoffer) => agreed.push(comply(reoffer)),
            Signal::LateAnswer { .. } => late += 1,
            Signal::Ended(end) => break end,
            other => panic!("unexpected {other:?}"),
        }
    };
    let expected = [Inactive, RecvOnly, SendRecv, RecvOnly, SendRecv, SendRecv].map(Some);
    assert_eq!(agreed[..6], expected);
    assert_eq!((&agreed[6..], late), (&[None][..], 1), "our offer is answered in the ACK");
    assert_eq!(end, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_that_cross_are_both_refused_and_ours_comes_again() {
    let (peer, node, mut call) = call_to("uas_glare").await;
    answered(&mut call).await;
    let handle = call.handle.clone();
    let hold = local().next(Direction::SendOnly);
    let offer = sdp::offer(&hold);
    let answer: Result<String, SipError> = within("the answer", handle.reinvite(offer)).await;
    assert_eq!(sdp::accept(&hold, &answer.unwrap()).unwrap().direction, Direction::SendOnly);
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_answered_with_what_we_can() {
    let (node, _calls, port) = called().await;
    Sipp::uac("uac_options", node.local_address(), port, 1, &[]).succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trunk_that_stops_answering_is_known_to_be_dead() {
    let nobody = ([127, 0, 0, 1], 9).into();
    let carrier = Kamailio::start("proxy", "MD5", nobody).await;
    let asked = TrunkConfig { options_interval_secs: 5, ..trunk(carrier.address) };
    let (node, _) = node(vec![asked]).await;
    let mut liveness = node.liveness("test").unwrap();
    let alive = |state: &Liveness| matches!(state, Liveness::Alive { .. });
    within("a first answer", liveness.wait_for(alive)).await.unwrap();
    drop(carrier);
    let dead = |state: &Liveness| matches!(state, Liveness::Dead { .. });
    within("two missing answers", liveness.wait_for(dead)).await.unwrap();
}
