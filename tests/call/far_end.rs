//! The media of a call whose signalling is SIPp's: a socket that speaks A-law or μ-law and notes what comes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callbox::base::audio::Codec;
use callbox::media::codec::g711;
use callbox::media::rtcp::{self, Outgoing, ReportBlock};
use callbox::media::rtp::{Header, Packet, SequenceNumber, Ssrc, Timestamp};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::eventually;
use crate::tones::tone;

/// One packet that came.
#[derive(Debug, Clone, Copy)]
pub struct Came {
    pub at: Instant,
    pub from: SocketAddr,
    pub header: Header,
}

pub struct FarEnd {
    socket: Arc<UdpSocket>,
    came: Arc<Mutex<Vec<Came>>>,
    heard: Arc<Mutex<Vec<u8>>>,
    hearing: JoinHandle<()>,
    speaking: Mutex<Option<JoinHandle<()>>>,
    reporting: Mutex<Option<JoinHandle<()>>>,
}

impl FarEnd {
    pub async fn new() -> FarEnd {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let (came, heard) = (Arc::new(Mutex::new(Vec::new())), Arc::<Mutex<Vec<u8>>>::default());
        let hearing = tokio::spawn(hear(socket.clone(), came.clone(), heard.clone()));
        FarEnd { socket, came, heard, hearing, speaking: Mutex::default(), reporting: Mutex::default() }
    }

    pub fn port(&self) -> String {
        self.socket.local_addr().unwrap().port().to_string()
    }

    /// Everything so far.
    pub fn came(&self) -> Vec<Came> {
        self.came.lock().clone()
    }

    /// What all packets so far held, in their order of coming.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().clone()
    }

    /// Waits until `count` more packets have come, and gives the last.
    pub async fn hears(&self, count: usize) -> Came {
        let wanted = self.came.lock().len() + count;
        eventually("packets come", || self.came.lock().len() >= wanted).await;
        *self.came.lock().last().unwrap()
    }

    /// Sends μ-law every 20 ms until it is told to be silent.
    pub fn speaks(&self, to: SocketAddr) {
        self.speaks_in(Codec::Pcmu, to);
    }

    /// Likewise in either law.
    pub fn speaks_in(&self, codec: Codec, to: SocketAddr) {
        *self.speaking.lock() = Some(tokio::spawn(speak(self.socket.clone(), codec, to)));
    }

    /// Tells how the stream of this packet is heard, again and again, on the port above the one it came from.
    pub fn reports(&self, heard: Came) {
        *self.reporting.lock() = Some(tokio::spawn(report(heard)));
    }

    pub fn is_silent(&self) {
        self.speaking.lock().take().inspect(JoinHandle::abort);
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.hearing.abort();
        self.is_silent();
        self.reporting.lock().take().inspect(JoinHandle::abort);
    }
}

async fn hear(socket: Arc<UdpSocket>, came: Arc<Mutex<Vec<Came>>>, heard: Arc<Mutex<Vec<u8>>>) {
    let mut datagram = [0; 1_500];
    while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
        if let Ok(Packet { header, payload, .. }) = Packet::parse(&datagram[..length]) {
            heard.lock().extend(payload);
            came.lock().push(Came { at: Instant::now(), from, header });
        }
    }
}

async fn speak(socket: Arc<UdpSocket>, codec: Codec, to: SocketAddr) {
    let (payload_type, encode): (u8, fn(i16) -> u8) = match codec {
        Codec::Pcma => (8, g711::encode_alaw),
        _ => (0, g711::encode_ulaw),
    };
    // Fourteen whole waves: one packet's sound goes on where that of the other ended.
    let voice: Vec<u8> = tone(700.0, 160, 8_000).into_iter().map(encode).collect();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for n in 0u32.. {
        ticks.tick().await;
        let header = Header {
            marker: n == 0,
            payload_type,
            sequence: SequenceNumber(n as u16),
            timestamp: Timestamp(n * 160),
            ssrc: Ssrc(9),
        };
        let _ = socket.send_to(&[&header.to_bytes()[..], &voice].concat(), to).await;
    }
}

async fn report(heard: Came) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let to = SocketAddr::new(heard.from.ip(), heard.from.port() + 1);
    let block = ReportBlock {
        ssrc: heard.header.ssrc,
        fraction_lost: 0,
        cumulative_lost: 0,
        highest: heard.header.sequence.0.into(),
        jitter: 0,
        last_sender_report: 0,
        delay: 0,
    };
    let report = Outgoing { ssrc: Ssrc(9), sender: None, block: Some(block), cname: "far", goodbye: false };
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        ticks.tick().await;
        let _ = socket.send_to(&rtcp::write(&report), to).await;
    }
}
