//! Adaptive jitter buffer: uneven packets in, exactly one 20 ms frame per tick out.
//!
//! Everything is counted in samples of the stream, never in packets, so that any packet time works
//! (10 to 60 ms, changing as it likes). The stream is at 8 kHz or a multiple, whatever clock its
//! timestamps count. A cursor walks through the stream, one frame a tick, and:
//!
//! * what arrives behind the cursor is late and is dropped, never replayed; duplicates overwrite
//!   themselves; reordering within the delay does not show;
//! * where a hole is at the cursor and sound behind it, the hole is concealed;
//! * where nothing is left, sound is invented **without** moving the cursor, up to the greatest delay:
//!   if the packet was only late it is played whole and the delay has grown, and if it was lost the
//!   invented time is skipped when the next one comes;
//! * after 60 ms of nothing the stream is idle (DTX, hold, a dead peer) and the next packet begins a
//!   talkspurt at the wanted delay;
//! * a delay that is off is mended one pitch period at a time (`stretch`), or at once when the node
//!   itself stood still;
//! * a timestamp outside the half second held here is another time base: the buffer begins anew.

mod delay;
mod ring;
mod stretch;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::{
    delay::DelayEstimate,
    ring::Ring,
    stretch::{REACH, Splice},
};
use super::{conceal::Concealer, resample::stretched, rtp::Timestamp};
use crate::base::audio::{NARROWBAND_HZ, duration_of, frame_samples};

/// Samples of one frame: 20 ms at 8 kHz.
pub const FRAME_SAMPLES: usize = 160;
// The rest are counted at 8 kHz too, and scaled.
/// A delay this much over the greatest one is not mended period by period: 60 ms.
const HOPELESS: i64 = 480;
/// How far off the delay may be before it is mended: over 20 ms too long, 10 ms too short.
const TOO_LONG: i64 = 161;
const TOO_SHORT: i64 = -80;
/// Frames between two splices.
const SPLICE_EVERY: u8 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Delay on a perfect network, in milliseconds.
    pub min_delay_ms: u32,
    /// Delay the buffer never goes beyond for the sake of late packets, in milliseconds, at most 300.
    pub max_delay_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { min_delay_ms: 40, max_delay_ms: 100 }
    }
}

/// What a frame is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    /// All of it was received.
    Received,
    /// Some or all of it was invented to hide a hole.
    Concealed,
    /// Nothing came in and nothing is played.
    Silence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing to play. The next packet begins a talkspurt.
    Idle,
    /// A talkspurt has begun and waits for the delay to pass.
    Filling,
    Playing,
}

/// Counters since the beginning, in samples unless they say packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Packets that came after their time and were dropped.
    pub late_packets: u64,
    pub concealed: u64,
    /// Cut out, repeated or skipped to mend the delay.
    pub stretched: u64,
    /// Times the buffer began anew because the timestamps jumped.
    pub resyncs: u64,
}

pub struct JitterBuffer {
    config: Config,
    rate: u32,
    /// What timestamps count at.
    clock_rate: u32,
    min_delay: i64,
    max_delay: i64,
    ring: Ring,
    concealer: Concealer,
    delay: DelayEstimate,
    state: State,
    /// The next sample to play.
    cursor: i64,
    /// While filling: what lies before this was already played or passed over.
    floor: i64,
    /// One past the newest sample held. Only `[cursor, end)` of the ring is ever present.
    end: i64,
    /// Samples invented while the cursor stood still.
    held: i64,
    /// The delay of what was played last.
    played: Duration,
    since_splice: u8,
    /// The first packet is no jump.
    started: bool,
    stats: JitterStats,
}

impl JitterBuffer {
    /// For a stream at `rate` Hz, 8 kHz or twice that, with timestamps that count alike.
    pub fn new(config: Config, rate: u32, now: Instant) -> Self {
        let (min_delay, max_delay) = limits(config, rate);
        JitterBuffer {
            config,
            rate,
            clock_rate: rate,
            min_delay,
            max_delay,
            ring: Ring::new(scale_of(rate)),
            concealer: Concealer::new(rate),
            delay: DelayEstimate::new(rate, now),
            state: State::Idle,
            // Far from 0, so that positions stay positive whatever the first timestamps do.
            cursor: 1 << 40,
            floor: i64::MIN,
            end: 1 << 40,
            held: 0,
            played: Duration::ZERO,
            since_splice: 0,
            started: false,
            stats: JitterStats::default(),
        }
    }

