//! The SIP module against real peers: SIPp and Kamailio on loopback, and itself.

// A failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod auth;
mod certificates;
mod dialogs;
mod dnsmasq;
mod flows;
mod hostile;
mod identity;
mod inbound;
mod kamailio;
mod nat;
mod offers;
mod ours;
mod outbound;
#[allow(dead_code)] // some peers are for tests of calls
mod peers;
mod refer;
mod registrar;
mod scanners;
mod tls;
mod torture;
mod trunk_rules;
mod trunks;

use std::{net::SocketAddr, time::Duration};

use callbox::{
    base::E164,
    sip::{
        Config, Dial, IncomingCall, Signal, SipCall, SipEnd, SipError, SipNode, Srtp, TrunkConfig,
        sdp::{self, Local},
    },
};
use tokio::sync::mpsc;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

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
    Dial {
        trunk: None,
        to: number("+14155550123"),
        from: Some(number("+14155550100")),
        diverted: None,
        offer: local(),
        ring_timeout: None,
    }
}

fn local() -> Local {
    Local::new("127.0.0.1:40000".parse().unwrap(), 1)
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

/// Looks until `condition` holds.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    within(what, async {
        while !condition() {
            ticks.tick().await;
        }
    })
    .await;
}

/// Waits until SIPp's trace has a request, such as `ACK`.
async fn hears(peer: &peers::Sipp, request: &str) {
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

/// Waits until the node holds nothing any more.
async fn settled(node: &SipNode) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let holds_nothing = async {
        loop {
            let stats = node.stats();
            if (stats.calls, stats.dialogs, stats.transactions) == (0, 0, 0) {
                return;
            }
            ticks.tick().await;
        }
    };
    let settled = tokio::time::timeout(PATIENCE, holds_nothing).await;
    assert!(settled.is_ok(), "the node still holds {:?}", node.stats());
}
