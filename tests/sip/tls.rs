//! Calls by trunks over TLS: Kamailio with its tls module in front of SIPp, and baresip.

use std::{fs::File, net::Ipv4Addr, process::Command};

use super::{
    certificates::{Authority, Certificate},
    dnsmasq::{Dnsmasq, srv_tls},
    inbound::{answer, take},
    peers::{Group, Sipp, free_port, spawn, traces},
    tls_carrier::{Setup, answers, tls_trunk},
    *,
};

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
async fn carrier_of_many_names_shows_the_certificate_of_the_one_that_is_asked_for() {
    let authority = Authority::new();
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let other = authority.sign_for("DNS:other.test", "20991231000000Z", "other");
    let own = authority.sign_for("DNS:trunk.test", "20991231000000Z", "own");
    let of_that_name = format!(
        "[server:any]\nserver_name = trunk.test\nmethod = TLSv1.2+\ncertificate = {}\nprivate_key = {}",
        own.certificate.display(),
        own.key.display()
    );
    let carrier = Setup { server: of_that_name, ..Setup::new(&other, callee.address) }.start();
    let as_named = |name: &str| {
        let tls_name = Some(name.into());
        config(vec![TrunkConfig { tls_name, ..tls_trunk(carrier.address, &authority) }])
    };
    // Whom the carrier knows no such name of sees its other certificate.
    let (node, _) = SipNode::start(as_named("third.test")).await.unwrap();
    let refused = async {
        loop {
            let error = node.options(None).await.unwrap_err().to_string();
            // Until then nobody listens.
            if error.contains("certificate") {
                return error;
            }
        }
    };
    let refused = within("the refusal", refused).await;
    assert!(refused.contains("not for third.test"), "{refused}");
    let (node, _) = SipNode::start(as_named("trunk.test")).await.unwrap();
    has_a_call(&node, callee).await;
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

/// A telephone that answers at once, by TLS.
fn baresip(shows: &Certificate) -> (Group, SocketAddr) {
    // It serves TLS at the port above the one that it is given.
    let (dir, port) = (traces::folder("baresip"), free_port());
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
