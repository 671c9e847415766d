//! Certificates that are read again while connections are open: openssl looks, Kamailio is looked at.

use std::{fs::File, path::Path, process::Command};

use callbox::sip::TlsConfig;

use super::{
    certificates::{Authority, Certificate},
    peers::{Group, free_port, spawn, traces},
    tls_carrier::{Setup, answers, tls_trunk},
    *,
};

/// A file that renewals overwrite.
fn renewed(file: &Path, with: &Path) {
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
