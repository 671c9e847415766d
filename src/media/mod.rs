//! The media plane: RTP in and out, every 20 ms, for as long as a call lasts.
//!
//! In: datagrams of the far end, and 8 kHz audio to play. Out: packets at an even pace, one 20 ms
//! frame of the far end per tick, DTMF, and word of what was really sent. Own code throughout; the
//! sources are RFC 3550, 3551, 4733, 4961 and ITU-T G.711 with its Appendix I.
//!
//! # Map
//! | part | what it is |
//! |---|---|
//! | [`session`] | one call, sans-IO: puts all of the below together |
//! | [`driver`] | threads, sockets, ports and queues around sessions: what the rest of the node uses |
//! | [`rtp`] | packets; numbers that wrap |
//! | [`latching`] | whose packets are ours |
//! | [`reception`] | which of those are believed; loss and jitter as RFC 3550 counts them |
//! | [`jitter`] | uneven packets in, even frames out |
//! | [`conceal`] | sound for the holes |
//! | [`codec`] | G.711 |
//! | [`dtmf`] | digits both ways |
//! | [`tone`] | the beep of an answering machine |
//! | [`playout`] | what waits to be sent, and how much of it was heard |
//! | [`relay`] | what one session hears is what another one sends |
//! | [`ringback`] | the tone while somebody's phone rings |
//! | [`pacer`] | when to send |
//! | [`tap`], [`recording`] | both sides into a WAV file |
//! | [`resample`] | between the line's 8 kHz and what models speak and hear |
//! | [`ports`] | RTP port range |
//!
//! # The way of a frame
//! Datagram → [`latching`] → [`reception`] → [`codec`] → [`jitter`] (with [`conceal`]) →
//! [`MediaEvent::Frame`]; and [`MediaHandle::play`] → [`playout`] → packet, by the [`pacer`].

pub mod codec;
pub mod conceal;
pub mod driver;
pub mod dtmf;
pub mod jitter;
pub mod latching;
#[cfg(test)]
pub(crate) mod netem;
pub mod pacer;
pub mod playout;
pub mod ports;
pub mod quality;
pub mod reception;
pub mod recording;
pub mod relay;
pub mod resample;
pub mod ringback;
pub mod rtcp;
pub mod rtp;
pub mod session;
pub mod tap;
pub mod tone;

pub use self::{
    driver::{Config, Leg, MediaError, MediaHandle, MediaPlane},
    dtmf::DtmfError,
    jitter::{FRAME_SAMPLES, FrameKind},
    playout::UtteranceId,
    recording::{RecordingError, RecordingSummary},
    resample::Resampler,
    ringback::Ringback,
    session::{MediaEvent, MediaStats, Output, Session, SessionConfig, SessionUpdate},
    tone::{Beep, BeepDetector},
};