    /// The packets to come count at `clock_rate`.
    pub fn set_clock(&mut self, clock_rate: u32) {
        self.clock_rate = clock_rate;
    }

    /// Frames are at `rate` from here on. What is held is kept, by straight lines between its samples:
    /// a tenth of a second at most, in which nothing is missing.
    pub fn set_rate(&mut self, rate: u32) {
        if rate == self.rate {
            return;
        }
        let held = (self.end - self.cursor).max(0) as usize;
        let kept = self.ring.pieces(self.cursor..self.end);
        let moved = |at: i64, from: u32| (i128::from(at) * i128::from(rate) / i128::from(from)) as i64;
        let from = self.rate;
        self.cursor = moved(self.cursor, from);
        self.end = self.cursor + moved(held as i64, from);
        self.held = moved(self.held, from);
        if self.floor != i64::MIN {
            self.floor = moved(self.floor, from);
        }
        self.delay.rescale(rate);
        (self.min_delay, self.max_delay) = limits(self.config, rate);
        let past = stretched(&self.concealer.past(), from, rate);
        self.concealer = Concealer::new(rate);
        self.concealer.remember(&past);
        self.ring = Ring::new(scale_of(rate));
        self.rate = rate;
        for (at, pcm) in kept {
            self.store(moved(at, from), &stretched(&pcm, from, rate));
        }
    }

    /// Brings nearer what the next frame is made with.
    pub fn prefetch(&self) {
        self.ring.prefetch(self.cursor, self.frame_length());
        self.concealer.prefetch();
    }

    /// Brings nearer what the next packet is written to.
    pub fn prefetch_inbound(&self) {
        self.ring.prefetch(self.end, self.frame_length());
    }

    /// Counters, in samples of 8 kHz.
    pub fn stats(&self) -> JitterStats {
        self.stats
    }

    fn scale(&self) -> i64 {
        scale_of(self.rate) as i64
    }

    fn frame_length(&self) -> usize {
        frame_samples(self.rate)
    }

    fn to_duration(&self, samples: i64) -> Duration {
        duration_of(samples.max(0) as u64, self.rate)
    }

    /// The place in the stream that a timestamp stands for.
    fn place(&self, timestamp: Timestamp) -> i64 {
        if self.clock_rate == self.rate {
            return timestamp.extend(self.end);
        }
        // In 128 bits: a far end whose timestamps leap moves the end by hours at a time.
        let scaled =
            |at: i64, to: u32, from: u32| (i128::from(at) * i128::from(to) / i128::from(from)) as i64;
        let near = scaled(self.end, self.clock_rate, self.rate);
        scaled(timestamp.extend(near), self.rate, self.clock_rate)
    }

    /// Whether what begins at `timestamp` is out of reach of what is held: then the buffer begins anew by it.
    pub fn is_jump(&self, timestamp: Timestamp) -> bool {
        self.started && self.is_out_of_reach(self.place(timestamp) - self.cursor)
    }

    fn is_out_of_reach(&self, ahead: i64) -> bool {
        ahead.unsigned_abs() > self.ring.capacity() as u64
    }

    /// The delay aimed at.
    pub fn target(&self) -> Duration {
        self.to_duration(self.wanted())
    }

    /// The delay added to what is played at `now`; while nothing is, that of what was played last: the
    /// cursor stands still then, and its distance is no delay.
    pub fn delay(&self, now: Instant) -> Duration {
        match self.state {
            State::Playing => self.to_duration(self.delay.of(now, self.cursor)),
            State::Idle | State::Filling => self.played,
        }
    }

    /// Forgets what is held: another source speaks from now on.
    pub fn reset(&mut self, now: Instant) {
        self.ring.clear();
        self.delay.rebase(now);
        self.end = self.cursor;
        self.held = 0;
        self.state = State::Idle;
    }

