//! Behind a NAT, which coturn's STUN tells of.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    process::{Command, Stdio},
    sync::Arc,
};

use callbox::sip::RegistrationState;
use parking_lot::Mutex;
use tokio::{net::UdpSocket, task::JoinSet};

use super::{
    kamailio::Kamailio,
    peers::{Group, Sipp, free_port, spawn, traces},
    trunks::{received, response},
    *,
};

/// Translates as a home router does: what the node sends to an inner port leaves by one outer socket, and
/// what comes to that from a server returns by the inner port.
struct Nat {
    outer: Arc<Mutex<Arc<UdpSocket>>>,
    moved: tokio::sync::watch::Sender<()>,
    inner: HashMap<SocketAddr, SocketAddr>,
    _tasks: JoinSet<()>,
}

impl Nat {
    async fn start(outside: &str, servers: &[SocketAddr]) -> Nat {
        let node = Arc::new(Mutex::new(None::<SocketAddr>));
        let outer = Arc::new(Mutex::new(Arc::new(UdpSocket::bind((outside, 0)).await.unwrap())));
        let moved = tokio::sync::watch::Sender::new(());
        let (mut inner, mut sockets, mut tasks) = (HashMap::new(), HashMap::new(), JoinSet::new());
        for server in servers.iter().copied() {
            let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
            inner.insert(server, socket.local_addr().unwrap());
            sockets.insert(server, socket.clone());
            let (node, outer) = (node.clone(), outer.clone());
            tasks.spawn(async move {
                let mut buf = [0; 9000];
                loop {
                    let Ok((length, from)) = socket.recv_from(&mut buf).await else { continue };
                    *node.lock() = Some(from);
                    let outer = outer.lock().clone();
                    let _ = outer.send_to(&buf[..length], server).await;
                }
            });
        }
        let (current, mut changed) = (outer.clone(), moved.subscribe());
        tasks.spawn(async move {
            let mut buf = [0; 9000];
            loop {
                let outer = current.lock().clone();
                tokio::select! {
                    Ok((length, from)) = outer.recv_from(&mut buf) => {
                        let node = *node.lock();
                        if let (Some(socket), Some(node)) = (sockets.get(&from), node) {
                            let _ = socket.send_to(&buf[..length], node).await;
                        }
                    }
                    _ = changed.changed() => {}
                }
            }
        });
        Nat { outer, moved, inner, _tasks: tasks }
    }

    /// Where the node finds a server.
    fn way_to(&self, server: SocketAddr) -> SocketAddr {
        self.inner[&server]
    }

    fn outside(&self) -> SocketAddr {
        self.outer.lock().local_addr().unwrap()
    }

    /// The provider gives the household another address.
    async fn renumber(&self, outside: &str) {
        *self.outer.lock() = Arc::new(UdpSocket::bind((outside, 0)).await.unwrap());
        self.moved.send_replace(());
    }
}

