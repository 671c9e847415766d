//! A gateway, whose calls' media comes from and goes to one port of it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use callbox::media::rtp::{Packet, Ssrc};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::eventually;

const LONGEST: usize = 2_048;

pub struct Gateway {
    /// Where all calls seem to be.
    pub address: SocketAddr,
    outer: Arc<UdpSocket>,
    ways: Arc<Mutex<Ways>>,
    passing: JoinSet<()>,
}

/// Where the world's streams go.
#[derive(Default)]
struct Ways {
    known: HashMap<Ssrc, Way>,
    /// Of the call that came last, until its stream is known.
    next: Option<Way>,
}

#[derive(Clone)]
struct Way {
    door: Arc<UdpSocket>,
    telephone: SocketAddr,
}

impl Gateway {
    pub async fn new() -> Gateway {
        let outer = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let (address, ways) = (outer.local_addr().unwrap(), Arc::<Mutex<Ways>>::default());
        let mut passing = JoinSet::new();
        passing.spawn(inwards(outer.clone(), ways.clone()));
        Gateway { address, outer, ways, passing }
    }

    /// Where one telephone is to send.
    pub async fn door() -> (Arc<UdpSocket>, SocketAddr) {
        let door = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let address = door.local_addr().unwrap();
        (door, address)
    }

    /// From now on between a telephone behind `door` and the world; the next stream that is new is its.
    pub fn carries(&mut self, door: Arc<UdpSocket>, telephone: SocketAddr, world: SocketAddr) {
        self.ways.lock().next = Some(Way { door: door.clone(), telephone });
        self.passing.spawn(outwards(door, self.outer.clone(), world));
    }

    /// Waits until so many streams of the world are known.
    pub async fn knows(&self, streams: usize) {
        eventually("the gateway knows the stream", || self.ways.lock().known.len() == streams).await;
    }
}

impl Ways {
    fn of(&mut self, stream: Ssrc) -> Option<Way> {
        if let Some(way) = self.next.take_if(|_| !self.known.contains_key(&stream)) {
            self.known.insert(stream, way);
        }
        self.known.get(&stream).cloned()
    }
}

async fn inwards(outer: Arc<UdpSocket>, ways: Arc<Mutex<Ways>>) {
    let mut packet = [0; LONGEST];
    loop {
        let Ok((length, _)) = outer.recv_from(&mut packet).await else { continue };
        let Ok(parsed) = Packet::parse(&packet[..length]) else { continue };
        let way = ways.lock().of(parsed.header.ssrc);
        if let Some(Way { door, telephone }) = way {
            // It may have hung up.
            let _ = door.send_to(&packet[..length], telephone).await;
        }
    }
}

async fn outwards(door: Arc<UdpSocket>, outer: Arc<UdpSocket>, world: SocketAddr) {
    let mut packet = [0; LONGEST];
    loop {
        let Ok((length, _)) = door.recv_from(&mut packet).await else { continue };
        let _ = outer.send_to(&packet[..length], world).await;
    }
}
