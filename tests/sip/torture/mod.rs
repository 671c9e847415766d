//! RFC 4475's messages over the socket, from a trunk's address, and what this node answers to each.

use std::{fmt, fs, path::Path};

use super::{
    hostile::{asked, options, socket, still_takes_calls, target},
    *,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The application got the call, and refused it with 486, or with 488 where it cannot agree to the
    /// description.
    Call(u16),
    Status(u16),
    Silence,
    /// The connection was closed.
    Closed,
}

use Outcome::{Call, Closed, Silence, Status};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call(status) => write!(f, "call, refused with {status}"),
            Status(status) => write!(f, "{status}"),
            Silence => f.write_str("no answer"),
            Closed => f.write_str("connection closed"),
        }
    }
}

const CALL: Outcome = Call(486);

/// Each message, what RFC 4475 allows to come of it, and the section that says so. This node registers
/// nobody, so REGISTER is refused by its method wherever it is sound.
const MESSAGES: [(&str, &[Outcome], &str); 49] = [
    // Valid messages. The first names a dialog, by a tag in To, that there is not.
    ("wsinv", &[Status(481)], "3.1.1.1"),
    // No server knows the method; 3.1.1.2 asks that this be said, not that the syntax be refused.
    ("intmeth", &[Status(501), Status(405)], "3.1.1.2"),
    ("esc01", &[CALL], "3.1.1.3"),
    ("escnull", &[Status(405)], "3.1.1.4"),
    // Not REGISTER, however its escapes read.
    ("esc02", &[Status(501)], "3.1.1.5"),
    ("lwsdisp", &[Status(200)], "3.1.1.6"),
    ("longreq", &[CALL], "3.1.1.7"),
    // What follows the body that Content-Length declares is no message.
    ("dblreq", &[Status(405)], "3.1.1.8"),
    ("semiuri", &[Status(200)], "3.1.1.9"),
    ("transports", &[Status(200)], "3.1.1.10"),
    ("mpart01", &[Status(405)], "3.1.1.11"),
    ("unreason", &[Silence], "3.1.1.12"),
    ("noreason", &[Silence], "3.1.1.13"),
    // Invalid messages.
    ("badinv01", &[Status(400)], "3.1.2.1"),
    ("clerr", &[Status(400)], "3.1.2.2"),
    ("ncl", &[Status(400), Silence], "3.1.2.3"),
    ("scalar02", &[Status(400)], "3.1.2.4"),
    ("scalarlg", &[Silence], "3.1.2.5"),
    ("quotbal", &[Status(400)], "3.1.2.6"),
    ("ltgtruri", &[Status(400), CALL], "3.1.2.7"),
    ("lwsruri", &[Status(400)], "3.1.2.8"),
    ("lwsstart", &[Status(400), CALL], "3.1.2.9"),
    ("trws", &[Status(400), Status(200)], "3.1.2.10"),
    ("escruri", &[Status(400), CALL], "3.1.2.11"),
    ("baddate", &[Status(400), CALL], "3.1.2.12"),
    ("regbadct", &[Status(400), Status(405)], "3.1.2.13"),
    ("badaspec", &[Status(400), Status(200)], "3.1.2.14"),
    ("baddn", &[Status(400), Status(200)], "3.1.2.15"),
    ("badvers", &[Status(505)], "3.1.2.16"),
    ("mismatch01", &[Status(400)], "3.1.2.17"),
    ("mismatch02", &[Status(501), Status(400)], "3.1.2.18"),
    ("bigcode", &[Silence], "3.1.2.19"),
    // Transaction layer.
    ("badbranch", &[Status(400), Status(200)], "3.2.1"),
    // Application layer.
    ("insuf", &[Status(400)], "3.3.1"),
    ("unkscm", &[Status(416)], "3.3.2"),
    ("novelsc", &[Status(416)], "3.3.3"),
    ("unksm2", &[Status(400), Status(405)], "3.3.4"),
    ("bext01", &[Status(420)], "3.3.5"),
    ("invut", &[Status(415)], "3.3.6"),
    ("regaut01", &[Status(405)], "3.3.7"),
    ("multi01", &[Status(400)], "3.3.8"),
    ("mcl01", &[Status(400), Silence], "3.3.9"),
    ("bcast", &[Silence], "3.3.10"),
    // It has arrived: the end of its hops is no matter to a server that forwards nothing.
    ("zeromf", &[Status(200)], "3.3.11"),
    ("cparam01", &[Status(405)], "3.3.12"),
    ("cparam02", &[Status(405)], "3.3.13"),
    ("regescrt", &[Status(405)], "3.3.14"),
    ("sdp01", &[Status(406)], "3.3.15"),
    // A caller of RFC 2543: no tag, no branch, no Contact.
    ("inv2543", &[CALL], "3.4.1"),
];

/// Those that came over TCP. The stack cannot frame a method that it does not know, and closes.
const OVER_TCP: [(&str, &[Outcome]); 9] = [
    ("intmeth", &[Status(501), Closed]),
    ("esc02", &[Status(501), Closed]),
    ("longreq", &[CALL]),
    ("scalar02", &[Status(400)]),
    ("scalarlg", &[Silence]),
    ("trws", &[Status(400), Status(200)]),
    ("unkscm", &[Status(416)]),
    ("novelsc", &[Status(416)]),
    ("regaut01", &[Status(405)]),
];

fn message(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/sip/torture/{name}.dat"));
    fs::read(file).unwrap()
}

/// Refuses the call as an application would that does not want it.
async fn refuse(call: IncomingCall) -> u16 {
    let agreed = call.offer.as_deref().is_none_or(|offer| sdp::answer(&local(), offer).is_ok());
    let status = if agreed { 486 } else { 488 };
    call.reject(status).await.unwrap();
    status
}

