//! RTCP (RFC 3550 §6): what each end tells the other of what it sent and heard.
//!
//! In: one datagram. Out: [`Reports`] that it holds. The other way [`write`] makes a compound packet
//! of a report and our name. When to send is [`Schedule`]'s, and what the numbers mean for the round
//! trip is [`round_trip`]'s. Pure: no socket, no clock.

use std::time::{Duration, Instant};

use super::rtp::{Ssrc, Timestamp};

const VERSION: u8 = 2;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const CNAME: u8 = 1;
const SENDER_INFO: usize = 20;
const BLOCK: usize = 24;

/// Seconds and their fraction (2^-32 s) since an epoch that only its writer needs to know (§4: a
/// sender without wall clock may count from when it began).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// `elapsed` since the epoch.
    pub fn after(elapsed: Duration) -> Self {
        let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
        NtpTime(elapsed.as_secs() << 32 | fraction)
    }

    /// The middle 32 bits, in units of 2^-16 s: what a report block echoes.
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// What a sender says of its own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    pub ntp: NtpTime,
    /// The stream's timestamp at `ntp`.
    pub rtp: Timestamp,
    pub packets: u32,
    /// Bytes of payload.
    pub octets: u32,
}

/// What a receiver says of a stream that it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whose stream.
    pub ssrc: Ssrc,
    /// Of the packets expected since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Since the stream began, 24 bits; negative if duplicates outnumber losses.
    pub cumulative_lost: i32,
    /// Highest sequence number, with the count of its wraps above it.
    pub highest: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// [`NtpTime::middle`] of the last sender report, 0 if there was none.
    pub last_sender_report: u32,
    /// From that report to this one, in 2^-16 s.
    pub delay: u32,
}

/// What a compound packet says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reports {
    pub sender: Option<(Ssrc, SenderInfo)>,
    pub blocks: Vec<ReportBlock>,
    /// Sources that leave.
    pub goodbyes: Vec<Ssrc>,
}

/// Why a datagram is not a compound RTCP packet (RFC 3550 A.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    #[error("RTCP version must be 2, is {0}")]
    Version(u8),
    #[error("a compound packet begins with a report, not with type {0}")]
    NoReport(u8),
    #[error("an RTCP packet runs past the end of the datagram")]
    Truncated,
    #[error("padding in a packet that is not the last, or longer than it")]
    Padding,
}

impl Reports {
    /// Reads a compound packet. What it has beside reports and goodbyes is skipped.
    pub fn parse(datagram: &[u8]) -> Result<Self, RtcpError> {
        let mut reports = Reports::default();
        let mut rest = datagram;
        let mut first = true;
        while !rest.is_empty() {
            let (packet, after) = Packet::parse(rest)?;
            if first && !matches!(packet.kind, SENDER_REPORT | RECEIVER_REPORT) {
                return Err(RtcpError::NoReport(packet.kind));
            }
            if packet.padded && !after.is_empty() {
                return Err(RtcpError::Padding);
            }
            reports.take(&packet)?;
            (first, rest) = (false, after);
        }
        if first { Err(RtcpError::Truncated) } else { Ok(reports) }
    }

    fn take(&mut self, packet: &Packet<'_>) -> Result<(), RtcpError> {
        match packet.kind {
            SENDER_REPORT => {
                let (ssrc, info) = (packet.word(0)?, packet.body.get(4..4 + SENDER_INFO));
                let info = sender_info(info.ok_or(RtcpError::Truncated)?);
                self.sender = Some((Ssrc(ssrc), info));
                self.take_blocks(packet, 4 + SENDER_INFO)
            }
            RECEIVER_REPORT => self.take_blocks(packet, 4),
            GOODBYE => {
                for n in 0..packet.count {
                    self.goodbyes.push(Ssrc(packet.word(n * 4)?));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_blocks(&mut self, packet: &Packet<'_>, start: usize) -> Result<(), RtcpError> {
        let blocks = packet.body.get(start..start + packet.count * BLOCK).ok_or(RtcpError::Truncated)?;
        self.blocks.extend(blocks.chunks_exact(BLOCK).map(report_block));
        Ok(())
    }
}

/// One packet of a compound.
struct Packet<'a> {
    kind: u8,
    /// Blocks or sources in it, at most 31.
    count: usize,
    padded: bool,
    /// After the first four bytes, without padding.
    body: &'a [u8],
}

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RtcpError> {
        let &[first, kind, high, low, ..] = bytes else { return Err(RtcpError::Truncated) };
        if first >> 6 != VERSION {
            return Err(RtcpError::Version(first >> 6));
        }
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let (packet, rest) = bytes.split_at_checked(length).ok_or(RtcpError::Truncated)?;
        let padded = first & 0x20 != 0;
        let padding = if padded { usize::from(packet[length - 1]) } else { 0 };
        if padded && (padding == 0 || padding % 4 != 0 || padding > length - 4) {
            return Err(RtcpError::Padding);
        }
        let body = &packet[4..length - padding];
        Ok((Packet { kind, count: usize::from(first & 0x1f), padded, body }, rest))
    }

    fn word(&self, at: usize) -> Result<u32, RtcpError> {
        self.body.get(at..at + 4).map(|bytes| word(bytes, 0)).ok_or(RtcpError::Truncated)
    }
}

/// The big-endian word at `at`, which the caller has made sure is there.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn sender_info(bytes: &[u8]) -> SenderInfo {
    SenderInfo {
        ntp: NtpTime(u64::from(word(bytes, 0)) << 32 | u64::from(word(bytes, 4))),
        rtp: Timestamp(word(bytes, 8)),
        packets: word(bytes, 12),
        octets: word(bytes, 16),
    }
}

fn report_block(bytes: &[u8]) -> ReportBlock {
    let lost = word(bytes, 4);
    ReportBlock {
        ssrc: Ssrc(word(bytes, 0)),
        fraction_lost: (lost >> 24) as u8,
        // Sign-extended from 24 bits.
        cumulative_lost: (lost << 8) as i32 >> 8,
        highest: word(bytes, 8),
        jitter: word(bytes, 12),
        last_sender_report: word(bytes, 16),
        delay: word(bytes, 20),
    }
}

/// A compound packet of ours.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub ssrc: Ssrc,
    /// Given if we sent RTP since the last report.
    pub sender: Option<SenderInfo>,
    /// Given once we hear a stream.
    pub block: Option<ReportBlock>,
    /// Names the endpoint the same in all its streams (§6.5.1), at most 255 bytes.
    pub cname: &'a str,
    /// Whether we leave.
    pub goodbye: bool,
}

