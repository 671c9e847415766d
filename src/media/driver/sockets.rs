//! Pairs of sockets: RTP on an even port, RTCP on the odd one above it.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

use rustix::{
    net::sockopt::{self, Ipv4PathMtuDiscovery},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Pairs tried where the system chooses. It gives odd and even ports alike, and the neighbour of one it
/// gives is seldom taken.
const ATTEMPTS: usize = 64;
/// What a port that many calls share may hold unread: a tenth of a second of two thousand calls.
const SHARED_BUFFER: usize = 8 << 20;
/// What the kernel counts for a packet of G.711 from loopback in it.
const PACKET: usize = 832;

pub struct Sockets {
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
    /// Of RTP.
    pub local: SocketAddr,
}

impl Sockets {
    /// Opens the pair that begins at `addr`, or any pair where its port is 0. What is sent is marked by
    /// `dscp`.
    pub fn open(addr: SocketAddr, dscp: u8) -> io::Result<Self> {
        let mut attempts = if addr.port() == 0 { ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            match Self::pair(addr) {
                Ok((rtp, rtcp)) => {
                    let local = rtp.local_addr()?;
                    prepare(&rtp, addr, dscp)?;
                    prepare(&rtcp, addr, dscp)?;
                    return Ok(Sockets { rtp, rtcp, local });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets the pair hold what comes for many calls while a thread waits for its core.
    pub fn deepen(&self) {
        // Beyond `net.core.rmem_max` only with CAP_NET_ADMIN.
        if sockopt::set_socket_recv_buffer_size_force(&self.rtp, SHARED_BUFFER).is_err() {
            let _ = socket2::SockRef::from(&self.rtp).set_recv_buffer_size(SHARED_BUFFER);
        }
        let held = self.buffer();
        if held < SHARED_BUFFER {
            tracing::warn!(bytes = held, "the shared RTP port holds few packets; raise net.core.rmem_max");
        }
    }

    /// Packets of RTP that it holds unread.
    pub fn holds(&self) -> usize {
        self.buffer() / PACKET
    }

    fn buffer(&self) -> usize {
        socket2::SockRef::from(&self.rtp).recv_buffer_size().unwrap_or(0)
    }

    fn pair(addr: SocketAddr) -> io::Result<(UdpSocket, UdpSocket)> {
        let one = UdpSocket::bind(addr)?;
        let port = one.local_addr()?.port();
        // Port 1 of an even 0 does not occur: the system gives high ports.
        let other = UdpSocket::bind(SocketAddr::new(addr.ip(), port ^ 1))?;
        Ok(if port % 2 == 0 { (one, other) } else { (other, one) })
    }
}

fn prepare(socket: &UdpSocket, addr: SocketAddr, dscp: u8) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if addr.is_ipv4() {
        // A network that refuses the mark still carries the call.
        let _ = socket2::SockRef::from(socket).set_tos_v4(u32::from(dscp) << 2);
        // No packet is so long as to need fragments, and a whole one needs no number of its own (RFC 6864).
        let _ = sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DO);
    }
    Ok(())
}

/// Two descriptors a call reach a shell's usual limit of 1 024 with 500 calls; a process may raise it
/// as far as the hard limit.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::info!(%error, "the limit of open files stays where it is");
    }
}
