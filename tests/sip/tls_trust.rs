//! Who is met over TLS and who is not, and what the one who is not is told: Kamailio with its tls module, and
//! openssl where a peer is only to be refused.

use std::{
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use callbox::sip::TlsConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};

use super::{
    certificates::{Authority, Certificate},
    inbound::{answer, take},
    peers::{Group, Sipp, free_port, spawn},
    tls_carrier::{Setup, answers, tls_trunk},
    *,
};

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
    has_a_call(&known, callee).await;
    let (unknown, _) = node(vec![trunk]).await;
    assert!(unknown.options(None).await.is_err());
}

/// A TLS server that answers nothing.
async fn mute_server(shows: &Certificate) -> (Group, SocketAddr) {
    let port = free_port();
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
    let (_server, address) = mute_server(&authority.sign_until("20200201000000Z", "expired")).await;
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
