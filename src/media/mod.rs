//! The media plane: RTP in and out, every 20 ms, for as long as a call lasts.
//!
//! In: datagrams of the far end, and audio to play. Out: packets at an even pace, one 20 ms
//! frame of the far end per tick, DTMF, and word of what was really sent. Own code throughout; the
//! sources are RFC 3550, 3551, 3711, 4733, 4961, 5761 and ITU-T G.711 with its Appendix I.
//!
//! # Map
//! | part | what it is |
//! |---|---|
//! | [`session`] | one call, sans-IO: puts all of the below together |
//! | [`driver`] | threads, sockets, ports and queues around sessions: what the rest of the node uses |
//! | [`rtp`] | packets; numbers that wrap |
//! | [`srtp`] | the same packets, encrypted and authenticated |
//! | [`latching`] | whose packets are ours |
//! | [`demux`] | whose they are, where many calls share a port |
//! | [`reception`] | which of those are believed; loss and jitter as RFC 3550 counts them |
//! | [`rtcp`], [`quality`] | reports both ways; how the call sounds by them |
//! | [`jitter`] | uneven packets in, even frames out |
//! | [`conceal`] | sound for the holes |
//! | [`codec`] | G.711, G.722, Opus |
//! | [`comfort`] | noise where the far end says that it is silent |
//! | [`dtmf`], [`inband`] | digits both ways: as events, and as sound where those were not agreed on |
//! | [`tone`] | the beep of an answering machine |
//! | [`playout`] | what waits to be sent, and how much of it was heard |
//! | [`relay`] | what one session hears is what another one sends |
//! | [`ringback`] | the tone while somebody's phone rings |
//! | [`pacer`] | when to send |
//! | [`tap`], [`recording`] | both sides into a file, WAV or Opus |
//! | [`resample`] | between the line's rate and what models speak and hear |
//! | [`ports`] | which pairs of UDP ports |
//! | `prefetch` | memory that is asked for early |
//!
//! # The way of a frame
//! Datagram → [`srtp`] → [`latching`] → [`reception`] → [`codec`] → [`jitter`] (with [`conceal`]) →
//! [`MediaEvent::Frame`]; and [`MediaHandle::play`] → [`playout`] → packet, by the [`pacer`].

pub mod codec;
pub mod comfort;
pub mod conceal;
pub mod demux;
pub mod driver;
pub mod dtmf;
pub mod inband;
pub mod jitter;
pub mod latching;
#[cfg(test)]
pub(crate) mod netem;
pub mod pacer;
pub mod playout;
pub mod ports;
mod prefetch;
pub mod quality;
pub mod reception;
pub mod recording;
pub mod relay;
pub mod resample;
pub mod ringback;
pub mod rtcp;
pub mod rtp;
pub mod session;
pub mod srtp;
pub mod tap;
pub mod tone;

pub use self::{
    driver::{Config, Leg, MediaError, MediaEvents, MediaHandle, MediaPlane, Recorded, SocketMode},
    dtmf::DtmfError,
    jitter::{FRAME_SAMPLES, FrameKind},
    playout::UtteranceId,
    recording::{RecordingError, RecordingSummary},
    resample::Resampler,
    ringback::Ringback,
    session::{FarReport, MediaEvent, MediaStats, Output, Session, SessionConfig, SessionUpdate},
    tone::{Beep, BeepDetector},
};
