//! DTMF as named telephone events (RFC 4733), received and sent.
//!
//! A digit is one event: packets that share the timestamp of its start and whose duration grows, the
//! last of them sent three times. Carriers lose any of them and some never set the marker bit
//! (livekit/sip#585), so the timestamp alone tells events apart, and one packet is enough.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::rtp::Timestamp;
use crate::base::audio::{FRAME, duration_of};

/// Digits by event code (RFC 4733 §3.2).
const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];
/// The digit of an event code, if it is one.
pub fn digit_of(code: u8) -> Option<char> {
    DIGITS.get(usize::from(code)).copied()
}

/// An event no packet of which came for this long is over. Senders repeat every 50 ms at the most.
const LOST_END: Duration = Duration::from_millis(150);
/// A packet that lies further behind than this comes from a far end whose timestamps leapt back.
const OLD_SECONDS: i32 = 5;
/// The duration field cannot grow beyond this: a longer event goes on in a segment of its own.
const LONGEST_SEGMENT: u32 = 0xffff;

/// The four bytes of an event (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub code: u8,
    pub end: bool,
    /// Power below 0 dBm0, in dB: 0 to 63.
    pub volume: u8,
    /// Timestamp units since the start of the event.
    pub duration: u16,
}

impl Event {
    /// `None` for fewer than four bytes; what follows them is not read.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[code, flags, d0, d1] = payload.first_chunk::<4>()?;
        let duration = u16::from_be_bytes([d0, d1]);
        Some(Event { code, end: flags & 0x80 != 0, volume: flags & 0x3f, duration })
    }

    pub const fn to_bytes(self) -> [u8; 4] {
        let [d0, d1] = self.duration.to_be_bytes();
        [self.code, (self.end as u8) << 7 | (self.volume & 0x3f), d0, d1]
    }
}

/// A digit that the far end pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digit {
    pub digit: char,
    pub duration: Duration,
}

/// Makes digits out of event packets.
#[derive(Default)]
pub struct DtmfReceiver {
    current: Option<Receiving>,
    /// Start of the event that was given out last: what repeats it, or lies a little before it, is old.
    done: Option<Timestamp>,
}

struct Receiving {
    code: u8,
    /// Start of the segment, which is the start of the event but for long ones.
    start: Timestamp,
    /// Samples of the segments before this one.
    before: u32,
    duration: u16,
    clock_rate: u32,
    heard: Instant,
}

impl Receiving {
    fn finish(&self) -> Option<Digit> {
        let samples = self.before.saturating_add(self.duration.into());
        let digit = digit_of(self.code)?;
        Some(Digit { digit, duration: duration_of(samples.into(), self.clock_rate) })
    }

    /// A long event goes on where the longest segment ends.
    fn is_continued_by(&self, start: Timestamp, code: u8) -> bool {
        self.code == code && start.since(self.start) as u32 == LONGEST_SEGMENT
    }
}

impl DtmfReceiver {
    /// Takes one event packet, whose times count at `clock_rate`; gives the digit it ends, or the one before whose
    /// end was lost.
    pub fn handle(&mut self, now: Instant, start: Timestamp, event: Event, clock_rate: u32) -> Option<Digit> {
        let range = -OLD_SECONDS * clock_rate as i32..0;
        let is_old = |after: Timestamp| range.contains(&start.since(after));
        if self.done.is_some_and(|done| start == done || is_old(done)) {
            return None;
        }
        let mut lost_end = None;
        match &mut self.current {
            Some(current) if current.start == start => {
                current.duration = current.duration.max(event.duration);
                current.heard = now;
            }
            Some(current) if is_old(current.start) => return None,
            Some(current) if current.is_continued_by(start, event.code) => {
                current.before = current.before.saturating_add(LONGEST_SEGMENT);
                current.start = start;
                current.duration = event.duration;
                current.heard = now;
            }
            current => {
                let Event { code, duration, .. } = event;
                let begun = Receiving { code, start, before: 0, duration, clock_rate, heard: now };
                lost_end = current.replace(begun).and_then(|lost| lost.finish());
            }
        }
        match lost_end {
            // The end that came together with it is repeated twice, or times out.
            Some(digit) => Some(digit),
            None if event.end => self.finish(),
            None => None,
        }
    }

