//! Through what the streams of a bare peer come and go.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use crate::eval::stamped::StampedSocket;
use crate::media::SocketMode;
use crate::media::driver::batch::{BATCH, Inbox, Outbox};
use crate::media::driver::{Sockets, raise_limit};
use crate::media::session::Datagram;

pub enum Wire {
    Own(Vec<StampedSocket>),
    Shared(Box<Shared>),
}

/// One port for all, read and written as the media plane does with ports that calls share.
pub struct Shared {
    sockets: Sockets,
    inbox: Inbox,
    outbox: Outbox,
    streams: usize,
}

impl Wire {
    pub fn open(streams: usize, mode: SocketMode) -> io::Result<Self> {
        raise_limit();
        match mode {
            SocketMode::PerCall => {
                (0..streams).map(|_| StampedSocket::bind()).collect::<Result<_, _>>().map(Wire::Own)
            }
            SocketMode::Shared => {
                let sockets = Sockets::open((Ipv4Addr::LOCALHOST, 0).into(), 0)?;
                sockets.deepen();
                let (inbox, outbox) = (Inbox::default(), Outbox::default());
                Ok(Wire::Shared(Box::new(Shared { sockets, inbox, outbox, streams })))
            }
        }
    }

    /// Of the streams, in order.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Wire::Own(sockets) => sockets.iter().map(StampedSocket::address).collect(),
            Wire::Shared(shared) => Ok(vec![shared.sockets.local; shared.streams]),
        }
    }

    /// Sends a packet of some streams, and gives to `take` what has come, and when, since 1970: over sockets
    /// of their own what is those streams', over a shared port everything. Gives how many packets were sent;
    /// a full socket buffer loses one, as a network does.
    pub fn burst(
        &mut self,
        packets: impl Iterator<Item = (usize, SocketAddr, Datagram)>,
        mut take: impl FnMut(Duration, &[u8]),
    ) -> u64 {
        match self {
            Wire::Own(sockets) => {
                let mut buffer = [0; 1_500];
                let turn = |(stream, to, packet): (usize, SocketAddr, Datagram)| {
                    let socket = &sockets[stream];
                    // An error means that nothing is left to read, or that a leg is closed already.
                    while let Ok((length, at)) = socket.recv(&mut buffer) {
                        take(at, &buffer[..length]);
                    }
                    u64::from(socket.send_to(&packet, to).is_ok())
                };
                packets.map(turn).sum()
            }
            Wire::Shared(shared) => shared.burst(packets, take),
        }
    }
}

impl Shared {
    fn burst(
        &mut self,
        packets: impl Iterator<Item = (usize, SocketAddr, Datagram)>,
        mut take: impl FnMut(Duration, &[u8]),
    ) -> u64 {
        loop {
            let count = self.inbox.fill(&self.sockets.rtp);
            let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            for (_, datagram) in (0..count).filter_map(|n| self.inbox.get(n)) {
                take(at, datagram);
            }
            if count < BATCH {
                break;
            }
        }
        let mut sent = 0;
        for (stream, to, packet) in packets {
            self.outbox.push(stream, to, packet);
            sent += 1;
        }
        self.outbox.flush(&self.sockets.rtp, |_| sent -= 1);
        sent
    }
}
