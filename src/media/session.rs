//! One call's media, sans-IO: datagrams and deadlines in, datagrams and events out.
//!
//! The session owns no socket and reads no clock. Its driver calls [`Session::handle_datagram`] for
//! what arrives and [`Session::handle_timeout`] at [`Session::poll_timeout`], and drains
//! [`Session::poll_output`], or [`Session::handle_timeout_into`] does. A tick every 20 ms does all the
//! work: one inbound frame, one outbound packet.
//!
//! # Directions (RFC 3264 §8.4)
//! They are ours. With `recvonly` or `inactive` (we are on hold) nothing is sent: what plays and the
//! digits wait, and go on where they were after the resume; timestamps move with time, and the first
//! packet carries the marker. With `sendonly` or `inactive` (the far end is on hold) audio that comes
//! all the same is dropped, frames are silence, and no silence is reported. DTMF is dropped likewise.
//!
//! # Encryption
//! With keys ([`srtp`](super::srtp)), only authentic packets are read at all: nothing else latches, counts
//! as heard, or reaches the reports. All that is sent is protected, reports and the goodbye included.
//!
//! # Hostile input
//! What is no RTP, comes from a stranger ([`latching`](super::latching)), has an unknown payload type,
//! or repeats itself is counted and dropped. RTCP is read on RTP's port (RFC 5761) as on its own, and
//! `reporting` says whose.

mod config;
mod datagram;
mod inbound;
mod inlet;
mod outbound;
mod output;
mod protection;
mod reporting;
mod stats;

