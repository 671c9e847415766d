//! Calls that the peer is asked to transfer (REFER, RFC 3515), with SIPp as the peer.

use callbox::sip::{NumberFormat, Refer, Referral, SipError, TransferBy};

use super::{
    inbound::{answer, take},
    peers::{Sipp, free_port},
    *,
};

const OFFICE: &str = "+14155550142";

fn refer_within(patience: Duration) -> Refer {
    Refer { to: number(OFFICE), by: Some(number("+14155550100")), patience }
}

fn refer() -> Refer {
    refer_within(PATIENCE)
}

struct Scene {
    peer: Sipp,
    node: SipNode,
    call: SipCall,
}

impl Scene {
    /// An answered call to SIPp playing `scenario`, in which these words are put in place.
    async fn new(scenario: &str, words: &[(&str, &str)]) -> Scene {
        Scene::by(scenario, words, |trunk| trunk).await
    }

    async fn by(scenario: &str, words: &[(&str, &str)], alter: impl Fn(TrunkConfig) -> TrunkConfig) -> Scene {
        let words = [words, &[("@NUMBER@", "[+]14155550142")]].concat();
        let peer = Sipp::uas_filled(scenario, &words, 1, &[]).await;
        let mut trunk = trunk(peer.address);
        trunk.transfer = TransferBy::Auto;
        let (node, _) = node(vec![alter(trunk)]).await;
        let mut call = node.dial(dial()).await.unwrap();
        answered(&mut call).await;
        Scene { peer, node, call }
    }

    /// What is told of the REFER, to the last word.
    async fn told(&mut self) -> Vec<Referral> {
        let mut told = Vec::new();
        loop {
            let Signal::Referral(referral) = signal(&mut self.call).await else {
                panic!("expected a referral")
            };
            told.push(referral);
            if !matches!(referral, Referral::Accepted | Referral::Ringing) {
                return told;
            }
        }
    }

    async fn hangs_up(self) {
        hangs_up(&self.node, self.call, self.peer).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refer_goes_along_the_route_and_is_followed_to_the_answer() {
    let mut scene = Scene::new("uas_refer", &[("@STATUS@", "200 OK")]).await;
    assert_eq!(scene.call.handle.transfer_by().await, TransferBy::Auto);
    scene.call.handle.refer(refer()).await.unwrap();
    assert_eq!(scene.told().await, [Referral::Accepted, Referral::Ringing, Referral::Done]);
    scene.hangs_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn party_that_cannot_be_had_leaves_the_call_as_it_was() {
    for (line, status) in [("486 Busy Here", 486), ("603 Decline", 603)] {
        let mut scene = Scene::new("uas_refer", &[("@STATUS@", line)]).await;
        scene.call.handle.refer(refer()).await.unwrap();
        let told = scene.told().await;
        assert_eq!(told, [Referral::Accepted, Referral::Ringing, Referral::Failed { status }]);
        scene.hangs_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notifies_without_event_and_before_the_202_count() {
    let mut scene = Scene::new("uas_refer_early", &[]).await;
    scene.call.handle.refer(refer()).await.unwrap();
    assert_eq!(scene.told().await, [Referral::Accepted, Referral::Ringing, Referral::Done]);
    scene.hangs_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_that_refuses_has_called_nobody() {
    for (line, status) in [
        ("405 Method Not Allowed", 405),
        ("501 Not Implemented", 501),
        ("603 Decline", 603),
        ("420 Bad Extension", 420),
        // Without credentials there is no answer to it, and the call goes on.
        ("407 Proxy Authentication Required", 403),
    ] {
        let mut scene = Scene::new("uas_refer_refused", &[("@STATUS@", line)]).await;
        scene.call.handle.refer(refer()).await.unwrap();
        assert_eq!(scene.told().await, [Referral::Refused { status }]);
        scene.hangs_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn number_is_written_as_the_trunk_writes_it() {
    let words = [("@STATUS@", "603 Decline"), ("@NUMBER@", "14155550142")];
    let format = |trunk| TrunkConfig { number_format: NumberFormat::E164WithoutPlus, ..trunk };
    let mut scene = Scene::by("uas_refer_refused", &words, format).await;
    scene.call.handle.refer(refer()).await.unwrap();
    assert_eq!(scene.told().await, [Referral::Refused { status: 603 }]);
    scene.hangs_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_that_hangs_up_mid_transfer_ends_the_call_and_nothing_else() {
    let mut scene = Scene::new("uas_refer_bye", &[]).await;
    scene.call.handle.refer(refer()).await.unwrap();
    assert!(matches!(signal(&mut scene.call).await, Signal::Referral(Referral::Accepted)));
    assert_eq!(end(&mut scene.call).await, SipEnd::RemoteHangup);
    // The NOTIFY that comes after is answered: there is no such subscription any more.
    scene.peer.succeeds().await;
    settled(&scene.node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_that_tells_nothing_is_waited_for_so_long_and_may_be_asked_again() {
    let mut scene = Scene::new("uas_refer_mute", &[]).await;
    scene.call.handle.refer(refer_within(Duration::from_secs(2))).await.unwrap();
    assert!(matches!(signal(&mut scene.call).await, Signal::Referral(Referral::Accepted)));
    let meanwhile = scene.call.handle.refer(refer()).await;
    assert!(matches!(meanwhile, Err(SipError::Refused(491))), "one at a time: {meanwhile:?}");
    assert_eq!(scene.told().await, [Referral::Lost]);
    scene.call.handle.refer(refer()).await.unwrap();
    assert_eq!(scene.told().await, [Referral::Accepted, Referral::Lost], "its subscription ended early");
    scene.hangs_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_that_nobody_asked_for_is_refused() {
    let Scene { peer, node, mut call } = Scene::new("uas_notify", &[]).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trunk_and_peer_decide_who_transfers() {
    let ways = [
        (TransferBy::Bridge, "uas_refer_refused", TransferBy::Bridge),
        (TransferBy::Refer, "uas_answer", TransferBy::Refer),
        (TransferBy::Auto, "uas_answer", TransferBy::Bridge),
        (TransferBy::Auto, "uas_refer_refused", TransferBy::Auto),
    ];
    for (configured, scenario, by) in ways {
        let alter = |trunk| TrunkConfig { transfer: configured, ..trunk };
        let scene = Scene::by(scenario, &[("@STATUS@", "405 Method Not Allowed")], alter).await;
        assert_eq!(scene.call.handle.transfer_by().await, by, "{configured:?} to {scenario}");
        scene.call.handle.hang_up();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_is_referred_along_its_own_route_after_a_challenge() {
    let port = free_port();
    let mut trunk = trunk_with_password(([127, 0, 0, 1], port).into(), "secret");
    trunk.transfer = TransferBy::Auto;
    let (node, mut calls) = node(vec![trunk]).await;
    let peer = Sipp::uac("uac_refer", node.local_address(), port, 1, &[]);
    let call = answer(take(&mut calls).await).await;
    assert_eq!(call.handle.transfer_by().await, TransferBy::Auto);
    // Not before its ACK has come.
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    within("the ACK", async {
        while call.handle.refer(refer()).await.is_err() {
            ticks.tick().await;
        }
    })
    .await;
    let mut scene = Scene { peer, node, call };
    assert_eq!(scene.told().await, [Referral::Accepted, Referral::Done]);
    scene.hangs_up().await;
}
