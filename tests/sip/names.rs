//! A trunk by its name: which of the addresses that DNS gives for it takes a call.

use std::net::UdpSocket as StdUdpSocket;

use super::{
    dnsmasq::{Dnsmasq, srv},
    peers::{Sipp, free_port},
    trunks::{answered_and_hung_up, carrier, hunter},
    *,
};

/// Names `peer` after a target that is dead, and starts a node that calls by that name.
async fn named_after_a_dead_one(peer: &Sipp) -> (Dnsmasq, SipNode) {
    let records = [
        srv("carrier.test", "dead.carrier.test", free_port(), 10, 100),
        srv("carrier.test", "alive.carrier.test", peer.address.port(), 20, 0),
    ];
    let dns = Dnsmasq::start(None, 0, records.as_flattened()).await;
    let node = hunter(vec![carrier("carrier.test")], vec![dns.address]).await;
    (dns, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn srv_target_that_is_dead_is_passed_over_for_the_next() {
    let alive = Sipp::uas("uas_answer", 2, &[]).await;
    let (_dns, node) = named_after_a_dead_one(&alive).await;
    for _ in 0..2 {
        assert_eq!(answered_and_hung_up(&node).await.as_deref(), Some("carrier"));
    }
    alive.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn name_of_two_addresses_is_called_whichever_of_them_is_dead() {
    let alive = Sipp::uas("uas_answer", 100, &[]).await;
    let port = alive.address.port();
    let dead = StdUdpSocket::bind(("127.0.0.9", port)).unwrap();
    dead.set_nonblocking(true).unwrap();
    let records = ["127.0.0.9", "127.0.0.1"].map(|address| format!("--host-record=carrier.test,{address}"));
    let dns = Dnsmasq::start(None, 0, &records).await;
    // dnsmasq gives one address first, then the other. No node knows what another one found.
    let mut first = [false, false];
    for _ in 0..20 {
        let node = hunter(vec![carrier(&format!("carrier.test:{port}"))], vec![dns.address]).await;
        assert_eq!(answered_and_hung_up(&node).await.as_deref(), Some("carrier"));
        settled(&node).await;
        let mut asked = 0;
        while dead.recv(&mut [0; 4000]).is_ok() {
            asked += 1;
        }
        first[usize::from(asked > 0)] = true;
        if first == [true, true] {
            return;
        }
    }
    panic!("the same address comes first each time: {first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn call_is_taken_back_where_it_went_and_not_where_the_name_leads() {
    let ringing = Sipp::uas("uas_ring", 1, &[]).await;
    let (_dns, node) = named_after_a_dead_one(&ringing).await;
    let mut call = node.dial(dial()).await.unwrap();
    is_given_up_while_it_rings(&mut call).await;
    ringing.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_is_followed_and_its_last_good_answer_outlives_it() {
    let (old, new) = (Sipp::uas("uas_answer", 1, &[]).await, Sipp::uas("uas_answer", 2, &[]).await);
    let at = |peer: &Sipp| srv("carrier.test", "sbc.carrier.test", peer.address.port(), 1, 1);
    let dns = Dnsmasq::start(None, 0, &at(&old)).await;
    let address = dns.address;
    let node = hunter(vec![carrier("carrier.test")], vec![address]).await;
    answered_and_hung_up(&node).await;
    old.succeeds().await;
    drop(dns);
    let dns = Dnsmasq::start(Some(address), 0, &at(&new)).await;
    answered_and_hung_up(&node).await;
    drop(dns);
    // Nobody answers for the name any more, and nothing may be kept: a TTL of nothing.
    answered_and_hung_up(&node).await;
    new.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn name_with_a_port_is_looked_up_as_an_address() {
    let alive = Sipp::uas("uas_answer", 1, &[]).await;
    let records = srv("carrier.test", "wrong.carrier.test", free_port(), 1, 1);
    let address = ["--host-record=carrier.test,127.0.0.1".to_owned()];
    let dns = Dnsmasq::start(None, 60, &[&records[..], &address[..]].concat()).await;
    let server = format!("carrier.test:{}", alive.address.port());
    let node = hunter(vec![carrier(&server)], vec![dns.address]).await;
    answered_and_hung_up(&node).await;
    alive.succeeds().await;
}
