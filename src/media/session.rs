//! One call's media, sans-IO: datagrams and deadlines in, datagrams and events out.
//!
//! The session owns no socket and reads no clock. Its driver calls [`Session::handle_datagram`] for
//! what arrives and [`Session::handle_timeout`] at [`Session::poll_timeout`], and drains
//! [`Session::poll_output`] after each. A tick every 20 ms does all the work: one inbound frame, one
//! outbound packet.
//!
//! # Directions (RFC 3264 §8.4)
//! They are ours. With `recvonly` or `inactive` (we are on hold) nothing is sent: what plays and the
//! digits wait, and go on where they were after the resume; timestamps move with time, and the first
//! packet carries the marker. With `sendonly` or `inactive` (the far end is on hold) audio that comes
//! all the same is dropped, frames are silence, and no silence is reported. DTMF is dropped likewise.
//!
//! # Hostile input
//! What is no RTP, comes from a stranger ([`latching`](super::latching)), has an unknown payload type,
//! or repeats itself is counted and dropped. RTCP on this port (RFC 5761) is counted and not read.

mod config;
mod outbound;
mod stats;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use self::outbound::Outbound;
pub use self::{
    config::{SessionConfig, SessionUpdate},
    outbound::{Datagram, Feed},
    stats::MediaStats,
};
use super::{
    codec,
    dtmf::{Digit, DtmfError, DtmfReceiver, Event},
    jitter::{FRAME_SAMPLES, FrameKind, JitterBuffer},
    latching::{Latch, Source},
    pacer::{Pacer, frames},
    playout::{PlayoutFull, Progress, UtteranceId},
    reception::{Reception, Verdict},
    relay::Frame,
    rtp::{Packet, RtpError},
    tap::TapFrame,
};
use crate::base::audio::{Codec, Direction};

/// Comfort noise (RFC 3389): keeps a stream alive, holds no speech.
const COMFORT_NOISE: u8 = 13;
/// The longest packet whose samples are read: 60 ms would be 480.
const MAX_PAYLOAD: usize = 1_500;

/// What the driver must do.
#[derive(Debug)]
pub enum Output {
    Transmit {
        to: SocketAddr,
        datagram: Datagram,
    },
    Event(MediaEvent),
    /// What both ends hear; only while [`Session::set_tap`] is on.
    Tap(Box<TapFrame>),
}

/// What a call learns from its media.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEvent {
    /// One every 20 ms. `start` is the index of its first sample since the session began, which jumps
    /// where the node itself stood still; `pcm` has 160 samples at 8 kHz.
    Frame {
        start: u64,
        pcm: Vec<i16>,
        kind: FrameKind,
    },
    Dtmf {
        digit: char,
        duration: Duration,
    },
    /// The first packet of the utterance was sent.
    Playing {
        utterance: UtteranceId,
        at: Instant,
    },
    /// All of it was sent.
    Played {
        utterance: UtteranceId,
        samples: u64,
    },
    /// It was cut short after this many samples were sent.
    Stopped {
        utterance: UtteranceId,
        samples: u64,
    },
    /// The far end's media comes from here; ours goes there from now on.
    Latched {
        from: SocketAddr,
    },
    /// Nothing came for the configured time. Once per silence, and never while we do not receive.
    RtpTimeout {
        silent_for: Duration,
    },
    RtpResumed,
}

pub struct Session {
    codec: Codec,
    payload_type: u8,
    telephone_event: Option<u8>,
    direction: Direction,
    rtp_timeout: Duration,
    pacer: Pacer,
    /// Samples of time since the session began.
    clock: u64,
    latch: Latch,
    reception: Reception,
    jitter: JitterBuffer,
    dtmf: DtmfReceiver,
    outbound: Outbound,
    /// When RTP was last heard, or expected to begin.
    heard: Instant,
    timed_out: bool,
    tapped: bool,
    scratch: Vec<i16>,
    outputs: VecDeque<Output>,
    stats: MediaStats,
}

