//! Who calls: what a carrier reads of our calls, and what it says of those that come in.

use callbox::sip::{DiversionHeader, IdentityHeader, NumberFormat, Party, Verification};
use tokio::net::UdpSocket;

use super::{
    inbound::take,
    peers::{Sipp, free_port},
    *,
};

/// The INVITE that a trunk with these habits gets of a call.
async fn invite(habits: impl FnOnce(TrunkConfig) -> TrunkConfig, dial: Dial) -> String {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (node, _) = node(vec![habits(trunk(peer.local_addr().unwrap()))]).await;
    let call = node.dial(dial).await.unwrap();
    let mut buf = [0; 4000];
    let (length, _) = within("the INVITE", peer.recv_from(&mut buf)).await.unwrap();
    drop(call);
    String::from_utf8_lossy(&buf[..length]).replace(&peer.local_addr().unwrap().to_string(), "PEER")
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.split_once(": ").filter(|(n, _)| *n == name).map(|(_, value)| value);
    message.lines().find_map(value)
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_written_as_the_carrier_wants_them() {
    let plain = invite(|trunk| trunk, dial()).await;
    assert!(plain.starts_with("INVITE sip:+14155550123@PEER SIP/2.0\r\n"), "{plain}");
    assert_eq!(header(&plain, "To"), Some("<sip:+14155550123@PEER>"));
    assert!(header(&plain, "From").unwrap().starts_with("<sip:+14155550100@127.0.0.1>;tag="), "{plain}");
    assert_eq!(header(&plain, "P-Asserted-Identity"), Some("<sip:+14155550100@127.0.0.1>"));
    assert_eq!(header(&plain, "Privacy"), None);
    let prefixed = |trunk| TrunkConfig {
        number_format: NumberFormat::E164WithoutPlus,
        tech_prefix: "12345678*".into(),
        user_phone: true,
        identity: IdentityHeader::Rpid,
        ..trunk
    };
    let prefixed = invite(prefixed, dial()).await;
    assert!(
        prefixed.starts_with("INVITE sip:12345678*14155550123@PEER;user=phone SIP/2.0\r\n"),
        "{prefixed}"
    );
    let rpid = "<sip:14155550100@127.0.0.1;user=phone>;party=calling;screen=yes;privacy=off";
    assert_eq!(header(&prefixed, "Remote-Party-ID"), Some(rpid));
    assert_eq!(header(&prefixed, "P-Asserted-Identity"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn withheld_number_reaches_the_carrier_alone() {
    let withheld = |trunk| TrunkConfig { withhold_caller_id: true, ..trunk };
    let message = invite(withheld, dial()).await;
    let from = header(&message, "From").unwrap();
    assert!(from.contains("<sip:anonymous@anonymous.invalid>") && !from.contains("0100"), "{from}");
    assert_eq!(header(&message, "Privacy"), Some("id"));
    assert_eq!(header(&message, "P-Asserted-Identity"), Some("<sip:+14155550100@127.0.0.1>"));
    assert!(!header(&message, "Contact").unwrap().contains("0100"), "{message}");
    let toll_free = invite(withheld, Dial { to: number("+18005550123"), ..dial() }).await;
    assert_eq!(header(&toll_free, "Privacy"), None);
    assert!(header(&toll_free, "From").unwrap().contains("+14155550100"), "{toll_free}");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_leg_says_which_number_sends_the_call_on() {
    let leg = || Dial { diverted: Some(number("+14155550177")), ..dial() };
    let by = |diversion| move |trunk| TrunkConfig { diversion, ..trunk };
    let message = invite(by(DiversionHeader::Diversion), leg()).await;
    let diversion = "<sip:+14155550177@127.0.0.1>;reason=unconditional;counter=1;privacy=off";
    assert_eq!(header(&message, "Diversion"), Some(diversion));
    let message = invite(by(DiversionHeader::HistoryInfo), leg()).await;
    let history = "<sip:+14155550177@127.0.0.1>;index=1, <sip:+14155550123@PEER;cause=302>;index=1.1;mp=1";
    assert_eq!(header(&message, "History-Info"), Some(history));
    assert!(!invite(by(DiversionHeader::None), leg()).await.contains("0177"));
}

/// What is told of a call that is forwarded and vouched for, by a trunk that writes its verdict there.
async fn told(verification_header: Option<&str>) -> (Option<Party>, Option<E164>, Option<Verification>) {
    let port = free_port();
    let verification_header = verification_header.map(Into::into);
    let carrier = TrunkConfig { verification_header, ..trunk(([127, 0, 0, 1], port).into()) };
    let (node, mut calls) = node(vec![carrier]).await;
    let peer = Sipp::uac("uac_vouched", node.local_address(), port, 1, &[]);
    let incoming = take(&mut calls).await;
    let told = (incoming.from.clone(), incoming.redirected_from.clone(), incoming.verification);
    incoming.reject(486).await.unwrap();
    peer.succeeds().await;
    settled(&node).await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn carriers_verdict_and_the_number_called_first_are_kept() {
    let caller = Some(Party::Number(number("+14155550111")));
    let first = Some(number("+14155550101"));
    let verdict = told(Some("X-Twilio-VerStat")).await;
    assert_eq!(verdict, (caller.clone(), first.clone(), Some(Verification::PassedB)));
    // What the caller wrote into a name is nobody's verdict.
    assert_eq!(told(Some("P-Asserted-Identity")).await, (caller.clone(), first.clone(), None));
    assert_eq!(told(None).await, (caller, first, None));
}
