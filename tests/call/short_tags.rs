//! SRTP with tags of 32 bits, against baresip. Both sides like longer ones better: so the carrier between
//! them knows the suite with short ones alone. Baresip answers with it, and never offers it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use callbox::base::srtp::Suite;
use callbox::sip::sdp::{self, Local};
use callbox::sip::{Dial, Srtp};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::baresip::Baresip;
use crate::carrier;
use crate::secure::{Sockets, answer_of, converse, hang_up, hear_each_other, node};

const LONG_TAGS: &str = "AES_CM_128_HMAC_SHA1_80";

/// Passes messages on without the suite that it does not know.
struct Carrier {
    address: SocketAddr,
    /// Lines that it has taken out.
    taken: Arc<Mutex<usize>>,
    _passing: JoinSet<()>,
}

impl Carrier {
    async fn to(callee: SocketAddr) -> Carrier {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, taken) = (socket.local_addr().unwrap(), Arc::<Mutex<usize>>::default());
        let mut passing = JoinSet::new();
        let count = Arc::clone(&taken);
        passing.spawn(carrier::pass(socket, callee, move |message, _| {
            let (message, lines) = without_long_tags(message);
            *count.lock() += lines;
            message
        }));
        Carrier { address, taken, _passing: passing }
    }
}

/// With the number of lines that are missing.
fn without_long_tags(message: &str) -> (String, usize) {
    let Some((head, body)) = message.split_once("\r\n\r\n") else { return (message.to_owned(), 0) };
    let (out, kept): (Vec<&str>, Vec<&str>) =
        body.split_inclusive("\r\n").partition(|line| line.contains(LONG_TAGS));
    let kept = kept.concat();
    let [before, now] = [body, &kept].map(|body| format!("Content-Length: {}", body.len()));
    assert!(head.contains(&before), "{head}");
    (format!("{}\r\n\r\n{kept}", head.replace(&before, &now)), out.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_called_with_short_tags() {
    let baresip = Baresip::encrypting(Some("srtp-mand"), None).await;
    let carrier = Carrier::to(baresip.address).await;
    let (node, _incoming) = node(carrier.address, Srtp::Required).await;
    let sockets = Sockets::bind().await;
    let (to, local) = ("+14155550123".parse().unwrap(), sockets.local());
    let mut call = node.dial(Dial::to(to, local.clone())).await.unwrap();
    let answer = answer_of(&mut call).await.unwrap();
    let agreed = sdp::accept(&Local { srtp: Srtp::Required, ..local }, &answer).unwrap();
    assert_eq!(agreed.terms.srtp.expect("keys").suite, Suite::AesCm128HmacSha1_32);
    assert!(*carrier.taken.lock() > 0, "we offer both");
    let heard = converse(&sockets, &agreed).await;
    hang_up(call, node).await;
    hear_each_other(&baresip, &heard, true, "short tags").await;
    // Baresip 1.0 shortens those of RTCP as well, which RFC 3711 forbids in section 5.2: its reports, and
    // nothing else, are not authentic.
    let (stats, reports) = (heard.stats, heard.reports);
    assert!(stats.packets_received > 300 && stats.lost == 0, "{stats:?}");
    assert!(stats.unauthenticated + stats.malformed <= reports, "{stats:?} with {reports} reports");
    assert_eq!((stats.replayed, stats.strangers), (0, 0), "{stats:?}");
}
