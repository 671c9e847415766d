//! Trunks over TLS: Kamailio with its tls module, baresip, and openssl where a peer is only to be refused.

use std::{
    fs::File,
    net::Ipv4Addr,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use callbox::sip::{Liveness, RegistrationState, TlsConfig, Transport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};

use super::{
    certificates::{Authority, Certificate},
    dnsmasq::{Dnsmasq, srv_tls},
    inbound::{answer, take},
    peers::{Group, Sipp, free_port, spawn, traces},
    *,
};

/// A carrier that is reached by TLS, in front of a callee.
struct Carrier {
    process: Option<Group>,
    address: SocketAddr,
    dir: PathBuf,
}

/// What a carrier is made of.
struct Setup<'a> {
    shows: &'a Certificate,
    callee: SocketAddr,
    /// Lines of its server's TLS section.
    server: String,
    /// Lines of its client's.
    client: String,
    /// Where calls of the callee go by TLS, instead of to who is registered.
    node: Option<SocketAddr>,
    /// Whether what follows in a call comes through it.
    records_route: bool,
}

impl<'a> Setup<'a> {
    fn new(shows: &'a Certificate, callee: SocketAddr) -> Self {
        Setup { shows, callee, server: String::new(), client: String::new(), node: None, records_route: true }
    }

    fn start(&self) -> Carrier {
        let (dir, port) = (traces::folder("kamailio"), free_port());
        let path = dir.display().to_string();
        let node = self.node.map(|node| node.to_string()).unwrap_or_default();
        let config = include_str!("kamailio/tls.cfg")
            .replace("@PORT@", &port.to_string())
            .replace("@CALLEE@", &self.callee.port().to_string())
            .replace("@NODE@", &node)
            .replace("@ROUTE@", if self.records_route { "recorded" } else { "none" })
            .replace("@DIR@", &path);
        std::fs::write(dir.join("trunk.cfg"), config).unwrap();
        let Certificate { certificate, key } = self.shows;
        let tls = format!(
            "[server:default]\nmethod = TLSv1.2+\nprivate_key = {key}\ncertificate = {certificate}\n{}\n\
             [client:default]\nmethod = TLSv1.2+\n{}\n",
            self.server,
            self.client,
            key = key.display(),
            certificate = certificate.display(),
        );
        std::fs::write(dir.join("tls.cfg"), tls).unwrap();
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut carrier = Carrier { process: None, address, dir };
        carrier.start();
        carrier
    }
}

impl Carrier {
    fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let mut command = Command::new("kamailio");
        command.arg("-f").arg(self.dir.join("trunk.cfg"));
        command.args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"]).arg(&self.dir);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(spawn("kamailio", "kamailio-tls-modules", &mut command));
    }

    fn stop(&mut self) {
        self.process = None;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            eprintln!("--- kamailio\n{log}");
        }
    }
}

fn tls_trunk(server: SocketAddr, authority: &Authority) -> TrunkConfig {
    TrunkConfig {
        transport: Transport::Tls,
        tls_ca: Some(authority.file()),
        ..trunk_with_password(server, "secret")
    }
}

/// Waits until the trunk answers: a carrier takes a moment to start.
async fn answers(node: &SipNode) {
    within("the trunk's answer", async { while node.options(None).await.is_err() {} }).await;
}

