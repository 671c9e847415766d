//! The carrier of a node's calls, which does what a test wants.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use callbox::eval::phone::{Answering, Config, Phone, turns};
use tokio::task::JoinHandle;

pub enum Carrier {
    Phone { _phone: Phone },
    Mute { answering: JoinHandle<()> },
}

/// What the carrier makes of calls.
#[derive(Debug, Clone, Copy)]
pub enum Callee {
    /// Answers, and hangs up soon.
    Answers,
    /// Refuses with this SIP status.
    Refuses(u16),
    /// Rings and is not answered.
    Rings,
    /// Not a word from the carrier.
    Mute,
    /// Not a word from two carriers, the one tried after the other.
    MuteTwice,
    /// Rings, but takes a call in 16 s.
    RingsInTurn,
}

impl Callee {
    /// `sip.trunks` of a node whose carrier is at `address`.
    pub fn trunks(self, address: SocketAddr) -> String {
        let keys = format!(r#"server = "{address}", allow = ["127.0.0.1"]"#);
        match self {
            Callee::MuteTwice => format!(r#"[{{ name = "carrier", {keys} }}, {{ name = "other", {keys} }}]"#),
            Callee::RingsInTurn => {
                format!(r#"[{{ name = "carrier", cps = 0.0625, cps_queue_secs = 60, {keys} }}]"#)
            }
            _ => format!(r#"[{{ name = "carrier", {keys} }}]"#),
        }
    }
}

impl Carrier {
    /// The carrier and where it is reached.
    pub async fn start(callee: Callee) -> (Carrier, SocketAddr) {
        let answer = match callee {
            Callee::Answers => Answering::After(Duration::ZERO),
            Callee::Refuses(status) => Answering::Reject(status),
            Callee::Rings | Callee::RingsInTurn => Answering::Never,
            Callee::Mute | Callee::MuteTwice => {
                let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                let address = socket.local_addr().unwrap();
                return (Carrier::Mute { answering: tokio::spawn(answer_pings(socket)) }, address);
            }
        };
        let pace = turns::Config { hang_up_at: Some(Duration::from_millis(500)), ..turns::Config::default() };
        let phone = Phone::start(Config { answer, pace, ..Config::default() }, None).await.unwrap();
        let address = phone.address();
        (Carrier::Phone { _phone: phone }, address)
    }
}

/// A carrier that is there, and says nothing to calls.
async fn answer_pings(socket: tokio::net::UdpSocket) {
    let mut buffer = [0; 4_096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !request.starts_with("OPTIONS") {
            continue;
        }
        let copied = ["via:", "from:", "to:", "call-id:", "cseq:"];
        let is_copied = |line: &&str| copied.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
        let lines: Vec<&str> = request.lines().filter(is_copied).collect();
        let answer = format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"));
        let _ = socket.send_to(answer.as_bytes(), from).await;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Carrier::Mute { answering } = self {
            answering.abort();
        }
    }
}
