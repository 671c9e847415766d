//! Registrations and the connections, addresses and refusals they live with: registrars of our own, by names
//! that dnsmasq knows.

use std::{collections::HashSet, sync::Arc};

use callbox::sip::{RegistrationState, Transport};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use super::{
    dnsmasq::Dnsmasq,
    trunks::{received, response},
    *,
};

/// A request, and who sent it.
type Heard = (String, SocketAddr);

/// Answers over TCP by a rule, until it is dropped with its connections.
struct Registrar {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    _tasks: JoinSet<()>,
}

/// What to answer; then the connection is closed where that is so.
type Rule = fn(&str) -> (String, bool);

impl Registrar {
    async fn start(address: SocketAddr, rule: Rule) -> Registrar {
        // One that was there before may take a moment to leave.
        let bound = async {
            loop {
                if let Ok(listener) = TcpListener::bind(address).await {
                    return listener;
                }
                tokio::task::yield_now().await;
            }
        };
        let listener = within("the port", bound).await;
        let address = listener.local_addr().unwrap();
        let (heard, mut tasks) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
        let told = heard.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, peer, rule, told.clone()));
            }
        });
        Registrar { address, heard, _tasks: tasks }
    }

    fn heard(&self, method: &str) -> Vec<Heard> {
        let heard = self.heard.lock();
        heard.iter().filter(|(request, _)| request.starts_with(method)).cloned().collect()
    }
}

async fn serve(mut stream: TcpStream, peer: SocketAddr, rule: Rule, heard: Arc<Mutex<Vec<Heard>>>) {
    let (mut text, mut buf) = (String::new(), [0; 4000]);
    while let Ok(length @ 1..) = stream.read(&mut buf).await {
        text += &String::from_utf8_lossy(&buf[..length]);
        // No request that comes here has a body.
        while let Some((request, rest)) = text.split_once("\r\n\r\n") {
            let (request, rest) = (format!("{}\r\n", request.trim_start()), rest.to_owned());
            text = rest;
            if request.trim().is_empty() {
                continue;
            }
            let (answer, closes) = rule(&request);
            heard.lock().push((request, peer));
            if stream.write_all(answer.as_bytes()).await.is_err() || closes {
                return;
            }
        }
    }
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    request.lines().find_map(|line| line.strip_prefix(name)).unwrap()
}

fn granted(request: &str) -> String {
    let contact = header(request, "Contact: ");
    response("200 OK", request, &format!("Contact: {contact};expires=86400\r\n"))
}

