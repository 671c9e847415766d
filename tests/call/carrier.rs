//! A carrier between a caller and a telephone, which passes on their SIP messages as it likes.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// Longer than any message.
const LONGEST: usize = 9_000;

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToTelephone,
    ToCaller,
}

/// Passes on, both ways, what `rewrite` makes of each message that comes to `socket`. Whoever is not the telephone is
/// the caller. Those within the dialog may pass it by.
pub async fn pass(socket: UdpSocket, telephone: SocketAddr, mut rewrite: impl FnMut(&str, Way) -> String) {
    let (mut message, mut caller) = ([0; LONGEST], None);
    loop {
        let (length, from) = socket.recv_from(&mut message).await.unwrap();
        let (way, to) = if from == telephone {
            (Way::ToCaller, caller)
        } else {
            caller = Some(from);
            (Way::ToTelephone, Some(telephone))
        };
        let message = rewrite(&String::from_utf8_lossy(&message[..length]), way);
        if let Some(to) = to {
            socket.send_to(message.as_bytes(), to).await.unwrap();
        }
    }
}
