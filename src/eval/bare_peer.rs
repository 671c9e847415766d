//! A bare RTP peer: the far end of many calls on one socket, which does nothing with a packet but count
//! it. It runs in a process of its own, so that its cost is not the node's; its own use of processor
//! time is the reference, since no media plane can cost less than receiving and sending its packets.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::figures::Spread;
use super::machine::{Meter, Usage};
use crate::base::audio::FRAME;
use crate::media::FRAME_SAMPLES;
use crate::media::rtp::{Header, Packet, SequenceNumber, Ssrc, Timestamp};

/// Packets of one frame are sent in so many bursts, as the media plane sends them.
const PHASES: u32 = 10;
/// Figures begin after this long: sockets open and streams start until then.
pub const WARM_UP: Duration = Duration::from_secs(1);
/// How long the receiver waits for a packet before it looks whether the end has come.
const LOOK: Duration = Duration::from_millis(50);

/// What the peer saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub streams: usize,
    pub sent: u64,
    pub received: u64,
    /// Packets missing in the sequence numbers of all streams.
    pub lost: u64,
    /// Between two packets of a stream, in milliseconds; 20 is perfect.
    pub gap_ms: Option<Spread>,
    pub usage: Usage,
}

pub struct BarePeer {
    socket: UdpSocket,
}

impl BarePeer {
    pub fn bind() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(LOOK))?;
        Ok(BarePeer { socket })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends a stream to each of `legs` for the warm-up and `lasting`, and counts what comes.
    pub fn run(self, legs: &[SocketAddr], lasting: Duration) -> io::Result<Seen> {
        let (begins, over) = (Instant::now() + WARM_UP, AtomicBool::new(false));
        let receiver = self.socket.try_clone()?;
        thread::scope(|scope| {
            let receiving = scope.spawn(|| receive(&receiver, begins, &over));
            let sending = scope.spawn(|| send(&self.socket, legs, &over));
            thread::sleep(WARM_UP);
            let meter = Meter::start();
            thread::sleep(lasting);
            let usage = meter.read();
            over.store(true, Ordering::Relaxed);
            let panicked = |_| io::Error::other("a thread of the peer panicked");
            let (sent, arrivals) = (sending.join().map_err(panicked)?, receiving.join().map_err(panicked)??);
            Ok(arrivals.seen(legs.len(), sent, usage))
        })
    }
}

fn send(socket: &UdpSocket, legs: &[SocketAddr], over: &AtomicBool) -> u64 {
    let payload = [0xffu8; FRAME_SAMPLES];
    let began = Instant::now();
    let mut sent = 0;
    for burst in 0u32.. {
        let due = began + FRAME / PHASES * burst;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if over.load(Ordering::Relaxed) {
            break;
        }
        let (frame, phase) = (burst / PHASES, (burst % PHASES) as usize);
        for (stream, leg) in legs.iter().enumerate().skip(phase).step_by(PHASES as usize) {
            // A full socket buffer loses the packet, as a network does.
            sent += u64::from(socket.send_to(&packet(stream, frame, &payload), leg).is_ok());
        }
    }
    sent
}

fn packet(stream: usize, frame: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        marker: frame == 0,
        payload_type: 0,
        sequence: SequenceNumber(frame as u16),
        timestamp: Timestamp(frame.wrapping_mul(FRAME_SAMPLES as u32)),
        ssrc: Ssrc(stream as u32 + 1),
    };
    [&header.to_bytes()[..], payload].concat()
}

fn receive(socket: &UdpSocket, begins: Instant, over: &AtomicBool) -> io::Result<Arrivals> {
    let mut arrivals = Arrivals::new(begins);
    let mut datagram = [0u8; 1_500];
    while !over.load(Ordering::Relaxed) {
        match socket.recv(&mut datagram) {
            Ok(length) => {
                let now = Instant::now();
                if let Ok(packet) = Packet::parse(&datagram[..length]) {
                    arrivals.handle(now, packet.header);
                }
            }
            // A read timeout, or a leg that is closed already.
            Err(error) if retriable(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(arrivals)
}

fn retriable(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | Interrupted | TimedOut | WouldBlock)
}

/// Counts packets by stream. Takes the time, reads no clock.
struct Arrivals {
    begins: Instant,
    last: HashMap<Ssrc, (Instant, SequenceNumber)>,
    received: u64,
    lost: u64,
    gaps_ms: Vec<f64>,
}

impl Arrivals {
    fn new(begins: Instant) -> Self {
        Arrivals { begins, last: HashMap::new(), received: 0, lost: 0, gaps_ms: Vec::new() }
    }

    fn handle(&mut self, now: Instant, header: Header) {
        let last = self.last.insert(header.ssrc, (now, header.sequence));
        if now < self.begins {
            return;
        }
        self.received += 1;
        if let Some((before, sequence)) = last {
            self.gaps_ms.push((now - before).as_secs_f64() * 1_000.0);
            self.lost += u64::try_from(header.sequence.since(sequence) - 1).unwrap_or(0);
        }
    }

    fn seen(self, streams: usize, sent: u64, usage: Usage) -> Seen {
        let gap_ms = Spread::of(self.gaps_ms);
        Seen { streams, sent, received: self.received, lost: self.lost, gap_ms, usage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(stream: u32, sequence: u16) -> Header {
        let timestamp = Timestamp(u32::from(sequence) * 160);
        Header {
            marker: false,
            payload_type: 0,
            sequence: SequenceNumber(sequence),
            timestamp,
            ssrc: Ssrc(stream),
        }
    }

    #[test]
    fn gaps_and_losses_are_counted_by_stream_and_not_while_it_warms_up() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut arrivals = Arrivals::new(at(100));
        for (ms, stream, sequence) in
            [(0, 1, 65_533), (60, 1, 65_535), (110, 2, 7), (115, 1, 0), (130, 2, 8), (175, 1, 3)]
        {
            arrivals.handle(at(ms), header(stream, sequence));
        }
        assert_eq!((arrivals.received, arrivals.lost), (4, 2));
        assert_eq!(arrivals.gaps_ms, [55.0, 20.0, 60.0]);
    }

    #[test]
    fn two_peers_hear_each_other() {
        let (one, two) = (BarePeer::bind().unwrap(), BarePeer::bind().unwrap());
        let (to_one, to_two) = (one.address().unwrap(), two.address().unwrap());
        let lasting = Duration::from_millis(300);
        let other = thread::spawn(move || two.run(&[to_one; 3], lasting).unwrap());
        let seen = one.run(&[to_two; 3], lasting).unwrap();
        assert!(seen.received > 0 && other.join().unwrap().received > 0);
        assert_eq!(seen.streams, 3);
    }
}
