//! Signalling and media of one call as one thing: what SDP agrees on is what the media session does.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::base::audio::Direction;
use crate::call::recording;
use crate::media::{
    self, MediaError, MediaEvents, MediaHandle, MediaPlane, MediaStats, Recorded, SessionConfig,
};
use crate::sip::sdp::{self, Local, Negotiated, SdpError};
use crate::sip::{CallHandle, Reoffer, Srtp};

/// A port for audio, and what we say about it in SDP.
pub(super) struct Leg {
    line: Line,
    local: Local,
    /// The far end makes the offer, though we call.
    late_offer: bool,
    jitter: media::jitter::Config,
    rtp_timeout: Duration,
}

enum Line {
    Reserved(media::Leg),
    /// The far end plays before it answers.
    Early {
        handle: MediaHandle,
        heard: MediaEvents,
        recording: Option<Recorded>,
    },
}

impl Leg {
    /// Binds a port; SDP will name it at `advertise`.
    pub(super) fn reserve(plane: &MediaPlane, advertise: IpAddr) -> Result<Self, MediaError> {
        let reserved = plane.reserve()?;
        let address = SocketAddr::new(advertise, reserved.local_addr().port());
        let config = plane.config();
        let codecs = config.codecs.clone();
        let local = Local { codecs, ..Local::new(address, sdp::session_id()) };
        Ok(Leg {
            line: Line::Reserved(reserved),
            local,
            late_offer: false,
            jitter: config.jitter,
            rtp_timeout: config.rtp_timeout(),
        })
    }

    /// What we offer when we dial; the trunk says how.
    pub(super) fn dialled(&self) -> Local {
        self.local.clone()
    }

    /// From here on descriptions of a call of ours are those of the trunk that it goes by.
    pub(super) fn fit(&mut self, call: &CallHandle) {
        call.fit(&mut self.local);
        self.late_offer = call.late_offer();
    }

    /// From here on descriptions are made and judged as the call's trunk wants.
    pub(super) fn secure(&mut self, srtp: Srtp) {
        self.local.srtp = srtp;
    }

    pub(super) fn offer(&self) -> String {
        sdp::offer(&self.local)
    }

    pub(super) fn answer(&self, offer: &str) -> Result<(String, Negotiated), SdpError> {
        sdp::answer(&self.local, offer)
    }

    /// What the far end's description agrees to: its answer, or the offer that has its answer already.
    pub(super) fn accept(&self, described: &str) -> Result<Negotiated, SdpError> {
        if self.late_offer {
            return self.answer(described).map(|(_, agreed)| agreed);
        }
        sdp::accept(&self.local, described)
    }

    /// What holds until a caller without an offer has answered ours.
    pub(super) fn unanswered(&self) -> Negotiated {
        self.local.unanswered()
    }

    /// The far end plays before it answers (RFC 3960): it is heard, and recorded to `record_to`. Where
    /// another phone of a forked call plays next, that one is heard.
    pub(super) fn hear_early(self, answer: &str, record_to: Option<PathBuf>) -> Result<Self, MediaError> {
        let agreed = match self.accept(answer) {
            Ok(agreed) => agreed,
            Err(error) => {
                tracing::debug!(%error, "what is played before the answer cannot be heard");
                return Ok(self);
            }
        };
        self.begin_early(&agreed, record_to)
    }

    /// Media flows before the answer, as `agreed`.
    pub(super) fn begin_early(
        self,
        agreed: &Negotiated,
        record_to: Option<PathBuf>,
    ) -> Result<Self, MediaError> {
        let config = self.config(agreed);
        let local = Local { beside: agreed.beside.clone(), ..self.local };
        let line = match self.line {
            Line::Reserved(reserved) => {
                let (handle, heard) = reserved.start(config)?;
                let recording = record_to.and_then(|path| recording::begin(&handle, path));
                Line::Early { handle, heard, recording }
            }
            Line::Early { handle, heard, recording } => {
                follow(&handle, agreed);
                Line::Early { handle, heard, recording }
            }
        };
        Ok(Leg { line, local, ..self })
    }

    /// What takes the offers that come before the answer, and the media that flows by then, if any does.
    pub(super) fn early(&mut self) -> (Offers<'_>, Option<(MediaHandle, &mut MediaEvents)>) {
        let local = &mut self.local;
        match &mut self.line {
            Line::Reserved(_) => (Offers { local, media: None }, None),
            Line::Early { handle, heard, .. } => {
                (Offers { local, media: Some(handle) }, Some((handle.clone(), heard)))
            }
        }
    }

    /// [`Offers::reply`].
    pub(super) fn reply(&mut self, reoffer: Reoffer) {
        self.early().0.reply(reoffer);
    }

