//! RTCP of one session: what each end tells the other, to whom, and what follows from it.
//!
//! RTCP is held to the source of RTP ([`latching`](crate::media::latching)): on a port of its own it must
//! come from the host that RTP comes from, and speak of our stream or theirs; the first such datagram
//! fixes its port. A report cannot be forged into more than wrong figures, nor a goodbye into more than
//! less patience with a silence that is there: nothing else hangs on them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Output, Session, outbound::scramble};
use crate::{
    base::{audio::samples_in, terms::Rtcp},
    media::{
        latching::{Latch, Source},
        reception::Heard,
        rtcp::{self, NtpTime, Outgoing, ReportBlock, Reports, RtcpError, SenderInfo},
        rtp::{Ssrc, Timestamp},
    },
};

impl Session {
    /// Says goodbye, if anything was ever said: the last that a session does.
    pub fn close(&mut self, now: Instant) {
        if self.reporting.has_spoken() {
            self.report(now, true);
        }
    }

    pub(super) fn take_report(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], own_port: bool) {
        let reports = match Reports::parse(datagram) {
            Ok(reports) => reports,
            // Baresip opens a NAT with a packet that reports nothing.
            Err(RtcpError::NoReport(_)) => return,
            Err(_) => return self.counters.malformed += 1,
        };
        let streams = Streams {
            clock_rate: self.codec.clock_rate(),
            packets: self.counters.sent.packets,
            heard: self.reception.ssrc(),
        };
        let taken = if own_port {
            self.reporting.handle_own_port(now, from, &self.latch, &reports, streams)
        } else if self.latch.judge(from) == Source::Known {
            self.reporting.handle(now, &reports, streams);
            true
        } else {
            false
        };
        if taken && streams.heard.is_some_and(|heard| reports.goodbyes.contains(&heard)) {
            self.left = Some(now);
        } else if taken {
            self.reported = now;
        }
        let counter = if taken { &mut self.counters.rtcp } else { &mut self.counters.strangers };
        *counter += 1;
    }

    /// Tells the far end what was sent and heard, on hold as well (RFC 3264 §5.1).
    pub(super) fn report(&mut self, now: Instant, goodbye: bool) {
        let rtp = self.latch.destination();
        let Some((to, mux)) = self.reporting.destination(rtp, &self.latch) else { return };
        let rate = self.codec.clock_rate();
        // The next tick's audio begins when it is due; a report stands before that.
        let ahead = self.pacer.poll_timeout().saturating_duration_since(now);
        let ahead = samples_in(ahead, rate) as u32;
        let stream = OurStream {
            timestamp: self.outbound.timestamp().plus(ahead.wrapping_neg()),
            packets: self.counters.sent.packets,
            octets: self.counters.sent.octets,
        };
        let jitter = samples_in(self.reception.jitter(), rate) as u32;
        let heard = self.reception.report().map(|heard| (heard, jitter));
        let mut datagram = self.reporting.write(now, stream, heard, goodbye);
        self.srtp.iter_mut().for_each(|srtp| srtp.protect_rtcp(&mut datagram));
        self.outputs.push_back(Output::Report { to, mux, datagram });
    }
}

/// What the far end says of our stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FarReport {
    /// Share of our packets that it misses since the stream began, 0 to 1.
    pub loss: f64,
    pub jitter: Duration,
}

/// What a report needs to know of our stream.
#[derive(Debug, Clone, Copy)]
pub struct OurStream {
    /// Where the timestamps stand at the time of the report.
    pub timestamp: Timestamp,
    pub packets: u64,
    pub octets: u64,
}

pub struct Reporting {
    ssrc: Ssrc,
    cname: String,
    epoch: Instant,
    /// Makes the draws of the schedule.
    seed: u64,
    path: Rtcp,
    /// Where RTCP with a port of its own comes from.
    latched: Option<SocketAddr>,
    /// The far end's last sender report, and when it came.
    last_sender_report: Option<(NtpTime, Instant)>,
    /// Packets that had been sent when the last report left.
    reported: u64,
    sent: u64,
    round_trip: Option<Duration>,
    far: Option<FarReport>,
}

impl Reporting {
    pub fn new(ssrc: Ssrc, path: Rtcp, seed: u64, now: Instant) -> Self {
        let (a, seed) = (scramble(seed ^ 0x5254_4350), scramble(seed ^ 0x434e_414d));
        Reporting {
            ssrc,
            // Means nothing and tells nothing (RFC 7022).
            cname: format!("{a:016x}{:08x}", seed >> 32),
            epoch: now,
            seed,
            path,
            latched: None,
            last_sender_report: None,
            reported: 0,
            sent: 0,
            round_trip: None,
            far: None,
        }
    }

    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub fn far(&self) -> Option<FarReport> {
        self.far
    }

    /// A re-INVITE agreed on another way; `moved` says that the far end's media comes from elsewhere now.
    pub fn update(&mut self, path: Rtcp, moved: bool) {
        if moved || path != self.path {
            self.latched = None;
        }
        self.path = path;
    }

