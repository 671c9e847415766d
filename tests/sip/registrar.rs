//! Registration through restarts: the registrar's, and our own.

use std::{
    collections::HashSet,
    net::UdpSocket as StdUdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use callbox::sip::RegistrationState;
use tokio::net::UdpSocket;

use super::{
    dnsmasq::{Dnsmasq, srv},
    kamailio::Kamailio,
    peers::{Sipp, free_port},
    trunks::{hunter, received, response},
    *,
};

fn registered_at(server: SocketAddr) -> TrunkConfig {
    TrunkConfig { register: true, username: Some("alice".into()), ..trunk(server) }
}

async fn registration(
    node: &SipNode,
    what: &str,
    wanted: impl Fn(&RegistrationState) -> bool,
) -> RegistrationState {
    let mut state = node.registration("test").unwrap();
    within(what, state.wait_for(wanted)).await.unwrap().clone()
}

fn is_registered(state: &RegistrationState) -> bool {
    matches!(state, RegistrationState::Registered { .. })
}

/// A registrar that keeps its bindings in memory, and a proxy in front of `callee`, at `port`.
async fn registrar_at(port: u16, callee: SocketAddr) -> Kamailio {
    let callee = callee.port().to_string();
    Kamailio::at(port, include_str!("kamailio/registrar.cfg"), &[("@CALLEE@", &callee)], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn registrar_gets_the_interval_and_the_kind_of_binding_it_wants() {
    let registrar = Sipp::uas("registrar_423", 1, &[]).await;
    let (node, _) = node(vec![registered_at(registrar.address)]).await;
    let state = registration(&node, "registration", is_registered).await;
    assert_eq!(state, RegistrationState::Registered { expires: Duration::from_secs(1800) });
    registrar.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registrar_that_forgot_us_is_told_again_soon() {
    let registrar = Sipp::uas("registrar_forgets", 1, &[]).await;
    let (node, _) = node(vec![registered_at(registrar.address)]).await;
    let forgotten = |state: &RegistrationState| matches!(state, RegistrationState::Failed { status: Some(404), retry_in, .. } if retry_in.as_secs() < 5);
    registration(&node, "the refusal", forgotten).await;
    registration(&node, "registration", is_registered).await;
    registrar.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn address_that_left_a_registration_unanswered_is_not_asked_first_again() {
    let silent = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    // Grants ten seconds, twice, and hears that we go.
    let registrar = Sipp::uas("registrar", 1, &[]).await;
    let records = [
        srv("carrier.test", "silent.carrier.test", silent.local_addr().unwrap().port(), 10, 1),
        srv("carrier.test", "registrar.carrier.test", registrar.address.port(), 20, 1),
    ];
    let dns = Dnsmasq::start(None, 60, records.as_flattened()).await;
    let password = trunk_with_password(registrar.address, "secret");
    let trunk = TrunkConfig { register: true, server: "carrier.test".parse().unwrap(), ..password };
    let node = hunter(vec![trunk], vec![dns.address]).await;
    let mut state = registered(&node).await;
    within("the refresh", state.changed()).await.unwrap();
    within("the shutdown", node.shutdown()).await;
    registrar.succeeds().await;
    // One that comes again is a retransmission.
    let (mut asked, mut buf) = (HashSet::new(), [0; 4000]);
    while let Ok(length) = silent.recv(&mut buf) {
        let message = String::from_utf8_lossy(&buf[..length]).into_owned();
        asked.extend(message.lines().find(|line| line.starts_with("CSeq:")).map(str::to_owned));
    }
    assert_eq!(asked.len(), 1, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn registrar_where_nobody_listens_is_known_by_that_and_not_by_its_silence() {
    let (node, _) = node(vec![registered_at(([127, 0, 0, 1], 9).into())]).await;
    let failed = |state: &RegistrationState| matches!(state, RegistrationState::Failed { .. });
    let state = registration(&node, "the failure", failed).await;
    let RegistrationState::Failed { detail, .. } = state else { unreachable!() };
    assert_eq!(detail, "nobody listens at 127.0.0.1:9");
}

/// What a registrar says to one REGISTER.
enum Says {
    Nothing,
    /// Ten seconds are granted.
    Yes,
    /// 503, with these header fields.
    Busy(&'static str),
}

/// A registrar that says one thing after the other, and to calls that it is busy.
struct Scripted {
    address: SocketAddr,
    invited: Arc<AtomicBool>,
}

impl Scripted {
    async fn start(script: &'static [Says]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, invited) = (socket.local_addr().unwrap(), Arc::<AtomicBool>::default());
        let called = invited.clone();
        tokio::spawn(async move {
            let mut seen: Vec<String> = Vec::new();
            loop {
                let (request, from) = received(&socket).await;
                let line =
                    |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
                let answer = match request.split(' ').next() {
                    Some("REGISTER") => {
                        // One that comes again gets the answer of before.
                        let number = line("CSeq:");
                        let nth = seen.iter().position(|before| *before == number).unwrap_or(seen.len());
                        seen.resize(seen.len().max(nth + 1), number);
                        match &script[nth.min(script.len() - 1)] {
                            Says::Nothing => continue,
                            Says::Yes => {
                                response("200 OK", &request, &format!("{};expires=10\r\n", line("Contact:")))
                            }
                            Says::Busy(until) => response("503 Service Unavailable", &request, until),
                        }
                    }
                    Some("INVITE") => {
                        called.store(true, Ordering::Relaxed);
                        response("486 Busy Here", &request, "")
                    }
                    _ => continue,
                };
                socket.send_to(answer.as_bytes(), from).await.unwrap();
            }
        });
        Scripted { address, invited }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn address_that_registers_us_after_a_silence_is_called_in_its_turn_again() {
    let first = Scripted::start(&[Says::Nothing, Says::Yes]).await;
    let second = Scripted::start(&[Says::Yes, Says::Busy("")]).await;
    let records = [
        srv("carrier.test", "first.carrier.test", first.address.port(), 10, 1),
        srv("carrier.test", "second.carrier.test", second.address.port(), 20, 1),
    ];
    let dns = Dnsmasq::start(None, 60, records.as_flattened()).await;
    let server = "carrier.test".parse().unwrap();
    let trunk = TrunkConfig { server, options_interval_secs: 0, ..registered_at(first.address) };
    let node = hunter(vec![trunk], vec![dns.address]).await;
    let mut state = registered(&node).await;
    within("the refresh", state.changed()).await.unwrap();
    assert!(is_registered(&state.borrow()), "by the first, since the second is busy");
    let mut call = node.dial(dial()).await.unwrap();
    assert!(matches!(end(&mut call).await, SipEnd::Rejected { status: 486, .. }));
    let invited = [&first, &second].map(|registrar| registrar.invited.load(Ordering::Relaxed));
    assert_eq!(invited, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn binding_outlives_a_refresh_that_fails_until_it_expires() {
    // It names a time long after those that it granted.
    let registrar = Scripted::start(&[Says::Yes, Says::Busy("Retry-After: 600\r\n")]).await;
    let (node, _) = node(vec![registered_at(registrar.address)]).await;
    registration(&node, "registration", is_registered).await;
    let state = registration(&node, "the refresh", |state| !is_registered(state)).await;
    let RegistrationState::Expiring { left, status, detail, retry_in } = state else {
        panic!("the binding lives, not {state:?}");
    };
    assert!(left > Duration::ZERO && left <= Duration::from_secs(2), "{left:?}");
    assert_eq!((status, &*detail), (Some(503), "the registrar answers 503"));
    assert!(retry_in >= Duration::from_secs(600), "{retry_in:?}");
    let state = registration(&node, "the expiry", |state| !state.is_registered()).await;
    let RegistrationState::Failed { status: Some(503), retry_in: rest, .. } = state else {
        panic!("the binding has expired, not {state:?}");
    };
    assert!(rest < retry_in && rest > Duration::from_secs(500), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn call_leaves_by_the_route_that_the_registrar_tells() {
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let words = [("@CALLEE@", &*callee.address.port().to_string())];
    let carrier = Kamailio::of(include_str!("kamailio/service_route.cfg"), &words).await;
    let (node, _) = node(vec![registered_at(carrier.address)]).await;
    registration(&node, "registration", is_registered).await;
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    callee.succeeds().await;
}

/// The bindings that the registrar has of alice.
async fn bindings(registrar: SocketAddr) -> Vec<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let own = socket.local_addr().unwrap();
    let query = format!(
        "REGISTER sip:{registrar} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{port};rport\r\n\
         From: <sip:alice@{registrar}>;tag=1\r\nTo: <sip:alice@{registrar}>\r\nCall-ID: query{port}\r\n\
         CSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        port = own.port()
    );
    let mut buf = [0; 4000];
    socket.send_to(query.as_bytes(), registrar).await.unwrap();
    let (length, _) = within("the bindings", socket.recv_from(&mut buf)).await.unwrap();
    let answer = String::from_utf8_lossy(&buf[..length]).into_owned();
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    let contacts = answer.lines().filter_map(|line| line.strip_prefix("Contact: "));
    contacts.flat_map(|list| list.split(", ")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_comes_back_by_another_port_replaces_its_binding() {
    let registrar = registrar_at(free_port(), ([127, 0, 0, 1], 9).into()).await;
    let (before, _) = node(vec![registered_at(registrar.address)]).await;
    registration(&before, "registration", is_registered).await;
    let old = before.local_address();
    // Killed, it takes nothing back.
    drop(before);
    let (after, _) = node(vec![registered_at(registrar.address)]).await;
    registration(&after, "registration", is_registered).await;
    let bindings = bindings(registrar.address).await;
    assert_eq!(bindings.len(), 1, "{bindings:?}");
    assert!(bindings[0].contains(&after.local_address().to_string()), "{bindings:?}");
    assert!(!bindings[0].contains(&old.to_string()), "{bindings:?}");
}

/// Sends audio to the callee, which echoes it, until some comes back.
async fn echoes(media: &UdpSocket, callee: SocketAddr) {
    let mut packet = [0u8; 172];
    packet[0] = 0x80;
    let mut buf = [0; 500];
    within("an echo", async {
        loop {
            packet[3] = packet[3].wrapping_add(1);
            media.send_to(&packet, callee).await.unwrap();
            let heard = tokio::time::timeout(Duration::from_millis(100), media.recv_from(&mut buf)).await;
            if matches!(heard, Ok(Ok((_, from))) if from == callee) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn call_survives_the_loss_of_its_trunk_and_the_trunk_learns_us_again() {
    let port = free_port();
    let callee = Sipp::uas("uas_routed", 1, &["-rtp_echo", "-mi", "127.0.0.1"]).await;
    let carrier = registrar_at(port, callee.address).await;
    // The shortest intervals there are: a trunk is dead after two questions, a quarter apart.
    let trunk = TrunkConfig { options_interval_secs: 5, ..registered_at(carrier.address) };
    let setup_timeout = Duration::from_secs(1);
    let (node, _) = SipNode::start(Config { setup_timeout, ..config(vec![trunk]) }).await.unwrap();
    registration(&node, "registration", is_registered).await;
    let media = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let local = Local::new(media.local_addr().unwrap(), 1);
    let mut call = node.dial(Dial { offer: local.clone(), ..dial() }).await.unwrap();
    let remote = sdp::accept(&local, &answered(&mut call).await).unwrap().remote;
    echoes(&media, remote).await;
    hears(&callee, "ACK").await;

    drop(carrier);
    let mut liveness = node.liveness("test").unwrap();
    let dead = |state: &callbox::sip::Liveness| matches!(state, callbox::sip::Liveness::Dead { .. });
    within("the loss", liveness.wait_for(dead)).await.unwrap();
    echoes(&media, remote).await;

    let carrier = registrar_at(port, callee.address).await;
    assert_eq!(bindings(carrier.address).await, Vec::<String>::new(), "it has forgotten us");
    // By what was granted, the next REGISTER would come in 48 s.
    within("another registration", async {
        while bindings(carrier.address).await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    echoes(&media, remote).await;
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    callee.succeeds().await;
}
