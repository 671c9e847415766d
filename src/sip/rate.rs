//! How many messages a source may send, by token buckets. Pure: time is an argument.
//!
//! A source that is not known yet gets a bucket of its own while there is room. Nobody's bucket is ever
//! dropped before it is full again, so that a flood of made-up addresses cannot free one that is
//! limited; where the room is used up, all who are new share one bucket.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// Sources with a bucket of their own.
const CAPACITY: usize = 4096;
/// Between two looks for buckets that are full again.
const SWEEP: Duration = Duration::from_secs(1);

/// The `[sip.rate_limit]` section: datagrams, and requests over TCP and TLS, from one address. Zero a second is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimit {
    pub strangers_per_second: u32,
    /// How many may come at once.
    pub strangers_burst: u32,
    pub trunk_per_second: u32,
    pub trunk_burst: u32,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit {
            strangers_per_second: 20,
            strangers_burst: 50,
            trunk_per_second: 10_000,
            trunk_burst: 20_000,
        }
    }
}

/// Trunks apart from strangers, so that these can take nothing from those.
#[derive(Debug)]
pub(super) struct Limiter {
    strangers: Buckets,
    trunks: Buckets,
}

impl Limiter {
    pub fn new(limit: RateLimit, now: Instant) -> Self {
        Limiter {
            strangers: Buckets::new(limit.strangers_per_second, limit.strangers_burst, now),
            trunks: Buckets::new(limit.trunk_per_second, limit.trunk_burst, now),
        }
    }

    /// Whether a message from `source` is read.
    pub fn admit(&mut self, source: IpAddr, is_trunk: bool, now: Instant) -> bool {
        let buckets = if is_trunk { &mut self.trunks } else { &mut self.strangers };
        buckets.admit(source, now)
    }
}

#[derive(Debug)]
struct Buckets {
    per_second: f64,
    burst: f64,
    own: HashMap<IpAddr, Bucket>,
    shared: Bucket,
    swept: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Buckets {
    fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst.max(1));
        Buckets {
            per_second: per_second.into(),
            burst,
            own: HashMap::new(),
            shared: Bucket { tokens: burst, at: now },
            swept: now,
        }
    }

    fn admit(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.per_second == 0.0 {
            return true;
        }
        let source = household(source);
        if self.own.len() >= CAPACITY && !self.own.contains_key(&source) {
            self.sweep(now);
        }
        let full = Bucket { tokens: self.burst, at: now };
        let bucket = match self.own.len() {
            CAPACITY.. => self.own.get_mut(&source).unwrap_or(&mut self.shared),
            _ => self.own.entry(source).or_insert(full),
        };
        bucket.take(self.per_second, self.burst, now)
    }

    /// Forgets those that would begin as they are.
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        let (per_second, burst) = (self.per_second, self.burst);
        self.own.retain(|_, bucket| bucket.filled(per_second, burst, now) < burst);
    }
}

impl Bucket {
    fn filled(&self, per_second: f64, burst: f64, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * per_second;
        (self.tokens + gained).min(burst)
    }

    fn take(&mut self, per_second: f64, burst: f64, now: Instant) -> bool {
        self.tokens = self.filled(per_second, burst, now);
        self.at = now;
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

/// IPv4 by address; IPv6 by the /64 that one customer has.
fn household(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit =
        RateLimit { strangers_per_second: 2, strangers_burst: 3, trunk_per_second: 10, trunk_burst: 5 };

    fn ip(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn admitted(limiter: &mut Limiter, source: IpAddr, tries: u32, now: Instant) -> u32 {
        (0..tries).map(|_| u32::from(limiter.admit(source, false, now))).sum()
    }

    #[test]
    fn burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut limiter = Limiter::new(LIMIT, start);
        assert_eq!(admitted(&mut limiter, ip(1), 10, start), 3);
        assert_eq!(admitted(&mut limiter, ip(1), 10, start + Duration::from_millis(1500)), 3);
        assert_eq!(admitted(&mut limiter, ip(1), 10, start + Duration::from_millis(2000)), 1);
        assert_eq!(admitted(&mut limiter, ip(2), 10, start), 3, "another source has its own");
        assert_eq!((0..9).filter(|_| limiter.admit(ip(1), true, start)).count(), 5, "so does a trunk");
    }

    #[test]
    fn no_rate_is_no_limit() {
        let start = Instant::now();
        let mut limiter = Limiter::new(RateLimit { strangers_per_second: 0, ..LIMIT }, start);
        assert_eq!(admitted(&mut limiter, ip(1), 1000, start), 1000);
    }

    #[test]
    fn flood_of_addresses_frees_nobody_and_reaches_no_trunk() {
        let start = Instant::now();
        let mut limiter = Limiter::new(LIMIT, start);
        assert_eq!(admitted(&mut limiter, ip(0), 9, start), 3);
        let flood = (1..100_000).filter(|n| limiter.admit(ip(*n), false, start)).count();
        assert_eq!(flood, CAPACITY - 1 + 3, "those after the last own bucket share one");
        assert_eq!(limiter.strangers.own.len(), CAPACITY);
        assert_eq!(admitted(&mut limiter, ip(0), 9, start), 0, "whoever is limited stays so");
        assert!(limiter.admit(ip(7), true, start));
        let later = start + Duration::from_secs(60);
        assert_eq!(admitted(&mut limiter, ip(200_000), 9, later), 3, "room is made once buckets are full");
        assert_eq!(limiter.strangers.own.len(), 1);
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        let start = Instant::now();
        let mut limiter = Limiter::new(LIMIT, start);
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(admitted(&mut limiter, of("2001:db8::1"), 9, start), 3);
        assert_eq!(admitted(&mut limiter, of("2001:db8::ffff"), 9, start), 0);
        assert_eq!(admitted(&mut limiter, of("2001:db8:0:1::1"), 9, start), 3);
        assert_eq!(admitted(&mut limiter, of("::ffff:192.0.2.1"), 2, start), 2);
        assert_eq!(admitted(&mut limiter, of("192.0.2.1"), 9, start), 1);
    }
}
