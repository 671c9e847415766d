//! A bad network in virtual time, the same for the same seed.

use std::time::{Duration, Instant};

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0.0 to 1.0.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// One way of a path. Jitter alone reorders what it overtakes.
pub struct Link<T> {
    rng: Rng,
    pub loss: f64,
    pub duplicates: f64,
    pub delay: Duration,
    pub jitter: Duration,
    /// Arrival, order of sending, and what was sent.
    flying: Vec<(Instant, u64, T)>,
    sent: u64,
}

impl<T: Clone> Link<T> {
    pub fn seeded(seed: u64) -> Self {
        Link {
            rng: Rng(seed),
            loss: 0.0,
            duplicates: 0.0,
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            flying: Vec::new(),
            sent: 0,
        }
    }

    pub fn loss(self, loss: f64) -> Self {
        Link { loss, ..self }
    }

    pub fn duplicates(self, duplicates: f64) -> Self {
        Link { duplicates, ..self }
    }

    pub fn delay(self, ms: u64) -> Self {
        Link { delay: Duration::from_millis(ms), ..self }
    }

    /// Uniform, from none to `ms`.
    pub fn jitter(self, ms: u64) -> Self {
        Link { jitter: Duration::from_millis(ms), ..self }
    }

    pub fn send(&mut self, now: Instant, item: T) {
        let copies = 1 + u32::from(self.rng.unit() < self.duplicates);
        for _ in 0..copies {
            let arrival = now + self.delay + self.jitter.mul_f64(self.rng.unit());
            if self.rng.unit() >= self.loss {
                self.flying.push((arrival, self.sent, item.clone()));
            }
            self.sent += 1;
        }
    }

    /// What has arrived by `now`, the earliest first.
    pub fn poll(&mut self, now: Instant) -> Option<(Instant, T)> {
        let due = self.flying.iter().enumerate().filter(|(_, (arrival, ..))| *arrival <= now);
        let (index, _) = due.min_by_key(|(_, (arrival, order, _))| (*arrival, *order))?;
        let (arrival, _, item) = self.flying.swap_remove(index);
        Some((arrival, item))
    }
}