    /// Gives the digit whose end never came.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Digit> {
        let overdue = self.current.as_ref().is_some_and(|c| now.duration_since(c.heard) >= LOST_END);
        if overdue { self.finish() } else { None }
    }

    /// Another source speaks: its timestamps count from elsewhere. Gives the digit under way.
    pub fn reset(&mut self) -> Option<Digit> {
        let digit = self.finish();
        self.done = None;
        digit
    }

    fn finish(&mut self) -> Option<Digit> {
        let current = self.current.take()?;
        self.done = Some(current.start);
        current.finish()
    }
}

/// Why digits were not queued. Nothing of them is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DtmfError {
    #[error("`{0}` is no DTMF digit: use 0-9, *, #, A-D, and w or W to pause for 0.5 or 1 second")]
    InvalidDigit(char),
    #[error("at most {max} digits can wait to be sent; wait for some to be sent")]
    TooMany { max: usize },
}

/// How long it takes to send `digits`, pauses included.
pub fn sending_time(digits: &str) -> Duration {
    let tone = u32::from(TONE_FRAMES + u16::from(ENDS) - 1 + GAP_FRAMES);
    let frames = |digit| match digit {
        'w' => PAUSE_FRAMES.into(),
        'W' => 2 * u32::from(PAUSE_FRAMES),
        _ => tone,
    };
    FRAME * digits.chars().map(frames).sum::<u32>()
}

/// Digits and pauses that can wait.
pub const MAX_QUEUED_DIGITS: usize = 64;
/// Frames a tone lasts: 100 ms, its last packet being the first of three ends.
const TONE_FRAMES: u16 = 5;
const ENDS: u8 = 3;
/// Frames of silence after the last end. With the two repeated ends, 100 ms pass between two tones.
const GAP_FRAMES: u16 = 3;
/// Frames of `w`: half a second.
const PAUSE_FRAMES: u16 = 25;
/// Level of a sent digit: -10 dBm0.
const VOLUME: u8 = 10;

#[derive(Debug, Clone, Copy)]
enum Step {
    Tone { code: u8, start: Timestamp, frames: u16, ends: u8 },
    Pause { frames: u16 },
}

/// What takes the place of audio in one tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    Event {
        marker: bool,
        timestamp: Timestamp,
        event: Event,
        /// It says what the packet before it said.
        repeated: bool,
    },
    Pause,
}

/// Sends digits, one packet a tick in the place of the audio.
#[derive(Default)]
pub struct DtmfSender {
    queue: VecDeque<char>,
    step: Option<Step>,
}

impl DtmfSender {
    /// Queues all of `digits` or none.
    pub fn queue(&mut self, digits: &str) -> Result<(), DtmfError> {
        let digits: Vec<char> = digits.chars().map(normal).collect::<Result<_, _>>()?;
        if self.queue.len() + digits.len() > MAX_QUEUED_DIGITS {
            return Err(DtmfError::TooMany { max: MAX_QUEUED_DIGITS });
        }
        self.queue.extend(digits);
        Ok(())
    }

    pub fn is_idle(&self) -> bool {
        self.step.is_none() && self.queue.is_empty()
    }

    /// What to send in the tick whose audio would have `timestamp`, where a frame spans `step` of its
    /// units; `None` when audio may go out.
    pub fn tick(&mut self, timestamp: Timestamp, step: u32) -> Option<Sending> {
        let next = match self.step.take() {
            Some(next) => next,
            None => begin(self.queue.pop_front()?, timestamp),
        };
        let (sending, after) = advance(next, step);
        self.step = after;
        Some(sending)
    }
}

