//! A bare RTP peer: the far ends of many calls, with a socket each or one for all, which do nothing with a
//! packet but count it. It runs in a process of its own, so that its cost is not the node's; its own use of
//! processor time is the reference, since a call can cost no less than to receive and to send its packets over
//! sockets of the same kind.

mod wire;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::figures::Spread;
use super::machine::{Meter, Usage};
use crate::base::audio::{FRAME, NARROWBAND_HZ};
use crate::media::codec::g711::encode_ulaw;
use crate::media::driver::{LEGS_A_PHASE, PHASES, wake_on_time};
use crate::media::rtp::{Header, Packet, SequenceNumber, Ssrc, Timestamp};
use crate::media::session::Datagram;
use crate::media::{FRAME_SAMPLES, SocketMode};
use wire::Wire;

/// Figures begin after this long: sockets open and streams start until then.
pub const WARM_UP: Duration = Duration::from_secs(2);

/// What the peer saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub streams: usize,
    pub sent: u64,
    pub received: u64,
    /// Packets missing in the sequence numbers of all streams.
    pub lost: u64,
    /// Between two packets of a stream as they arrive, in milliseconds; 20 is perfect.
    pub gap_ms: Option<Spread>,
    pub usage: Usage,
}

pub struct BarePeer {
    wire: Wire,
}

impl BarePeer {
    pub fn bind(streams: usize, mode: SocketMode) -> io::Result<Self> {
        Ok(BarePeer { wire: Wire::open(streams, mode)? })
    }

    /// Of the streams, in order.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.wire.addresses()
    }

    /// Sends each stream to its leg for the warm-up and `lasting`, and counts what comes.
    pub fn run(mut self, legs: &[SocketAddr], lasting: Duration) -> io::Result<Seen> {
        let begins = SystemTime::now() + WARM_UP;
        let begins = begins.duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let exchange = scope.spawn(|| exchange(&mut self.wire, legs, begins, &over));
            thread::sleep(WARM_UP);
            let meter = Meter::start();
            thread::sleep(lasting);
            let usage = meter.read();
            over.store(true, Ordering::Relaxed);
            let panicked = |_| io::Error::other("the thread of the peer panicked");
            let (sent, arrivals) = exchange.join().map_err(panicked)?;
            Ok(arrivals.seen(legs.len(), sent, usage))
        })
    }
}

/// Every stream once a frame, in as many bursts as the media plane does it.
fn exchange(wire: &mut Wire, legs: &[SocketAddr], begins: Duration, over: &AtomicBool) -> (u64, Arrivals) {
    wake_on_time();
    let speech = second_of_sound();
    let mut arrivals = Arrivals::new(begins);
    let began = Instant::now();
    let mut sent = 0;
    let phases = legs.len().div_ceil(LEGS_A_PHASE).clamp(1, PHASES);
    for burst in 0u32.. {
        let due = began + FRAME / phases as u32 * burst;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if over.load(Ordering::Relaxed) {
            break;
        }
        let (frame, phase) = (burst / phases as u32, burst as usize % phases);
        let payload = &speech[frame as usize % speech.len()];
        let streams = legs.iter().enumerate().skip(phase).step_by(phases);
        let packets = streams.map(|(stream, leg)| (stream, *leg, packet(stream, frame, payload)));
        sent += wire.burst(packets, |at, datagram| {
            if let Ok(packet) = Packet::parse(datagram) {
                arrivals.handle(at, packet.header);
            }
        });
    }
    (sent, arrivals)
}

type Payload = [u8; FRAME_SAMPLES];

/// A hum that swells and fades as syllables do.
fn second_of_sound() -> Vec<Payload> {
    let at = |n: usize| {
        let time = n as f32 / NARROWBAND_HZ as f32 * std::f32::consts::TAU;
        let hum = (time * 140.0).sin() + 0.5 * (time * 560.0).sin() + 0.3 * (time * 1_190.0).sin();
        encode_ulaw((3_000.0 * hum * (1.1 - (time * 4.0).cos())) as i16)
    };
    let frame = |n: usize| std::array::from_fn(|k| at(n * FRAME_SAMPLES + k));
    (0..NARROWBAND_HZ as usize / FRAME_SAMPLES).map(frame).collect()
}

fn packet(stream: usize, frame: u32, payload: &Payload) -> Datagram {
    let header = Header {
        marker: frame == 0,
        payload_type: 0,
        sequence: SequenceNumber(frame as u16),
        timestamp: Timestamp(frame.wrapping_mul(FRAME_SAMPLES as u32)),
        ssrc: Ssrc(stream as u32 + 1),
    };
    Datagram::new(header, |place| {
        place[..payload.len()].copy_from_slice(payload);
        payload.len()
    })
}

/// Counts packets by stream. Takes the time, reads no clock.
struct Arrivals {
    begins: Duration,
    last: HashMap<Ssrc, (Duration, SequenceNumber)>,
    received: u64,
    lost: u64,
    gaps_ms: Vec<f64>,
}

impl Arrivals {
    fn new(begins: Duration) -> Self {
        Arrivals { begins, last: HashMap::new(), received: 0, lost: 0, gaps_ms: Vec::new() }
    }

    fn handle(&mut self, at: Duration, header: Header) {
        let last = self.last.insert(header.ssrc, (at, header.sequence));
        if at < self.begins {
            return;
        }
        self.received += 1;
        if let Some((before, sequence)) = last {
            self.gaps_ms.push(at.saturating_sub(before).as_secs_f64() * 1_000.0);
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
        let at = |ms: u64| Duration::from_millis(1_000 + ms);
        let mut arrivals = Arrivals::new(at(100));
        for (ms, stream, sequence) in
            [(0, 1, 65_533), (60, 1, 65_535), (110, 2, 7), (115, 1, 0), (130, 2, 8), (175, 1, 3)]
        {
            arrivals.handle(at(ms), header(stream, sequence));
        }
        assert_eq!((arrivals.received, arrivals.lost), (4, 2));
        let gaps: Vec<f64> = arrivals.gaps_ms.iter().map(|gap| gap.round()).collect();
        assert_eq!(gaps, [55.0, 20.0, 60.0]);
    }

    #[test]
    fn peers_hear_each_other_over_either_kind_of_sockets() {
        for mode in [SocketMode::PerCall, SocketMode::Shared] {
            let (one, two) =
                (BarePeer::bind(3, mode).unwrap(), BarePeer::bind(3, SocketMode::PerCall).unwrap());
            let (to_one, to_two) = (one.addresses().unwrap(), two.addresses().unwrap());
            let lasting = Duration::from_millis(300);
            let other = thread::spawn(move || two.run(&to_one, lasting).unwrap());
            let (one, two) = (one.run(&to_two, lasting).unwrap(), other.join().unwrap());
            for seen in [one, two] {
                let gaps = seen.gap_ms.map_or(0, |gap| gap.count);
                assert!(seen.sent > seen.received && seen.received >= 10 && gaps > 0, "{mode:?}: {seen:?}");
                assert_eq!((seen.streams, seen.lost), (3, 0), "{mode:?}");
            }
        }
    }
}
