//! A path to a telephone that loses every tenth packet of its sound, either way, and no report of it: signalling
//! goes through as it is, but that each side is told to send its media here.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::carrier::{self, Way};
use crate::nat::with_media_at;

/// One packet of so many is lost.
pub const ONE_OF: u64 = 10;
/// A datagram of media.
const LONGEST: usize = 2_048;

pub struct LossyPath {
    /// Where the telephone is called.
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// One side's end of the media: RTP, and RTCP on the port above.
struct End {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// Where that side awaits RTP, once it has said so.
    awaited: AtomicU16,
}

impl LossyPath {
    pub async fn to(telephone: SocketAddr) -> LossyPath {
        let signalling = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = signalling.local_addr().unwrap();
        let (near, far) = (Arc::new(End::new().await), Arc::new(End::new().await));
        let mut tasks = JoinSet::new();
        let (ours, theirs) = (near.clone(), far.clone());
        tasks.spawn(carrier::pass(signalling, telephone, move |message, way| match way {
            Way::ToTelephone => told(message, &ours, &theirs),
            Way::ToCaller => told(message, &theirs, &ours),
        }));
        for (from, to) in [(near.clone(), far.clone()), (far, near)] {
            tasks.spawn(carry_sound(from.clone(), to.clone()));
            tasks.spawn(carry_reports(from, to));
        }
        LossyPath { address, _tasks: tasks }
    }
}

impl End {
    async fn new() -> End {
        loop {
            let rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let port = rtp.local_addr().unwrap().port();
            if let (0, Ok(rtcp)) = (port % 2, UdpSocket::bind((Ipv4Addr::LOCALHOST, port | 1)).await) {
                return End { rtp, rtcp, awaited: AtomicU16::new(0) };
            }
        }
    }

    fn port(&self) -> u16 {
        self.rtp.local_addr().unwrap().port()
    }

    fn awaited(&self) -> (Ipv4Addr, u16) {
        (Ipv4Addr::LOCALHOST, self.awaited.load(Ordering::Relaxed))
    }
}

/// Of a message from the side of `from` to that of `to`: says that media is awaited here.
fn told(message: &str, from: &End, to: &End) -> String {
    let (message, awaited) = with_media_at(message, to.port());
    if let Some(awaited) = awaited {
        from.awaited.store(awaited, Ordering::Relaxed);
    }
    message
}

async fn carry_sound(from: Arc<End>, to: Arc<End>) {
    let (mut packet, mut count) = ([0; LONGEST], 0);
    loop {
        // A side that is gone by now is an error of the next packet.
        let Ok((length, _)) = from.rtp.recv_from(&mut packet).await else { continue };
        count += 1;
        if count % ONE_OF != 0 {
            let _ = to.rtp.send_to(&packet[..length], to.awaited()).await;
        }
    }
}

async fn carry_reports(from: Arc<End>, to: Arc<End>) {
    let mut report = [0; LONGEST];
    loop {
        let Ok((length, _)) = from.rtcp.recv_from(&mut report).await else { continue };
        let (host, port) = to.awaited();
        let _ = to.rtcp.send_to(&report[..length], (host, port + 1)).await;
    }
}
