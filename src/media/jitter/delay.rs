//! How long to wait for packets: measured from how unevenly they arrive.
//!
//! A packet's transit is its arrival time minus its timestamp; only differences mean anything. The
//! fastest packet of the last seconds is the reference, and what the others lost against it fills a
//! histogram that forgets. The delay wanted is the one that would have let 97 % of them be in time.

use std::time::{Duration, Instant};

use crate::base::audio::samples_in;

/// Buckets of the histogram to a second: 5 ms each.
const BUCKETS_A_SECOND: u32 = 200;
const BUCKETS: usize = 32;
/// Weight of one packet. At 50 packets a second the memory is four seconds long.
const FORGET: f32 = 0.005;
const QUANTILE: f32 = 0.97;
/// The reference is the fastest packet of this window and the one before, so that it follows a path
/// that gets longer and a clock that drifts.
const WINDOW: Duration = Duration::from_secs(4);

pub struct DelayEstimate {
    rate: u32,
    epoch: Instant,
    window_end: Instant,
    fastest: [i64; 2],
    histogram: [f32; BUCKETS],
}

impl DelayEstimate {
    /// Of positions counted at `rate` Hz.
    pub fn new(rate: u32, now: Instant) -> Self {
        let mut histogram = [0.0; BUCKETS];
        histogram[0] = 1.0;
        DelayEstimate { rate, epoch: now, window_end: now + WINDOW, fastest: [i64::MAX; 2], histogram }
    }

    /// Positions are counted at another rate from here on.
    pub fn rescale(&mut self, rate: u32) {
        let (to, from) = (i64::from(rate), i64::from(self.rate));
        for fastest in self.fastest.iter_mut().filter(|fastest| **fastest != i64::MAX) {
            *fastest = *fastest * to / from;
        }
        self.rate = rate;
    }

    /// Beyond this a packet is no longer late but out of another time base.
    pub fn range(&self) -> i64 {
        self.bucket() * BUCKETS as i64
    }

    /// Samples that a bucket spans.
    fn bucket(&self) -> i64 {
        i64::from(self.rate / BUCKETS_A_SECOND)
    }

    /// Forgets the reference, because the timestamps count from somewhere else now.
    pub fn rebase(&mut self, now: Instant) {
        self.fastest = [i64::MAX; 2];
        self.window_end = now + WINDOW;
    }

    /// Takes note of a packet whose first sample is `at`; gives how far it is behind the fastest.
    pub fn observe(&mut self, now: Instant, at: i64) -> i64 {
        if now >= self.window_end {
            self.fastest = [i64::MAX, self.fastest[0]];
            self.window_end = now + WINDOW;
        }
        let transit = self.samples_since_epoch(now) - at;
        self.fastest[0] = self.fastest[0].min(transit);
        let behind = transit - self.reference();
        let bucket = ((behind / self.bucket()) as usize).min(BUCKETS - 1);
        self.histogram.iter_mut().for_each(|share| *share *= 1.0 - FORGET);
        self.histogram[bucket] += FORGET;
        behind
    }

    /// How far `at` is behind the fastest packet if it is played now: the delay the buffer adds.
    pub fn of(&self, now: Instant, at: i64) -> i64 {
        match self.reference() {
            i64::MAX => 0,
            reference => self.samples_since_epoch(now) - at - reference,
        }
    }

    /// The delay that would have been enough for nearly all packets, in samples.
    pub fn wanted(&self) -> i64 {
        let mut sum = 0.0;
        let enough = self.histogram.iter().position(|share| {
            sum += share;
            sum >= QUANTILE
        });
        (enough.unwrap_or(BUCKETS - 1) as i64 + 1) * self.bucket()
    }

    fn reference(&self) -> i64 {
        self.fastest[0].min(self.fastest[1])
    }

    fn samples_since_epoch(&self, now: Instant) -> i64 {
        samples_in(now.saturating_duration_since(self.epoch), self.rate) as i64
    }
}