impl Session {
    /// The first tick is due at `now`.
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        Session {
            codec: config.codec,
            payload_type: config.payload_type,
            telephone_event: config.telephone_event,
            direction: config.direction,
            rtp_timeout: config.rtp_timeout,
            pacer: Pacer::new(now),
            clock: 0,
            latch: Latch::new(config.remote),
            reception: Reception::new(now),
            jitter: JitterBuffer::new(config.jitter, now),
            dtmf: DtmfReceiver::default(),
            outbound: Outbound::new(config.seed),
            heard: now,
            timed_out: false,
            tapped: false,
            scratch: Vec::new(),
            outputs: VecDeque::new(),
            stats: MediaStats::default(),
        }
    }

    /// Takes what arrived on the socket, whatever it is.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let packet = match Packet::parse(datagram) {
            Ok(packet) => packet,
            Err(RtpError::Rtcp(_)) => return self.stats.rtcp += 1,
            Err(_) => return self.stats.malformed += 1,
        };
        let source = self.latch.judge(from);
        if source == Source::Stranger {
            return self.stats.strangers += 1;
        }
        let Some(kind) = self.kind_of(packet.header.payload_type) else {
            return self.stats.unknown_payload += 1;
        };
        if source == Source::Plausible {
            self.latch.latch(from);
            self.emit(MediaEvent::Latched { from });
        }
        self.stats.packets_received += 1;
        self.stats.octets_received += packet.payload.len() as u64;
        self.heard = now;
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

    /// Does what is due: a tick for every 20 ms that passed, a few at the most.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.pacer.poll_timeout());
        let due = self.pacer.handle_timeout(now);
        self.clock += u64::from(due.skipped) * FRAME_SAMPLES as u64;
        self.outbound.skip(due.skipped);
        self.stats.skipped_ticks += u64::from(due.skipped);
        self.stats.worst_lateness = self.stats.worst_lateness.max(late);
        for n in 0..due.ticks {
            self.tick(now, due.first + frames(n));
        }
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.pacer.poll_timeout())
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Queues 8 kHz audio behind what already waits.
    pub fn play(&mut self, utterance: UtteranceId, pcm: &[i16]) -> Result<(), PlayoutFull> {
        self.outbound.playout.play(utterance, self.codec, pcm)
    }

    /// No more audio will come for the utterance; [`MediaEvent::Played`] follows when all is sent.
    pub fn finish(&mut self, utterance: UtteranceId) {
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

    /// Sends digits in the place of audio, which waits meanwhile. `w` and `W` pause for 0.5 and 1 s.
    pub fn send_dtmf(&mut self, digits: &str) -> Result<(), DtmfError> {
        if self.telephone_event.is_none() {
            return Err(DtmfError::NotNegotiated);
        }
        self.outbound.dtmf.queue(digits)
    }

    /// Takes what a re-INVITE or UPDATE agreed on. What plays goes on, in the new codec.
    pub fn update(&mut self, now: Instant, update: SessionUpdate) {
        let silent = now.saturating_duration_since(self.heard) >= self.rtp_timeout;
        if self.latch.update(update.remote, silent) {
            self.reception.forget();
        }
        self.outbound.playout.transcode(self.codec, update.codec);
        if update.telephone_event.is_none() {
            self.outbound.dtmf.clear();
        }
        // Where silence was told of already, what is agreed anew is waited for anew.
        if std::mem::take(&mut self.timed_out) || !self.direction.receives() {
            self.heard = now;
        }
        (self.codec, self.payload_type) = (update.codec, update.payload_type);
        (self.telephone_event, self.direction) = (update.telephone_event, update.direction);
    }

    /// Whether [`Output::Tap`] is given.
    pub fn set_tap(&mut self, on: bool) {
        self.tapped = on;
    }

    /// Samples that ever left the playout, sent or dropped.
    pub fn playout_left(&self) -> u64 {
        self.outbound.playout.left()
    }

    pub fn stats(&self) -> MediaStats {
        let buffer = self.jitter.stats();
        MediaStats {
            lost: self.reception.lost(),
            duplicates: self.reception.duplicates(),
            jitter: self.reception.jitter(),
            late: buffer.late_packets,
            concealed_samples: buffer.concealed,
            stretched_samples: buffer.stretched,
            resyncs: buffer.resyncs,
            buffer_target: self.jitter.target(),
            buffer_delay: self.jitter.delay(self.pacer.poll_timeout()),
            ..self.stats
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

    /// Both laws are taken under their static numbers, whichever was agreed on: gateways switch
    /// between them in early media.
    fn kind_of(&self, payload_type: u8) -> Option<Payload> {
        match payload_type {
            pt if pt == self.payload_type => Some(Payload::Speech(self.codec)),
            pt if Some(pt) == self.telephone_event => Some(Payload::Event),
            0 => Some(Payload::Speech(Codec::Pcmu)),
            8 => Some(Payload::Speech(Codec::Pcma)),
            COMFORT_NOISE => Some(Payload::ComfortNoise),
            _ => None,
        }
    }

    fn restart_inbound(&mut self, now: Instant) {
        self.jitter.reset(now);
        let digit = self.dtmf.reset();
        self.emit_digit(digit);
    }

    fn take(&mut self, now: Instant, packet: &Packet<'_>, kind: Payload) {
        let header = packet.header;
        match kind {
            Payload::Speech(codec) => {
                self.reception.observe(now, header.timestamp);
                self.scratch.clear();
                let payload = &packet.payload[..packet.payload.len().min(MAX_PAYLOAD)];
                codec::decode(codec, payload, &mut self.scratch);
                self.jitter.push(now, header.timestamp, header.marker, &self.scratch);
            }
            Payload::Event => match Event::parse(packet.payload) {
                Some(event) => {
                    let digit = self.dtmf.handle(now, header.timestamp, event);
                    self.emit_digit(digit);
                }
                None => self.stats.malformed += 1,
            },
            Payload::ComfortNoise => {}
        }
    }

    fn tick(&mut self, now: Instant, deadline: Instant) {
        let mut heard = [0; FRAME_SAMPLES];
        let kind = self.jitter.frame(deadline, &mut heard);
        self.emit(MediaEvent::Frame { start: self.clock, pcm: heard.to_vec(), kind });
        let digit = self.dtmf.handle_timeout(now);
        self.emit_digit(digit);
        self.send(now);
        if self.tapped {
            let codes = self.outbound.sent();
            let table = codec::decode_table(self.codec);
            let stereo = std::array::from_fn(|i| [heard[i], table[usize::from(codes[i])]]);
            self.outputs.push_back(Output::Tap(Box::new(TapFrame { start: self.clock, stereo })));
        }
        self.watch_silence(now);
        self.clock += FRAME_SAMPLES as u64;
    }

    fn send(&mut self, now: Instant) {
        let to = self.latch.destination().filter(|_| self.direction.sends());
        let Some(to) = to else { return self.outbound.pause(self.codec) };
        let mut progress = Vec::new();
        let payload_types = (self.payload_type, self.telephone_event);
        let datagram = self.outbound.tick(self.codec, payload_types, &mut progress);
        self.stats.packets_sent += 1;
        self.stats.octets_sent += datagram.payload_len() as u64;
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
        let silent_for = now.saturating_duration_since(self.heard);
        if !self.timed_out && silent_for >= self.rtp_timeout {
            self.timed_out = true;
            self.emit(MediaEvent::RtpTimeout { silent_for });
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Payload {
    Speech(Codec),
    Event,
    ComfortNoise,
}

#[cfg(test)]
mod tests;