    /// Takes the samples of one packet that arrived at `now`. `marker` says that a talkspurt begins.
    /// Packets longer than the buffer are cut.
    pub fn push(&mut self, now: Instant, timestamp: Timestamp, marker: bool, pcm: &[i16]) {
        let capacity = self.ring.capacity();
        let pcm = &pcm[..pcm.len().min(capacity / 2)];
        let len = pcm.len() as i64;
        let at = self.place(timestamp);
        if !self.started || self.is_out_of_reach(at + len - self.cursor) {
            return self.resync(now, at, pcm);
        }
        let behind = self.delay.observe(now, at);
        let floor = if self.state == State::Filling { self.floor } else { self.cursor };
        if at + len <= floor {
            self.stats.late_packets += 1;
            return;
        }
        if self.state == State::Idle && behind > self.delay.range() {
            self.delay.rebase(now);
            self.delay.observe(now, at);
        }
        let dry = self.end <= self.cursor;
        match self.state {
            State::Idle => self.begin(at.max(floor), floor),
            State::Playing if marker && dry => self.begin(at.max(floor), floor),
            State::Filling if at < self.cursor && self.end - at <= capacity as i64 => {
                let cursor = at.max(floor);
                self.ring.widen(self.cursor..self.end, self.end - cursor);
                self.cursor = cursor;
            }
            _ => {}
        }
        self.store(at, pcm);
    }

    /// Gives the frame that is due at `now`, the tick's deadline. `out` has the length of a frame.
    pub fn frame(&mut self, now: Instant, out: &mut [i16]) -> FrameKind {
        debug_assert_eq!(out.len(), self.frame_length());
        if self.state == State::Filling && self.delay.of(now, self.cursor) >= self.wanted() {
            self.state = State::Playing;
        }
        if self.state != State::Playing {
            return self.wait(out);
        }
        self.catch_up(now);
        if self.end <= self.cursor {
            return self.underrun(now, out);
        }
        self.settle_held();
        self.played = self.delay(now);
        if self.splice(now, out) { FrameKind::Received } else { self.gather(out) }
    }

    fn wanted(&self) -> i64 {
        self.delay.wanted().clamp(self.min_delay, self.max_delay)
    }

    fn begin(&mut self, at: i64, floor: i64) {
        self.cursor = at;
        self.floor = floor;
        self.end = at;
        self.held = 0;
        self.state = State::Filling;
    }

    fn resync(&mut self, now: Instant, at: i64, pcm: &[i16]) {
        self.stats.resyncs += u64::from(self.started);
        self.started = true;
        self.ring.clear();
        self.begin(at, i64::MIN);
        self.delay.rebase(now);
        self.delay.observe(now, at);
        self.store(at, pcm);
    }

    /// Writes the part of a packet that is not behind the cursor.
    fn store(&mut self, at: i64, pcm: &[i16]) {
        let from = at.max(self.cursor);
        let skipped = ((from - at) as usize).min(pcm.len());
        let end = self.end.max(at + pcm.len() as i64).min(self.cursor + self.ring.capacity() as i64);
        self.ring.widen(self.cursor..self.end, end - self.cursor);
        self.ring.write(from, &pcm[skipped..pcm.len().min((end - at) as usize)]);
        self.end = end;
    }

    /// Moves on without playing.
    fn skip(&mut self, samples: i64) {
        self.ring.remove(self.cursor, samples as usize);
        self.cursor += samples;
    }

    fn wait(&mut self, out: &mut [i16]) -> FrameKind {
        if self.concealer.is_concealing() {
            return self.conceal(out);
        }
        out.fill(0);
        FrameKind::Silence
    }

    fn conceal(&mut self, out: &mut [i16]) -> FrameKind {
        if self.concealer.conceal(out) {
            self.stats.concealed += out.len() as u64 / self.scale() as u64;
            FrameKind::Concealed
        } else {
            FrameKind::Silence
        }
    }

    /// After a standstill of this node: drops what is hopelessly old.
    fn catch_up(&mut self, now: Instant) {
        let delay = self.delay.of(now, self.cursor);
        if delay > self.max_delay + HOPELESS * self.scale() {
            let excess = (delay - self.wanted()).min(self.end - self.cursor).max(0);
            self.skip(excess);
            self.stats.stretched += (excess / self.scale()) as u64;
        }
    }

