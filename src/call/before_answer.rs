//! What a caller hears before the answer, by early media (RFC 3960): a phone that rings, then an announcement. Carriers
//! charge from the answer on.

use std::time::Duration;

use crate::call::directory::Stop;
use crate::call::ending::Circumstances;
use crate::call::leg::Leg;
use crate::call::record::CallDirection;
use crate::engine::worker::TtsHandle;
use crate::media::{MediaError, MediaEvents, MediaHandle, Ringback};
use crate::sip::sdp::Negotiated;
use crate::sip::{IncomingCall, Signal, SipEnd};
use crate::voice::announcing::{Line, announce};
use crate::voice::introduction::Verdict;
use crate::voice::mouth::VoiceChoice;

pub(super) struct Prelude {
    pub(super) tone: Ringback,
    /// How long it rings.
    pub(super) rings: Duration,
    /// Said then; empty: nothing.
    pub(super) announcement: String,
    pub(super) tts: TtsHandle,
    pub(super) voice: VoiceChoice,
}

/// A leg, what its caller is told of it, and what that agrees to.
pub(super) struct Described {
    pub(super) leg: Leg,
    pub(super) sdp: String,
    pub(super) agreed: Negotiated,
}

/// A call that came in is over before it was answered.
pub(super) fn unanswered(end: impl Into<Option<SipEnd>>) -> Circumstances {
    Circumstances::unanswered(CallDirection::Inbound, end.into())
}

/// Who asked this node to end it.
pub(super) fn stopped(stop: &Stop) -> Circumstances {
    Circumstances { stopped_by: stop.asked_by(), ..unanswered(None) }
}

/// Plays all of it as `described`, where the caller has made an offer; else the caller's own telephone rings. The caller
/// may make other offers meanwhile, and the call may end.
pub(super) async fn play(
    prelude: Prelude,
    incoming: &mut IncomingCall,
    described: Described,
    stop: &Stop,
) -> Result<Described, Circumstances> {
    let Described { mut leg, mut sdp, mut agreed } = described;
    let told = if incoming.offer.is_some() {
        leg = leg.begin_early(&agreed, None).map_err(|error| {
            tracing::error!(%error, "the audio of a call cannot start");
            unanswered(None)
        })?;
        incoming.play_early(sdp.clone()).await
    } else {
        incoming.ring().await
    };
    if told.is_err() {
        return Err(unanswered(incoming.ended().await));
    }
    {
        let (mut offers, media) = leg.early();
        let playing = prelude.play(media);
        tokio::pin!(playing);
        loop {
            tokio::select! {
                biased;
                () = stop.asked() => return Err(stopped(stop)),
                signal = incoming.signal() => match signal {
                    Signal::Ended(end) => return Err(unanswered(end)),
                    Signal::Reoffer(reoffer) => {
                        (sdp, agreed) = offers.reply(reoffer).unwrap_or((sdp, agreed));
                    }
                    _ => {}
                },
                () = &mut playing => break,
            }
        }
    }
    Ok(Described { leg, sdp, agreed })
}

impl Prelude {
    /// What fails is left out: the call is answered all the same.
    async fn play(self, media: Option<(MediaHandle, &mut MediaEvents)>) {
        let Some((media, heard)) = media else { return tokio::time::sleep(self.rings).await };
        if let Err(error) = self.ring(&media, heard).await {
            tracing::warn!(%error, "a caller does not hear that it rings");
        }
        let Prelude { announcement, tts, voice, .. } = self;
        if announcement.is_empty() {
            return;
        }
        let line = Line { media, heard, answered: false };
        if announce(announcement, tts, voice, line).await != Verdict::Accepted {
            tracing::warn!("a caller has not heard the announcement to its end");
        }
    }

    async fn ring(&self, media: &MediaHandle, heard: &mut MediaEvents) -> Result<(), MediaError> {
        if self.rings.is_zero() {
            return Ok(());
        }
        media.ring_back(self.tone)?;
        // What the caller says meanwhile is not for us.
        let unheard = async { while heard.recv().await.is_some() {} };
        let _ = tokio::time::timeout(self.rings, unheard).await;
        media.play_again()
    }
}