async fn registered(node: &SipNode) {
    let mut state = node.registration("test").unwrap();
    let registered = |state: &RegistrationState| matches!(state, RegistrationState::Registered { .. });
    within("registration", state.wait_for(registered)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn call_goes_out_over_tls_with_a_password() {
    let authority = Authority::new();
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let carrier = Setup::new(&authority.sign("carrier"), callee.address).start();
    let by_name =
        TrunkConfig { tls_name: Some("trunk.test".into()), ..tls_trunk(carrier.address, &authority) };
    let (node, _) = node(vec![by_name]).await;
    answers(&node).await;
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    let heard = callee.log();
    assert!(heard.contains("Via: SIP/2.0/TLS 127.0.0.1:"), "{heard}");
    assert!(heard.to_lowercase().contains("contact: <sip:alice@127.0.0.1:"), "{heard}");
    assert!(heard.to_lowercase().contains(";transport=tls>"), "{heard}");
    callee.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn srv_target_by_tls_shows_the_certificate_of_the_name_that_was_asked_for() {
    let authority = Authority::new();
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let shown = authority.sign("carrier");
    let carrier = Setup::new(&shown, callee.address).start();
    let port = carrier.address.port();
    let records = [
        srv_tls("trunk.test", "dead.carrier.test", free_port(), 10),
        srv_tls("trunk.test", "sbc.carrier.test", port, 20),
        // The certificate is that of the target, to which whoever forges an answer may lead (RFC 5922).
        srv_tls("carrier.test", "trunk.test", port, 10),
    ];
    let dns = Dnsmasq::start(None, 60, records.as_flattened()).await;
    let found = async |name: &str| {
        let server = name.parse().unwrap();
        let trunk = TrunkConfig { server, ..tls_trunk(carrier.address, &authority) };
        let config = Config { nameservers: vec![dns.address], ..config(vec![trunk]) };
        SipNode::start(config).await.unwrap().0
    };
    let node = found("trunk.test").await;
    answers(&node).await;
    has_a_call(&node, callee).await;
    let node = found("carrier.test").await;
    let mut call = node.dial(dial()).await.unwrap();
    let SipEnd::Unreachable { detail } = end(&mut call).await else { panic!("expected unreachable") };
    assert!(detail.contains("not for carrier.test"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn contact_that_cannot_be_resolved_is_reached_by_the_connection_of_its_call() {
    let authority = Authority::new();
    let callee = Sipp::uas("uas_invalid_contact", 1, &[]).await;
    let shown = authority.sign("carrier");
    let carrier = Setup { records_route: false, ..Setup::new(&shown, callee.address) }.start();
    let (node, _) = node(vec![tls_trunk(carrier.address, &authority)]).await;
    answers(&node).await;
    has_a_call(&node, callee).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_node_is_called_over_its_own_connection() {
    let authority = Authority::new();
    let port = free_port();
    let carrier = Setup::new(&authority.sign("carrier"), ([127, 0, 0, 1], port).into()).start();
    let trunk = TrunkConfig { register: true, ..tls_trunk(carrier.address, &authority) };
    let (node, mut calls) = node(vec![trunk]).await;
    registered(&node).await;
    let peer = Sipp::uac("uac_call_routed", carrier.address, port, 1, &[]);
    let mut call = answer(take(&mut calls).await).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trunk_that_connects_is_met_and_each_side_asks_for_the_others_certificate() {
    let authority = Authority::new();
    let (own, shown) = (authority.sign("callbox"), authority.sign("carrier"));
    let port = free_port();
    let ca = authority.file().display().to_string();
    let tls = TlsConfig {
        bind: Some("127.0.0.1:0".parse().unwrap()),
        certificate: Some(own.certificate.clone()),
        key: Some(own.key.clone()),
        client_ca: Some(authority.file()),
    };
    // Any peer of this machine: the carrier's port is known once the node's is.
    let peer = tls_trunk(([127, 0, 0, 1], 9).into(), &authority);
    let (node, mut calls) = SipNode::start(Config { tls, ..config(vec![peer]) }).await.unwrap();
    let ours = SocketAddr::from(([127, 0, 0, 1], node.tls_port().unwrap()));
    let mut setup = Setup::new(&shown, ([127, 0, 0, 1], port).into());
    setup.node = Some(ours);
    setup.client = format!(
        "verify_certificate = yes\nrequire_certificate = yes\nca_list = {ca}\ncertificate = {}\nprivate_key = {}",
        shown.certificate.display(),
        shown.key.display()
    );
    let carrier = setup.start();
    let peer = Sipp::uac("uac_call_routed", carrier.address, port, 1, &[]);
    let mut call = answer(take(&mut calls).await).await;
    assert_eq!(end(&mut call).await, SipEnd::RemoteHangup);
    peer.succeeds().await;

    // Without a certificate nobody gets in.
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &ours.to_string(), "-CAfile", &ca, "-verify_return_error"]);
    let mut client =
        client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // While its input is open, it stays to hear what the server says of its lack of a certificate.
    let _open = client.stdin.take();
    let output = tokio::task::spawn_blocking(move || client.wait_with_output().unwrap());
    let output = within("the refusal", output).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("certificate required"), "{said}");
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trunk_that_asks_for_a_certificate_gets_the_nodes() {
    let authority = Authority::new();
    let (own, shown) = (authority.sign("callbox"), authority.sign("carrier"));
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let mut setup = Setup::new(&shown, callee.address);
    let ca = authority.file().display().to_string();
    setup.server = format!("verify_certificate = yes\nrequire_certificate = yes\nca_list = {ca}");
    let carrier = setup.start();
    let trunk = tls_trunk(carrier.address, &authority);
    let tls = TlsConfig {
        certificate: Some(own.certificate.clone()),
        key: Some(own.key.clone()),
        ..TlsConfig::default()
    };
    let (known, _) = SipNode::start(Config { tls, ..config(vec![trunk.clone()]) }).await.unwrap();
    answers(&known).await;
    let mut call = known.dial(dial()).await.unwrap();
    answered(&mut call).await;
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    callee.succeeds().await;
    let (unknown, _) = node(vec![trunk]).await;
    assert!(unknown.options(None).await.is_err());
}

/// A TLS server that answers nothing.
async fn mute_server(shows: &Certificate) -> (Group, SocketAddr) {
    let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
    command.arg("-cert").arg(&shows.certificate).arg("-key").arg(&shows.key);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let process = spawn("openssl", "openssl", &mut command);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    within("openssl", async { while TcpStream::connect(address).await.is_err() {} }).await;
    (process, address)
}

/// What a call to a trunk says of why it could not be made.
async fn why_not(trunk: TrunkConfig) -> String {
    let (node, _) = node(vec![trunk]).await;
    let mut call = node.dial(dial()).await.unwrap();
    let detail = match end(&mut call).await {
        SipEnd::Unreachable { detail } => detail,
        other => panic!("expected unreachable, got {other:?}"),
    };
    let SipError::Unreachable(asked) = node.options(None).await.unwrap_err() else { panic!("unreachable") };
    assert_eq!(asked, detail, "whoever asks is told the same");
    detail
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_that_is_not_right_is_refused_and_the_fix_named() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = authority.sign("carrier");
    let (_server, address) = mute_server(&good).await;
    let trunk = tls_trunk(address, &authority);
    let name = TrunkConfig { tls_name: Some("other.test".into()), ..trunk.clone() };
    let detail = why_not(name).await;
    assert!(detail.contains("not for other.test: set `server`, or `tls_name`"), "{detail}");
    let detail = why_not(TrunkConfig { tls_ca: Some(other.file()), ..trunk.clone() }).await;
    assert!(detail.contains("not trusted here: set `tls_ca`"), "{detail}");
    let detail = why_not(TrunkConfig { tls_ca: None, ..trunk }).await;
    assert!(detail.contains("not trusted here: set `tls_ca`"), "{detail}");
    let (_server, address) = mute_server(&authority.sign_expired("expired")).await;
    let detail = why_not(tls_trunk(address, &authority)).await;
    assert!(detail.contains("has expired"), "{detail}");
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = plain.local_addr().unwrap();
    let mut greetings = JoinSet::new();
    greetings.spawn(async move {
        loop {
            let (mut stream, _) = plain.accept().await.unwrap();
            let _ = stream.write_all(b"SIP/2.0 400 Plain\r\n\r\n").await;
        }
    });
    let detail = why_not(tls_trunk(address, &authority)).await;
    assert!(detail.contains("does not speak TLS"), "{detail}");
}

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
    registered(&node).await;
    let mut registration = node.registration("test").unwrap();
    registration.mark_unchanged();
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
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    callee.succeeds().await;
    settled(&node).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_called_over_tls() {
    let authority = Authority::new();
    let shown = authority.sign("baresip");
    let (_process, address) = baresip(&shown);
    let (node, _) = node(vec![tls_trunk(address, &authority)]).await;
    answers(&node).await;
    let mut call = node.dial(dial()).await.unwrap();
    answered(&mut call).await;
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    settled(&node).await;
}

/// A file that renewals overwrite.
fn renewed(file: &std::path::Path, with: &std::path::Path) {
    std::fs::copy(with, file).unwrap();
}

/// A client of a node's listener that stays, and the subject that the node showed to it.
async fn shown(node: SocketAddr) -> (Group, String) {
    let log = traces::folder("openssl").join("log");
    let output = File::create(&log).unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &node.to_string()]);
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let client = spawn("openssl", "openssl", &mut command);
    let subject = || {
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().find(|line| line.starts_with("subject=")).map(str::to_owned)
    };
    eventually("the node shows a certificate", || subject().is_some()).await;
    (client, subject().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificate_is_shown_to_new_connections_and_a_broken_one_to_nobody() {
    let authority = Authority::new();
    let (first, second) = (authority.sign("first"), authority.sign("second"));
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("own.pem"), dir.path().join("own.key"));
    let renew = |with: &Certificate| {
        renewed(&certificate, &with.certificate);
        renewed(&key, &with.key);
    };
    renew(&first);
    let tls = TlsConfig {
        bind: Some("127.0.0.1:0".parse().unwrap()),
        certificate: Some(certificate.clone()),
        key: Some(key.clone()),
        client_ca: None,
    };
    let peer = trunk(([127, 0, 0, 1], 9).into());
    let (node, _calls) = SipNode::start(Config { tls, ..config(vec![peer]) }).await.unwrap();
    let ours = SocketAddr::from(([127, 0, 0, 1], node.tls_port().unwrap()));
    let (mut open, subject) = shown(ours).await;
    assert!(subject.ends_with("first"), "{subject}");
    renew(&second);
    assert!(node.reload_certificates().unwrap());
    let (_newer, subject) = shown(ours).await;
    assert!(subject.ends_with("second"), "{subject}");
    assert!(open.finished().is_none(), "the connection of before is open");

    renewed(&key, &first.key);
    let error = node.reload_certificates().unwrap_err().to_string();
    assert!(error.contains("is not the key of `sip.tls.certificate`"), "{error}");
    std::fs::write(&certificate, "half a fi").unwrap();
    let error = node.reload_certificates().unwrap_err().to_string();
    assert!(error.starts_with("sip.tls.certificate: "), "{error}");
    let (_newest, subject) = shown(ours).await;
    assert!(subject.ends_with("second"), "{subject}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trunk_is_checked_against_the_authority_that_was_read_last() {
    let (authority, other) = (Authority::new(), Authority::new());
    let callee = free_port();
    let carrier = Setup::new(&authority.sign("carrier"), ([127, 0, 0, 1], callee).into()).start();
    let ca = tempfile::NamedTempFile::new().unwrap();
    renewed(ca.path(), &other.file());
    let trunk = TrunkConfig { tls_ca: Some(ca.path().to_owned()), ..tls_trunk(carrier.address, &authority) };
    let (node, _) = node(vec![trunk]).await;
    let untrusted = async {
        // A carrier takes a moment to start.
        while !node.options(None).await.unwrap_err().to_string().contains("not trusted here") {}
    };
    within("the refusal", untrusted).await;
    renewed(ca.path(), &authority.file());
    assert!(node.reload_certificates().unwrap());
    answers(&node).await;
    // What is connected stays so, whatever is read now.
    renewed(ca.path(), &other.file());
    assert!(node.reload_certificates().unwrap());
    node.options(None).await.unwrap();
    std::fs::write(ca.path(), "half a fi").unwrap();
    let error = node.reload_certificates().unwrap_err().to_string();
    assert!(error.starts_with("trunk `test`: tls_ca: "), "{error}");
    node.options(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn node_without_certificates_has_none_to_read() {
    let (node, _) = node(vec![trunk(([127, 0, 0, 1], 9).into())]).await;
    assert!(!node.reload_certificates().unwrap());
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
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
    callee.succeeds().await;
}

/// A telephone that answers at once, by TLS.
fn baresip(shows: &Certificate) -> (Group, SocketAddr) {
    // It serves TLS at the port above the one that it is given.
    let is_free = |port: &u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok();
    let port = std::iter::repeat_with(|| free_port().min(65_534)).find(is_free).unwrap();
    let dir = traces::folder("baresip");
    let pem = [&shows.certificate, &shows.key].map(|file| std::fs::read_to_string(file).unwrap()).concat();
    std::fs::write(dir.join("own.pem"), pem).unwrap();
    let config = format!(
        "net_interface 127.0.0.1\nsip_listen 127.0.0.1:{port}\nsip_certificate {pem}\n\
         module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule_tmp account.so\nmodule_app menu.so\n",
        pem = dir.join("own.pem").display(),
    );
    std::fs::write(dir.join("config"), config).unwrap();
    let account =
        "<sip:+14155550123@127.0.0.1;transport=tls>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1\n";
    std::fs::write(dir.join("accounts"), account).unwrap();
    std::fs::write(dir.join("contacts"), "").unwrap();
    let log = File::create(dir.join("log")).unwrap();
    let mut command = Command::new("baresip");
    command.args(["-4", "-s", "-f"]).arg(&dir).stdout(log.try_clone().unwrap()).stderr(log);
    (spawn("baresip", "baresip", &mut command), (Ipv4Addr::LOCALHOST, port + 1).into())
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

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_the_silent_are_not_met() {
    let authority = Authority::new();
    let own = authority.sign("callbox");
    let tls = TlsConfig {
        bind: Some("127.0.0.1:0".parse().unwrap()),
        certificate: Some(own.certificate.clone()),
        key: Some(own.key.clone()),
        client_ca: None,
    };
    let (node, _calls) =
        SipNode::start(Config { tls, ..config(vec![trunk(([127, 0, 0, 3], 9).into())]) }).await.unwrap();
    let ours = SocketAddr::from(([127, 0, 0, 1], node.tls_port().unwrap()));
    for (source, patience) in [("127.0.0.2:0", 2), ("127.0.0.3:0", 20)] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(source.parse().unwrap()).unwrap();
        let mut stream = socket.connect(ours).await.unwrap();
        let mut answer = Vec::new();
        let closed =
            tokio::time::timeout(Duration::from_secs(patience), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{source} is closed");
        assert!(answer.is_empty(), "{source}: {answer:?}");
    }
}
