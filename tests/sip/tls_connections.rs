//! Connections to trunks that break, hang or are still: made again, gone by, kept open.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use callbox::sip::{Liveness, Transport};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinSet};

use super::{
    certificates::Authority,
    dnsmasq::Dnsmasq,
    inbound::{answer, take},
    peers::{Sipp, free_port},
    tls_carrier::{Setup, answers, tls_trunk},
    *,
};

#[tokio::test(flavor = "multi_thread")]
async fn connection_that_dies_is_made_again_and_registers_anew() {
    let authority = Authority::new();
    let port = free_port();
    let mut carrier = Setup::new(&authority.sign("carrier"), ([127, 0, 0, 1], port).into()).start();
    let trunk = TrunkConfig {
        register: true,
        register_expires: 86_400,
        options_interval_secs: 5,
        ..tls_trunk(carrier.address, &authority)
    };
    let (node, mut calls) = node(vec![trunk]).await;
    let mut registration = registered(&node).await;
    carrier.stop();
    let mut life = node.liveness("test").unwrap();
    let dead = |life: &Liveness| matches!(life, Liveness::Dead { .. });
    within("the loss", life.wait_for(dead)).await.unwrap();
    carrier.start();
    // The carrier forgot the registration; nothing but the new connection brings it back before its time.
    within("the new registration", registration.changed()).await.unwrap();
    registered(&node).await;
    let peer = Sipp::uac("uac_call_routed", carrier.address, port, 1, &[]);
    let mut call = answer(take(&mut calls).await).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn call_outlives_the_connection_it_was_made_by() {
    let authority = Authority::new();
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let mut carrier = Setup::new(&authority.sign("carrier"), callee.address).start();
    let trunk = TrunkConfig { options_interval_secs: 5, ..tls_trunk(carrier.address, &authority) };
    let (node, _) = node(vec![trunk]).await;
    answers(&node).await;
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    // Stopped sooner, the proxy would not have passed it on.
    hears(&callee, "ACK").await;
    let mut life = node.liveness("test").unwrap();
    carrier.stop();
    within("the loss", life.wait_for(|life| matches!(life, Liveness::Dead { .. }))).await.unwrap();
    carrier.start();
    answers(&node).await;
    hangs_up(&node, call, callee).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn call_ends_in_time_where_its_connection_is_gone() {
    let authority = Authority::new();
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let mut carrier = Setup::new(&authority.sign("carrier"), callee.address).start();
    let (node, _) = node(vec![tls_trunk(carrier.address, &authority)]).await;
    answers(&node).await;
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    carrier.stop();
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    settled(&node).await;
}

/// Takes connections and says nothing; counts those that were given up.
async fn silent_server(given_up: &Arc<AtomicU32>, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, given_up) = (listener.local_addr().unwrap(), given_up.clone());
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let given_up = given_up.clone();
            connections.spawn(async move {
                let mut hello = Vec::new();
                let _ = stream.read_to_end(&mut hello).await;
                given_up.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn call_goes_by_the_live_address_while_others_of_the_trunk_hang() {
    let authority = Authority::new();
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let carrier = Setup::new(&authority.sign("carrier"), callee.address).start();
    let (given_up, mut tasks) = (Arc::new(AtomicU32::new(0)), JoinSet::new());
    let mut ports = vec![carrier.address.port()];
    for _ in 0..4 {
        ports.push(silent_server(&given_up, &mut tasks).await.port());
    }
    let records = ports.iter().flat_map(|port| {
        let host = format!("h{port}.carrier.test");
        [
            format!("--srv-host=_sips._tcp.carrier.test,{host},{port},1,1"),
            format!("--host-record={host},127.0.0.1"),
        ]
    });
    let dns = Dnsmasq::start(None, 60, &records.collect::<Vec<_>>()).await;
    // By another trunk, one of the addresses is connected to.
    let direct = TrunkConfig { name: "direct".into(), ..tls_trunk(carrier.address, &authority) };
    let (known, _) = node(vec![direct.clone()]).await;
    within("the carrier's start", async { while known.options(None).await.is_err() {} }).await;
    let named = TrunkConfig {
        server: "carrier.test".parse().unwrap(),
        tls_name: Some("trunk.test".into()),
        options_interval_secs: 0,
        ..tls_trunk(carrier.address, &authority)
    };
    let nameservers = vec![dns.address];
    let config = Config { nameservers, ..config(vec![named, direct]) };
    let (node, _) = SipNode::start(config).await.unwrap();
    within("the connection", node.options(Some("direct"))).await.unwrap();
    let mut call = node.dial(Dial { trunk: Some("test".into()), ..dial() }).await.unwrap();
    answered(&mut call).await;
    assert_eq!(given_up.load(Ordering::SeqCst), 0, "no attempt was waited for");
    hangs_up(&node, call, callee).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_open_by_line_ends() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let trunk = TrunkConfig { transport: Transport::Tcp, ..trunk(server.local_addr().unwrap()) };
    let keepalive = Duration::from_millis(100);
    let (_node, _) = SipNode::start(Config { keepalive, ..config(vec![trunk]) }).await.unwrap();
    let (mut stream, _) = within("the connection", server.accept()).await.unwrap();
    let mut pings = [0; 12];
    within("three pings", stream.read_exact(&mut pings)).await.unwrap();
    assert_eq!(&pings, b"\r\n\r\n\r\n\r\n\r\n\r\n");
    drop(stream);
    within("the connection after it", server.accept()).await.unwrap();
}
