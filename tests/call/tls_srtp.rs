//! Signalling by TLS and audio by SRTP in one call with baresip, both required: how Twilio's secure trunks are
//! (SRTP's keys stand in the SDP, which TLS alone hides).

use std::fs;
use std::net::SocketAddr;

use callbox::sip::sdp::{self, Local};
use callbox::sip::{self, Dial, IncomingCall, SipNode, Srtp, TlsConfig, Transport, TrunkConfig};
use tokio::sync::mpsc;

use crate::baresip::{Baresip, Setup};
use crate::certificates::{Authority, Certificate};
use crate::secure::{LIMIT, Sockets, answer_of, check, converse, hang_up};

/// A node that meets `trunk` by TLS, too.
async fn node(
    trunk: SocketAddr,
    authority: &Authority,
    own: &Certificate,
) -> (SipNode, mpsc::Receiver<IncomingCall>) {
    let trunk = TrunkConfig {
        transport: Transport::Tls,
        tls_ca: Some(authority.file()),
        srtp: Srtp::Required,
        ..TrunkConfig::peer("baresip", trunk.into())
    };
    let tls = TlsConfig {
        bind: Some(([127, 0, 0, 1], 0).into()),
        certificate: Some(own.certificate.clone()),
        key: Some(own.key.clone()),
        client_ca: None,
    };
    let config =
        sip::Config { bind: ([127, 0, 0, 1], 0).into(), tls, trunks: vec![trunk], ..sip::Config::default() };
    SipNode::start(config).await.unwrap()
}

/// Insists on SRTP, shows a certificate, and asks for one of the same authority.
fn sealed(authority: &Authority) -> Setup<'static> {
    let shown = authority.sign("baresip");
    let pem = [&shown.certificate, &shown.key].map(|file| fs::read_to_string(file).unwrap()).concat();
    let file = shown.certificate.with_extension("both");
    fs::write(&file, pem).unwrap();
    let config = format!(
        "sip_certificate {}\nsip_cafile {}\nsip_verify_server yes\n",
        file.display(),
        authority.file().display()
    );
    let setup = Setup::encrypting(Some("srtp-mand"));
    Setup { account: format!("{};transport=tls", setup.account), config, ..setup }
}

/// Whether everything that baresip said or heard by signalling went by TLS.
fn is_by_tls(baresip: &Baresip) -> bool {
    let log = baresip.log();
    log.contains("\nTLS 127.0.0.1:") && !log.contains("\nUDP 127.0.0.1:") && !log.contains("\nTCP 127.0.0.1:")
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_called_by_tls_and_srtp() {
    let authority = Authority::new();
    let baresip = Baresip::of(sealed(&authority)).await;
    let (node, _incoming) = node(baresip.by_tls(), &authority, &authority.sign("callbox")).await;
    let sockets = Sockets::bind().await;
    let local = sockets.local();
    let to = "+14155550123".parse().unwrap();
    let mut call = node.dial(Dial::to(to, local.clone())).await.unwrap();
    let answer = answer_of(&mut call).await.unwrap();
    assert_eq!(call.handle.srtp(), Srtp::Required);
    let agreed = sdp::accept(&Local { srtp: Srtp::Required, ..local }, &answer).unwrap();
    let heard = converse(&sockets, &agreed).await;
    hang_up(call, node).await;
    check(&baresip, &heard, true, "baresip is called").await;
    assert!(is_by_tls(&baresip));
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_calls_by_tls_and_srtp() {
    let authority = Authority::new();
    // Any port of its address is the trunk's.
    let (node, mut incoming) = node(([127, 0, 0, 1], 9).into(), &authority, &authority.sign("callbox")).await;
    let dials = Some(format!("sip:+14155550123@127.0.0.1:{};transport=tls", node.tls_port().unwrap()));
    let baresip = Baresip::of(Setup { dials, ..sealed(&authority) }).await;
    let call = tokio::time::timeout(LIMIT, incoming.recv()).await.expect("a call").unwrap();
    let sockets = Sockets::bind().await;
    let local = Local { srtp: call.srtp(), ..sockets.local() };
    assert_eq!(local.srtp, Srtp::Required);
    let (answer, agreed) = sdp::answer(&local, call.offer.as_deref().expect("an offer")).unwrap();
    let call = call.answer(answer).await.unwrap();
    let heard = converse(&sockets, &agreed).await;
    hang_up(call, node).await;
    check(&baresip, &heard, true, "baresip calls").await;
    assert!(is_by_tls(&baresip));
}
