//! Which packets of the latched source are believed, and what their numbers say about the path
//! (RFC 3550 A.1, A.3, A.8).

use std::time::{Duration, Instant};

use super::rtp::{Header, SequenceNumber, Ssrc, Timestamp};
use crate::base::audio::samples_in;

/// A sequence number further ahead is a jump (RFC 3550's MAX_DROPOUT).
const MAX_AHEAD: i16 = 3_000;
/// One further behind is a jump too; nearer ones are reordered or duplicates, told apart by a mask.
const MAX_BEHIND: i16 = -63;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    /// Accepted, and everything counts from here: another source, or numbers that jumped.
    Restart,
    Duplicate,
    /// A source or a jump that the next packet in order must confirm.
    Unconfirmed,
}

/// The state of one inbound stream.
pub struct Reception {
    stream: Option<Stream>,
    /// What the next packet must be for a jump to be believed.
    candidate: Option<(Ssrc, SequenceNumber)>,
    epoch: Instant,
    /// Packets expected and received in streams before this one.
    past: (u64, u64),
    /// In seconds, so that it outlives a change of clock.
    jitter: f64,
    duplicates: u64,
}

/// What a report says of the stream that is heard (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    pub ssrc: Ssrc,
    /// Of the packets expected since the last report, in 1/256.
    pub fraction_lost: u8,
    pub cumulative_lost: i32,
    /// Highest sequence number, with the count of its wraps above it.
    pub highest: u32,
}

struct Stream {
    ssrc: Ssrc,
    first: SequenceNumber,
    highest: SequenceNumber,
    /// Bit n: `highest - n` was received.
    seen: u64,
    expected: u64,
    received: u64,
    /// Expected and received when last reported.
    reported: (u64, u64),
    /// Of the last packet, and the clock it was counted by.
    last_transit: Option<(u32, i64)>,
}

impl Reception {
    pub fn new(now: Instant) -> Self {
        Reception { stream: None, candidate: None, epoch: now, past: (0, 0), jitter: 0.0, duplicates: 0 }
    }

    /// Judges a packet by its header. The first source is believed at once, another one, or a jump
    /// of its numbers, on its second packet in order, so that a stray packet ends nothing.
    pub fn judge(&mut self, header: &Header) -> Verdict {
        let Some(stream) = &mut self.stream else { return self.begin(header) };
        if stream.ssrc == header.ssrc {
            match header.sequence.since(stream.highest) {
                ahead @ 1..=MAX_AHEAD => {
                    stream.advance(header.sequence, ahead as u32);
                    self.candidate = None;
                    return Verdict::Accept;
                }
                behind @ MAX_BEHIND..=0 => {
                    let bit = 1u64 << behind.unsigned_abs();
                    if stream.seen & bit != 0 {
                        self.duplicates += 1;
                        return Verdict::Duplicate;
                    }
                    stream.seen |= bit;
                    stream.received += 1;
                    return Verdict::Accept;
                }
                _ => {}
            }
        }
        let confirmed = self.candidate == Some((header.ssrc, header.sequence));
        self.candidate = Some((header.ssrc, header.sequence.next()));
        if confirmed { self.begin(header) } else { Verdict::Unconfirmed }
    }

    /// Any source may speak next and is believed at once, after a re-INVITE moved the media.
    pub fn forget(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.past.0 += stream.expected;
            self.past.1 += stream.received;
        }
        self.candidate = None;
    }

    /// Takes note of when an audio packet came, whose timestamps count at `clock_rate` (RFC 3550 A.8).
    pub fn observe(&mut self, now: Instant, timestamp: Timestamp, clock_rate: u32) {
        let Some(stream) = &mut self.stream else { return };
        let arrival = samples_in(now.saturating_duration_since(self.epoch), clock_rate) as u32;
        let transit = i64::from(Timestamp(arrival).since(timestamp));
        match stream.last_transit.replace((clock_rate, transit)) {
            Some((clock, last)) if clock == clock_rate => {
                // A pause in which timestamps stood still is no jitter.
                let change = (transit - last).abs() as f64 / f64::from(clock_rate);
                self.jitter += (change.min(1.0) - self.jitter) / 16.0;
            }
            _ => {}
        }
    }

    pub fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter)
    }

    /// Whose stream is heard.
    pub fn ssrc(&self) -> Option<Ssrc> {
        self.stream.as_ref().map(|stream| stream.ssrc)
    }

    /// What a report that leaves now says; the next one counts from here (RFC 3550 A.3). Duplicates are
    /// not counted, so they hide no loss.
    pub fn report(&mut self) -> Option<Heard> {
        let stream = self.stream.as_mut()?;
        let now = (stream.expected, stream.received);
        let (expected, received) = std::mem::replace(&mut stream.reported, now);
        let lost = (now.0 - expected).saturating_sub(now.1 - received);
        let fraction_lost = (lost << 8).checked_div(now.0 - expected).unwrap_or(0).min(255) as u8;
        let cumulative = i64::try_from(now.0).unwrap_or(i64::MAX) - i64::try_from(now.1).unwrap_or(i64::MAX);
        Some(Heard {
            ssrc: stream.ssrc,
            fraction_lost,
            cumulative_lost: i32::try_from(cumulative).unwrap_or(i32::MAX),
            highest: u32::from(stream.first.0).wrapping_add((stream.expected as u32).wrapping_sub(1)),
        })
    }

    /// Whether no packet after this one has come.
    fn is_newest(&self, header: &Header) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.highest == header.sequence)
    }

    /// Whether the packet is the newest, and the one before it has not come.
    pub fn follows_a_loss(&self, header: &Header) -> bool {
        let lost = |stream: &Stream| stream.expected > 1 && stream.seen & 0b11 == 0b01;
        self.is_newest(header) && self.stream.as_ref().is_some_and(lost)
    }

    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets that never came, reordered ones not counted.
    pub fn lost(&self) -> u64 {
        let (expected, received) = self.stream.as_ref().map_or((0, 0), |s| (s.expected, s.received));
        (self.past.0 + expected).saturating_sub(self.past.1 + received)
    }

    fn begin(&mut self, header: &Header) -> Verdict {
        let restarted = self.stream.is_some() || self.past.1 > 0;
        self.forget();
        self.stream = Some(Stream {
            ssrc: header.ssrc,
            first: header.sequence,
            highest: header.sequence,
            // Packets from before the beginning are welcome: the first two may come swapped.
            seen: 1,
            expected: 1,
            received: 1,
            reported: (0, 0),
            last_transit: None,
        });
        if restarted { Verdict::Restart } else { Verdict::Accept }
    }
}

