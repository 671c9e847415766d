//! A socket that tells when a datagram reached this machine, by the kernel's clock (`SO_TIMESTAMPNS`): how
//! late the reader is woken does not show.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};

/// Room for one control message with a time, as the kernel aligns it.
type Control = [u64; 8];

/// Bound to a port of loopback that the system chooses. Never blocks.
pub struct StampedSocket(UdpSocket);

impl StampedSocket {
    pub fn bind() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        // As those of the media plane, with which it is compared.
        set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DO)?;
        let on: libc::c_int = 1;
        // SAFETY: the value is an int that lives through the call, and its size is told.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPNS,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result == 0 { Ok(StampedSocket(socket)) } else { Err(io::Error::last_os_error()) }
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.send_to(datagram, to)
    }

    /// The length of the next datagram, and when it came, since 1970.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, Duration)> {
        let mut control: Control = [0; 8];
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: all zeros is a valid header, of which every field in use is set below.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of::<Control>() as _;
        // SAFETY: the header points to buffers that outlive the call, with their lengths.
        let length = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut header, 0) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let stamp = stamp_of(&header).ok_or_else(|| io::Error::other("a datagram without a time"))?;
        Ok((length, stamp))
    }
}

fn stamp_of(header: &libc::msghdr) -> Option<Duration> {
    // SAFETY: the kernel has filled `msg_control` up to `msg_controllen`, and the macros stay within it; a
    // message of this type holds a `timespec`, which may lie unaligned.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = message.as_ref() {
            if (found.cmsg_level, found.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
                let time = libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned();
                return Some(Duration::new(
                    u64::try_from(time.tv_sec).ok()?,
                    u32::try_from(time.tv_nsec).ok()?,
                ));
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_time_told_is_that_of_arrival_and_not_of_reading() {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let (one, two) = (StampedSocket::bind().unwrap(), StampedSocket::bind().unwrap());
        let before = now();
        one.send_to(b"first", two.address().unwrap()).unwrap();
        let between = now();
        one.send_to(b"second", two.address().unwrap()).unwrap();
        let mut buffer = [0; 100];
        let (length, at) = two.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"first");
        assert!(before <= at && at <= between, "{before:?} {at:?} {between:?}");
        assert!(two.recv(&mut buffer).unwrap().1 >= between);
        assert_eq!(two.recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
