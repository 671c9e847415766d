//! Which UDP ports carry RTP and RTCP.
//!
//! A range is handed out round robin in pairs (RFC 3550 §11): an even port for RTP, and the odd one
//! above it for RTCP. A port that was given back rests for a while, so that the last packets of one call are not
//! heard in the next. An empty range lets the system choose.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    #[error(
        "RTP port range {min}-{max} holds no even port with the next one: set port_min below port_max, or both to 0"
    )]
    EmptyRange { min: u16, max: u16 },
    #[error(
        "all {total} RTP ports from {min} to {max} are in use or resting: widen port_min..port_max or place fewer calls"
    )]
    Exhausted { min: u16, max: u16, total: usize },
}

/// The ports of a node. Takes the time, reads no clock.
pub struct PortPool {
    min: u16,
    max: u16,
    rest: Duration,
    /// Free ports, the longest unused first.
    free: VecDeque<u16>,
    /// Given back, oldest first, and when they may be used again.
    resting: VecDeque<(Instant, u16)>,
    used: HashSet<u16>,
}

impl PortPool {
    /// Ports from `min` to `max`, both included; 0 and 0 for whatever the system gives.
    pub fn new(min: u16, max: u16, rest: Duration) -> Result<Self, PortError> {
        let free: VecDeque<u16> = (min..max).filter(|port| port % 2 == 0 && *port != 0).collect();
        if free.is_empty() && (min, max) != (0, 0) {
            return Err(PortError::EmptyRange { min, max });
        }
        Ok(PortPool { min, max, rest, free, resting: VecDeque::new(), used: HashSet::new() })
    }

    /// An even port to bind with the next one, 0 if the system chooses.
    pub fn acquire(&mut self, now: Instant) -> Result<u16, PortError> {
        if self.max == 0 {
            return Ok(0);
        }
        while let Some(&(_, port)) = self.resting.front().filter(|(until, _)| *until <= now) {
            self.resting.pop_front();
            self.free.push_back(port);
        }
        let exhausted = PortError::Exhausted { min: self.min, max: self.max, total: self.total() };
        let port = self.free.pop_front().ok_or(exhausted)?;
        self.used.insert(port);
        Ok(port)
    }

    /// Gives a port back. What was not handed out is ignored.
    pub fn release(&mut self, port: u16, now: Instant) {
        if self.used.remove(&port) {
            self.resting.push_back((now + self.rest, port));
        }
    }

    /// How many ports there are, 0 if the system chooses.
    pub fn total(&self) -> usize {
        self.free.len() + self.resting.len() + self.used.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(5);

    #[test]
    fn a_released_port_rests_before_it_is_used_again() {
        let now = Instant::now();
        let mut pool = PortPool::new(4_001, 4_006, REST).unwrap();
        let exhausted = Err(PortError::Exhausted { min: 4_001, max: 4_006, total: 2 });
        assert_eq!((pool.acquire(now), pool.acquire(now)), (Ok(4_002), Ok(4_004)));
        assert_eq!(pool.acquire(now), exhausted);
        pool.release(4_002, now);
        pool.release(4_002, now);
        pool.release(9, now);
        assert_eq!(pool.acquire(now + REST / 2), exhausted);
        assert_eq!(pool.acquire(now + REST), Ok(4_002));
    }

    #[test]
    fn ranges_without_a_pair_are_refused() {
        assert!(PortPool::new(4_002, 4_002, REST).is_err());
        assert!(PortPool::new(4_001, 4_001, REST).is_err());
        assert!(PortPool::new(5_000, 4_000, REST).is_err());
        assert_eq!(PortPool::new(0, 0, REST).unwrap().acquire(Instant::now()), Ok(0));
        assert_eq!(PortPool::new(65_534, 65_535, REST).unwrap().total(), 1);
    }
}