/// Writes a report, our name, and a goodbye if we leave.
pub fn write(outgoing: &Outgoing<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    let kind = if outgoing.sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
    write_packet(&mut bytes, kind, u8::from(outgoing.block.is_some()), |body| {
        put(body, outgoing.ssrc.0);
        if let Some(info) = outgoing.sender {
            put(body, (info.ntp.0 >> 32) as u32);
            put(body, info.ntp.0 as u32);
            put(body, info.rtp.0);
            put(body, info.packets);
            put(body, info.octets);
        }
        if let Some(block) = outgoing.block {
            write_block(body, &block);
        }
    });
    write_packet(&mut bytes, SOURCE_DESCRIPTION, 1, |body| {
        let name = &outgoing.cname.as_bytes()[..outgoing.cname.len().min(255)];
        put(body, outgoing.ssrc.0);
        body.extend([CNAME, name.len() as u8]);
        body.extend(name);
        // A null ends the chunk, and as many more as make whole words.
        body.resize(body.len() / 4 * 4 + 4, 0);
    });
    if outgoing.goodbye {
        write_packet(&mut bytes, GOODBYE, 1, |body| put(body, outgoing.ssrc.0));
    }
    bytes
}

fn write_packet(bytes: &mut Vec<u8>, kind: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([VERSION << 6 | count, kind, 0, 0]);
    body(bytes);
    let words = ((bytes.len() - start) / 4 - 1) as u16;
    bytes[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn write_block(body: &mut Vec<u8>, block: &ReportBlock) {
    const LIMIT: i32 = (1 << 23) - 1;
    let lost = block.cumulative_lost.clamp(-LIMIT - 1, LIMIT) as u32 & 0x00ff_ffff;
    put(body, block.ssrc.0);
    put(body, u32::from(block.fraction_lost) << 24 | lost);
    put(body, block.highest);
    put(body, block.jitter);
    put(body, block.last_sender_report);
    put(body, block.delay);
}

fn put(bytes: &mut Vec<u8>, word: u32) {
    bytes.extend(word.to_be_bytes());
}

/// How long a packet takes there and back, by a block about our own stream that arrives at `now` of
/// our clock (§6.4.1). `None` if the peer had no report of ours, or its delay cannot be true.
pub fn round_trip(now: NtpTime, block: &ReportBlock) -> Option<Duration> {
    if block.last_sender_report == 0 {
        return None;
    }
    let units = now.middle().wrapping_sub(block.last_sender_report).wrapping_sub(block.delay);
    // A difference below zero wraps: clocks that drift make some, and lies make others.
    (units < 1 << 31).then(|| Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16))
}

/// When reports leave (§6.2, §6.3): five seconds apart, drawn anew each time so that no two ends fall
/// into step, the first after half of that.
#[derive(Debug)]
pub struct Schedule {
    next: Instant,
}

impl Schedule {
    const INTERVAL: Duration = Duration::from_secs(5);
    /// e - 3/2: what makes up for timers that are reconsidered (§6.3.1).
    const COMPENSATION: f64 = 1.218_28;

    /// `draw` in 0..1.
    pub fn new(now: Instant, draw: f64) -> Self {
        Schedule { next: now + Self::interval(draw) / 2 }
    }

    pub fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// Whether a report is due; if so the next one is drawn by `draw` in 0..1.
    pub fn handle_timeout(&mut self, now: Instant, draw: impl FnOnce() -> f64) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + Self::interval(draw());
        }
        due
    }

    fn interval(draw: f64) -> Duration {
        Self::INTERVAL.mul_f64((0.5 + draw.clamp(0.0, 1.0)) / Self::COMPENSATION)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INFO: SenderInfo = SenderInfo {
        ntp: NtpTime(0x0102_0304_8000_0000),
        rtp: Timestamp(u32::MAX),
        packets: 7,
        octets: 1_120,
    };

    fn block(lost: i32) -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(9),
            fraction_lost: 64,
            cumulative_lost: lost,
            highest: 0x0001_fffe,
            jitter: 33,
            last_sender_report: 0x0304_8000,
            delay: 0x8000,
        }
    }

    fn outgoing(sender: Option<SenderInfo>, block: Option<ReportBlock>, cname: &str) -> Vec<u8> {
        write(&Outgoing { ssrc: Ssrc(5), sender, block, cname, goodbye: true })
    }

    #[test]
    fn what_is_written_is_read() {
        for (sender, lost) in [(Some(INFO), -3), (None, 8_388_607)] {
            let reports = Reports::parse(&outgoing(sender, Some(block(lost)), "callbox")).unwrap();
            assert_eq!(reports.sender, sender.map(|info| (Ssrc(5), info)));
            assert_eq!(reports.blocks, [block(lost)]);
            assert_eq!(reports.goodbyes, [Ssrc(5)]);
        }
    }

    #[test]
    fn names_of_every_length_fill_whole_words() {
        for length in 0..9 {
            let bytes = outgoing(None, None, &"n".repeat(length));
            assert_eq!(bytes.len() % 4, 0);
            assert_eq!(Reports::parse(&bytes).unwrap().goodbyes, [Ssrc(5)]);
        }
    }

    #[test]
    fn losses_beyond_24_bits_stand_still() {
        let reports = Reports::parse(&outgoing(None, Some(block(i32::MAX)), "c")).unwrap();
        assert_eq!(reports.blocks[0].cumulative_lost, 0x007f_ffff);
    }

    #[test]
    fn what_is_no_compound_packet_is_refused() {
        let good = outgoing(Some(INFO), Some(block(1)), "c");
        assert_eq!(Reports::parse(&[]), Err(RtcpError::Truncated));
        assert_eq!(Reports::parse(&good[..good.len() - 1]), Err(RtcpError::Truncated));
        let mut versioned = good.clone();
        versioned[0] = 0x41;
        assert_eq!(Reports::parse(&versioned), Err(RtcpError::Version(1)));
        assert_eq!(Reports::parse(&[0x81, GOODBYE, 0, 1, 0, 0, 0, 5]), Err(RtcpError::NoReport(GOODBYE)));
        let mut padded = good;
        padded[0] |= 0x20;
        assert_eq!(Reports::parse(&padded), Err(RtcpError::Padding));
        // Two blocks are promised, none is there.
        assert_eq!(Reports::parse(&[0x82, RECEIVER_REPORT, 0, 1, 0, 0, 0, 5]), Err(RtcpError::Truncated));
    }

    #[test]
    fn round_trip_takes_the_peers_delay_off() {
        let sent = NtpTime::after(Duration::from_secs(100));
        let mut block = block(0);
        (block.last_sender_report, block.delay) = (sent.middle(), 2 << 16);
        let back = NtpTime::after(Duration::from_millis(102_080));
        let measured = round_trip(back, &block).unwrap();
        assert!(measured.abs_diff(Duration::from_millis(80)) < Duration::from_micros(50), "{measured:?}");
        block.delay = 3 << 16;
        assert_eq!(round_trip(back, &block), None, "the peer claims to have waited longer than we did");
        block.last_sender_report = 0;
        assert_eq!(round_trip(back, &block), None);
    }

    #[test]
    fn reports_leave_two_to_six_seconds_apart() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 0.5);
        assert!(schedule.poll_timeout() < start + Duration::from_secs(3));
        let mut now = start;
        for draw in [0.0, 0.3, 0.7, 1.0] {
            now = schedule.poll_timeout();
            assert!(!schedule.handle_timeout(now - Duration::from_nanos(1), || draw));
            assert!(schedule.handle_timeout(now, || draw));
            let gap = schedule.poll_timeout() - now;
            assert!((2..7).contains(&gap.as_secs()), "{gap:?}");
        }
        assert!(now > start);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Reports::parse(&bytes);
        }

        #[test]
        fn no_mutation_of_a_report_panics(at in 0usize..92, byte: u8) {
            let mut bytes = outgoing(Some(INFO), Some(block(1)), "callbox");
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Reports::parse(&bytes);
        }
    }
}