    /// Nobody has answered: ends what was played before. Gives its recording.
    pub(super) fn end(self) -> Option<Recorded> {
        match self.line {
            Line::Reserved(_) => None,
            Line::Early { handle, recording, .. } => {
                handle.close();
                recording
            }
        }
    }

    /// Media flows from here on.
    pub(super) fn start(self, agreed: &Negotiated) -> Result<(Audio, MediaEvents), MediaError> {
        let config = self.config(agreed);
        let local = Local { beside: agreed.beside.clone(), ..self.local };
        let direction = agreed.direction;
        match self.line {
            Line::Reserved(reserved) => {
                let (handle, events) = reserved.start(config)?;
                Ok((Audio { handle, local, direction, recording: None }, events))
            }
            Line::Early { handle, mut heard, recording } => {
                follow(&handle, agreed);
                // Ringing and announcements are no part of the conversation.
                while heard.try_recv().is_some() {}
                Ok((Audio { handle, local, direction, recording }, heard))
            }
        }
    }

    fn config(&self, agreed: &Negotiated) -> SessionConfig {
        agreed.agreed().begin(self.jitter, self.rtp_timeout, rand::random())
    }
}

/// Takes the offers that come before the answer.
pub(super) struct Offers<'a> {
    local: &'a mut Local,
    media: Option<&'a MediaHandle>,
}

impl Offers<'_> {
    /// Answers a new offer, or refuses it; who asks for ours is refused, too. Gives our answer and what it agrees to.
    pub(super) fn reply(&mut self, Reoffer { sdp, reply }: Reoffer) -> Option<(String, Negotiated)> {
        // Dropped, it is refused.
        let answered = self.renegotiate(&sdp?);
        // The far end may have hung up meanwhile.
        let _ = reply.send(answered.as_ref().map(|(answer, _)| answer.clone()).map_err(|_| 488));
        answered.ok()
    }

    fn renegotiate(&mut self, offer: &str) -> Result<(String, Negotiated), SdpError> {
        let local = self.local.next(self.local.direction);
        let (answer, agreed) = sdp::answer(&local, offer)?;
        *self.local = Local { beside: agreed.beside.clone(), ..local };
        self.media.into_iter().for_each(|media| follow(media, &agreed));
        Ok((answer, agreed))
    }
}

/// A leg whose media flows.
pub(super) struct Audio {
    pub(super) handle: MediaHandle,
    local: Local,
    /// As agreed on last.
    direction: Direction,
    /// It may have begun before the answer.
    recording: Option<Recorded>,
}

/// What is left of a leg whose call is over.
pub(super) struct Left {
    pub(super) stats: BoxFuture<'static, Result<MediaStats, MediaError>>,
    pub(super) recording: Option<Recorded>,
}

impl Audio {
    /// Records to `path` from here on, unless it is recorded already.
    pub(super) fn record(&mut self, path: PathBuf) {
        self.recording = self.recording.take().or_else(|| recording::begin(&self.handle, path));
    }

    /// Neither sends nor records any more.
    pub(super) fn end(&mut self) -> Left {
        let stats = Box::pin(self.handle.stats());
        self.handle.close();
        Left { stats, recording: self.recording.take() }
    }

    /// Answers a new offer of the far end (hold, resume, another address) and follows it. Without an
    /// offer, ours is sent and the session stays as it is.
    pub(super) fn renegotiate(&mut self, offer: Option<&str>) -> Result<String, SdpError> {
        let local = self.local.next(self.local.direction);
        let Some(offer) = offer else {
            self.local = local;
            return Ok(sdp::offer(&self.local));
        };
        let (answer, agreed) = sdp::answer(&local, offer)?;
        self.local = local;
        self.follow(&agreed);
        Ok(answer)
    }

    /// The far end answered an offer that we made.
    pub(super) fn accept(&mut self, answer: &str) -> Result<(), SdpError> {
        let agreed = sdp::accept(&self.local, answer)?;
        self.follow(&agreed);
        Ok(())
    }

    /// The offer that takes a call up again which is on hold; none where it is not.
    pub(super) fn resume(&mut self) -> Option<String> {
        (self.direction != self.local.direction).then(|| {
            self.local = self.local.next(self.local.direction);
            sdp::offer(&self.local)
        })
    }

    fn follow(&mut self, agreed: &Negotiated) {
        self.direction = agreed.direction;
        self.local.beside = agreed.beside.clone();
        follow(&self.handle, agreed);
    }
}

fn follow(handle: &MediaHandle, agreed: &Negotiated) {
    if let Err(error) = handle.update(agreed.agreed()) {
        tracing::error!(%error, "the media session could not follow a new offer");
    }
}
