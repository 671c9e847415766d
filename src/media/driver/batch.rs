//! Many datagrams of one socket in one call into the kernel (`recvmmsg`, `sendmmsg`).

use std::{
    io,
    mem::zeroed,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::AsRawFd,
    ptr::null_mut,
};

use super::leg::MAX_DATAGRAM;
use crate::media::{demux::Call, session::Datagram};

/// Datagrams of one call into the kernel.
pub const BATCH: usize = 64;

/// Room for one of them. Not a power of two, so that they do not compete for the same lines of a cache.
type Slot = [u8; SLOT];
const SLOT: usize = MAX_DATAGRAM + 192;

/// What came on a socket.
pub struct Inbox {
    buffers: Box<[Slot]>,
    names: [libc::sockaddr_in6; BATCH],
    lengths: [usize; BATCH],
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox {
            buffers: vec![[0; SLOT]; BATCH].into(),
            // SAFETY: all zeros is a valid address.
            names: unsafe { zeroed() },
            lengths: [0; BATCH],
        }
    }
}

impl Inbox {
    /// Takes what waits at the socket, [`BATCH`] datagrams at the most, and gives their number.
    pub fn fill(&mut self, socket: &UdpSocket) -> usize {
        let Inbox { buffers, names, lengths } = self;
        let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|n| libc::iovec {
            iov_base: buffers[n].as_mut_ptr().cast(),
            iov_len: MAX_DATAGRAM,
        });
        let mut headers: [libc::mmsghdr; BATCH] =
            std::array::from_fn(|n| message(&mut parts[n], &mut names[n], size_of::<libc::sockaddr_in6>()));
        // SAFETY: each header points to a buffer, an address and a part that outlive the call, with their
        // lengths, and there are as many as is told.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                null_mut(),
            )
        };
        // An error means that nothing is left, or tells of a packet sent earlier (ICMP).
        let count = usize::try_from(count).unwrap_or(0);
        for (length, header) in lengths.iter_mut().zip(&headers[..count]) {
            *length = header.msg_len as usize;
        }
        count
    }

    /// The `n`th that was taken, and where it came from.
    pub fn get(&self, n: usize) -> Option<(SocketAddr, &[u8])> {
        Some((decode(&self.names[n])?, &self.buffers[n][..self.lengths[n].min(MAX_DATAGRAM)]))
    }
}

/// What is to be sent through a socket.
#[derive(Default)]
pub struct Outbox(Vec<(Call, SocketAddr, Datagram)>);

impl Outbox {
    pub fn push(&mut self, call: Call, to: SocketAddr, datagram: Datagram) {
        self.0.push((call, to, datagram));
    }

    /// Sends all of it, and names the calls whose datagram was refused.
    pub fn flush(&mut self, socket: &UdpSocket, mut refused: impl FnMut(Call)) {
        let mut rest = &self.0[..];
        while !rest.is_empty() {
            let sent = send(socket, &rest[..rest.len().min(BATCH)]).unwrap_or(0);
            rest = &rest[sent..];
            if let (0, [(call, ..), others @ ..]) = (sent, rest) {
                refused(*call);
                rest = others;
            }
        }
        self.0.clear();
    }
}