impl Stream {
    fn advance(&mut self, to: SequenceNumber, ahead: u32) {
        self.highest = to;
        self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
        self.expected += u64::from(ahead);
        self.received += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ssrc: u32, sequence: u16) -> Header {
        Header {
            marker: false,
            payload_type: 0,
            sequence: SequenceNumber(sequence),
            timestamp: Timestamp(u32::from(sequence) * 160),
            ssrc: Ssrc(ssrc),
        }
    }

    fn judge(reception: &mut Reception, packets: &[(u32, u16)]) -> Vec<Verdict> {
        packets.iter().map(|&(ssrc, sequence)| reception.judge(&header(ssrc, sequence))).collect()
    }

    use Verdict::*;

    #[test]
    fn losses_and_duplicates_are_counted_across_the_wrap() {
        let mut reception = Reception::new(Instant::now());
        let packets = [(1, 65_534), (1, 65_535), (1, 1), (1, 65_535), (1, 0), (1, 5)];
        assert_eq!(judge(&mut reception, &packets), [Accept, Accept, Accept, Duplicate, Accept, Accept]);
        assert_eq!((reception.lost(), reception.duplicates()), (3, 1));
    }

    #[test]
    fn a_stray_packet_does_not_end_a_stream() {
        let mut reception = Reception::new(Instant::now());
        let packets = [(1, 10), (2, 500), (1, 11), (1, 40_000), (1, 12)];
        assert_eq!(judge(&mut reception, &packets), [Accept, Unconfirmed, Accept, Unconfirmed, Accept]);
    }

    #[test]
    fn a_new_source_or_a_jump_is_believed_on_its_second_packet() {
        let mut reception = Reception::new(Instant::now());
        let packets = [(1, 10), (2, 500), (2, 501), (2, 502), (2, 9_000), (2, 9_001)];
        let verdicts = [Accept, Unconfirmed, Restart, Accept, Unconfirmed, Restart];
        assert_eq!(judge(&mut reception, &packets), verdicts);
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn a_report_counts_wraps_and_what_was_lost_since_the_last() {
        let mut reception = Reception::new(Instant::now());
        assert_eq!(reception.report(), None);
        judge(&mut reception, &[(7, 65_534), (7, 65_535), (7, 1)]);
        let heard = |fraction_lost, cumulative_lost, highest| {
            Some(Heard { ssrc: Ssrc(7), fraction_lost, cumulative_lost, highest })
        };
        assert_eq!(reception.report(), heard(64, 1, 0x1_0001));
        // The packet that came late after all makes up for one that is lost now.
        judge(&mut reception, &[(7, 0), (7, 2), (7, 2), (7, 4)]);
        assert_eq!(reception.report(), heard(0, 1, 0x1_0004));
        assert_eq!(reception.report(), heard(0, 1, 0x1_0004), "nothing expected, nothing lost");
        judge(&mut reception, &[(8, 100), (8, 101)]);
        assert_eq!(reception.report().map(|h| (h.ssrc, h.cumulative_lost)), Some((Ssrc(8), 0)));
    }

    #[test]
    fn a_change_of_clock_is_no_jitter() {
        let start = Instant::now();
        let mut reception = Reception::new(start);
        for n in 0..100u16 {
            reception.judge(&header(1, n));
            let clock = if n < 50 { 8_000 } else { 48_000 };
            let at = start + Duration::from_millis(20) * u32::from(n);
            reception.observe(at, Timestamp(u32::from(n) * clock / 50), clock);
        }
        assert_eq!(reception.jitter(), Duration::ZERO);
    }

    #[test]
    fn jitter_follows_rfc_3550() {
        let start = Instant::now();
        let mut reception = Reception::new(start);
        for n in 0..2_000u16 {
            let packet = header(1, n);
            reception.judge(&packet);
            let late = if n % 2 == 0 { 0 } else { 10 };
            let arrival = Duration::from_millis(u64::from(n) * 20 + late);
            reception.observe(start + arrival, packet.timestamp, 8_000);
        }
        let jitter = reception.jitter().as_micros();
        assert!((9_500..=10_000).contains(&jitter), "{jitter}");
    }
}
