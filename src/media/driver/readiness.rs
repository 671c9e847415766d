//! Which of many sockets that are seldom written to have something to read: one question for all of them.

use std::{
    io,
    net::UdpSocket,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use crate::media::demux::Call;

/// Answers taken at once; the rest is told the next time.
const ANSWERS: usize = 64;

pub struct Readiness(OwnedFd);

impl Readiness {
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just opened, and nobody else has it.
        Ok(Readiness(unsafe { OwnedFd::from_raw_fd(epoll) }))
    }

    /// Watches a socket until it is closed.
    pub fn watch(&self, socket: &UdpSocket, call: Call) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: call as u64 };
        // SAFETY: the event lives through the call.
        let result = unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The calls whose socket can be read now. Never blocks.
    pub fn poll(&self) -> Vec<Call> {
        let mut answers = [libc::epoll_event { events: 0, u64: 0 }; ANSWERS];
        // SAFETY: there are as many places for answers as is told.
        let count =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), answers.as_mut_ptr(), ANSWERS as libc::c_int, 0) };
        // An error means an interruption: the next step asks again.
        let count = usize::try_from(count).unwrap_or(0);
        answers[..count].iter().map(|answer| answer.u64 as Call).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn only_sockets_with_something_to_read_are_named() {
        let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let readiness = Readiness::new().unwrap();
        for (call, socket) in sockets.iter().enumerate() {
            readiness.watch(socket, call).unwrap();
        }
        assert!(readiness.poll().is_empty());
        sockets[0].send_to(b"report", sockets[2].local_addr().unwrap()).unwrap();
        assert_eq!(readiness.poll(), [2]);
        assert_eq!(readiness.poll(), [2], "it was not read");
        sockets[2].recv(&mut [0; 10]).unwrap();
        assert!(readiness.poll().is_empty());
    }
}
