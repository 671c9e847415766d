//! Which of many sockets that are seldom written to have something to read: one question for all of them.

use std::{io, mem::MaybeUninit, net::UdpSocket, os::fd::OwnedFd};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};

use crate::media::demux::Call;

/// Answers taken at once; the rest is told the next time.
const ANSWERS: usize = 64;

pub struct Readiness(OwnedFd);

impl Readiness {
    pub fn new() -> io::Result<Self> {
        Ok(Readiness(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Watches a socket until it is closed.
    pub fn watch(&self, socket: &UdpSocket, call: Call) -> io::Result<()> {
        let data = epoll::EventData::new_u64(call as u64);
        Ok(epoll::add(&self.0, socket, data, epoll::EventFlags::IN)?)
    }

    /// The calls whose socket can be read now. Never blocks.
    pub fn poll(&self) -> Vec<Call> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut answers = [MaybeUninit::uninit(); ANSWERS];
        match epoll::wait(&self.0, &mut answers, Some(&at_once)) {
            Ok((ready, _)) => ready.iter().map(|event| event.data.u64() as Call).collect(),
            Err(Errno::INTR) => Vec::new(),
            Err(error) => {
                tracing::error!(%error, "RTCP sockets cannot be watched");
                Vec::new()
            }
        }
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
        assert_eq!(readiness.poll(), []);
        sockets[0].send_to(b"report", sockets[2].local_addr().unwrap()).unwrap();
        assert_eq!(readiness.poll(), [2]);
        assert_eq!(readiness.poll(), [2], "it was not read");
        sockets[2].recv(&mut [0; 10]).unwrap();
        assert_eq!(readiness.poll(), []);
    }
}
