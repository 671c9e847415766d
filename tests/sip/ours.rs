//! Two of our own nodes with each other.

use callbox::{
    base::audio::{Codec, Direction},
    sip::{Party, SipError, Transport},
};

use super::*;

/// A node that calls and a node that is called.
async fn pair(transport: Transport) -> (SipNode, SipNode, mpsc::Receiver<IncomingCall>) {
    let anyone = caller_at("127.0.0.0/8");
    let (callee, calls) = node(vec![anyone]).await;
    let (caller, _) = node(vec![TrunkConfig { transport, ..trunk(callee.local_address()) }]).await;
    (caller, callee, calls)
}

async fn connect(caller: &SipNode, calls: &mut mpsc::Receiver<IncomingCall>) -> (SipCall, SipCall) {
    let mut out = caller.dial(dial()).await.unwrap();
    let incoming = within("the call", calls.recv()).await.unwrap();
    incoming.ring().await.unwrap();
    let (answer, _) = sdp::answer(&local(), incoming.offer.as_deref().unwrap()).unwrap();
    let inside = within("answering", incoming.answer(answer)).await.unwrap();
    let answer = answered(&mut out).await;
    assert_eq!(sdp::accept(&local(), &answer).unwrap().codec, Codec::Pcmu);
    (out, inside)
}

#[tokio::test(flavor = "multi_thread")]
async fn call_is_answered_and_hung_up_and_leaves_nothing() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (caller, callee, mut calls) = pair(transport).await;
        let (mut out, mut inside) = connect(&caller, &mut calls).await;
        assert!(!out.id.contains('@'), "a Call-ID names nobody");
        assert_eq!(out.id, inside.id);
        out.handle.hang_up();
        out.handle.hang_up();
        assert_eq!(end(&mut out).await, SipEnd::LocalHangup);
        assert_eq!(end(&mut inside).await, SipEnd::RemoteHangup);
        settled(&caller).await;
        settled(&callee).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_live_call_is_not_counted_against_its_connection() {
    let anyone = caller_at("127.0.0.0/8");
    let limits = Config { rate_limit: limited_to(3), ..config(vec![anyone]) };
    let (callee, mut calls) = SipNode::start(limits).await.unwrap();
    let server = callee.local_address();
    let over_tcp = TrunkConfig { transport: Transport::Tcp, options_interval_secs: 0, ..trunk(server) };
    let (caller, _) = node(vec![over_tcp]).await;
    let (mut out, mut inside) = connect(&caller, &mut calls).await;
    for _ in 0..10 {
        let comply = async {
            let Some(Signal::Reoffer(reoffer)) = inside.signals.recv().await else { panic!("no offer") };
            let (answer, _) = sdp::answer(&local(), &reoffer.sdp.unwrap()).unwrap();
            reoffer.reply.send(Ok(answer)).unwrap();
        };
        let reinvite = out.handle.reinvite(sdp::offer(&local()));
        let (answer, ()) = within("a re-INVITE", async { tokio::join!(reinvite, comply) }).await;
        answer.unwrap();
    }
    assert_eq!(callee.stats().dropped.limited, 0);
    let mut more = Vec::new();
    for _ in 0..6 {
        more.push(caller.dial(dial()).await.unwrap());
    }
    eventually("the limit for calls", || callee.stats().dropped.limited > 0).await;
    out.handle.hang_up();
    assert_eq!(end(&mut out).await, SipEnd::LocalHangup);
    assert_eq!(end(&mut inside).await, SipEnd::RemoteHangup);
}

