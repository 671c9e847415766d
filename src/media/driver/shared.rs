//! The pair of ports that all legs of a thread share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    batch::{BATCH, Inbox, Outbox},
    leg::LiveLeg,
    legs::{AHEAD, Legs},
    sockets::Sockets,
    worker::guarded,
};
use crate::media::{
    demux::{Call, Demux, Route},
    rtcp::Reports,
    rtp::{self, Ssrc, Stream},
};

/// Batches read before a phase, which comes every 20 ms at least: two hundred thousand packets a second. A flood beyond
/// this stays in the kernel, which drops what its buffer does not hold.
const BATCHES: usize = 64;

/// What a datagram is by the port that it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    Rtp,
    Rtcp,
}

pub struct SharedPort {
    pub sockets: Arc<Sockets>,
    pub outbox: Outbox,
    inbox: Inbox,
    /// Of what is in the inbox, by what was claimed when it was read.
    routes: [Route; BATCH],
    /// One of that changed what is claimed.
    stale: bool,
    demux: Demux,
    /// Calls that are to wait for media again.
    mistaken: Vec<Call>,
    /// Datagrams that were nobody's.
    strays: Arc<AtomicU64>,
}

impl SharedPort {
    pub fn new(sockets: Arc<Sockets>, rest: Duration, strays: Arc<AtomicU64>) -> Self {
        let (outbox, inbox) = (Outbox::default(), Inbox::default());
        let (routes, demux) = ([Route::Nobody; BATCH], Demux::new(rest));
        SharedPort { sockets, outbox, inbox, routes, stale: false, demux, mistaken: Vec::new(), strays }
    }

    /// A leg begins, or claims something else than before; [`SharedPort::mend`] is to follow.
    pub fn claim(&mut self, call: Call, leg: &LiveLeg) {
        self.mistaken.extend(self.demux.claim(call, leg.claim(), Instant::now()));
    }

    /// Takes from legs what they were mistaken to be sent.
    pub fn mend(&mut self, legs: &mut Legs) {
        while let Some(call) = self.mistaken.pop() {
            let Some(leg) = legs.get_mut(call) else { continue };
            leg.forsake(Instant::now());
            self.claim(call, leg);
            self.stale = true;
        }
    }

    pub fn release(&mut self, call: Call) {
        self.demux.release(call, Instant::now());
    }

    /// Hands what has come to the legs, and gives those that must end because of it.
    pub fn receive(&mut self, legs: &mut Legs) -> Vec<Call> {
        let mut broken = Vec::new();
        for (port, batches) in [(Port::Rtp, BATCHES), (Port::Rtcp, 1)] {
            for _ in 0..batches {
                let count = match port {
                    Port::Rtp => self.inbox.fill(&self.sockets.rtp),
                    Port::Rtcp => self.inbox.fill(&self.sockets.rtcp),
                };
                let now = Instant::now();
                self.stale = false;
                for n in 0..count {
                    self.routes[n] = self.route(now, port, n);
                }
                let known = |n: usize| self.routes[..count].get(n).and_then(Route::known);
                (0..=AHEAD).filter_map(known).for_each(|call| legs.prefetch(call));
                for n in 0..count {
                    let next = |ahead| self.routes[n + 1..count].get(ahead).and_then(Route::known);
                    legs.prefetch_next(next, LiveLeg::prefetch_inbound);
                    broken.extend(self.hand_over(now, port, n, legs).err());
                }
                if count < BATCH {
                    break;
                }
            }
        }
        broken
    }

    /// Sends what gathered.
    pub fn flush(&mut self, legs: &mut Legs) {
        self.outbox
            .flush(&self.sockets.rtp, |call| legs.get_mut(call).into_iter().for_each(LiveLeg::refused));
    }

    fn route(&mut self, now: Instant, port: Port, n: usize) -> Route {
        let Some((from, datagram)) = self.inbox.get(n) else { return Route::Nobody };
        match rtp::stream_of(datagram) {
            Some(Stream::Media(ssrc)) if port == Port::Rtp => self.demux.rtp(now, from, ssrc),
            Some(Stream::Reports(sender)) => {
                let about = spoken_of(datagram);
                self.demux.rtcp(from, sender, about).map_or(Route::Nobody, Route::Known)
            }
            _ => Route::Nobody,
        }
    }

    /// The leg, where it cannot go on.
    fn hand_over(&mut self, now: Instant, port: Port, n: usize, legs: &mut Legs) -> Result<(), Call> {
        let route = if self.stale { self.route(now, port, n) } else { self.routes[n] };
        let (Route::Known(call) | Route::New(call)) = route else {
            self.strays.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let (Some((from, datagram)), Some(leg)) = (self.inbox.get(n), legs.get_mut(call)) else {
            return Ok(());
        };
        if !guarded(|| leg.handle(now, from, datagram, port)) {
            return Err(call);
        }
        if route == Route::New(call) {
            self.claim(call, leg);
            self.stale = true;
            self.mend(legs);
        }
        Ok(())
    }
}

/// The streams that a report speaks of. One that is encrypted tells none.
fn spoken_of(datagram: &[u8]) -> impl Iterator<Item = Ssrc> {
    let reports = Reports::parse(datagram).ok();
    reports.into_iter().flat_map(|reports| reports.blocks).map(|block| block.ssrc)
}
