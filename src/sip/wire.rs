//! The UDP socket: drops what [`super::rate`] refuses, hands on what [`super::screen`] lets pass, answers or drops
//! the rest before it is parsed, keeps apart what a STUN server answers, and learns from ICMP that nobody
//! listens where a message went.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::net::{RecvAncillaryBuffer, RecvFlags, recvmsg};
use tokio::{
    net::UdpSocket,
    sync::{broadcast, mpsc},
};

use super::{
    discovery::StunAnswer,
    guard::{self, Gate},
    screen::{Refused, as_the_peer_wrote, screen},
    stun,
};

/// Pause after an error that will not pass by itself, so that a broken socket does not spin.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// ICMP errors read at once.
const MAX_ERRORS: usize = 64;

pub(super) struct GuardedSocket {
    socket: UdpSocket,
    unreachable: broadcast::Sender<SocketAddr>,
    gate: Arc<Gate>,
    stun: Option<mpsc::Sender<StunAnswer>>,
}

impl GuardedSocket {
    /// Every address that an ICMP error names is sent on `unreachable`; a receiver that lags loses
    /// some and falls back on its timeout. A request that is refused is answered if a trunk sent it. Answers of
    /// STUN servers go to `stun`; one that finds it full is lost, and asked for again.
    pub fn new(
        socket: UdpSocket,
        unreachable: broadcast::Sender<SocketAddr>,
        gate: Arc<Gate>,
        stun: Option<mpsc::Sender<StunAnswer>>,
    ) -> io::Result<Self> {
        report_icmp_errors(&socket)?;
        Ok(GuardedSocket { socket, unreachable, gate, stun })
    }

    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    async fn receive(&self, buf: &mut [u8]) -> (usize, SocketAddr) {
        loop {
            let (length, from) = match self.socket.recv_from(buf).await {
                Ok(received) => received,
                Err(e) => {
                    self.after_error(&e).await;
                    continue;
                }
            };
            if !self.gate.admits(from.ip(), Instant::now()) {
                continue;
            }
            if let Some(stun) = self.stun.as_ref().filter(|_| stun::is_response(&buf[..length])) {
                let _ = stun.try_send((buf[..length].to_vec(), from));
                continue;
            }
            if guard::is_keepalive(&buf[..length]) {
                return (length, from);
            }
            match screen(&buf[..length], from) {
                Ok(plain) => {
                    buf[..plain.len()].copy_from_slice(&plain);
                    return (plain.len(), from);
                }
                Err(refused) => self.refuse(refused, from).await,
            }
        }
    }

    async fn refuse(&self, refused: Refused, from: SocketAddr) {
        self.gate.count_malformed();
        tracing::debug!(source = %from.ip(), why = refused.why, "SIP datagram refused");
        if let Some(answer) = refused.answer.filter(|_| self.gate.is_trunk(from.ip()))
            && let Err(error) = self.send(&answer, from).await
        {
            tracing::debug!(%error, "refusal not sent");
        }
    }

    async fn after_error(&self, error: &io::Error) {
        if is_icmp(error) {
            self.report_unreachable();
        } else {
            tracing::warn!(%error, "SIP socket cannot receive");
            tokio::time::sleep(AFTER_ERROR).await;
        }
    }

    /// The kernel reports an earlier datagram's ICMP error on whatever call comes next; this one is
    /// sent all the same.
    pub async fn send(&self, buf: &[u8], to: SocketAddr) -> io::Result<usize> {
        match self.socket.send_to(buf, to).await {
            Err(e) if is_icmp(&e) => {
                self.report_unreachable();
                self.socket.send_to(buf, to).await
            }
            result => result,
        }
    }

    /// Reads the socket's error queue: its entries carry the address the failed datagram went to.
    fn report_unreachable(&self) {
        for _ in 0..MAX_ERRORS {
            let mut byte = [0u8; 1];
            let mut control = RecvAncillaryBuffer::default();
            let flags = RecvFlags::ERRQUEUE | RecvFlags::DONTWAIT;
            let error = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags);
            let Ok(error) = error else { return };
            if let Some(to) = error.address.and_then(|address| SocketAddr::try_from(address).ok()) {
                // No receiver means no call is waiting for an answer.
                let _ = self.unreachable.send(to);
            }
        }
    }
}

fn is_icmp(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

/// An unconnected UDP socket hears of ICMP errors only if it asks for its error queue.
fn report_icmp_errors(socket: &UdpSocket) -> io::Result<()> {
    let (level, option) = match socket.local_addr()? {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the value and its
    // length describe one live `c_int`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[async_trait::async_trait]
impl rsipstack::platform::net::UdpSocket for GuardedSocket {
    async fn recv_from(&self, buf: &mut [u8]) -> rsipstack::Result<(usize, SocketAddr)> {
        Ok(self.receive(buf).await)
    }

    async fn send_to(&self, buf: &[u8], addr: SocketAddr) -> rsipstack::Result<usize> {
        Ok(self.send(&as_the_peer_wrote(buf), addr).await?)
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{guard::Sources, rate::RateLimit},
        *,
    };

    async fn socket() -> (GuardedSocket, broadcast::Receiver<SocketAddr>) {
        let (unreachable, heard) = broadcast::channel(8);
        let inner = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let gate = Gate::new(RateLimit::default(), Sources::default(), Instant::now());
        (GuardedSocket::new(inner, unreachable, Arc::new(gate), None).unwrap(), heard)
    }

    #[tokio::test]
    async fn closed_port_is_reported_by_its_address() {
        let (socket, mut heard) = socket().await;
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        socket.send(b"\r\n\r\n", closed).await.unwrap();
        let mut buf = [0; 100];
        let wait = async {
            tokio::select! {
                _ = socket.receive(&mut buf) => panic!("nothing was sent"),
                address = heard.recv() => address.unwrap(),
            }
        };
        let reported = tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
        assert_eq!(reported, closed);
    }

    #[tokio::test]
    async fn refused_datagrams_are_counted_and_skipped() {
        let (socket, _heard) = socket().await;
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = socket.socket.local_addr().unwrap();
        let message = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\n\
            To: <sip:a>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        peer.send_to(message.replace(": 0", ": -1").as_bytes(), to).await.unwrap();
        peer.send_to(format!("{message}trailing").as_bytes(), to).await.unwrap();
        let mut buf = [0; guard::MAX_DATAGRAM];
        let receive = socket.receive(&mut buf);
        let (length, _) = tokio::time::timeout(Duration::from_secs(10), receive).await.unwrap();
        assert!(buf[..length].ends_with(b"\r\n\r\n"));
        assert_eq!(socket.gate.received(), 2);
        assert_eq!(socket.gate.dropped().malformed, 1);
    }
}