#[tokio::test(flavor = "multi_thread")]
async fn callee_hangs_up() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (caller, _callee, mut calls) = pair(transport).await;
        let (mut out, mut inside) = connect(&caller, &mut calls).await;
        inside.handle.hang_up();
        assert_eq!(end(&mut inside).await, SipEnd::LocalHangup);
        assert_eq!(end(&mut out).await, SipEnd::RemoteHangup);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_arrive_as_dialled() {
    let (caller, callee, mut calls) = pair(Transport::Udp).await;
    let _out = caller.dial(dial()).await.unwrap();
    let incoming = within("the call", calls.recv()).await.unwrap();
    assert_eq!(incoming.from, Some(Party::Number(number("+14155550100"))));
    assert_eq!(incoming.to, Some(Party::Number(number("+14155550123"))));
    assert_eq!(incoming.source, caller.local_address());
    assert_eq!(incoming.trunk, "test");
    drop(incoming);
    settled(&callee).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_call_is_refused_and_rejected_call_says_why() {
    let (caller, _callee, mut calls) = pair(Transport::Udp).await;
    let mut out = caller.dial(dial()).await.unwrap();
    drop(within("the call", calls.recv()).await.unwrap());
    assert!(matches!(end(&mut out).await, SipEnd::Rejected { status: 480, .. }));
    let mut out = caller.dial(dial()).await.unwrap();
    within("the call", calls.recv()).await.unwrap().reject(603).await.unwrap();
    assert!(matches!(end(&mut out).await, SipEnd::Rejected { status: 603, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_gives_up_while_it_rings() {
    let (caller, callee, mut calls) = pair(Transport::Udp).await;
    let mut out = caller.dial(dial()).await.unwrap();
    let mut incoming = within("the call", calls.recv()).await.unwrap();
    incoming.ring().await.unwrap();
    while !matches!(signal(&mut out).await, Signal::Ringing) {}
    out.handle.hang_up();
    assert_eq!(end(&mut out).await, SipEnd::Cancelled);
    assert_eq!(within("the cancel", incoming.ended()).await, SipEnd::Cancelled);
    assert!(matches!(incoming.answer(sdp::offer(&local())).await, Err(SipEnd::Cancelled)));
    settled(&caller).await;
    settled(&callee).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_signals_hangs_up() {
    let (caller, _callee, mut calls) = pair(Transport::Udp).await;
    let (out, mut inside) = connect(&caller, &mut calls).await;
    drop(out);
    assert_eq!(end(&mut inside).await, SipEnd::RemoteHangup);
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_holds_the_call() {
    let (caller, _callee, mut calls) = pair(Transport::Udp).await;
    let (mut out, mut inside) = connect(&caller, &mut calls).await;
    for out_holds in [true, false] {
        let (holder, held) = if out_holds { (&out, &mut inside) } else { (&inside, &mut out) };
        let hold = local().next(Direction::SendOnly);
        let handle = holder.handle.clone();
        let offer = sdp::offer(&hold);
        let asking = tokio::spawn(async move { handle.reinvite(offer).await });
        let Signal::Reoffer(reoffer) = signal(held).await else { panic!("expected an offer") };
        let (answer, negotiated) = sdp::answer(&local(), reoffer.sdp.as_deref().unwrap()).unwrap();
        assert_eq!(negotiated.direction, Direction::RecvOnly);
        reoffer.reply.send(Ok(answer)).unwrap();
        let answer = within("the answer", asking).await.unwrap().unwrap();
        assert_eq!(sdp::accept(&hold, &answer).unwrap().direction, Direction::SendOnly);
    }
    let handle = out.handle.clone();
    let asking = tokio::spawn(async move { handle.reinvite(sdp::offer(&local())).await });
    let Signal::Reoffer(reoffer) = signal(&mut inside).await else { panic!("expected an offer") };
    reoffer.reply.send(Err(488)).unwrap();
    assert!(matches!(within("the refusal", asking).await.unwrap(), Err(SipError::Refused(488))));
    inside.handle.hang_up();
    assert_eq!(end(&mut out).await, SipEnd::RemoteHangup);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_every_call() {
    let (caller, callee, mut calls) = pair(Transport::Udp).await;
    let (mut out, mut inside) = connect(&caller, &mut calls).await;
    let mut ringing = caller.dial(dial()).await.unwrap();
    let _incoming = within("the call", calls.recv()).await.unwrap();
    within("the shutdown", caller.shutdown()).await;
    assert_eq!(end(&mut out).await, SipEnd::LocalHangup);
    assert_eq!(end(&mut ringing).await, SipEnd::Cancelled);
    assert_eq!(end(&mut inside).await, SipEnd::RemoteHangup);
    assert!(matches!(caller.dial(dial()).await, Err(SipError::ShuttingDown)));
    settled(&callee).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_allowed_are_refused() {
    let anyone = caller_at("127.0.0.1");
    let limited = Config { max_calls: 1, ..config(vec![anyone]) };
    let (callee, mut calls) = SipNode::start(limited).await.unwrap();
    let (caller, _) = node(vec![trunk(callee.local_address())]).await;
    let (out, inside) = connect(&caller, &mut calls).await;
    let mut second = caller.dial(dial()).await.unwrap();
    assert!(matches!(end(&mut second).await, SipEnd::Rejected { status: 503, .. }));
    assert!(matches!(callee.dial(dial()).await, Err(SipError::TooManyCalls(1))));
    drop((out, inside));
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_measures_a_living_trunk_and_names_a_dead_one() {
    let (caller, callee, _calls) = pair(Transport::Udp).await;
    let pong = caller.options(None).await.unwrap();
    assert_eq!(pong.status, 200);
    callee.shutdown().await;
    drop(callee);
    let dead = caller.options(Some("test")).await.unwrap_err();
    assert!(matches!(dead, SipError::Unreachable(_)), "{dead}");
    assert!(matches!(caller.options(Some("other")).await, Err(SipError::UnknownTrunk(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn port_in_use_is_an_error_that_names_it() {
    let (first, _calls) = node(vec![]).await;
    let taken = Config { bind: first.local_address(), ..config(vec![]) };
    let error = SipNode::start(taken).await.err().unwrap().to_string();
    assert!(error.contains("sip.bind") && error.contains(&first.local_address().to_string()), "{error}");
    assert!(matches!(first.dial(dial()).await, Err(SipError::NoTrunk)));
}