fn final_status(answer: &str) -> Option<u16> {
    let status = answer.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().unwrap();
    (status >= 200).then_some(status)
}

/// How long an answer may come after that to a probe, for it takes a task of its own.
const LATER: Duration = Duration::from_secs(5);

/// What comes of a datagram, until a probe behind it is answered; where it must not be silence, a while
/// longer.
async fn over_udp(
    to: SocketAddr,
    calls: &mut mpsc::Receiver<IncomingCall>,
    message: &[u8],
    may_be_silent: bool,
) -> Outcome {
    let (own, probe) = (socket("127.0.0.1").await, socket("127.0.0.1").await);
    own.send_to(message, to).await.unwrap();
    let ping = options(probe.local_addr().unwrap(), to);
    let silence = async {
        asked(&probe, to, &ping).await;
        asked(&probe, to, &ping).await;
        if !may_be_silent {
            tokio::time::sleep(LATER).await;
        }
    };
    tokio::pin!(silence);
    let (mut called, mut buf) = (None, [0; 8_000]);
    let outcome = async {
        loop {
            tokio::select! {
                biased;
                received = own.recv_from(&mut buf) => {
                    let answer = String::from_utf8_lossy(&buf[..received.unwrap().0]).into_owned();
                    if let Some(status) = final_status(&answer) {
                        return called.map_or(Status(status), Call);
                    }
                }
                call = calls.recv() => called = Some(refuse(call.unwrap()).await),
                () = &mut silence, if called.is_none() => return Silence,
            }
        }
    };
    within("an outcome", outcome).await
}

async fn over_tcp(to: SocketAddr, calls: &mut mpsc::Receiver<IncomingCall>, message: &[u8]) -> Outcome {
    let mut stream = within("connecting", TcpStream::connect(to)).await.unwrap();
    let ping = options(stream.local_addr().unwrap(), to).replace("/UDP", "/TCP");
    stream.write_all(&[message, ping.as_bytes()].concat()).await.unwrap();
    let (mut called, mut heard, mut buf) = (None, String::new(), [0; 8_000]);
    let outcome = async {
        loop {
            let answers = || heard.split_inclusive("\r\n\r\n").filter(|answer| answer.ends_with("\r\n\r\n"));
            let is_ours = |answer: &&str| !answer.contains("OPTIONS-hostile");
            if let Some(status) = answers().filter(is_ours).find_map(final_status) {
                return called.map_or(Status(status), Call);
            }
            let silent = called.is_none() && answers().any(|answer| !is_ours(&answer));
            tokio::select! {
                biased;
                call = calls.recv() => called = Some(refuse(call.unwrap()).await),
                read = stream.read(&mut buf) => match read {
                    Ok(0) | Err(_) => return Closed,
                    Ok(length) => heard.push_str(&String::from_utf8_lossy(&buf[..length])),
                },
                () = tokio::time::sleep(LATER / 10), if silent => return Silence,
            }
        }
    };
    within("an outcome", outcome).await
}

#[tokio::test(flavor = "multi_thread")]
async fn torture_messages_are_answered_as_rfc_4475_asks() {
    let (node, mut calls) = target().await;
    let to = node.local_address();
    let mut wrong = Vec::new();
    for (name, allowed, section) in MESSAGES {
        let outcome = over_udp(to, &mut calls, &message(name), allowed.contains(&Silence)).await;
        println!("{name:<11} {section:<9} {outcome}");
        if !allowed.contains(&outcome) {
            wrong.push(format!("{name}: {outcome}, not one of {allowed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    still_takes_calls(&node, &mut calls).await;
    settled(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn torture_messages_over_a_stream_are_answered_or_end_it() {
    let (node, mut calls) = target().await;
    let to = node.local_address();
    for (name, allowed) in OVER_TCP {
        let outcome = over_tcp(to, &mut calls, &message(name)).await;
        println!("{name:<11} {outcome}");
        assert!(allowed.contains(&outcome), "{name}: {outcome}, not one of {allowed:?}");
    }
    still_takes_calls(&node, &mut calls).await;
    settled(&node).await;
}

/// `status_line`, and the fields by which the response belongs to `request`.
fn response(status_line: &str, request: &str, sdp: &str, own: SocketAddr) -> String {
    let copied = request
        .lines()
        .filter(|line| ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)));
    let to = request.lines().find(|line| line.starts_with("To:")).unwrap();
    let fields: String = copied.map(|line| format!("{line}\r\n")).collect();
    format!(
        "{status_line}\r\n{fields}{to};tag=2\r\nContact: <sip:{own}>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_reasons_and_none_are_answers_like_any_other() {
    let callee = socket("127.0.0.1").await;
    let own = callee.local_addr().unwrap();
    let (node, _calls) = node(vec![trunk(own)]).await;
    let mut call = node.dial(dial()).await.unwrap();
    let mut buf = [0; 8_000];
    let (length, from) = within("the INVITE", callee.recv_from(&mut buf)).await.unwrap();
    let invite = String::from_utf8_lossy(&buf[..length]).into_owned();
    let (answer, _) = sdp::answer(&local(), invite.split_once("\r\n\r\n").unwrap().1).unwrap();
    for name in ["noreason", "unreason"] {
        let line = String::from_utf8(message(name)).unwrap().lines().next().unwrap().to_owned();
        let sdp = if name == "unreason" { answer.as_str() } else { "" };
        callee.send_to(response(&line, &invite, sdp, own).as_bytes(), from).await.unwrap();
    }
    assert!(sdp::accept(&local(), &answered(&mut call).await).is_ok());
    call.handle.hang_up();
    assert_eq!(end(&mut call).await, SipEnd::LocalHangup);
}
