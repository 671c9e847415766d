//! What a session gives: to the network, to the call, to the recording.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::Datagram;
use crate::media::{jitter::FrameKind, playout::UtteranceId, tap::TapFrame};

/// What the driver must do.
#[derive(Debug)]
pub enum Output {
    Transmit {
        to: SocketAddr,
        datagram: Datagram,
    },
    /// A report; `mux` says that it goes out through RTP's port.
    Report {
        to: SocketAddr,
        mux: bool,
        datagram: Vec<u8>,
    },
    Event(MediaEvent),
    /// What both ends hear; only while [`Session::set_tap`](super::Session::set_tap) is on.
    Tap(Box<TapFrame>),
}

/// What a call learns from its media.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEvent {
    /// One every 20 ms. `start` is when it begins, in samples of 8 kHz since the session did, which jumps
    /// where the node itself stood still; `pcm` has 160 samples at 8 kHz, or 320 at 16 kHz where the
    /// codec is wideband.
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
    /// All of it was sent. `samples` are of 8 kHz, here and below, whatever the line's rate.
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