    /// Nothing left to play: waits for late packets as long as the delay allows.
    fn underrun(&mut self, now: Instant, out: &mut [i16]) -> FrameKind {
        let frame = out.len() as i64;
        if self.delay.of(now, self.cursor) < self.max_delay {
            self.held += frame;
        } else {
            self.cursor += frame;
            self.end = self.end.max(self.cursor);
        }
        let kind = self.conceal(out);
        if kind == FrameKind::Silence {
            self.state = State::Idle;
            self.held = 0;
        }
        kind
    }

    /// Time invented for packets that turn out to be lost was already played.
    fn settle_held(&mut self) {
        if self.held > 0 && !self.ring.is_present(self.cursor) {
            let gap = self.ring.run(self.cursor, (self.end - self.cursor) as usize) as i64;
            self.skip(gap.min(self.held));
        }
        self.held = 0;
    }

    /// Brings the delay a pitch period closer to the wanted one, where that goes unheard.
    fn splice(&mut self, now: Instant, out: &mut [i16]) -> bool {
        self.since_splice = self.since_splice.saturating_add(1);
        if self.since_splice < SPLICE_EVERY || self.concealer.is_concealing() {
            return false;
        }
        let excess = self.delay.of(now, self.cursor) - self.wanted();
        let kind = match excess / self.scale() {
            TOO_LONG.. => Splice::Cut,
            ..=TOO_SHORT => Splice::Repeat,
            _ => return false,
        };
        let (frame, reach) = (out.len(), REACH * self.scale() as usize);
        let needed = frame + if kind == Splice::Cut { reach } else { 0 };
        let is_whole = self.ring.is_present(self.cursor) && self.ring.run(self.cursor, needed) == needed;
        if self.end - self.cursor < needed as i64 || !is_whole {
            return false;
        }
        let mut pcm = vec![0; reach + needed];
        let past = self.concealer.past();
        pcm[..reach].copy_from_slice(&past[past.len() - reach..]);
        self.ring.peek(self.cursor, &mut pcm[reach..]);
        let Some(used) = stretch::splice(&pcm, kind, out) else { return false };
        self.skip(used as i64);
        self.concealer.received(out);
        self.since_splice = 0;
        self.stats.stretched += used.abs_diff(frame) as u64 / self.scale() as u64;
        true
    }

    /// Plays what is there and fills the holes. Past the end the cursor stands still.
    fn gather(&mut self, out: &mut [i16]) -> FrameKind {
        let frame = out.len();
        let held = ((self.end - self.cursor).min(frame as i64)) as usize;
        let (mut received, mut concealed) = (false, false);
        let mut from = 0;
        while from < held {
            let at = self.cursor + from as i64;
            let part = from..from + self.ring.run(at, held - from);
            if self.ring.is_present(at) {
                self.ring.peek(at, &mut out[part.clone()]);
                self.concealer.received(&mut out[part.clone()]);
                received = true;
            } else {
                concealed |= self.conceal(&mut out[part.clone()]) == FrameKind::Concealed;
            }
            from = part.end;
        }
        self.skip(held as i64);
        if held < frame {
            concealed |= self.conceal(&mut out[held..]) == FrameKind::Concealed;
            self.held += (frame - held) as i64;
        }
        match (received, concealed) {
            (_, true) => FrameKind::Concealed,
            (true, false) => FrameKind::Received,
            (false, false) => FrameKind::Silence,
        }
    }
}

/// Samples for each of 8 kHz.
fn scale_of(rate: u32) -> usize {
    (rate / NARROWBAND_HZ).max(1) as usize
}

/// The smallest and the greatest delay in samples at `rate`.
fn limits(config: Config, rate: u32) -> (i64, i64) {
    let samples = |ms: u32| i64::from(ms.min(300)) * i64::from(rate) / 1_000;
    let min_delay = samples(config.min_delay_ms);
    (min_delay, samples(config.max_delay_ms).max(min_delay))
}

#[cfg(test)]
mod tests;