/// The digit as it is sent, or the pause.
pub fn normal(digit: char) -> Result<char, DtmfError> {
    match digit {
        'w' | 'W' => Ok(digit),
        _ if DIGITS.contains(&digit.to_ascii_uppercase()) => Ok(digit.to_ascii_uppercase()),
        _ => Err(DtmfError::InvalidDigit(digit)),
    }
}

fn begin(digit: char, start: Timestamp) -> Step {
    match DIGITS.iter().position(|&known| known == digit) {
        Some(code) => Step::Tone { code: code as u8, start, frames: 0, ends: 0 },
        None if digit == 'w' => Step::Pause { frames: PAUSE_FRAMES },
        None => Step::Pause { frames: 2 * PAUSE_FRAMES },
    }
}

fn advance(step: Step, frame: u32) -> (Sending, Option<Step>) {
    match step {
        Step::Pause { frames } => {
            (Sending::Pause, (frames > 1).then_some(Step::Pause { frames: frames - 1 }))
        }
        Step::Tone { code, start, frames, ends } => {
            let frames = (frames + 1).min(TONE_FRAMES);
            let end = frames == TONE_FRAMES;
            let ends = ends + u8::from(end);
            let event = Event { code, end, volume: VOLUME, duration: frames * frame as u16 };
            let sending = Sending::Event { marker: frames == 1, timestamp: start, event, repeated: ends > 1 };
            let next = match ends {
                ENDS => Step::Pause { frames: GAP_FRAMES },
                _ => Step::Tone { code, start, frames, ends },
            };
            (sending, Some(next))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One packet: start, code, end bit, duration.
    type Sent = (u32, u8, bool, u16);

    fn receive(packets: &[Sent]) -> Vec<(char, u64)> {
        let (mut receiver, mut now) = (DtmfReceiver::default(), Instant::now());
        let mut digits = Vec::new();
        for &(start, code, end, duration) in packets {
            now += Duration::from_millis(20);
            digits.extend(receiver.handle_timeout(now));
            let event = Event { code, end, volume: 10, duration };
            digits.extend(receiver.handle(now, Timestamp(start), event, 8_000));
        }
        digits.extend(receiver.handle_timeout(now + LOST_END));
        digits.iter().map(|d| (d.digit, d.duration.as_millis() as u64)).collect()
    }

    #[test]
    fn three_end_packets_are_one_digit() {
        let packets = [(0, 5, false, 160), (0, 5, false, 320), (0, 5, true, 480), (0, 5, true, 480)];
        assert_eq!(receive(&packets), [('5', 60)]);
        assert_eq!(receive(&[(0, 5, true, 480); 3]), [('5', 60)]);
    }

    #[test]
    fn a_lost_end_does_not_lose_the_digit() {
        assert_eq!(receive(&[(0, 11, false, 160), (0, 11, false, 320)]), [('#', 40)]);
        let next_begins = [(0, 1, false, 400), (4_000, 2, false, 160), (4_000, 2, true, 320)];
        assert_eq!(receive(&next_begins), [('1', 50), ('2', 40)]);
        let next_ends = [(0, 1, false, 400), (4_000, 2, true, 320), (4_000, 2, true, 320)];
        assert_eq!(receive(&next_ends), [('1', 50), ('2', 40)]);
        assert_eq!(receive(&next_ends[..2]), [('1', 50), ('2', 40)]);
    }

    #[test]
    fn the_same_digit_twice_is_two_digits_and_old_packets_are_none() {
        let packets = [(0, 7, true, 400), (1_000, 7, true, 400), (0, 7, true, 400), (1_000, 7, true, 400)];
        assert_eq!(receive(&packets), [('7', 50), ('7', 50)]);
    }

    #[test]
    fn keys_are_heard_after_timestamps_leapt_back() {
        let before = [(900_000, 5, false, 160), (900_000, 5, true, 400), (900_000, 5, true, 400)];
        let after =
            [(4_000, 6, false, 160), (4_000, 6, true, 400), (4_000, 6, true, 400), (8_000, 7, true, 400)];
        assert_eq!(receive(&[&before[..], &after[..]].concat()), [('5', 50), ('6', 50), ('7', 50)]);
        // While an event is under way, whose end is lost.
        assert_eq!(receive(&[&before[..1], &after[..]].concat()), [('5', 20), ('6', 50), ('7', 50)]);
        // Wherever the wrap lies.
        let far = [(900_000, 5, true, 400), (900_000u32.wrapping_sub(1 << 31), 6, true, 400)];
        assert_eq!(receive(&far), [('5', 50), ('6', 50)]);
    }

    #[test]
    fn a_long_event_is_one_digit() {
        let wrap = u32::MAX - 100;
        let second = wrap.wrapping_add(0xffff);
        let packets = [(wrap, 0, false, 0xffff), (second, 0, false, 800), (second, 0, true, 8_000)];
        assert_eq!(receive(&packets), [('0', (0xffff + 8_000) / 8)]);
    }

    #[test]
    fn other_events_are_no_digits() {
        assert_eq!(receive(&[(0, 16, true, 400), (4_000, 36, true, 400)]), []);
    }

    #[test]
    fn a_sent_digit_keeps_its_timestamp_and_grows() {
        let mut sender = DtmfSender::default();
        sender.queue("a").unwrap();
        let mut audio = Timestamp(u32::MAX - 300);
        let start = audio;
        let mut sent = Vec::new();
        while let Some(sending) = sender.tick(audio, 160) {
            sent.push(sending);
            audio = audio.plus(160);
        }
        let durations = [160, 320, 480, 640, 800, 800, 800];
        for (i, duration) in durations.into_iter().enumerate() {
            let event = Event { code: 12, end: i >= 4, volume: VOLUME, duration };
            let sending = Sending::Event { marker: i == 0, timestamp: start, event, repeated: i > 4 };
            assert_eq!(sent[i], sending);
        }
        assert_eq!(sent[7..], [Sending::Pause; 3]);
        assert!(sender.is_idle());
    }

    #[test]
    fn digits_are_queued_all_or_none() {
        let mut sender = DtmfSender::default();
        assert_eq!(sender.queue("12x"), Err(DtmfError::InvalidDigit('x')));
        assert!(sender.is_idle());
        sender.queue(&"1".repeat(60)).unwrap();
        assert_eq!(sender.queue("12345"), Err(DtmfError::TooMany { max: 64 }));
    }

    proptest! {
        #[test]
        fn what_is_sent_is_received_while_one_packet_of_each_digit_survives(
            digits in "[0-9*#A-D]{1,12}", lost in proptest::collection::vec(0usize..7, 12),
        ) {
            let mut sender = DtmfSender::default();
            sender.queue(&digits).unwrap();
            let (mut receiver, mut now, mut audio) =
                (DtmfReceiver::default(), Instant::now(), Timestamp(0xffff_f000));
            let (mut heard, mut start, mut digit, mut packet) = (String::new(), None, 0, 0);
            for _ in 0..digits.len() * 10 + 10 {
                if let Some(Sending::Event { timestamp, event, .. }) = sender.tick(audio, 160) {
                    if start != Some(timestamp) {
                        (digit, packet) = (start.map_or(0, |_| digit + 1), 0);
                        start = Some(timestamp);
                    }
                    // Only one packet of seven gets through.
                    if packet == lost[digit] {
                        heard.extend(receiver.handle(now, timestamp, event, 8_000).map(|d| d.digit));
                    }
                    packet += 1;
                }
                heard.extend(receiver.handle_timeout(now).map(|d| d.digit));
                now += Duration::from_millis(20);
                audio = audio.plus(160);
            }
            prop_assert_eq!(heard, digits);
        }
    }
}