use std::{
    borrow::Cow,
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

pub use self::{
    config::{SessionConfig, SessionUpdate},
    datagram::Datagram,
    outbound::Feed,
    output::{MediaEvent, Output},
    reporting::FarReport,
    stats::MediaStats,
};
use self::{inlet::Inlet, outbound::Outbound, reporting::Reporting, stats::Counters};
use super::{
    codec::Decoder,
    comfort::ComfortNoise,
    demux::Claim,
    dtmf::{Digit, DtmfError, DtmfReceiver},
    inband::ToneReceiver,
    jitter::{FRAME_SAMPLES, FrameKind, JitterBuffer},
    latching::{Latch, Source},
    pacer::{Pacer, frames},
    playout::{PlayoutFull, Progress, UtteranceId, narrow},
    prefetch::prefetch,
    reception::{Reception, Verdict},
    relay::Frame,
    rtcp::Schedule,
    rtp::{Packet, RtpError, SequenceNumber},
    srtp::Srtp,
    tap::TapFrame,
};
use crate::base::{
    audio::{Codec, Direction, WIDEBAND_HZ, frame_samples},
    terms::{Formats, OpusTerms},
};

/// After a goodbye (RFC 3550 §6.6) silence is no lost packet; what follows a change of the far end's stream
/// comes within this.
const AFTER_GOODBYE: Duration = Duration::from_secs(3);
/// A far end that was not heard for so long may be heard from elsewhere after a re-INVITE
/// ([`latching`](super::latching)): a NAT that gave it another port has not yet ended the call.
const SILENT: Duration = Duration::from_secs(2);
/// Samples of a wideband frame.
const LONGEST_FRAME: usize = frame_samples(WIDEBAND_HZ);
/// Packets that a goodbye overtook come within this; who is heard after it has not left.
const STRAGGLERS: Duration = Duration::from_millis(500);

pub struct Session {
    codec: Codec,
    payload_type: u8,
    telephone_event: Option<u8>,
    direction: Direction,
    receives: Formats,
    opus: OpusTerms,
    rtp_timeout: Duration,
    pacer: Pacer,
    /// Time since the session began, in samples of 8 kHz.
    clock: u64,
    /// Of an encrypted session.
    srtp: Option<Box<Srtp>>,
    /// Of one that was, and is plain now: under a key that comes back, numbers go on.
    rested: Option<Box<Srtp>>,
    latch: Latch,
    reception: Reception,
    /// The newest packet of speech in the stream.
    spoken: Option<SequenceNumber>,
    /// Of the codecs heard so far.
    decoders: Vec<(Codec, Decoder)>,
    jitter: JitterBuffer,
    comfort: ComfortNoise,
    dtmf: DtmfReceiver,
    /// Listens where events were not agreed on; made when it is needed.
    tones: Option<Box<ToneReceiver>>,
    inlet: Inlet,
    outbound: Outbound,
    reporting: Box<Reporting>,
    /// Of reports.
    schedule: Schedule,
    /// When RTP was last heard, or expected to begin.
    heard: Instant,
    /// When RTP last came, whatever was expected.
    spoke: Instant,
    /// When it last reported by RTCP: it lives, though it may say nothing.
    reported: Instant,
    /// When the far end's stream ended by a goodbye.
    left: Option<Instant>,
    timed_out: bool,
    tapped: bool,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Session {
    /// The first tick is due at `now`.
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        let SessionConfig { agreed, jitter, rtp_timeout, seed } = config;
        let outbound = Outbound::new(agreed.codec, agreed.terms.opus, seed);
        let mut reporting = Box::new(Reporting::new(outbound.ssrc(), agreed.terms.rtcp, seed, now));
        let schedule = Schedule::new(now, reporting.draw());
        Session {
            codec: agreed.codec,
            payload_type: agreed.payload_type,
            telephone_event: agreed.telephone_event,
            direction: agreed.direction,
            receives: agreed.terms.receives,
            opus: agreed.terms.opus,
            rtp_timeout,
            pacer: Pacer::new(now),
            clock: 0,
            srtp: agreed.terms.srtp.map(|keying| Box::new(Srtp::new(keying))),
            rested: None,
            latch: Latch::new(agreed.remote),
            reception: Reception::new(now),
            spoken: None,
            decoders: Vec::new(),
            jitter: JitterBuffer::new(jitter, agreed.codec.sample_rate(), now),
            comfort: ComfortNoise::default(),
            dtmf: DtmfReceiver::default(),
            tones: None,
            inlet: Inlet::default(),
            outbound,
            reporting,
            schedule,
            heard: now,
            spoke: now,
            reported: now,
            left: None,
            timed_out: false,
            tapped: false,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes what arrived on the socket, whatever it is.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if self.srtp.is_some() && self.latch.judge(from) == Source::Stranger {
            // Not worth a look at its tag.
            return self.counters.strangers += 1;
        }
        self.open(datagram, |session, datagram| session.take_datagram(now, from, datagram));
    }

    fn take_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let packet = match Packet::parse(datagram) {
            Ok(packet) => packet,
            Err(RtpError::Rtcp(_)) => return self.take_report(now, from, datagram, false),
            Err(_) => return self.counters.malformed += 1,
        };
        let source = self.latch.judge(from);
        if source == Source::Left {
            self.latch.hold_off();
        }
        if matches!(source, Source::Left | Source::Stranger) {
            return self.counters.strangers += 1;
        }
        let Some(kind) = self.kind_of(packet.header.payload_type) else {
            return self.counters.unknown_payload += 1;
        };
        if source == Source::Plausible {
            self.latch.latch(from);
            self.emit(MediaEvent::Latched { from });
        } else {
            self.latch.confirm();
        }
        self.counters.received.count(packet.payload);
        (self.heard, self.spoke) = (now, now);
        if std::mem::take(&mut self.timed_out) {
            self.emit(MediaEvent::RtpResumed);
        }
        match self.reception.judge(&packet.header) {
            Verdict::Accept => {}
            Verdict::Restart => self.restart_inbound(now),
            Verdict::Duplicate | Verdict::Unconfirmed => return,
        }
        if self.direction.receives() {
            self.take(now, &packet, kind);
        }
    }

    /// Takes what arrived on the socket above RTP's.
    pub fn handle_rtcp(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.open(datagram, |session, datagram| session.take_report(now, from, datagram, true));
    }

    /// Does what is due: a tick for every 20 ms that passed, a few at the most.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.pacer.poll_timeout());
        let due = self.pacer.handle_timeout(now);
        self.clock += u64::from(due.skipped) * FRAME_SAMPLES as u64;
        self.outbound.skip(due.skipped);
        self.counters.skipped_ticks += u64::from(due.skipped);
        self.counters.worst_lateness = self.counters.worst_lateness.max(late);
        for n in 0..due.ticks {
            self.tick(now, due.first + frames(n));
        }
        if self.schedule.handle_timeout(now, || self.reporting.draw()) {
            self.report(now, false);
        }
    }

    /// Brings nearer what [`Session::handle_timeout`] reads, beside the session itself.
    pub fn prefetch(&self) {
        self.jitter.prefetch();
        self.outbound.playout.prefetch();
    }

    /// Brings nearer what [`Session::handle_datagram`] touches, beside the session itself.
    pub fn prefetch_inbound(&self) {
        self.jitter.prefetch_inbound();
        prefetch(&self.decoders[..]);
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.pacer.poll_timeout())
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// [`Session::handle_timeout`], with all that is to be polled in place of what is in `outputs`: another
    /// session may have left something there, which is nobody else's to hear. Sessions that share it have no
    /// queue of their own to bring into the cache.
    pub fn handle_timeout_into(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        outputs.clear();
        outputs.append(&mut self.outputs);
        std::mem::swap(outputs, &mut self.outputs);
        self.handle_timeout(now);
        std::mem::swap(outputs, &mut self.outputs);
    }

    /// Queues audio at `rate` Hz behind what already waits, or none of it.
    pub fn play<'a>(
        &mut self,
        utterance: UtteranceId,
        pcm: impl Into<Cow<'a, [i16]>>,
        rate: u32,
    ) -> Result<(), PlayoutFull> {
        let pcm = pcm.into();
        self.outbound.playout.admit(narrow(pcm.len(), rate))?;
        let pcm = self.inlet.fit(utterance, pcm, rate, self.rate());
        self.outbound.playout.push(utterance, pcm);
        Ok(())
    }

    /// No more audio will come for the utterance; [`MediaEvent::Played`] follows when all is sent.
    pub fn finish(&mut self, utterance: UtteranceId) {
        let rest = self.inlet.flush(utterance, self.rate());
        if !rest.is_empty() {
            // A full playout takes no more: two milliseconds are missing at the end of a minute.
            let _ = self.outbound.playout.play(utterance, rest);
        }
        self.outbound.playout.finish(utterance);
    }

    /// Drops what waits, from the next packet on.
    pub fn stop_playing(&mut self) {
        for (utterance, samples) in self.outbound.playout.stop() {
            self.emit(MediaEvent::Stopped { utterance, samples });
        }
    }

    /// What is sent from the next packet on. What is queued to be played waits until it is played again.
    pub fn send_from(&mut self, feed: Feed) {
        self.outbound.feed = feed;
    }

    /// A frame for [`Feed::Relay`]; without it, nobody hears it.
    pub fn relay(&mut self, frame: Frame) {
        if let Feed::Relay(relay) = &mut self.outbound.feed {
            relay.push(frame);
        }
    }

    /// Sends digits in the place of audio, which waits meanwhile: as events, or as tones where those were
    /// not agreed on. `w` and `W` pause for 0.5 and 1 s.
    pub fn send_dtmf(&mut self, digits: &str) -> Result<(), DtmfError> {
        self.outbound.dtmf.queue(digits)
    }

    /// Takes what a re-INVITE or UPDATE agreed on. What plays goes on, in the new codec.
    pub fn update(&mut self, now: Instant, update: SessionUpdate) {
        let expected = update.direction.receives();
        let silent = expected && now.saturating_duration_since(self.spoke) >= SILENT;
        let opened = self.latch.update(update.remote, silent) | self.secure(update.terms.srtp);
        if opened {
            self.reception.forget();
        }
        self.reporting.update(update.terms.rtcp, opened);
        if (update.codec, update.terms.opus) != (self.codec, self.opus) {
            self.outbound.set_codec(update.codec, update.terms.opus);
            self.jitter.set_rate(update.codec.sample_rate());
        }
        if !expected {
            self.comfort.end();
        }
        // What is agreed anew is waited for anew.
        (self.heard, self.left, self.timed_out) = (now, None, false);
        (self.codec, self.payload_type) = (update.codec, update.payload_type);
        (self.telephone_event, self.direction) = (update.telephone_event, update.direction);
        (self.receives, self.opus) = (update.terms.receives, update.terms.opus);
    }

    /// The source that is latched is another session's: waits for the one that the SDP names, or another plausible
    /// one, as at the beginning.
    pub fn forsake(&mut self, now: Instant) {
        self.latch.forsake();
        self.reception.forget();
        self.restart_inbound(now);
        self.reporting.forsake();
        (self.heard, self.left, self.timed_out) = (now, None, false);
    }

    /// Whether [`Output::Tap`] is given.
    pub fn set_tap(&mut self, on: bool) {
        self.tapped = on;
    }

    /// What waits to be sent, in samples of 8 kHz.
    pub fn queued(&self) -> usize {
        self.outbound.playout.queued()
    }

    /// What tells its datagrams from those of other sessions on the same port.
    pub fn claim(&self) -> Claim {
        Claim {
            ours: self.outbound.ssrc(),
            expected: self.latch.expected(),
            latched: self.latch.latched(),
            heard: self.reception.ssrc(),
        }
    }

    /// Samples a second of the line's audio.
    pub fn rate(&self) -> u32 {
        self.codec.sample_rate()
    }

    pub fn stats(&self) -> MediaStats {
        let (counters, buffer) = (&self.counters, self.jitter.stats());
        MediaStats {
            packets_sent: counters.sent.packets,
            octets_sent: counters.sent.octets,
            packets_received: counters.received.packets,
            octets_received: counters.received.octets,
            lost: self.reception.lost(),
            duplicates: self.reception.duplicates(),
            late: counters.late + buffer.late_packets,
            malformed: counters.malformed,
            strangers: counters.strangers,
            unknown_payload: counters.unknown_payload,
            encrypted: self.srtp.is_some(),
            unauthenticated: counters.unauthenticated,
            replayed: counters.replayed,
            rtcp: counters.rtcp,
            recovered: counters.recovered,
            concealed_samples: buffer.concealed,
            stretched_samples: buffer.stretched,
            resyncs: buffer.resyncs,
            skipped_ticks: counters.skipped_ticks,
            worst_lateness: counters.worst_lateness,
            jitter: self.reception.jitter(),
            buffer_target: self.jitter.target(),
            buffer_delay: self.jitter.delay(self.pacer.poll_timeout()),
            round_trip: self.reporting.round_trip(),
            far: self.reporting.far(),
            ..MediaStats::default()
        }
    }

    fn emit(&mut self, event: MediaEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn emit_digit(&mut self, digit: Option<Digit>) {
        if let Some(Digit { digit, duration }) = digit {
            self.emit(MediaEvent::Dtmf { digit, duration });
        }
    }

    fn tick(&mut self, now: Instant, deadline: Instant) {
        let mut heard = vec![0; frame_samples(self.rate())];
        let kind = self.jitter.frame(deadline, &mut heard);
        if kind == FrameKind::Silence {
            self.comfort.fill(&mut heard);
        }
        let digit = self.dtmf.handle_timeout(now);
        self.emit_digit(digit);
        // Where sound passes on to another session, its tones do.
        if self.telephone_event.is_none() && !matches!(self.outbound.feed, Feed::Relay(_)) {
            let digit = self.tones.get_or_insert_default().hear(&heard);
            self.emit_digit(digit);
        }
        let mut said = [0; LONGEST_FRAME];
        let said = &mut said[..heard.len()];
        self.send(now, said);
        if self.tapped {
            let both = heard.iter().zip(said);
            let stereo = both.map(|(&left, &mut right)| [left, right]).collect();
            let frame = TapFrame { start: self.clock, rate: self.rate(), stereo };
            self.outputs.push_back(Output::Tap(Box::new(frame)));
        }
        self.emit(MediaEvent::Frame { start: self.clock, pcm: heard, kind });
        self.watch_silence(now);
        self.clock += FRAME_SAMPLES as u64;
    }

    /// Sends a packet, if one may be sent, and puts its audio into `frame`, which is silent.
    fn send(&mut self, now: Instant, frame: &mut [i16]) {
        let to = self.latch.destination().filter(|_| self.direction.sends());
        let Some(to) = to else { return self.outbound.pause(self.rate()) };
        let mut progress = Vec::new();
        let payload_types = (self.payload_type, self.telephone_event);
        let mut datagram = self.outbound.tick(payload_types, frame, &mut progress);
        self.counters.sent.count(datagram.payload());
        self.srtp.iter_mut().for_each(|srtp| datagram.protect(srtp));
        self.outputs.push_back(Output::Transmit { to, datagram });
        for change in progress {
            self.emit(match change {
                Progress::Playing(utterance) => MediaEvent::Playing { utterance, at: now },
                Progress::Played { utterance, samples } => MediaEvent::Played { utterance, samples },
            });
        }
    }

    fn watch_silence(&mut self, now: Instant) {
        if !self.direction.receives() {
            self.heard = now;
            return;
        }
        let left = self.left.is_some_and(|left| self.heard <= left + STRAGGLERS);
        // The report that brings a goodbye is no sign of life.
        let alive = if left { self.heard } else { self.heard.max(self.reported) };
        let silent_for = now.saturating_duration_since(alive);
        let patience = if left { self.rtp_timeout.min(AFTER_GOODBYE) } else { self.rtp_timeout };
        if !self.timed_out && silent_for >= patience {
            self.timed_out = true;
            self.emit(MediaEvent::RtpTimeout { silent_for });
        }
    }
}

#[cfg(test)]
mod tests;