/// A trunk over TCP that is not asked whether it lives.
fn over_tcp(server: &str) -> TrunkConfig {
    TrunkConfig {
        transport: Transport::Tcp,
        username: Some("alice".into()),
        register: true,
        register_expires: 86_400,
        options_interval_secs: 0,
        ..TrunkConfig::peer("test", server.parse().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_is_renewed_when_its_own_connection_is_lost() {
    const NODES: usize = 8;
    let grants: Rule = |request| (granted(request), false);
    let any = "127.0.0.1:0".parse().unwrap();
    let (first, second) = (Registrar::start(any, grants).await, Registrar::start(any, grants).await);
    let records = [("a", &first), ("b", &second)].map(|(host, registrar)| {
        let port = registrar.address.port();
        [
            format!("--srv-host=_sip._tcp.carrier.test,{host}.carrier.test,{port},1,1"),
            format!("--host-record={host}.carrier.test,127.0.0.1"),
        ]
    });
    let dns = Dnsmasq::start(None, 0, records.as_flattened()).await;
    let mut nodes = Vec::new();
    for index in 0..NODES {
        let trunk = TrunkConfig { username: Some(format!("n{index}")), ..over_tcp("carrier.test") };
        let config = Config { tcp: false, nameservers: vec![dns.address], ..config(vec![trunk]) };
        nodes.push(SipNode::start(config).await.unwrap().0);
    }
    for node in &nodes {
        registered(node).await;
    }
    for (request, peer) in first.heard("REGISTER").iter().chain(&second.heard("REGISTER")) {
        let (contact, port) = (header(request, "Contact: "), peer.port());
        assert!(contact.contains(&format!(":{port};")), "{contact} came from port {port}");
    }
    let at_first = first.heard("REGISTER");
    let before = second.heard("REGISTER").len();
    let address = first.address;
    drop(first);
    let first = Registrar::start(address, grants).await;
    let users = |heard: &[Heard]| {
        let froms =
            heard.iter().map(|(request, _)| header(request, "From: <sip:").split('@').next().unwrap());
        let mut users: Vec<_> = froms.map(str::to_owned).collect();
        users.sort();
        users.dedup();
        users
    };
    let lost = users(&at_first);
    // By what was granted, they would come in 19 hours.
    eventually("all that lost theirs register anew", || {
        let heard = [first.heard("REGISTER"), second.heard("REGISTER").split_off(before)].concat();
        users(&heard) == lost
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_registration_waits_its_time_whatever_is_connected_meanwhile() {
    let refuses: Rule = |request| match request.starts_with("REGISTER") {
        true => (response("403 Forbidden", request, ""), true),
        false => (response("200 OK", request, ""), false),
    };
    let names_a_time: Rule = |request| match request.starts_with("REGISTER") {
        true => (response("503 Service Unavailable", request, "Retry-After: 600\r\n"), true),
        false => (response("200 OK", request, ""), false),
    };
    for (rule, status) in [(refuses, 403), (names_a_time, 503)] {
        let registrar = Registrar::start("127.0.0.1:0".parse().unwrap(), rule).await;
        let (node, _) = node(vec![over_tcp(&registrar.address.to_string())]).await;
        let mut state = node.registration("test").unwrap();
        let refused = |state: &RegistrationState| matches!(state, RegistrationState::Failed { status: Some(code), .. } if *code == status);
        within("the refusal", state.wait_for(refused)).await.unwrap();
        for _ in 0..10 {
            within("an answer", async { while node.options(None).await.is_err() {} }).await;
        }
        assert!(registrar.heard("OPTIONS").len() >= 10);
        let connections: HashSet<_> = registrar.heard("").into_iter().map(|(_, peer)| peer).collect();
        assert!(connections.len() > 1, "it was connected to again");
        assert_eq!(registrar.heard("REGISTER").len(), 1, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contact_that_the_operator_set_stands_whatever_the_registrar_sees() {
    let registrar = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let trunk = TrunkConfig {
        register: true,
        options_interval_secs: 0,
        ..trunk_with_password(registrar.local_addr().unwrap(), "secret")
    };
    let public_address = Some("127.0.0.77".parse().unwrap());
    let (node, _) = SipNode::start(Config { public_address, ..config(vec![trunk]) }).await.unwrap();
    let said = format!("Contact: <sip:alice@127.0.0.77:{}>;+sip.instance=", node.local_address().port());
    let (mut challenged, mut granted_once) = (false, false);
    while !granted_once {
        let (request, from) = received(&registrar).await;
        let answers = request.contains("\r\nAuthorization: ");
        assert!(request.contains(&said), "{request}");
        let seen = request.replace(";rport", &format!(";received={};rport={}", from.ip(), from.port()));
        let challenge = "WWW-Authenticate: Digest realm=\"callbox.test\", nonce=\"n\", qop=\"auth\"\r\n";
        let answer = match answers {
            false => response("401 Unauthorized", &seen, challenge),
            // Another device's binding stands before ours, and ours has the shorter time.
            true => response(
                "200 OK",
                &seen,
                &format!(
                    "Contact: <sip:alice@192.0.2.9>;expires=9, {};expires=120\r\n",
                    header(&request, "Contact: ")
                ),
            ),
        };
        registrar.send_to(answer.as_bytes(), from).await.unwrap();
        (challenged, granted_once) = (challenged || !answers, answers);
    }
    assert!(challenged);
    registered(&node).await;
    let state = node.registration("test").unwrap().borrow().clone();
    assert_eq!(state, RegistrationState::Registered { expires: Duration::from_secs(120) });
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_every_address_of_a_trunk_are_heard() {
    let addresses: Vec<_> = (1..=12).map(|n| format!("127.0.1.{n}")).collect();
    let records = addresses.iter().enumerate().flat_map(|(n, address)| {
        [
            format!("--srv-host=_sip._udp.carrier.test,h{n}.carrier.test,5060,1,1"),
            format!("--host-record=h{n}.carrier.test,{address}"),
        ]
    });
    let dns = Dnsmasq::start(None, 60, &records.collect::<Vec<_>>()).await;
    let trunk = TrunkConfig {
        options_interval_secs: 0,
        ..TrunkConfig::peer("test", "carrier.test".parse().unwrap())
    };
    let config = Config { nameservers: vec![dns.address], ..config(vec![trunk]) };
    let (node, _calls) = SipNode::start(config).await.unwrap();
    let to = node.local_address();
    for address in &addresses {
        let socket = UdpSocket::bind((address.as_str(), 0)).await.unwrap();
        let own = socket.local_addr().unwrap();
        let request = format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{address};rport\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: {address}\r\nCSeq: 1 OPTIONS\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        let mut buf = [0; 4000];
        within(&format!("the answer to {address}"), async {
            loop {
                socket.send_to(request.as_bytes(), to).await.unwrap();
                let answer =
                    tokio::time::timeout(Duration::from_millis(200), socket.recv_from(&mut buf)).await;
                if matches!(answer, Ok(Ok(_))) {
                    return;
                }
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trunks_name_waits_for_anothers() {
    let nameserver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let names = ["one.test", "two.test", "three.test"];
    let trunks = names.map(|name| TrunkConfig {
        options_interval_secs: 0,
        ..TrunkConfig::peer(name, name.parse().unwrap())
    });
    let nameservers = vec![nameserver.local_addr().unwrap()];
    let (_node, _) = SipNode::start(Config { nameservers, ..config(trunks.into()) }).await.unwrap();
    let mut asked = Vec::new();
    for _ in names {
        let (question, _) = received(&nameserver).await;
        asked.extend(names.into_iter().filter(|name| question.contains(name.split('.').next().unwrap())));
    }
    asked.sort_unstable();
    assert_eq!(asked, ["one.test", "three.test", "two.test"], "none is answered, and all are asked for");
}
