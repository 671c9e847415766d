//! The SIP module against real peers: SIPp and Kamailio on loopback, and itself.

// A failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod auth;
#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/condition.rs"]
mod condition;
mod dialogs;
mod dnsmasq;
mod flows;
mod hostile;
mod identity;
mod inbound;
#[path = "../support/kamailio.rs"]
mod kamailio;
mod late;
mod names;
mod nat;
mod offers;
mod ours;
mod outbound;
#[path = "../support/peers.rs"]
mod peers;
#[path = "../support/ports.rs"]
mod ports;
mod refer;
mod registrar;
mod scanners;
#[path = "../support/settled.rs"]
mod settled;
mod tls;
mod tls_carrier;
mod tls_connections;
mod tls_renewal;
mod tls_trust;
mod torture;
mod trunk_rules;
mod trunks;
#[path = "../support/waiting.rs"]
mod waiting;

use std::{net::SocketAddr, time::Duration};

use callbox::{
    base::E164,
    sip::{
        Config, Dial, IncomingCall, RateLimit, RegistrationState, Signal, SipCall, SipEnd, SipError, SipNode,
        Srtp, TrunkConfig,
        sdp::{self, Local},
    },
};
use tokio::sync::{mpsc, watch};

use condition::eventually;
use peers::Sipp;
use settled::settled;
use waiting::within;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);
const SETTLING: Duration = PATIENCE;

/// A node on loopback with fast timers, and the calls that come to it.
async fn node(trunks: Vec<TrunkConfig>) -> (SipNode, mpsc::Receiver<IncomingCall>) {
    SipNode::start(config(trunks)).await.unwrap()
}

fn config(trunks: Vec<TrunkConfig>) -> Config {
    Config {
        bind: "127.0.0.1:0".parse().unwrap(),
        t1: Duration::from_millis(20),
        setup_timeout: Duration::from_secs(5),
        ring_timeout: Duration::from_secs(20),
        trunks,
        ..Config::default()
    }
}

fn trunk(server: SocketAddr) -> TrunkConfig {
    TrunkConfig::peer("test", server.into())
}

/// A trunk that may call from these addresses, and that nobody calls.
fn caller_at(addresses: &str) -> TrunkConfig {
    TrunkConfig { allow: vec![addresses.parse().unwrap()], ..trunk(([127, 0, 0, 9], 9).into()) }
}

/// So many messages of a trunk are heard at once, and no more in a time worth mention.
fn limited_to(trunk_burst: u32) -> RateLimit {
    RateLimit { trunk_per_second: 1, trunk_burst, ..RateLimit::default() }
}

fn trunk_with_password(server: SocketAddr, password: &str) -> TrunkConfig {
    TrunkConfig {
        username: Some("alice".into()),
        password: Some(password.to_owned().into()),
        ..trunk(server)
    }
}

fn number(text: &str) -> E164 {
    text.parse().unwrap()
}

fn dial() -> Dial {
    Dial { from: Some(number("+14155550100")), ..Dial::to(number("+14155550123"), local()) }
}

fn local() -> Local {
    Local::new("127.0.0.1:40000".parse().unwrap(), 1)
}

/// Waits until the node is registered; gives what comes of that.
async fn registered(node: &SipNode) -> watch::Receiver<RegistrationState> {
    let mut state = node.registration("test").unwrap();
    let registered = |state: &RegistrationState| matches!(state, RegistrationState::Registered { .. });
    within("registration", state.wait_for(registered)).await.unwrap();
    state
}

/// Waits until SIPp's trace has a request, such as `ACK`.
async fn hears(peer: &Sipp, request: &str) {
    let begins = format!("\n{request} sip:");
    eventually("the request comes", || peer.log().contains(&begins)).await;
}

async fn signal(call: &mut SipCall) -> Signal {
    within("a signal", call.signals.recv()).await.expect("a call signals until it has ended")
}

/// Reads until the answer, and gives it.
async fn answered(call: &mut SipCall) -> String {
    loop {
        match signal(call).await {
            Signal::Answered { sdp } => return sdp,
            Signal::Trying | Signal::Ringing | Signal::EarlyMedia { .. } => {}
            other => panic!("expected an answer, got {other:?}"),
        }
    }
}

/// Reads to the end, which comes once and last.
async fn end(call: &mut SipCall) -> SipEnd {
    loop {
        if let Signal::Ended(end) = signal(call).await {
            assert!(call.signals.recv().await.is_none(), "nothing follows the end");
            return end;
        }
    }
}

/// A call to SIPp playing `scenario`, and the node that places it.
async fn call_to(scenario: &str) -> (Sipp, SipNode, SipCall) {
    let peer = Sipp::uas(scenario, 1, &[]).await;
    let (node, _) = node(vec![trunk(peer.address)]).await;
    let call = node.dial(dial()).await.unwrap();
    (peer, node, call)
}

/// A call to SIPp playing `scenario` that is answered, hung up, and leaves nothing.
async fn is_had(scenario: &str) {
    let (peer, node, mut call) = call_to(scenario).await;
    answered(&mut call).await;
    hangs_up(&node, call, peer).await;
}

/// The same with a node that is there.
async fn has_a_call(node: &SipNode, peer: Sipp) {
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    hangs_up(node, call, peer).await;
}

/// Hangs up before the answer.
async fn is_given_up_while_it_rings(call: &mut SipCall) {
    while !matches!(signal(call).await, Signal::Ringing) {}
    call.handle.hang_up();
    assert_eq!(end(call).await, SipEnd::Cancelled);
}

/// Ends a call with `peer`, whose scenario ends, too; nothing is left.
async fn hangs_up(node: &SipNode, mut call: SipCall, peer: Sipp) {
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    peer.succeeds().await;
    settled(node).await;
}