    /// What reported so far was of another call.
    pub fn forsake(&mut self) {
        self.latched = None;
    }

    /// Takes what came on the port of RTCP alone. `false` for a stranger's.
    pub fn handle_own_port(
        &mut self,
        now: Instant,
        from: SocketAddr,
        latch: &Latch,
        reports: &Reports,
        streams: Streams,
    ) -> bool {
        let host = latch.is_peer_host(from.ip());
        let known = self.latched.filter(|latched| latch.is_peer_host(latched.ip()));
        let ours = match known {
            Some(latched) => latched == from,
            None => self.concerns_us(reports, streams.heard),
        };
        if !host || !ours {
            return false;
        }
        self.latched = Some(from);
        self.handle(now, reports, streams);
        true
    }

    /// Takes a report whose source is known to be the far end.
    pub fn handle(&mut self, now: Instant, reports: &Reports, streams: Streams) {
        if let Some((ssrc, info)) = reports.sender
            && streams.heard.is_none_or(|heard| heard == ssrc)
        {
            self.last_sender_report = Some((info.ntp, now));
        }
        let ours = self.ssrc;
        for block in reports.blocks.iter().filter(|block| block.ssrc == ours) {
            self.take(now, block, streams);
        }
    }

    fn concerns_us(&self, reports: &Reports, heard: Option<Ssrc>) -> bool {
        let of_theirs = reports.sender.is_some_and(|(ssrc, _)| Some(ssrc) == heard);
        of_theirs || reports.blocks.iter().any(|block| block.ssrc == self.ssrc)
    }

    fn take(&mut self, now: Instant, block: &ReportBlock, streams: Streams) {
        if let Some(measured) = rtcp::round_trip(self.ntp(now), block) {
            self.round_trip = Some(measured);
        }
        let lost = f64::from(block.cumulative_lost.max(0));
        self.far = Some(FarReport {
            loss: (lost / (streams.packets.max(1) as f64)).min(1.0),
            jitter: Duration::from_secs_f64(f64::from(block.jitter) / f64::from(streams.clock_rate)),
        });
    }

    /// A number from 0 to 1 by which the next report is scheduled.
    pub fn draw(&mut self) -> f64 {
        self.seed = scramble(self.seed);
        (self.seed >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The report that leaves at `now`.
    pub fn write(
        &mut self,
        now: Instant,
        stream: OurStream,
        heard: Option<(Heard, u32)>,
        goodbye: bool,
    ) -> Vec<u8> {
        let sends = stream.packets > std::mem::replace(&mut self.reported, stream.packets);
        let sender = sends.then(|| SenderInfo {
            ntp: self.ntp(now),
            rtp: stream.timestamp,
            packets: stream.packets as u32,
            octets: stream.octets as u32,
        });
        let block = heard.map(|(heard, jitter)| self.block(now, heard, jitter));
        self.sent += 1;
        rtcp::write(&Outgoing { ssrc: self.ssrc, sender, block, cname: &self.cname, goodbye })
    }

    /// Whether anything was ever said that a goodbye could end (RFC 3550 §6.3.7).
    pub fn has_spoken(&self) -> bool {
        self.sent > 0
    }

    /// Where reports go, and whether through RTP's port. `rtp` is where RTP goes.
    pub fn destination(&self, rtp: Option<SocketAddr>, latch: &Latch) -> Option<(SocketAddr, bool)> {
        let rtp = rtp?;
        let next_port = || Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?));
        let own = match self.path {
            Rtcp::Mux => return Some((rtp, true)),
            Rtcp::At(address) if !latch.is_elsewhere() => Some(address),
            Rtcp::At(_) | Rtcp::NextPort => next_port(),
        };
        let latched = self.latched.filter(|latched| latch.is_peer_host(latched.ip()));
        latched.or(own).map(|to| (to, false))
    }

    fn block(&self, now: Instant, heard: Heard, jitter: u32) -> ReportBlock {
        let since = |at: Instant| NtpTime::after(now.saturating_duration_since(at)).middle();
        ReportBlock {
            ssrc: heard.ssrc,
            fraction_lost: heard.fraction_lost,
            cumulative_lost: heard.cumulative_lost,
            highest: heard.highest,
            jitter,
            last_sender_report: self.last_sender_report.map_or(0, |(ntp, _)| ntp.middle()),
            delay: self.last_sender_report.map_or(0, |(_, at)| since(at)),
        }
    }

    /// Our clock, which begins a second before the session, so that no report of ours stands at 0.
    fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::after(Duration::from_secs(1) + now.saturating_duration_since(self.epoch))
    }
}

/// What reports are read with.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    /// RTP clock rate of our stream, and how many packets of it were sent.
    pub clock_rate: u32,
    pub packets: u64,
    /// Whose RTP is heard.
    pub heard: Option<Ssrc>,
}