/// coturn as a plain STUN server.
fn stun_server() -> (Group, SocketAddr) {
    let (dir, port) = (traces::folder("coturn"), free_port());
    let mut command = Command::new("turnserver");
    command.args(["-n", "--stun-only", "-L", "127.0.0.1", "-p", &port.to_string(), "--log-file", "stdout"]);
    command.args(["--no-tcp", "--no-tls", "--no-dtls", "--no-cli", "--pidfile"]).arg(dir.join("pid"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir(&dir);
    (spawn("turnserver", "coturn", &mut command), (Ipv4Addr::LOCALHOST, port).into())
}

fn behind(nat: &Nat, stun: SocketAddr, trunks: Vec<TrunkConfig>) -> Config {
    let stun_server = Some(nat.way_to(stun).into());
    Config { stun_server, stun_interval: Duration::from_millis(200), ..config(trunks) }
}

async fn public_address_becomes(node: &SipNode, wanted: IpAddr) {
    eventually("the public address", || node.public_address() == Some(wanted)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn public_address_is_learned_told_and_followed() {
    let (_server, stun) = stun_server();
    let callees = [Sipp::uas("uas_answer", 1, &[]).await, Sipp::uas("uas_answer", 1, &[]).await];
    let nat = Nat::start("127.0.0.50", &[stun, callees[0].address, callees[1].address]).await;
    let trunks = callees.iter().enumerate();
    let trunks =
        trunks.map(|(n, callee)| TrunkConfig::peer(n.to_string(), nat.way_to(callee.address).into()));
    let (node, _) = SipNode::start(behind(&nat, stun, trunks.collect())).await.unwrap();
    public_address_becomes(&node, [127, 0, 0, 50].into()).await;
    for (n, callee) in callees.into_iter().enumerate() {
        if n == 1 {
            nat.renumber("127.0.0.51").await;
            public_address_becomes(&node, [127, 0, 0, 51].into()).await;
        }
        let mut call = node.dial(Dial { trunk: Some(n.to_string()), ..dial() }).await.unwrap();
        answered(&mut call).await;
        call.handle.hang_up();
        assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
        let (heard, outside) = (callee.log(), nat.outside());
        assert!(heard.contains(&format!("Contact: <sip:callbox@{outside}>")), "{outside}\n{heard}");
        assert!(heard.contains(&format!("Via: SIP/2.0/UDP {outside};")), "{outside}\n{heard}");
        assert!(heard.contains(";rport"), "{heard}");
        callee.succeeds().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn change_of_address_registers_anew() {
    let (_server, stun) = stun_server();
    let registrar = Kamailio::start("www", "MD5", ([127, 0, 0, 1], 9).into()).await;
    let nat = Nat::start("127.0.0.52", &[stun, registrar.address]).await;
    let way = nat.way_to(registrar.address);
    let trunk = TrunkConfig {
        register: true,
        register_expires: 86_400,
        from_domain: Some("127.0.0.1".into()),
        ..trunk_with_password(way, "secret")
    };
    let (node, _) = SipNode::start(behind(&nat, stun, vec![trunk])).await.unwrap();
    public_address_becomes(&node, [127, 0, 0, 52].into()).await;
    let mut state = registered(&node).await;
    nat.renumber("127.0.0.53").await;
    // Long before the 48 s after which a minute's registration is refreshed.
    let again = tokio::time::timeout(Duration::from_secs(20), state.changed()).await;
    assert!(again.is_ok() && matches!(*state.borrow(), RegistrationState::Registered { .. }));
    assert_eq!(node.public_address(), Some([127, 0, 0, 53].into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn change_of_address_while_the_registrar_is_asked_is_not_forgotten() {
    let (_server, stun) = stun_server();
    let registrar = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = registrar.local_addr().unwrap();
    let nat = Nat::start("127.0.0.54", &[stun, address]).await;
    let trunk = TrunkConfig {
        username: Some("alice".into()),
        register: true,
        register_expires: 86_400,
        options_interval_secs: 0,
        ..trunk(nat.way_to(address))
    };
    let (node, _) = SipNode::start(behind(&nat, stun, vec![trunk])).await.unwrap();
    let (first, _) = received(&registrar).await;
    assert!(first.contains("Contact: <sip:alice@127.0.0.54:"), "{first}");
    nat.renumber("127.0.0.55").await;
    public_address_becomes(&node, [127, 0, 0, 55].into()).await;
    // What was sent before is granted; by that, the next would come in 19 hours.
    loop {
        let (request, from) = received(&registrar).await;
        if request.contains("Contact: <sip:alice@127.0.0.55:") {
            return;
        }
        let answer = response("200 OK", &request, "Expires: 86400\r\n");
        registrar.send_to(answer.as_bytes(), from).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_stun_server_keeps_nobody_from_calling() {
    let mute = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let stun_server = Some(mute.local_addr().unwrap().into());
    let config = Config { stun_server, ..config(vec![trunk(callee.address)]) };
    let (node, _) = within("the start", SipNode::start(config)).await.unwrap();
    assert_eq!(node.public_address(), None);
    has_a_call(&node, callee).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_goes_where_the_request_came_from() {
    let friend = caller_at("127.0.0.1");
    let (node, _calls) = node(vec![friend]).await;
    let (to, socket) = (node.local_address(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let port = socket.local_addr().unwrap().port();
    // The Via of one behind a NAT, who asks for the port that its packets come from (RFC 3581).
    let request = format!(
        "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.9:5060;branch=z9hG4bKnat;rport\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: nat\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    );
    socket.send_to(request.as_bytes(), to).await.unwrap();
    let mut buf = [0; 4000];
    let (length, _) = within("the answer", socket.recv_from(&mut buf)).await.unwrap();
    let answer = String::from_utf8_lossy(&buf[..length]).into_owned();
    assert!(answer.contains("received=127.0.0.1") && answer.contains(&format!("rport={port}")), "{answer}");
}
