//! What a session is told.

use std::{net::SocketAddr, time::Duration};

use crate::{
    base::{
        audio::{Codec, Direction},
        terms::{Agreed, Terms},
    },
    media::jitter,
};

/// What offer and answer agreed on, and how to listen.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    pub codec: Codec,
    /// Of the codec, as the SDP maps it.
    pub payload_type: u8,
    /// Payload type of `telephone-event` at the codec's clock rate, if agreed on.
    pub telephone_event: Option<u8>,
    /// Where the far end's SDP says it receives.
    pub remote: SocketAddr,
    /// Ours.
    pub direction: Direction,
    pub terms: Terms,
    pub jitter: jitter::Config,
    /// Silence on the wire after which [`MediaEvent::RtpTimeout`](super::MediaEvent) comes.
    pub rtp_timeout: Duration,
    /// Makes SSRC, first sequence number and first timestamp, which must differ from call to call.
    pub seed: u64,
}

/// What a re-INVITE agreed on.
pub type SessionUpdate = Agreed;

impl SessionUpdate {
    /// The session that begins with this.
    pub fn begin(self, jitter: jitter::Config, rtp_timeout: Duration, seed: u64) -> SessionConfig {
        let SessionUpdate { codec, payload_type, telephone_event, remote, direction, terms } = self;
        SessionConfig {
            codec,
            payload_type,
            telephone_event,
            remote,
            direction,
            terms,
            jitter,
            rtp_timeout,
            seed,
        }
    }
}
