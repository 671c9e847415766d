//! What a session is told.

use std::time::Duration;

use crate::{base::terms::Agreed, media::jitter};

/// What offer and answer agreed on, and how to listen.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    pub agreed: Agreed,
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
        SessionConfig { agreed: self, jitter, rtp_timeout, seed }
    }
}