/// How many of `letters`, [`BATCH`] at the most, were sent: those before the first that is refused.
fn send(socket: &UdpSocket, letters: &[(Call, SocketAddr, Datagram)]) -> io::Result<usize> {
    // SAFETY: all zeros is a valid address.
    let mut names: [libc::sockaddr_in6; BATCH] = unsafe { zeroed() };
    let mut parts: [libc::iovec; BATCH] = [libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH];
    // SAFETY: all zeros is a valid header without a message.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
    for (n, (_, to, datagram)) in letters.iter().enumerate() {
        // Never written to: `sendmmsg` reads what it points to.
        parts[n] = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
        let length = encode(*to, &mut names[n]);
        headers[n] = message(&mut parts[n], &mut names[n], length);
    }
    // SAFETY: each of the first `letters.len()` headers points to an address and a part that outlive the
    // call, with their lengths.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            letters.len() as libc::c_uint,
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn message(part: &mut libc::iovec, name: &mut libc::sockaddr_in6, length: usize) -> libc::mmsghdr {
    // SAFETY: all zeros is a valid header without a message.
    let mut header: libc::mmsghdr = unsafe { zeroed() };
    header.msg_hdr.msg_name = (&raw mut *name).cast();
    header.msg_hdr.msg_namelen = length as libc::socklen_t;
    header.msg_hdr.msg_iov = &raw mut *part;
    header.msg_hdr.msg_iovlen = 1;
    header
}

/// Writes an address as the kernel reads it, and gives its length.
fn encode(addr: SocketAddr, name: &mut libc::sockaddr_in6) -> usize {
    match addr {
        SocketAddr::V4(addr) => {
            let short = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: addr.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(addr.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: the shorter kind of address fits into the longer one's place and needs no more
            // alignment.
            unsafe { (&raw mut *name).cast::<libc::sockaddr_in>().write(short) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(addr) => {
            *name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: addr.port().to_be(),
                sin6_flowinfo: addr.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                sin6_scope_id: addr.scope_id(),
            };
            size_of::<libc::sockaddr_in6>()
        }
    }
}

fn decode(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match i32::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the kernel wrote this kind of address, which is shorter and
            // needs no more alignment.
            let short = unsafe { (&raw const *name).cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(short.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(short.sin_port)).into())
        }
        libc::AF_INET6 => {
            let (ip, port) = (Ipv6Addr::from(name.sin6_addr.s6_addr), u16::from_be(name.sin6_port));
            Some(SocketAddrV6::new(ip, port, name.sin6_flowinfo, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::rtp::{Header, SequenceNumber, Ssrc, Timestamp};

    fn datagram(n: u16) -> Datagram {
        let (sequence, timestamp) = (SequenceNumber(n), Timestamp(0));
        Datagram::new(
            Header { marker: false, payload_type: 0, sequence, timestamp, ssrc: Ssrc(1) },
            |payload| {
                payload.fill(7);
                payload.len()
            },
        )
    }

    fn bound(ip: &str) -> UdpSocket {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    #[test]
    fn more_than_a_batch_crosses_in_order_with_its_source() {
        for ip in ["127.0.0.1", "::1"] {
            let (from, to) = (bound(ip), bound(ip));
            let mut outbox = Outbox::default();
            for n in 0..BATCH as u16 + 10 {
                outbox.push(0, to.local_addr().unwrap(), datagram(n));
            }
            outbox.flush(&from, |_| panic!("refused"));
            let (mut inbox, mut seen) = (Inbox::default(), Vec::new());
            while seen.len() < BATCH + 10 {
                // Blocks until one is there, and takes nothing.
                to.peek(&mut [0; 8]).unwrap();
                for n in 0..inbox.fill(&to) {
                    let (source, bytes) = inbox.get(n).unwrap();
                    assert_eq!((source, bytes.len()), (from.local_addr().unwrap(), 172));
                    seen.push(u16::from_be_bytes([bytes[2], bytes[3]]));
                }
            }
            assert_eq!(seen, (0..BATCH as u16 + 10).collect::<Vec<_>>());
            assert_eq!(inbox.fill(&to), 0);
        }
    }

    #[test]
    fn one_that_cannot_be_sent_holds_up_no_other() {
        let (from, to) = (bound("127.0.0.1"), bound("127.0.0.1"));
        let mut outbox = Outbox::default();
        let there = to.local_addr().unwrap();
        for (call, to) in
            [(1, there), (2, "[::1]:9".parse().unwrap()), (3, there), (4, "0.0.0.0:0".parse().unwrap())]
        {
            outbox.push(call, to, datagram(call as u16));
        }
        let mut refused = Vec::new();
        outbox.flush(&from, |call| refused.push(call));
        assert_eq!(refused, [2, 4]);
        for sequence in [1, 3] {
            let mut bytes = [0; 200];
            to.recv(&mut bytes).unwrap();
            assert_eq!(bytes[3], sequence);
        }
    }
}
