//! Signalling and media of one call as one thing: what SDP agrees on is what the media session does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::audio::{Codec, Direction};
use crate::base::terms::Terms;
use crate::media::{self, MediaError, MediaEvent, MediaHandle, MediaPlane, SessionConfig, SessionUpdate};
use crate::sip::sdp::{self, Local, Negotiated, SdpError};

/// A port for audio, and what we say about it in SDP.
pub(super) struct Leg {
    reserved: media::Leg,
    local: Local,
    jitter: media::jitter::Config,
    rtp_timeout: Duration,
}

impl Leg {
    /// Binds a port; SDP will name it at `advertise`.
    pub(super) fn reserve(plane: &MediaPlane, advertise: IpAddr) -> Result<Self, MediaError> {
        let reserved = plane.reserve()?;
        let address = SocketAddr::new(advertise, reserved.local_addr().port());
        // Sixty-two bits, since some peers read the session id as a signed number.
        let config = plane.config();
        let codecs = config.codecs.clone();
        let local = Local { codecs, ..Local::new(address, rand::random::<u64>() >> 2) };
        Ok(Leg { reserved, local, jitter: config.jitter, rtp_timeout: config.rtp_timeout() })
    }

    pub(super) fn offer(&self) -> String {
        sdp::offer(&self.local)
    }

    pub(super) fn answer(&self, offer: &str) -> Result<(String, Negotiated), SdpError> {
        sdp::answer(&self.local, offer)
    }

    pub(super) fn accept(&self, answer: &str) -> Result<Negotiated, SdpError> {
        sdp::accept(&self.local, answer)
    }

    /// What holds until a caller without an offer has answered ours: nothing is sent yet.
    pub(super) fn unanswered(&self) -> Negotiated {
        let codec = self.local.codecs.first().copied().unwrap_or(Codec::Pcmu);
        Negotiated {
            remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            codec,
            payload_type: codec.payload_type(),
            telephone_event: None,
            direction: Direction::RecvOnly,
            ptime: 20,
            terms: Terms::default(),
        }
    }

    /// Media flows from here on.
    pub(super) fn start(
        self,
        agreed: &Negotiated,
    ) -> Result<(Audio, mpsc::Receiver<MediaEvent>), MediaError> {
        let config = SessionConfig {
            codec: agreed.codec,
            payload_type: agreed.payload_type,
            telephone_event: agreed.telephone_event,
            remote: agreed.remote,
            direction: agreed.direction,
            terms: agreed.terms,
            jitter: self.jitter,
            rtp_timeout: self.rtp_timeout,
            seed: rand::random(),
        };
        let (handle, events) = self.reserved.start(config)?;
        Ok((Audio { handle, local: self.local }, events))
    }
}

/// A leg whose media flows.
pub(super) struct Audio {
    pub(super) handle: MediaHandle,
    local: Local,
}

impl Audio {
    /// Answers a new offer of the far end (hold, resume, another address) and follows it. Without an
    /// offer, ours is sent and the session stays as it is.
    pub(super) fn renegotiate(&mut self, offer: Option<&str>) -> Result<String, SdpError> {
        self.local.version += 1;
        let Some(offer) = offer else { return Ok(sdp::offer(&self.local)) };
        let (answer, agreed) = sdp::answer(&self.local, offer)?;
        self.follow(&agreed);
        Ok(answer)
    }

    /// The far end answered an offer that we made.
    pub(super) fn accept(&mut self, answer: &str) -> Result<(), SdpError> {
        let agreed = sdp::accept(&self.local, answer)?;
        self.follow(&agreed);
        Ok(())
    }

    fn follow(&self, agreed: &Negotiated) {
        let update = SessionUpdate {
            codec: agreed.codec,
            payload_type: agreed.payload_type,
            telephone_event: agreed.telephone_event,
            remote: agreed.remote,
            direction: agreed.direction,
            terms: agreed.terms,
        };
        if let Err(error) = self.handle.update(update) {
            tracing::error!(%error, "the media session could not follow a new offer");
        }
    }
}
