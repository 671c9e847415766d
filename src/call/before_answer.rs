//! What a caller hears before the answer, by early media (RFC 3960): a phone that rings, then an announcement. Carriers
//! charge from the answer on.

use std::time::Duration;

use crate::call::directory::Stop;
use crate::call::ending::Circumstances;
use crate::call::leg::{Early, Leg};
use crate::call::record::CallDirection;
use crate::engine::worker::TtsHandle;
use crate::media::{MediaError, MediaEvents, MediaHandle, Ringback};
use crate::sip::sdp::Negotiated;
use crate::sip::{IncomingCall, Signal, SipEnd};
use crate::voice::announcing::announce;
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

/// A leg, what the caller was told of it, and what that agreed to.
pub(super) struct Described {
    pub(super) leg: Leg,
    pub(super) sdp: String,
    pub(super) agreed: Negotiated,
}

/// Plays all of it, as `described`. The caller may make other offers meanwhile, and the call may end.
pub(super) async fn play(
    prelude: Prelude,
    incoming: &mut IncomingCall,
    described: Described,
    stop: &Stop,
) -> Result<Described, Circumstances> {
    let over = |end| Circumstances::unanswered(CallDirection::Inbound, end);
    let Described { leg, mut sdp, mut agreed } = described;
    let mut leg = leg.play_early(&agreed).map_err(|error| {
        tracing::error!(%error, "the audio of a call cannot start");
        over(None)
    })?;
    if incoming.play_early(sdp.clone()).await.is_err() {
        return Err(over(Some(SipEnd::Cancelled)));
    }
    if let Some(Early { mut offers, media, heard }) = leg.early() {
        let playing = prelude.play(media, heard);
        tokio::pin!(playing);
        loop {
            tokio::select! {
                () = &mut playing => break,
                () = stop.asked() => {
                    return Err(Circumstances { stopped_by: stop.asked_by(), ..over(None) });
                }
                signal = incoming.signal() => match signal {
                    Signal::Ended(end) => return Err(over(Some(end))),
                    Signal::Reoffer(reoffer) => if let Some(again) = offers.reply(reoffer) {
                        (sdp, agreed) = again;
                    },
                    _ => {}
                },
            }
        }
    }
    Ok(Described { leg, sdp, agreed })
}

impl Prelude {
    /// What fails is left out: the call is answered all the same.
    async fn play(self, media: MediaHandle, heard: &mut MediaEvents) {
        if let Err(error) = self.ring(&media, heard).await {
            tracing::warn!(%error, "a caller does not hear that it rings");
        }
        let Prelude { announcement, tts, voice, .. } = self;
        if announcement.is_empty() {
            return;
        }
        if announce(announcement, tts, voice, media, heard, false).await != Verdict::Accepted {
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
